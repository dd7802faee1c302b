"""Few rectangles instead of many: what has to be painted, joined where that costs less.

Decides what a rectangle costs beside its area. Called by `view` for each paint.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRect

COST = 60_000
"""One more rectangle costs about as much as painting this many pixels."""


def merged(rects: Iterable[QRect]) -> list[QRect]:
    """Rectangles that cover all that were given; they may cover more, and overlap."""
    found: list[QRect] = []
    for rect in rects:
        grown = QRect(rect)
        is_new = True
        while is_new:
            is_new = False
            for other in found:
                union = grown.united(other)
                if _area(union) - _area(grown) - _area(other) < COST:
                    found.remove(other)
                    grown, is_new = union, True
                    break
        found.append(grown)
    return found


def _area(rect: QRect) -> int:
    return rect.width() * rect.height()
