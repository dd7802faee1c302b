"""Streams that several event triggers share: one reading of the outside for all whose key is equal.

Decides when a stream is opened (with its first trigger) and closed (after its last), and that each trigger sees
everything that is read while it listens. Used by `process`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import suppress
from typing import Any

from dagdeck.triggers.base import BaseEventTrigger

BACKLOG = 1_000
"""Readings that wait for one trigger; beyond that it fails rather than miss one."""


class _Failed:
    """Put into the queues when the stream is over: `error` says why, None that it ended."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Stream:
    """One shared stream and its listeners' queues."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[Any]] = set()
        self.task: asyncio.Task[None] | None = None

    async def read(self, trigger: BaseEventTrigger) -> None:
        """Read and hand out until the stream ends."""
        error: BaseException | None = None
        try:
            async for item in type(trigger).open_shared_stream(trigger.serialize()[1]):
                for queue in list(self.queues):
                    self._put(queue, item)
        except Exception as raised:  # noqa: BLE001 - each listener raises it as its own
            error = raised
        for queue in list(self.queues):
            self._put(queue, _Failed(error))

    def _put(self, queue: asyncio.Queue[Any], item: Any) -> None:
        if queue.qsize() >= BACKLOG:
            self.queues.discard(queue)
            item = _Failed(OverflowError(f"{BACKLOG} readings of the shared stream wait for this trigger"))
        queue.put_nowait(item)


class SharedStreams:
    """All shared streams of one triggerer, by class and key."""

    def __init__(self) -> None:
        self._streams: dict[tuple[type, Hashable], _Stream] = {}

    def events(self, trigger: Any) -> AsyncIterator[Any]:
        """The events of a trigger, through its shared stream where it has one."""
        key = trigger.shared_stream_key() if isinstance(trigger, BaseEventTrigger) else None
        if key is None:
            events: AsyncIterator[Any] = trigger.run()
            return events
        return self._shared((type(trigger), key), trigger)

    async def _shared(self, key: tuple[type, Hashable], trigger: BaseEventTrigger) -> AsyncIterator[Any]:
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        stream.queues.add(queue)
        if stream.task is None or stream.task.done():
            stream.task = asyncio.create_task(stream.read(trigger))
        try:
            async for event in trigger.filter_shared_stream(self._listen(queue)):
                yield event
        finally:
            stream.queues.discard(queue)
            if not stream.queues:
                self._streams.pop(key, None)
                stream.task.cancel()
                with suppress(asyncio.CancelledError):
                    await stream.task

    @staticmethod
    async def _listen(queue: asyncio.Queue[Any]) -> AsyncIterator[Any]:
        while True:
            item = await queue.get()
            if isinstance(item, _Failed):
                if item.error is not None:
                    raise item.error
                return
            yield item
