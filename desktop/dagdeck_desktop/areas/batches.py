"""Many lines, rectangles or pixmaps in one call: Qt reads them directly out of numpy arrays.

Decides the layout in memory, which is that of Qt's own structures of doubles. Does not decide colours or positions.
An array must be C-contiguous float64; it is kept alive for the call. Used by whatever paints thousands of shapes.
"""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
import shiboken6
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF
from PySide6.QtGui import QPainter, QPixmap

Floats = NDArray[np.float64]

FRAGMENT_COLUMNS = 10
Shape = TypeVar("Shape")


class Fragments:
    """Copies of parts of one pixmap, by centre, source rectangle in its pixels, and scale."""

    def __init__(self, centres: Floats, sources: Floats, scale: float) -> None:
        rows = np.empty((len(centres), FRAGMENT_COLUMNS))
        rows[:, 0:2] = centres
        rows[:, 2:6] = sources
        rows[:, 6:8] = scale
        rows[:, 8] = 0.0
        rows[:, 9] = 1.0
        self.rows: Floats = rows


def draw_lines(painter: QPainter, lines: Floats) -> None:
    """Draw rows of x1, y1, x2, y2 with the painter's pen."""
    if len(lines):
        array = np.ascontiguousarray(lines, dtype=np.float64)
        painter.drawLines(_first(array, QLineF), len(array))


def draw_rects(painter: QPainter, rects: Floats) -> None:
    """Draw rows of x, y, width, height with the painter's pen and brush."""
    if len(rects):
        array = np.ascontiguousarray(rects, dtype=np.float64)
        painter.drawRects(_first(array, QRectF), len(array))


def draw_points(painter: QPainter, points: Floats) -> None:
    """Draw an open line through rows of x, y with the painter's pen."""
    if len(points) > 1:
        array = np.ascontiguousarray(points, dtype=np.float64)
        painter.drawPolyline([QPointF(x, y) for x, y in array.tolist()])


def draw_fragments(painter: QPainter, fragments: Fragments, pixmap: QPixmap) -> None:
    """Copy parts of a pixmap to many places."""
    rows = fragments.rows
    if len(rows):
        painter.drawPixmapFragments(_first(rows, QPainter.PixmapFragment), len(rows), pixmap)


def _first(array: Floats, kind: type[Shape]) -> Shape:
    """The first row as Qt's structure, in place; Qt finds the others behind it."""
    return cast(Shape, shiboken6.wrapInstance(array.ctypes.data, kind))
