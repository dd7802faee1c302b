"""The whole drawing: groups from the inside out, each a box for what is around it, and edges through their frames.

Decides how an edge that crosses frames is put together from its ways on each level. Does not order or place within a
level (`packing`, `layered`). `lay_out` is the package's one entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dagdeck_core.layout.hierarchy import Hierarchy, read_hierarchy
from dagdeck_core.layout.layered import Item, Link, Placed, Side
from dagdeck_core.layout.model import (
    Box,
    Direction,
    Frame,
    Layout,
    LayoutGroup,
    LayoutNode,
    Point,
    Route,
    Spacing,
)
from dagdeck_core.layout.packing import lay_out_parts

_SHAPE = 1.6
OUT, IN = "out", "in"
Port = tuple[str, str]
"""OUT or IN, and the visible item whose edges go out of or come into a group there."""
End = tuple[str, Port | None]
"""What an edge joins on a level: an item, or an open group at one of its ports."""


def lay_out(
    nodes: Sequence[LayoutNode],
    edges: Sequence[tuple[str, str]],
    groups: Sequence[LayoutGroup] = (),
    *,
    direction: Direction = Direction.LEFT_RIGHT,
    spacing: Spacing | None = None,
) -> Layout:
    """Place nodes so that edges lead from left to right, or downwards.

    Edges that close a circle lead back. Equal input gives an equal drawing. Raises UserError for ids that are used
    twice or do not exist, and for groups inside one another in a circle.
    """
    hierarchy = read_hierarchy(nodes, groups)
    return _Composition(hierarchy, hierarchy.visible_edges(edges), direction, spacing or Spacing()).finish()


@dataclass(slots=True)
class _Level:
    """The inside of an open group, or the outermost level: what stands there and what is joined."""

    links: dict[tuple[End, End], int] = field(default_factory=dict)
    ports: dict[Port, int] = field(default_factory=dict)
    placed: Placed | None = None
    numbers: dict[str, int] = field(default_factory=dict)


class _Composition:
    """The working state of one drawing. The outermost level is called ""."""

    def __init__(
        self, hierarchy: Hierarchy, edges: Sequence[tuple[str, str]], direction: Direction, spacing: Spacing
    ) -> None:
        self._hierarchy = hierarchy
        self._edges = edges
        self._direction = direction
        self._spacing = spacing
        self._is_down = direction is Direction.TOP_DOWN
        self._levels: dict[str, _Level] = {name: _Level() for name in ("", *hierarchy.open_groups)}
        self._steps = [self._split(source, target) for source, target in edges]
        padding, header = spacing.frame_padding, spacing.frame_padding + spacing.frame_header
        self._before = (header, padding) if self._is_down else (padding, header)
        """The room before a frame's content, along and across."""
        self._after = (padding, padding)

    def finish(self) -> Layout:
        for name in (*reversed(self._hierarchy.open_groups), ""):
            self._place(name)
        corners = self._corners()
        boxes = {item: self._box(item, corners) for item in self._hierarchy.sizes}
        frames = tuple(
            Frame(group_id=name, box=self._box(name, corners), depth=len(self._hierarchy.chain[name]))
            for name in self._hierarchy.open_groups
        )
        routes = tuple(
            Route(source=source, target=target, points=self._route(steps, corners))
            for (source, target), steps in zip(self._edges, self._steps, strict=True)
        )
        whole = self._placed("")
        width, height = self._turned((whole.along, whole.across))
        return Layout(
            direction=self._direction,
            boxes=boxes,
            frames=frames,
            routes=routes,
            shown_as=self._hierarchy.shown_as,
            width=width,
            height=height,
        )

    def _split(self, source: str, target: str) -> list[tuple[str, int]]:
        """An edge as steps, each a link of a level: out of the source's groups, across, into the target's groups."""
        outer, inner = self._hierarchy.chain[source], self._hierarchy.chain[target]
        shared = 0
        while shared < min(len(outer), len(inner)) and outer[shared] == inner[shared]:
            shared += 1
        steps = []
        here: End = (source, None)
        for group in reversed(outer[shared:]):
            steps.append(self._link(group, here, ("", (OUT, source))))
            here = (group, (OUT, source))
        way_in: list[tuple[str, int]] = []
        there: End = (target, None)
        for group in reversed(inner[shared:]):
            way_in.append(self._link(group, ("", (IN, target)), there))
            there = (group, (IN, target))
        steps.append(self._link(outer[shared - 1] if shared else "", here, there))
        return steps + way_in[::-1]

    def _link(self, level_name: str, source: End, target: End) -> tuple[str, int]:
        """A link of a level, made once. An end without an item is the level's own port."""
        level = self._levels[level_name]
        for name, port in (source, target):
            if not name and port is not None:
                level.ports.setdefault(port, len(level.ports))
        return level_name, level.links.setdefault((source, target), len(level.links))

    def _place(self, name: str) -> None:
        level = self._levels[name]
        children = self._hierarchy.children[name]
        level.numbers = {child: number for number, child in enumerate(children)}
        items = [self._item(child) for child in children]
        for side, _ in level.ports:
            items.append(Item(along=0.0, across=0.0, side=Side.LAST if side == OUT else Side.FIRST))
        links = []
        for (source, source_port), (target, target_port) in level.links:
            links.append(
                Link(
                    source=self._number(level, source, source_port),
                    target=self._number(level, target, target_port),
                    source_shift=self._shift(source, source_port),
                    target_shift=self._shift(target, target_port),
                )
            )
        level.placed = lay_out_parts(items, links, self._spacing, 1.0 / _SHAPE if self._is_down else _SHAPE)

    def _number(self, level: _Level, name: str, port: Port | None) -> int:
        if not name and port is not None:
            return len(level.numbers) + level.ports[port]
        return level.numbers[name]

    def _item(self, name: str) -> Item:
        if name in self._levels:
            placed = self._placed(name)
            return Item(
                along=placed.along + self._before[0] + self._after[0],
                across=placed.across + self._before[1] + self._after[1],
            )
        along, across = self._turned(self._hierarchy.sizes[name])
        return Item(along=along, across=across)

    def _shift(self, name: str, port: Port | None) -> float:
        """How far from its centre a group's port lies."""
        if not name or port is None:
            return 0.0
        level, placed = self._levels[name], self._placed(name)
        number = len(level.numbers) + level.ports[port]
        return placed.starts[number][1] + self._before[1] - self._item(name).across / 2.0

    def _placed(self, name: str) -> Placed:
        placed = self._levels[name].placed
        assert placed is not None
        return placed

    def _corners(self) -> dict[str, Point]:
        """Where the content of each level begins, along and across."""
        corners: dict[str, Point] = {"": (0.0, 0.0)}
        for name in self._hierarchy.open_groups:
            along, across = self._start(name, corners)
            corners[name] = (along + self._before[0], across + self._before[1])
        return corners

    def _start(self, name: str, corners: dict[str, Point]) -> Point:
        chain = self._hierarchy.chain[name]
        parent = chain[-1] if chain else ""
        along, across = self._placed(parent).starts[self._levels[parent].numbers[name]]
        return along + corners[parent][0], across + corners[parent][1]

    def _box(self, name: str, corners: dict[str, Point]) -> Box:
        item = self._item(name)
        x, y = self._turned(self._start(name, corners))
        width, height = self._turned((item.along, item.across))
        return Box(x=x, y=y, width=width, height=height)

    def _route(self, steps: Sequence[tuple[str, int]], corners: dict[str, Point]) -> tuple[Point, ...]:
        points: list[Point] = []
        for name, number in steps:
            along, across = corners[name]
            for x, y in self._placed(name).ways[number]:
                point = self._turned((x + along, y + across))
                if not points or points[-1] != point:
                    points.append(point)
        return tuple(points)

    def _turned(self, pair: Point) -> Point:
        return (pair[1], pair[0]) if self._is_down else pair
