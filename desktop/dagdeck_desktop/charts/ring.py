"""The last samples of several series, in memory of a fixed size that can be read in one piece.

Decides that each sample is written twice, so that the newest ones always lie together: reading copies nothing.
Used by `live_chart`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Ring:
    """`capacity` samples of a time and `series` values each."""

    def __init__(self, capacity: int, series: int) -> None:
        self._capacity = capacity
        self._rows: Floats = np.full((series + 1, 2 * capacity), np.nan)
        self._next = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, moment: float, values: Sequence[float]) -> None:
        """Add a sample; the oldest one goes when there is no room. A moment before the last one is ignored: charts
        cannot go back in time."""
        if self._count and moment <= self.last_moment:
            return
        for column in (self._next, self._next + self._capacity):
            self._rows[0, column] = moment
            self._rows[1:, column] = values
        self._next = (self._next + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)

    def clear(self) -> None:
        """Forget all samples."""
        self._next = self._count = 0

    @property
    def last_moment(self) -> float:
        """The time of the newest sample; NaN without one."""
        return float(self._rows[0, self._end - 1]) if self._count else float("nan")

    @property
    def moments(self) -> Floats:
        """Times, oldest first: a view that the next sample changes."""
        return self._rows[0, self._end - self._count : self._end]

    def series(self, number: int) -> Floats:
        """A series' values, oldest first: a view that the next sample changes."""
        return self._rows[1 + number, self._end - self._count : self._end]

    @property
    def _end(self) -> int:
        # Full: the copies end there. Not full: nothing has wrapped yet.
        return self._next + self._capacity if self._count == self._capacity else self._next
