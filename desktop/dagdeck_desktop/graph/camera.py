"""Where one looks at a drawing: pan and zoom, bounded so that it is never lost.

Decides limits and how a place under the mouse stays there while zooming. Knows no widget. Owned by `area`.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QMargins, QPointF, QRectF, QSizeF

MOST_ZOOM = 2.0
STEP = 1.2
_LEAST_ZOOM = 0.002
_KEPT_IN_SIGHT = 80.0


@dataclass(slots=True)
class Camera:
    """`x`, `y` are where the drawing's origin is in the view, in whole logical pixels."""

    x: int = 0
    y: int = 0
    zoom: float = 1.0

    def to_scene(self, point: QPointF) -> QPointF:
        """A point of the view in the drawing."""
        return QPointF((point.x() - self.x) / self.zoom, (point.y() - self.y) / self.zoom)

    def to_view(self, box: QRectF) -> QRectF:
        """A rectangle of the drawing in the view."""
        return QRectF(
            box.x() * self.zoom + self.x,
            box.y() * self.zoom + self.y,
            box.width() * self.zoom,
            box.height() * self.zoom,
        )

    def fit(self, drawing: QSizeF, view: QSizeF, margins: QMargins, most: float = 1.0) -> None:
        """Show all of a drawing in the middle of what the margins leave, at most at a zoom of `most`."""
        wide = max(1.0, view.width() - margins.left() - margins.right())
        high = max(1.0, view.height() - margins.top() - margins.bottom())
        fitting = min(wide / max(drawing.width(), 1.0), high / max(drawing.height(), 1.0))
        self.zoom = max(_LEAST_ZOOM, min(most, fitting))
        self.x = round(margins.left() + (wide - drawing.width() * self.zoom) / 2.0)
        self.y = round(margins.top() + (high - drawing.height() * self.zoom) / 2.0)

    def zoom_to(self, zoom: float, fixed: QPointF, least: float) -> None:
        """Change the zoom; the point of the view `fixed` keeps showing the same."""
        at = self.to_scene(fixed)
        self.zoom = min(MOST_ZOOM, max(min(least, 1.0) * 0.8, zoom))
        self.x = round(fixed.x() - at.x() * self.zoom)
        self.y = round(fixed.y() - at.y() * self.zoom)

    def centre_on(self, point: QPointF, view: QSizeF) -> None:
        """Bring a point of the drawing to the middle."""
        self.x = round(view.width() / 2.0 - point.x() * self.zoom)
        self.y = round(view.height() / 2.0 - point.y() * self.zoom)

    def reveal(self, box: QRectF, view: QSizeF, margin: float = 48.0) -> None:
        """Move as little as shows a rectangle of the drawing."""
        shown = self.to_view(box)
        if shown.left() < margin or shown.width() > view.width() - 2 * margin:
            self.x += round(margin - shown.left())
        elif shown.right() > view.width() - margin:
            self.x -= round(shown.right() - view.width() + margin)
        if shown.top() < margin or shown.height() > view.height() - 2 * margin:
            self.y += round(margin - shown.top())
        elif shown.bottom() > view.height() - margin:
            self.y -= round(shown.bottom() - view.height() + margin)

    def bounded(self, dx: int, dy: int, drawing: QSizeF, view: QSizeF) -> tuple[int, int]:
        """How much of a move is allowed: a strip of the drawing stays in sight."""
        kept_x = min(_KEPT_IN_SIGHT, drawing.width() * self.zoom)
        kept_y = min(_KEPT_IN_SIGHT, drawing.height() * self.zoom)
        x = min(max(self.x + dx, kept_x - drawing.width() * self.zoom), view.width() - kept_x)
        y = min(max(self.y + dy, kept_y - drawing.height() * self.zoom), view.height() - kept_y)
        return round(x) - self.x, round(y) - self.y
