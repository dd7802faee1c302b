"""A log's bytes, with where each line begins.

Decides what a line is (up to a newline; the last may be unfinished) and how much is kept: beyond the bound the oldest
lines go. Does not decode. Read by `area` and `search`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 512 * 1024 * 1024
_DROP_SHARE = 8
_FIRST_ROOM = 1024


class LogBuffer:
    """Bytes in one piece and the offsets of their lines. Lines are numbered from 0; `dropped` are gone before them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._data = bytearray()
        self._starts: NDArray[np.int64] = np.zeros(_FIRST_ROOM, np.int64)
        self._count = 1
        """Lines begun, an empty one after the last newline included."""
        self._most = most_bytes
        self._longest = 0
        self.dropped = 0
        """Lines that were dropped for want of room."""

    def __len__(self) -> int:
        return len(self._data)

    @property
    def line_count(self) -> int:
        """Lines there are; the empty one after the last newline is none."""
        return self._count - 1 if self.is_finished else self._count

    @property
    def is_finished(self) -> bool:
        """True when the last line has its newline, and when there is nothing."""
        return len(self._data) == int(self._starts[self._count - 1])

    @property
    def longest(self) -> int:
        """Bytes of the longest line so far."""
        return max(self._longest, len(self._data) - int(self._starts[self._count - 1]))

    def append(self, content: bytes) -> int:
        """Add bytes, wherever they are cut. The number of lines that were dropped to make room."""
        begin = len(self._data)
        self._data += content
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == 10)
        if len(ends):
            self._add_starts(ends + (begin + 1))
        return self._make_room()

    def clear(self) -> None:
        """Forget everything."""
        self._data = bytearray()
        self._starts = np.zeros(_FIRST_ROOM, np.int64)
        self._count, self._longest, self.dropped = 1, 0, 0

    def line(self, number: int, most: int | None = None) -> bytes:
        """A line without its newline, at most its first `most` bytes."""
        begin = int(self._starts[number])
        end = int(self._starts[number + 1]) - 1 if number + 1 < self._count else len(self._data)
        if most is not None:
            end = min(end, begin + most)
        return bytes(self._data[begin:end])

    def length(self, number: int) -> int:
        """A line's bytes without its newline."""
        end = int(self._starts[number + 1]) - 1 if number + 1 < self._count else len(self._data)
        return end - int(self._starts[number])

    def start(self, number: int) -> int:
        """Where a line begins."""
        return int(self._starts[number])

    def lines_at(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lines that hold the bytes at these offsets."""
        return np.searchsorted(self._starts[: self._count], offsets, side="right") - 1

    def content(self, begin: int = 0, end: int | None = None) -> bytes:
        """A copy of the bytes from one offset to another."""
        return bytes(self._data[begin : len(self._data) if end is None else end])

    def _add_starts(self, starts: NDArray[np.int64]) -> None:
        needed = self._count + len(starts)
        if needed > len(self._starts):
            grown = np.zeros(max(needed, 2 * len(self._starts)), np.int64)
            grown[: self._count] = self._starts[: self._count]
            self._starts = grown
        self._starts[self._count : needed] = starts
        lengths = np.diff(self._starts[self._count - 1 : needed])
        self._longest = max(self._longest, int(lengths.max()) - 1)
        self._count = needed

    def _make_room(self) -> int:
        if len(self._data) <= self._most:
            return 0
        # An eighth at once, so that moving the rest is rare.
        goal = len(self._data) - self._most + self._most // _DROP_SHARE
        lines = int(np.searchsorted(self._starts[: self._count], goal))
        lines = min(max(lines, 1), self._count - 1)
        cut = int(self._starts[lines]) if lines else goal
        del self._data[:cut]
        kept = self._count - lines
        self._starts[:kept] = self._starts[lines : self._count] - cut
        self._starts[0] = 0
        self._count = kept
        self.dropped += lines
        return lines
