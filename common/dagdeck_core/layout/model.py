"""What the layout takes and what it gives: nodes with sizes, groups, and boxes, frames and routes.

Decides nothing. Read by every module of this package and by whoever draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Point = tuple[float, float]
"""x and y; y grows downwards."""


class Direction(StrEnum):
    """Where edges lead."""

    LEFT_RIGHT = "left_right"
    TOP_DOWN = "top_down"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutNode:
    """A node of a size, in a group or in none. Sizes are in the units in which the drawing comes back."""

    node_id: str
    width: float
    height: float
    group_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutGroup:
    """A group of nodes and of groups. A folded one is drawn as one node of `folded_width` × `folded_height`."""

    group_id: str
    parent_id: str | None = None
    is_folded: bool = False
    folded_width: float = 200.0
    folded_height: float = 46.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """Distances. Those between ranks grow by themselves where many edges change sides."""

    rank_gap: float = 60.0
    """Between neighbouring ranks."""
    node_gap: float = 36.0
    """Between nodes of the same rank."""
    line_gap: float = 14.0
    """Between an edge that passes by and its neighbours."""
    part_gap: float = 48.0
    """Between parts of the graph that are not connected."""
    frame_padding: float = 18.0
    """Between a group's frame and what is in it."""
    frame_header: float = 26.0
    """Room for the group's name at the top of its frame, besides the padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle by its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height

    def overlaps(self, other: Box) -> bool:
        """True when the two share an area, not only an edge."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom

    def holds(self, other: Box) -> bool:
        """True when `other` lies inside, edges included."""
        return self.x <= other.x and other.right <= self.right and self.y <= other.y and other.bottom <= self.bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An open group: its frame, and how many open groups are around it."""

    group_id: str
    box: Box
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way of an edge from one visible item to another.

    Points of one `y` (left-right) or one `x` (top-down) are joined by straight lines; between others a drawing curves,
    leaving and arriving along the direction of the layout.
    """

    source: str
    target: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A finished drawing from (0, 0) to (width, height)."""

    direction: Direction
    boxes: Mapping[str, Box]
    """Of every visible node and folded group by id, in the order given."""
    frames: tuple[Frame, ...]
    """Of open groups, outer ones first."""
    routes: tuple[Route, ...]
    """One for each pair of visible items that an edge joins, in the order of the edges."""
    shown_as: Mapping[str, str]
    """What stands for each hidden node or group: the outermost folded group around it."""
    width: float
    height: float
