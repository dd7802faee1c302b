"""Where the nodes of a graph stand: a layered drawing of tasks, dependencies and nested task groups.

Decides positions and the way of each edge, the same for the same input every time. Does not know states, colours or
screens. Called by the desktop's graph area off its GUI thread, and by tests.
"""

from dagdeck_core.layout.compose import lay_out
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

__all__ = [
    "Box",
    "Direction",
    "Frame",
    "Layout",
    "LayoutGroup",
    "LayoutNode",
    "Point",
    "Route",
    "Spacing",
    "lay_out",
]
