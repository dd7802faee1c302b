"""One connected part of a graph in ranks: items with sizes in, positions and ways of edges out.

Decides how long edges pass through ranks (as one line for all that leave the same item) and how wide ranks are. Works
along and across the direction of the edges; `compose` turns that into x and y. Called by `packing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from dagdeck_core.layout.model import Point, Spacing
from dagdeck_core.layout.ordering import Ordering, first_order
from dagdeck_core.layout.placement import place_across
from dagdeck_core.layout.ranking import rank_items, turn_back_edges

PASSING_PER_ITEM = 6
"""Passing points are at most this many per item and link (and 2,000); the longest edges beyond are drawn straight."""
_STRAIGHT = 6.0
_GAP_GROWTH = 3.0
_MOST_GROWTH = 160.0
_WAY_GAP = 0.5


class Side(Enum):
    """Where an item has to stand: anywhere, or before or after all others."""

    ANYWHERE = "anywhere"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to place: its size along and across the edges' direction."""

    along: float
    across: float
    side: Side = Side.ANYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An edge between items; it leaves and arrives `*_shift` across from their centres."""

    source: int
    target: int
    source_shift: float = 0.0
    target_shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where items begin (along, across), the ways of the links, and the size of the whole from (0, 0)."""

    starts: list[Point]
    ways: list[list[Point]]
    along: float
    across: float


def lay_out_ranks(items: Sequence[Item], links: Sequence[Link], spacing: Spacing) -> Placed:
    """Place connected items."""
    return _Ranks(items, links, spacing).place()


class _Ranks:
    """The working state of one part. Items are numbered first, then passing points."""

    def __init__(self, items: Sequence[Item], links: Sequence[Link], spacing: Spacing) -> None:
        self._items = items
        self._links = links
        self._spacing = spacing
        order, self._is_turned = turn_back_edges(len(items), [(link.source, link.target) for link in links])
        # Links as they lead forward: (from, to, shift at from, shift at to).
        self._forward = [
            (link.target, link.source, link.target_shift, link.source_shift)
            if turned
            else (link.source, link.target, link.source_shift, link.target_shift)
            for link, turned in zip(links, self._is_turned, strict=True)
        ]
        self.ranks = self._rank(order)
        self._up: list[list[int]] = [[] for _ in items]
        self._down: list[list[int]] = [[] for _ in items]
        self._shifts: dict[tuple[int, int], tuple[float, float]] = {}
        self._through = self._pass_long_links()

    def place(self) -> Placed:
        layer_count = max(self.ranks) + 1
        layers = first_order(layer_count, self.ranks, self._down, self._up)
        ordering = Ordering(layers, self._up, self._down)
        ordering.improve()
        across = [item.across for item in self._items] + [0.0] * (len(self.ranks) - len(self._items))
        room = [self._room(layer, across) for layer in layers]
        weights = [1.0] * len(self._items) + [_STRAIGHT] * (len(self.ranks) - len(self._items))
        leans = (self._leans(self._up, is_before=True), self._leans(self._down, is_before=False))
        centres = place_across(layers, (self._up, self._down), leans, weights, room)
        top = min(centre - size / 2.0 for centre, size in zip(centres, across, strict=True))
        centres = [centre - top for centre in centres]
        begins, widths = self._columns(layers, centres)
        starts = [
            (
                float(round(begins[self.ranks[i]] + (widths[self.ranks[i]] - item.along) / 2.0)),
                float(round(centres[i] - item.across / 2.0)),
            )
            for i, item in enumerate(self._items)
        ]
        # Ways meet the items where they stand after rounding.
        for index, item in enumerate(self._items):
            centres[index] = starts[index][1] + item.across / 2.0
        return Placed(
            starts=starts,
            ways=self._ways(starts, centres, begins, widths),
            along=float(math.ceil(begins[-1] + widths[-1])),
            across=float(math.ceil(max(centre + size / 2.0 for centre, size in zip(centres, across, strict=True)))),
        )

    def _rank(self, order: Sequence[int]) -> list[int]:
        up: list[list[int]] = [[] for _ in self._items]
        down: list[list[int]] = [[] for _ in self._items]
        for source, target, _, _ in self._forward:
            up[target].append(source)
            down[source].append(target)
        ranks = rank_items(order, up, down)
        if any(item.side is not Side.ANYWHERE for item in self._items):
            inner = [rank for rank, item in zip(ranks, self._items, strict=True) if item.side is Side.ANYWHERE]
            first, last = min(inner) - 1, max(inner) + 1
            sided = {Side.FIRST: first, Side.LAST: last}
            ranks = [sided.get(item.side, rank) for rank, item in zip(ranks, self._items, strict=True)]
            least = min(ranks)
            ranks = [rank - least for rank in ranks]
        return ranks

    def _pass_long_links(self) -> list[list[int] | None]:
        """Give long links passing points, shared by those that leave the same item; None for those drawn straight."""
        ranks = self.ranks
        budget = max(2_000, PASSING_PER_ITEM * (len(self._items) + len(self._links)))
        by_span = sorted(
            range(len(self._forward)), key=lambda n: ranks[self._forward[n][1]] - ranks[self._forward[n][0]]
        )
        trunks: dict[tuple[int, float], list[int]] = {}
        through: list[list[int] | None] = [None] * len(self._forward)
        for number in by_span:
            source, target, source_shift, target_shift = self._forward[number]
            span = ranks[target] - ranks[source]
            if span < 1:
                continue
            trunk = trunks.setdefault((source, source_shift), [])
            missing = span - 1 - len(trunk)
            if missing > budget:
                continue
            for _ in range(missing):
                self._lengthen(trunk, source, source_shift)
            budget -= max(missing, 0)
            through[number] = trunk[: span - 1]
            last = trunk[span - 2] if span > 1 else source
            self._join(last, target, source_shift if last == source else 0.0, target_shift)
        return through

    def _lengthen(self, trunk: list[int], source: int, source_shift: float) -> None:
        point = len(self.ranks)
        before = trunk[-1] if trunk else source
        self.ranks.append(self.ranks[before] + 1)
        self._up.append([])
        self._down.append([])
        self._join(before, point, source_shift if before == source else 0.0, 0.0)
        trunk.append(point)

    def _join(self, before: int, after: int, shift_before: float, shift_after: float) -> None:
        self._down[before].append(after)
        self._up[after].append(before)
        if shift_before or shift_after:
            self._shifts[before, after] = (shift_before, shift_after)

    def _leans(self, neighbours: Sequence[Sequence[int]], *, is_before: bool) -> list[float]:
        """How far each item wants to stand from the middle of its neighbours' centres, for its links to be straight."""
        leans = [0.0] * len(neighbours)
        for (before, after), (shift_before, shift_after) in self._shifts.items():
            if is_before:
                leans[after] += (shift_before - shift_after) / len(neighbours[after])
            else:
                leans[before] += (shift_after - shift_before) / len(neighbours[before])
        return leans

    def _room(self, layer: Sequence[int], across: Sequence[float]) -> list[float]:
        """Least distances of the centres of neighbours in a rank."""
        count = len(self._items)
        items, spacing = self._items, self._spacing
        # A way in or out of a group is a line, though it is an item.
        is_line = [item >= count or items[item].across == 0.0 for item in layer]
        return [
            (across[one] + across[other]) / 2.0
            + (spacing.line_gap if one_is_line or other_is_line else spacing.node_gap)
            for one, other, one_is_line, other_is_line in zip(layer, layer[1:], is_line, is_line[1:], strict=False)
        ]

    def _columns(self, layers: Sequence[Sequence[int]], centres: Sequence[float]) -> tuple[list[float], list[float]]:
        """Where ranks begin along the direction, and how wide they are."""
        count = len(self._items)
        widths = [max((self._items[i].along for i in layer if i < count), default=0.0) for layer in layers]
        begins = [0.0]
        for rank in range(1, len(layers)):
            # Steep edges side by side need room to be told apart.
            bends = sum(
                1 for item in layers[rank] for other in self._up[item] if abs(centres[item] - centres[other]) > 1.0
            )
            gap = self._spacing.rank_gap + min(_MOST_GROWTH, _GAP_GROWTH * math.sqrt(max(0, bends - 4)))
            if self._is_way_rank(layers[rank - 1]) or self._is_way_rank(layers[rank]):
                gap *= _WAY_GAP
            begins.append(float(round(begins[-1] + widths[rank - 1] + gap)))
        return begins, widths

    def _is_way_rank(self, layer: Sequence[int]) -> bool:
        """True for the rank of ways into or out of a group, beside which there is the frame's padding too."""
        return any(item < len(self._items) and self._items[item].side is not Side.ANYWHERE for item in layer)

    def _ways(
        self, starts: Sequence[Point], centres: Sequence[float], begins: Sequence[float], widths: Sequence[float]
    ) -> list[list[Point]]:
        ways = []
        for number, (source, target, source_shift, target_shift) in enumerate(self._forward):
            out = centres[source] + source_shift
            into = centres[target] + target_shift
            source_rank, target_rank = self.ranks[source], self.ranks[target]
            way = [(starts[source][0] + self._items[source].along, out)]
            way.append((begins[source_rank] + widths[source_rank], out))
            for point in self._through[number] or ():
                begin, centre = begins[self.ranks[point]], centres[point]
                way.append((begin, centre))
                way.append((begin + widths[self.ranks[point]], centre))
            way.append((begins[target_rank], into))
            way.append((starts[target][0], into))
            tidy = [point for at, point in enumerate(way) if at == 0 or point != way[at - 1]]
            ways.append(tidy[::-1] if self._is_turned[number] else tidy)
        return ways
