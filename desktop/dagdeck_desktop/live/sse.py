"""Reads the event-stream format (WHATWG HTML, server-sent events) from bytes that come in pieces of any size.

Decides where one event ends. Does no I/O and does not know what events mean. Called by `stream`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagdeck_core.errors import EnvironmentFault

MAX_EVENT_BYTES = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class SseEvent:
    """One event. `last_id` is the id that counts after it, whether this event or an earlier one carried it."""

    kind: str
    data: bytes
    last_id: str


class MalformedStream(EnvironmentFault):
    """The bytes are no event stream, or an event is larger than any can be."""


class SseParser:
    """Collects bytes into events. A stream that starts anew needs a new parser."""

    def __init__(self, last_id: str = "", max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._last_id = last_id
        self._max_event_bytes = max_event_bytes
        self._rest = bytearray()
        self._searched = 0
        self._is_first = True
        self._skips_newline = False
        self._kind = ""
        self._data: list[bytes] = []
        self._size = 0
        self.retry_milliseconds: int | None = None

    @property
    def last_id(self) -> str:
        """The id to continue after."""
        return self._last_id

    def feed(self, piece: bytes) -> list[SseEvent]:
        """The events that `piece` completes, in order. Raises MalformedStream for one that is too large."""
        if self._skips_newline and piece:
            piece = piece.removeprefix(b"\n")
            self._skips_newline = False
        self._rest += piece
        if self._is_first:
            if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
                return []
            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]
            self._is_first = False
        events = []
        start = 0
        while (end := self._line_end(start)) >= 0:
            line = bytes(self._rest[start:end])
            start = self._after_line(end)
            self._searched = start
            event = self._take(line)
            if event is not None:
                events.append(event)
        del self._rest[:start]
        self._searched = len(self._rest)
        if len(self._rest) + self._size > self._max_event_bytes:
            raise MalformedStream(
                f"the event stream sent an event of more than {self._max_event_bytes // 1024} KB", transient=True
            )
        return events

    def _line_end(self, start: int) -> int:
        """Where the next line ends. What earlier pieces brought was searched then."""
        at = max(start, self._searched)
        newline = self._rest.find(b"\n", at)
        carriage = self._rest.find(b"\r", at, newline if newline >= 0 else len(self._rest))
        return carriage if carriage >= 0 else newline

    def _after_line(self, end: int) -> int:
        """Where the line after the one that ends at `end` begins; a \\r\\n may be split between pieces."""
        if self._rest[end] != 0x0D:
            return end + 1
        if end + 1 < len(self._rest):
            return end + 2 if self._rest[end + 1] == 0x0A else end + 1
        self._skips_newline = True
        return end + 1

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._dispatch()
        name, _colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._kind = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= 9:
            self.retry_milliseconds = int(value)
        return None

    def _dispatch(self) -> SseEvent | None:
        kind, data = self._kind, self._data
        self._kind, self._data, self._size = "", [], 0
        if not data:
            return None
        return SseEvent(kind=kind or "message", data=b"\n".join(data), last_id=self._last_id)
