"""A runner's side of the two pipes to its parent.

Decides how frames are written and read so that a signal handler which raises (SIGTERM, a timeout) can
never tear one. Does not decide what is asked (`dagdeck_task`). Called by `runner.process` and, as the
`dagdeck_task.channel.Channel` it implements, by the code that executes a task.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from dagdeck_core.wire import (
    BeTriggerer,
    FromRunner,
    Mask,
    Outcome,
    Reply,
    Request,
    Returned,
    RunTask,
    Shutdown,
    Started,
    ToRunner,
    from_runner_codec,
    to_runner_codec,
)
from dagdeck_worker.frames import FrameReader, framed

ATOMIC_WRITE = 4096
"""A pipe takes this much at once or not at all (PIPE_BUF)."""
_READ_SIZE = 64 * 1024
"""More than one read gives: on Linux that is one packet of a page."""
_CAN_SHIELD = hasattr(signal, "pthread_sigmask")
_SHIELDED = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM} if _CAN_SHIELD else set()


class PipeChannel:
    """Frames over a command pipe (in) and a result pipe (out). Requests may come from any thread of the task."""

    def __init__(self, command: int, result: int) -> None:
        self._command = command
        self._result = result
        self._owner = os.getpid()
        self._dispatch_no = 0
        self._announce = True
        self._reader = FrameReader()
        self._received: deque[ToRunner] = deque()
        self._numbers = 0
        self._asking = threading.Lock()
        self._writing = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    # ------------------------------------------------------------ for the runner's loop

    def next_task(self) -> RunTask | BeTriggerer | None:
        """The next task, or the order to be the triggerer; None when the parent has closed the pipe or asks the runner
        to end."""
        while True:
            while self._received:
                message = self._received.popleft()
                if isinstance(message, RunTask):
                    self._dispatch_no = message.dispatch_no
                    self._announce = message.announce
                    return message
                if isinstance(message, BeTriggerer):
                    return message
                if isinstance(message, Shutdown):
                    return None
                # A reply to a request that a timeout or SIGTERM broke off.
            if not self._receive():
                return None

    def finish(self, outcome: Outcome) -> None:
        """Hand the outcome of the current task to the parent."""
        self._write(outcome)

    def hand_over(self) -> tuple[FrameReader, list[ToRunner]]:
        """What was read and not used, for whoever reads the pipes from now on."""
        received, self._received = list(self._received), deque()
        return self._reader, received

    # ------------------------------------------------------------ for the task

    def request(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the parent and wait for its answer.

        Raises NotFound when the thing asked for does not exist, RequestFailed for every other failure.
        """
        with self._asking:
            self._numbers += 1
            number = self._numbers
            self._write(Request(number, method, dict(arguments)))
            reply = self._await_reply(number)
        if reply.secrets:
            _hide(reply.secrets)
        if reply.error is None:
            return reply.value
        kind, message = reply.error
        raise _failure(kind, message)

    def started(self, at: datetime) -> None:
        """Tell the parent that user code begins now, if it wants to know."""
        if self._announce:
            self._write(Started(self._dispatch_no, at, self._owner))

    def mask(self, value: str) -> None:
        """Have the parent hide `value` in what this task has written and will write."""
        self._write(Mask(value))

    # ------------------------------------------------------------ pipes

    def _await_reply(self, number: int) -> Reply:
        while True:
            for message in self._received:
                if isinstance(message, Reply) and message.number == number:
                    self._received.remove(message)
                    return message
            # Wait where a signal may break in, and take the bytes where it may not.
            if os.name == "posix":
                select.select([self._command], [], [])
            with _shielded():
                open_still = self._receive()
            self._give_back()
            if not open_still:
                raise _failure("pipe_closed", "the worker has closed this runner's pipe")

    def _give_back(self) -> None:
        """Tasks sent ahead that came before the reply: this one may take long, and somebody else can run them."""
        for message in [each for each in self._received if isinstance(each, RunTask)]:
            self._received.remove(message)
            self._write(Returned(message.dispatch_no))

    def _receive(self) -> bool:
        data = os.read(self._command, _READ_SIZE)
        for frame in self._reader.feed(data):
            self._received.append(to_runner_codec.decode(frame))
        return bool(data)

    def _write(self, message: FromRunner) -> None:
        if os.getpid() != self._owner:
            raise _failure("forked", "a process forked by the task cannot speak for it")
        data = framed(from_runner_codec.encode(message))
        with self._writing:
            if len(data) <= ATOMIC_WRITE:
                os.write(self._result, data)
                return
            with _shielded():
                view = memoryview(data)
                while view:
                    view = view[os.write(self._result, view) :]

    def _forget(self) -> None:
        """In a child that user code forked: let go of the pipes, so that they end when the runner ends."""
        if self._owner:
            self._owner = 0
            for descriptor in (self._command, self._result):
                os.close(descriptor)


def _hide(secrets: tuple[str, ...]) -> None:
    from dagdeck.runtime import mask_secret

    mask_secret(secrets)


def _failure(kind: str, message: str) -> Exception:
    # Imported when it is needed: most tasks never ask for what is not there.
    from dagdeck_task.channel import NotFound, RequestFailed

    return NotFound(message) if kind == "not_found" else RequestFailed(message)


@contextmanager
def _shielded() -> Iterator[None]:
    """Hold signals whose handlers may raise until the block has ended."""
    if not _CAN_SHIELD:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SHIELDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
