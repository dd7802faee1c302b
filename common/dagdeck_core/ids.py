"""Ids of 64 bits, ordered by time, made by the application.

Decides their layout: 43 bits of milliseconds since 2024, 10 bits of node number, 10 bits of counter.
Does not read a clock (the caller passes milliseconds) and does not lease node numbers
(`dagdeck_io.db` does). A node is one process start, so two processes never make the same id.
Id order is not commit order: nobody may read "id > last" to find what is new.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH_MS = 1_704_067_200_000
"""2024-01-01T00:00:00Z in Unix milliseconds: the zero of an id's time."""

NODE_BITS = 10
COUNTER_BITS = 10
MAX_NODES = 1 << NODE_BITS
_COUNTER_LIMIT = 1 << COUNTER_BITS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ids(Protocol):
    """Whatever makes new ids: an IdSource, or a maker that several threads share."""

    def next(self, now_ms: int, /) -> int:
        """A new id at Unix time `now_ms`; larger than every id made before."""


@dataclass(slots=True, kw_only=True)
class IdSource:
    """Makes ids for one node; not for use by two threads at once.

    The milliseconds never go back: when the clock does, ids go on from the last millisecond, and
    when a millisecond's counter is used up, they borrow the next one.
    """

    node: int
    _last_ms: int = field(default=0, repr=False)
    _counter: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.node < MAX_NODES:
            raise ValueError(f"node {self.node} is outside 0..{MAX_NODES - 1}")

    def next(self, now_ms: int) -> int:
        """A new id at Unix time `now_ms` (milliseconds); larger than every id made before."""
        ms = now_ms - EPOCH_MS
        if ms > self._last_ms:
            self._last_ms, self._counter = ms, 0
        else:
            self._counter += 1
            if self._counter == _COUNTER_LIMIT:
                self._last_ms += 1
                self._counter = 0
        return (self._last_ms << (NODE_BITS + COUNTER_BITS)) | (self.node << COUNTER_BITS) | self._counter


def id_time_ms(identifier: int) -> int:
    """Unix milliseconds at which `identifier` was made."""
    return (identifier >> (NODE_BITS + COUNTER_BITS)) + EPOCH_MS


def first_id_of(moment: datetime) -> int:
    """The smallest id that could have been made at `moment`."""
    ms = max((moment - _EPOCH) // timedelta(milliseconds=1) - EPOCH_MS, 0)
    return ms << (NODE_BITS + COUNTER_BITS)
