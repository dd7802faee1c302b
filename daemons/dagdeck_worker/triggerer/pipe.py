"""The triggerer's side of the two pipes to its worker.

Decides how requests wait for their answers: a thread reads all frames, so that also a request made inside the event
loop, which then stands still, gets its answer. Used by `process`, and by triggers' code through `dagdeck.runtime`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from dagdeck.runtime import NotFound, RequestFailed
from dagdeck_core.wire import FromRunner, Reply, Request, ToRunner, from_runner_codec, to_runner_codec
from dagdeck_task.masking import Masker
from dagdeck_worker.frames import FrameReader, framed
from dagdeck_worker.triggerer.streams import current

_READ_SIZE = 256 * 1024


class TriggererPipe:
    """See the module. `on_message` gets everything but replies, `on_close` is called once at the end; both from the
    reading thread. `masker` hides secrets in all triggers' lines from the moment that one of them was given it.
    """

    def __init__(
        self,
        command: int,
        result: int,
        reader: FrameReader,
        masker: Masker,
        *,
        on_message: Callable[[ToRunner], None],
        on_close: Callable[[], None],
    ) -> None:
        self._command = command
        self._result = result
        self._masker = masker
        self._on_message = on_message
        self._on_close = on_close
        self._reader = reader
        self._writing = threading.Lock()
        self._asking = threading.Lock()
        self._numbers = 0
        self._waiting: dict[int, Future[Reply]] = {}
        self._closed = False

    def start(self, received: list[ToRunner]) -> None:
        """Begin to read; `received` are messages that were read before."""
        threading.Thread(target=self._read, args=(received,), name="pipe", daemon=True).start()

    # ------------------------------------------------------------ dagdeck.runtime.Requests

    def request(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the worker and wait; from any thread. Raises NotFound, RequestFailed."""
        return _value(self._ask(method, arguments).result())

    async def request_async(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the worker while the other triggers go on. Raises NotFound, RequestFailed."""
        return _value(await asyncio.wrap_future(self._ask(method, arguments)))

    def mask(self, value: str) -> None:
        """Hide `value` in what triggers write from now on."""
        self._masker.add(value)

    def _ask(self, method: str, arguments: Mapping[str, Any]) -> Future[Reply]:
        lines = current.get()
        future: Future[Reply] = Future()
        with self._asking:
            self._numbers += 1
            number = self._numbers
            if self._closed:
                raise RequestFailed("the worker has closed this triggerer's pipe")
            self._waiting[number] = future
        self.send(Request(number, method, dict(arguments), lines.trigger_id if lines is not None else 0))
        return future

    # ------------------------------------------------------------ frames

    def send(self, message: FromRunner) -> None:
        """Send to the worker, from any thread. A worker that is gone is noticed by the reading thread."""
        data = memoryview(framed(from_runner_codec.encode(message)))
        with self._writing:
            try:
                while data:
                    data = data[os.write(self._result, data) :]
            except BrokenPipeError:
                return

    def _read(self, received: list[ToRunner]) -> None:
        try:
            for message in received:
                self._take(message)
            while data := os.read(self._command, _READ_SIZE):
                for frame in self._reader.feed(data):
                    self._take(to_runner_codec.decode(frame))
        finally:
            with self._asking:
                self._closed = True
                waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                future.cancel()
            self._on_close()

    def _take(self, message: ToRunner) -> None:
        if not isinstance(message, Reply):
            self._on_message(message)
            return
        for secret in message.secrets:
            self._masker.add(secret)
        future = self._waiting.pop(message.number, None)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(message)


def _value(reply: Reply) -> Any:
    if reply.error is None:
        return reply.value
    kind, message = reply.error
    raise NotFound(message) if kind == "not_found" else RequestFailed(message)
