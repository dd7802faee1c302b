"""Which rectangles touch a place: a grid of cells over a drawing, in numpy.

Decides the size of cells. Does not know what the rectangles are. Used by `scene` for what is visible and what is hit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_CELLS_OF_ONE = 64
_WHOLE = 0.5


class CellGrid:
    """Finds rectangles given as rows of left, top, right, bottom."""

    def __init__(self, bounds: Floats, cell: float = 640.0) -> None:
        self._bounds = bounds
        self._cell = cell
        count = len(bounds)
        if count == 0:
            self._columns = self._rows = 0
            self._wide: Ints = np.empty(0, np.int64)
            return
        self._columns = int(bounds[:, 2].max() // cell) + 1
        self._rows = int(bounds[:, 3].max() // cell) + 1
        first = np.maximum(bounds[:, 0:2] // cell, 0).astype(np.int64)
        last = np.maximum(bounds[:, 2:4] // cell, 0).astype(np.int64)
        spans = (last - first + 1).prod(axis=1)
        # What covers very many cells is looked at always: listing it in each would cost more.
        self._wide = np.flatnonzero(spans > _MOST_CELLS_OF_ONE)
        narrow = np.flatnonzero(spans <= _MOST_CELLS_OF_ONE)
        owners = np.repeat(narrow, spans[narrow])
        starts = np.cumsum(spans[narrow]) - spans[narrow]
        within = np.arange(len(owners)) - np.repeat(starts, spans[narrow])
        across = (last - first + 1)[owners, 0]
        cells = (first[owners, 1] + within // across) * self._columns + first[owners, 0] + within % across
        order = np.argsort(cells, kind="stable")
        self._owners = owners[order]
        self._begins = np.searchsorted(cells[order], np.arange(self._columns * self._rows + 1))

    def touching(self, left: float, top: float, right: float, bottom: float) -> Ints:
        """Numbers, ascending, of the rectangles that share a point with this one."""
        if not self._columns:
            return np.empty(0, np.int64)
        c1, c2 = (min(max(int(x // self._cell), 0), self._columns - 1) for x in (left, right))
        r1, r2 = (min(max(int(y // self._cell), 0), self._rows - 1) for y in (top, bottom))
        if (c2 - c1 + 1) * (r2 - r1 + 1) > _WHOLE * self._columns * self._rows:
            candidates = np.arange(len(self._bounds))
        else:
            rows = [
                self._owners[self._begins[row * self._columns + c1] : self._begins[row * self._columns + c2 + 1]]
                for row in range(r1, r2 + 1)
            ]
            candidates = np.sort(np.concatenate([*rows, self._wide]))
            if len(candidates) > 1:
                candidates = candidates[np.concatenate([[True], candidates[1:] != candidates[:-1]])]
        found = self._bounds[candidates]
        keep = (found[:, 0] <= right) & (found[:, 2] >= left) & (found[:, 1] <= bottom) & (found[:, 3] >= top)
        return candidates[keep]
