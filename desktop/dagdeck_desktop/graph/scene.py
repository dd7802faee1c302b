"""A laid out graph as arrays: boxes, pieces of edges, arrow tips, and grids to find them.

Decides how edges are cut into pieces and curves into lines. Knows no Qt and no states; safe to build in any thread.
Built by `layouting`; read by `painting` and `area`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dagdeck_core.layout import Direction, Frame, Layout
from dagdeck_desktop.graph.cells import CellGrid, Floats, Ints

_BEND = 0.5


class GraphScene:
    """One drawing. Items (tasks and folded groups) are numbered; coordinates are the layout's."""

    def __init__(self, layout: Layout) -> None:
        self.names: tuple[str, ...] = tuple(layout.boxes)
        self.index: Mapping[str, int] = {name: number for number, name in enumerate(self.names)}
        self.shown_as: Mapping[str, str] = layout.shown_as
        self.frames: tuple[Frame, ...] = layout.frames
        self.width, self.height = layout.width, layout.height
        self.is_down = layout.direction is Direction.TOP_DOWN
        self.boxes: Floats = np.array(
            [(box.x, box.y, box.width, box.height) for box in layout.boxes.values()], dtype=np.float64
        ).reshape(-1, 4)
        self._boxes_grid = CellGrid(np.hstack([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]]))
        self.ends: Ints = np.array(
            [(self.index[route.source], self.index[route.target]) for route in layout.routes], dtype=np.int64
        ).reshape(-1, 2)
        self.tips = self._tips()
        sizes = {size: number for number, size in enumerate(dict.fromkeys(map(tuple, self.boxes[:, 2:].tolist())))}
        self.sizes: tuple[tuple[float, ...], ...] = tuple(sizes)
        self.size_codes: Ints = np.array([sizes[tuple(size)] for size in self.boxes[:, 2:].tolist()], dtype=np.int64)
        self.pieces, self.piece_edges = self._cut([route.points for route in layout.routes])
        self._pieces_grid = CellGrid(
            np.hstack(
                [
                    np.minimum(self.pieces[:, :2], self.pieces[:, 2:]),
                    np.maximum(self.pieces[:, :2], self.pieces[:, 2:]),
                ]
            )
        )
        side = 0 if self.is_down else 1
        self.is_straight: NDArray[np.bool_] = np.abs(self.pieces[:, side] - self.pieces[:, side + 2]) < 0.5
        self.upstream = self._neighbours(1, 0)
        self.downstream = self._neighbours(0, 1)

    def boxes_in(self, left: float, top: float, right: float, bottom: float) -> Ints:
        """Items that touch a rectangle."""
        return self._boxes_grid.touching(left, top, right, bottom)

    def pieces_in(self, left: float, top: float, right: float, bottom: float) -> Ints:
        """Pieces of edges whose bounds touch a rectangle."""
        return self._pieces_grid.touching(left, top, right, bottom)

    def item_at(self, x: float, y: float) -> int | None:
        """The item at a point."""
        found = self.boxes_in(x, y, x, y)
        return int(found[-1]) if len(found) else None

    def frame_header_at(self, x: float, y: float, height: float) -> Frame | None:
        """The innermost open group whose frame has its header at a point."""
        for frame in reversed(self.frames):
            box = frame.box
            if box.x <= x <= box.right and box.y <= y <= box.y + height:
                return frame
        return None

    def edges_of(self, items: Sequence[int]) -> Ints:
        """Edges that begin or end at one of the items."""
        if not items or not len(self.ends):
            return np.empty(0, np.int64)
        return np.flatnonzero(np.isin(self.ends, np.array(items)).any(axis=1))

    def pieces_of(self, edges: Ints) -> Ints:
        """All pieces of some edges."""
        return np.flatnonzero(np.isin(self.piece_edges, edges)) if len(edges) else np.empty(0, np.int64)

    def label_places(self, labels: Mapping[tuple[str, str], str]) -> list[tuple[float, float, str]]:
        """The middles of the edges that have words on them; edges of folded groups have none."""
        if not labels:
            return []
        found = []
        for number, (source, target) in enumerate(self.ends.tolist()):
            text = labels.get((self.names[source], self.names[target]))
            if text:
                pieces = np.flatnonzero(self.piece_edges == number)
                x, y, right, bottom = self.pieces[pieces[len(pieces) // 2]].tolist()
                found.append(((x + right) / 2.0, (y + bottom) / 2.0, text))
        return found

    def lines(self, pieces: Ints, steps: int) -> Floats:
        """Pieces as straight lines, curved ones as `steps` of them each."""
        straight = self.is_straight[pieces]
        if steps <= 1:
            return self.pieces[pieces]
        curved = self._curve(self.pieces[pieces[~straight]], steps)
        return np.concatenate([self.pieces[pieces[straight]], curved])

    def _curve(self, pieces: Floats, steps: int) -> Floats:
        """Cubic curves that leave and arrive along the direction of the layout."""
        t = np.linspace(0.0, 1.0, steps + 1)
        along, across = (1, 0) if self.is_down else (0, 1)
        # With control points level with the ends, the way across is the same easing for every curve.
        ease = 3 * t**2 - 2 * t**3
        bend = 3 * (1 - t) ** 2 * t * _BEND + 3 * (1 - t) * t**2 * (1 - _BEND) + t**3
        points = np.empty((len(pieces), steps + 1, 2))
        for axis, share in ((along, bend), (across, ease)):
            first, last = pieces[:, axis, None], pieces[:, axis + 2, None]
            points[:, :, axis] = first + (last - first) * share
        return np.concatenate([points[:, :-1], points[:, 1:]], axis=2).reshape(-1, 4)

    def _cut(self, ways: Sequence[Sequence[tuple[float, float]]]) -> tuple[Floats, Ints]:
        """The pieces of all ways, and the edge that each belongs to; straight pieces in a row become one."""
        side = 0 if self.is_down else 1
        rows: list[tuple[float, float, float, float]] = []
        owners: list[int] = []
        for number, points in enumerate(ways):
            begin: tuple[float, float] | None = None
            for one, other in pairwise(points):
                is_straight = one[side] == other[side]
                if is_straight and begin is not None:
                    rows[-1] = (*begin, *other)
                    continue
                begin = one if is_straight else None
                rows.append((*one, *other))
                owners.append(number)
        return np.array(rows, dtype=np.float64).reshape(-1, 4), np.array(owners, dtype=np.int64)

    def _tips(self) -> Floats:
        """Where edges arrive at each item: the middle of its first side."""
        x, y, width, height = self.boxes.T
        return np.column_stack([x + width / 2.0, y] if self.is_down else [x, y + height / 2.0])

    def _neighbours(self, of: int, other: int) -> Mapping[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        for ends in self.ends.tolist():
            found.setdefault(ends[of], []).append(ends[other])
        return {item: tuple(near) for item, near in found.items()}
