"""What our own painted areas share: batches of shapes drawn from arrays, and children for screen readers.

Decides how numpy arrays reach Qt's painter and how painted items are told to assistive technology. Does not decide
what is painted. Used by `graph`, `log` and `charts`.
"""

from dagdeck_desktop.areas.accessible import AccessibleItem, announce_items, install_accessible_areas
from dagdeck_desktop.areas.batches import Fragments, draw_fragments, draw_lines, draw_points, draw_rects

__all__ = [
    "AccessibleItem",
    "Fragments",
    "announce_items",
    "draw_fragments",
    "draw_lines",
    "draw_points",
    "draw_rects",
    "install_accessible_areas",
]
