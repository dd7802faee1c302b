"""Finds lines that match a regular expression, a little at a time, and goes on as the log grows.

Decides that a pattern without capitals ignores case. Does not show anything. Driven by `area`'s timer.
"""

from __future__ import annotations

import re
import time

import numpy as np
from numpy.typing import NDArray

from dagdeck_core.errors import UserError
from dagdeck_desktop.log.buffer import LogBuffer

_PIECE = 512 * 1024
LONGEST_PATTERN = 1_000


class LogSearch:
    """The lines of a buffer that match. Raises UserError for a pattern that is no regular expression."""

    def __init__(self, buffer: LogBuffer, pattern: str) -> None:
        if len(pattern) > LONGEST_PATTERN:
            raise UserError("the pattern is too long", field="filter", remedy=f"At most {LONGEST_PATTERN} characters.")
        flags = re.MULTILINE | (0 if any(letter.isupper() for letter in pattern) else re.IGNORECASE)
        try:
            self._bytes = re.compile(pattern.encode(), flags)
            self.text = re.compile(pattern, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(
                f"this is no regular expression: {error}",
                field="filter",
                value=pattern,
                remedy=r"\ before a sign means the sign itself.",
            ) from error
        self._buffer = buffer
        self._found: NDArray[np.int64] = np.empty(1024, np.int64)
        self._count = 0
        self._searched = 0
        """Lines that are done."""
        self._tail = -1
        """The unfinished last line if it matches now."""

    @property
    def lines(self) -> NDArray[np.int64]:
        """The lines found so far, ascending."""
        if self._tail >= 0:
            return np.append(self._found[: self._count], self._tail)
        return self._found[: self._count]

    @property
    def is_finished(self) -> bool:
        """True when every finished line was looked at."""
        buffer = self._buffer
        return self._searched >= (buffer.line_count if buffer.is_finished else buffer.line_count - 1)

    def step(self, seconds: float) -> bool:
        """Search for about so long; True when something new was found or everything was looked at."""
        until = time.perf_counter() + seconds
        before = (self._count, self._tail)
        while not self.is_finished:
            self._search_piece()
            if time.perf_counter() >= until:
                break
        buffer = self._buffer
        self._tail = -1
        if self.is_finished and not buffer.is_finished and self._bytes.search(buffer.line(buffer.line_count - 1)):
            self._tail = buffer.line_count - 1
        return self.is_finished or (self._count, self._tail) != before

    def dropped(self, lines: int) -> None:
        """Say that the buffer dropped its first lines."""
        kept = self._found[: self._count][self._found[: self._count] >= lines] - lines
        self._found[: len(kept)] = kept
        self._count = len(kept)
        self._searched = max(0, self._searched - lines)
        self._tail = self._tail - lines if self._tail >= lines else -1

    def _search_piece(self) -> None:
        buffer = self._buffer
        total = buffer.line_count if buffer.is_finished else buffer.line_count - 1
        begin = buffer.start(self._searched)
        last = int(buffer.lines_at(np.array([min(begin + _PIECE, len(buffer))]))[0])
        # Whole lines only, at least one.
        last = min(max(last, self._searched + 1), total)
        end = buffer.start(last - 1) + buffer.length(last - 1)
        piece = buffer.content(begin, end)
        hits: list[int] = []
        at = 0
        while (hit := self._bytes.search(piece, at)) is not None:
            hits.append(hit.start())
            newline = piece.find(b"\n", hit.start())
            if newline < 0:
                break
            at = newline + 1
        if hits:
            self._keep(buffer.lines_at(np.array(hits, np.int64) + begin))
        self._searched = last

    def _keep(self, lines: NDArray[np.int64]) -> None:
        needed = self._count + len(lines)
        if needed > len(self._found):
            grown = np.empty(max(needed, 2 * len(self._found)), np.int64)
            grown[: self._count] = self._found[: self._count]
            self._found = grown
        self._found[self._count : needed] = lines
        self._count = needed
