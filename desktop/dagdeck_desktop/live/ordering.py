"""Reads events in the order in which they came, large ones away from the GUI thread.

Decides which events are large. Does not decide what they mean (`messages`). Called by `feed`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from PySide6.QtCore import QObject, QThreadPool, Signal

from dagdeck_desktop.live.messages import MalformedEvent, Message, read_event
from dagdeck_desktop.live.sse import SseEvent

_logger = logging.getLogger(__name__)
INLINE_BYTES = 16_384


class OrderedReader(QObject):
    """Turns events into messages. `read` brings a list of (message, last_id), always in order, in the GUI thread."""

    read = Signal(object)
    malformed = Signal(str)
    _done = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        # One thread, so that one batch follows the other.
        self._pool.setMaxThreadCount(1)
        self._under_way = 0
        self._epoch = 0
        self._done.connect(self._deliver)

    def submit(self, events: Sequence[SseEvent]) -> None:
        """Read events; what is small is delivered before this returns, unless something earlier is still being read."""
        if not events:
            return
        if self._under_way == 0 and sum(len(event.data) for event in events) <= INLINE_BYTES:
            self._emit(*_read_all(events))
            return
        self._under_way += 1
        epoch = self._epoch
        self._pool.start(lambda: self._done.emit((epoch, _read_all(events))))

    def forget(self) -> None:
        """Drop what is still being read: it belongs to a stream that was left."""
        self._epoch += 1
        self._under_way = 0

    def close(self) -> None:
        """Wait for the thread."""
        self.forget()
        self._pool.clear()
        self._pool.waitForDone(2_000)

    def _deliver(self, done: tuple[int, tuple[list[tuple[Message, str]], list[str]]]) -> None:
        epoch, outcome = done
        if epoch == self._epoch:
            self._under_way -= 1
            self._emit(*outcome)

    def _emit(self, messages: list[tuple[Message, str]], complaints: list[str]) -> None:
        for complaint in complaints:
            _logger.warning("an event of the stream was passed over: %s", complaint)
            self.malformed.emit(complaint)
        if messages:
            self.read.emit(messages)


def _read_all(events: Sequence[SseEvent]) -> tuple[list[tuple[Message, str]], list[str]]:
    messages: list[tuple[Message, str]] = []
    complaints: list[str] = []
    for event in events:
        try:
            message = read_event(event)
        except MalformedEvent as error:
            complaints.append(str(error))
            continue
        if message is not None:
            messages.append((message, event.last_id))
    return messages, complaints
