"""What was told lately, so that a client that was cut off for a moment need not begin anew.

Decides how many diffs are kept and whether a stream can go on from a place. Does not know what diffs mean. Used by
`reader`, in its thread only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass

MAX_DIFFS = 10_000
MAX_BYTES = 16 * 1024 * 1024
MAX_SETS = 10_000


@dataclass(frozen=True, slots=True)
class KeptDiff:
    """One diff as it was sent."""

    sequence: int
    topic: str
    frame: bytes


class History:
    """Numbers diffs and keeps the last ones."""

    def __init__(self, *, max_diffs: int = MAX_DIFFS, max_bytes: int = MAX_BYTES) -> None:
        self._max_diffs = max_diffs
        self._max_bytes = max_bytes
        self._kept: deque[KeptDiff] = deque()
        self._size = 0
        self.sequence = 0
        """Number of the last diff."""
        self._complete_after = 0

    def number(self) -> int:
        """A new number, for something that is not kept."""
        self.sequence += 1
        return self.sequence

    def add(self, topic: str, frame: bytes) -> KeptDiff:
        """Number a diff and keep it; the oldest ones make room."""
        kept = KeptDiff(self.number(), topic, frame)
        self._kept.append(kept)
        self._size += len(frame)
        while len(self._kept) > self._max_diffs or self._size > self._max_bytes:
            oldest = self._kept.popleft()
            self._size -= len(oldest.frame)
            self._complete_after = oldest.sequence
        return kept

    def reaches(self, sequence: int) -> bool:
        """Whether every diff after `sequence` is still kept."""
        return self._complete_after <= sequence <= self.sequence

    def since(self, sequence: int, topics: Collection[str]) -> list[KeptDiff]:
        """The diffs of `topics` after `sequence`, oldest first."""
        found: list[KeptDiff] = []
        for kept in reversed(self._kept):
            if kept.sequence <= sequence:
                break
            if kept.topic in topics:
                found.append(kept)
        found.reverse()
        return found


class TopicSets:
    """Short numbers for sets of topics, so that an id can say what a stream carried. Forgets the set used least."""

    def __init__(self, *, max_sets: int = MAX_SETS) -> None:
        self._max_sets = max_sets
        self._numbers: OrderedDict[frozenset[str], int] = OrderedDict()
        self._sets: dict[int, frozenset[str]] = {}
        self._last = 0

    def number_of(self, topics: frozenset[str]) -> int:
        """The number of a set; the same as long as it is remembered."""
        number = self._numbers.get(topics)
        if number is None:
            self._last = number = self._last + 1
            self._sets[number] = topics
            self._numbers[topics] = number
            if len(self._numbers) > self._max_sets:
                _, forgotten = self._numbers.popitem(last=False)
                del self._sets[forgotten]
        else:
            self._numbers.move_to_end(topics)
        return number

    def topics_of(self, number: int) -> frozenset[str]:
        """The set with this number; empty when it is not known (any more)."""
        return self._sets.get(number, frozenset())
