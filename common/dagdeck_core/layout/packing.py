"""Parts of a graph that are not connected, side by side, so that the whole has the shape of a screen.

Decides where each part goes; parts keep their order. Does not look inside a part (`layered`). Called by `compose`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dagdeck_core.layout.layered import Item, Link, Placed, Side, lay_out_ranks
from dagdeck_core.layout.model import Point, Spacing


def lay_out_parts(items: Sequence[Item], links: Sequence[Link], spacing: Spacing, shape: float) -> Placed:
    """Place items; `shape` is the wanted ratio of the size along to the size across.

    Items that stand first or last reach the edges of the whole, therefore nothing stands beside their parts.
    """
    if not items:
        return Placed(starts=[], ways=[], along=0.0, across=0.0)
    parts = _parts(len(items), links)
    number_in = [0] * len(items)
    part_of = [0] * len(items)
    for number, part in enumerate(parts):
        for index, item in enumerate(part):
            part_of[item], number_in[item] = number, index
    links_of: list[list[int]] = [[] for _ in parts]
    for index, link in enumerate(links):
        links_of[part_of[link.source]].append(index)
    placed = [
        lay_out_ranks(
            [items[item] for item in part],
            [
                Link(
                    source=number_in[links[index].source],
                    target=number_in[links[index].target],
                    source_shift=links[index].source_shift,
                    target_shift=links[index].target_shift,
                )
                for index in links_of[number]
            ],
            spacing,
        )
        for number, part in enumerate(parts)
    ]
    is_bound = any(item.side is not Side.ANYWHERE for item in items)
    corners = _shelve(placed, [len(part) == 1 for part in parts], spacing, 0.0 if is_bound else shape)
    return _merge(items, links, parts, links_of, placed, corners)


def _parts(count: int, links: Sequence[Link]) -> list[list[int]]:
    """The connected parts in the order of their first items; single items come last, for they fill a block."""
    near: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        near[link.source].append(link.target)
        near[link.target].append(link.source)
    seen = [False] * count
    parts = []
    for start in range(count):
        if seen[start]:
            continue
        seen[start] = True
        part, cursor = [start], 0
        while cursor < len(part):
            for other in near[part[cursor]]:
                if not seen[other]:
                    seen[other] = True
                    part.append(other)
            cursor += 1
        parts.append(sorted(part))
    return [part for part in parts if len(part) > 1] + [part for part in parts if len(part) == 1]


def _shelve(placed: Sequence[Placed], is_single: Sequence[bool], spacing: Spacing, shape: float) -> list[Point]:
    """The corner of each part: stacked across, in as many stacks along as the wanted shape takes; 0 takes one."""
    gaps = [spacing.node_gap if single else spacing.part_gap for single in is_single]
    bound = math.inf
    if shape:
        area = sum((part.along + gap) * (part.across + gap) for part, gap in zip(placed, gaps, strict=True))
        bound = max(math.sqrt(area / shape), max(part.across for part in placed))
    corners: list[Point] = []
    along, across, widest = 0.0, 0.0, 0.0
    for part, gap in zip(placed, gaps, strict=True):
        if across and across + part.across > bound:
            along, across, widest = along + widest + spacing.rank_gap, 0.0, 0.0
        corners.append((along, across))
        across += part.across + gap
        widest = max(widest, part.along)
    return corners


def _merge(
    items: Sequence[Item],
    links: Sequence[Link],
    parts: Sequence[Sequence[int]],
    links_of: Sequence[Sequence[int]],
    placed: Sequence[Placed],
    corners: Sequence[Point],
) -> Placed:
    starts: list[Point] = [(0.0, 0.0)] * len(items)
    ways: list[list[Point]] = [[] for _ in links]
    length = max(corner[0] + part.along for corner, part in zip(corners, placed, strict=True))
    breadth = max(corner[1] + part.across for corner, part in zip(corners, placed, strict=True))
    for part, its_links, found, (along, across) in zip(parts, links_of, placed, corners, strict=True):
        for item, start in zip(part, found.starts, strict=True):
            starts[item] = (start[0] + along, start[1] + across)
        for number, way in zip(its_links, found.ways, strict=True):
            ways[number] = [(x + along, y + across) for x, y in way]
    for link, way in zip(links, ways, strict=True):
        if items[link.source].side is Side.FIRST and way[0][0] > 0.0:
            way.insert(0, (0.0, way[0][1]))
        if items[link.target].side is Side.LAST and way[-1][0] < length:
            way.append((length, way[-1][1]))
    return Placed(starts=starts, ways=ways, along=length, across=breadth)
