"""A small curve beside a figure: the least and greatest value of each pixel, so that no peak is lost.

Decides its scale and look. Does not decide what it shows. Used in cards and tables; `paint_sparkline` serves delegates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from dagdeck_desktop.theme import Theme

Floats = NDArray[np.float64]


def reduced(values: Floats, columns: int) -> Floats:
    """The values as points (x in 0 to 1, value): as they are when there are few, else each column's least and greatest
    in the order in which they come. NaNs are left out."""
    at = np.flatnonzero(np.isfinite(values))
    if not len(at):
        return np.empty((0, 2))
    last = max(len(values) - 1, 1)
    if len(at) <= 2 * columns:
        return np.column_stack([at / last, values[at]])
    kept = values[at]
    cuts = np.linspace(0, len(at), columns + 1).astype(np.int64)[:-1]
    lengths = np.diff(np.append(cuts, len(at)))
    owner = np.repeat(np.arange(columns), lengths)
    # The first place of each column's extremes: a stable sort by value within columns.
    order = np.lexsort((kept, owner))
    low, high = order[cuts], order[cuts + lengths - 1]
    chosen = np.sort(np.concatenate([low, high]))
    return np.column_stack([at[chosen] / last, kept[chosen]])


def paint_sparkline(
    painter: QPainter,
    rect: QRectF,
    values: Floats,
    color: QColor,
    *,
    least_span: float = 0.0,
    from_zero: bool = False,
    has_dot: bool = True,
) -> None:
    """Draw values in a rectangle, the newest at its right end. A curve whose values differ by less than `least_span`
    is drawn flatter, so that noise does not look like a mountain."""
    points = reduced(values, max(2, int(rect.width())))
    if not len(points):
        return
    low = 0.0 if from_zero else float(points[:, 1].min())
    high = float(points[:, 1].max())
    span = max(high - low, least_span, 1e-12)
    if not from_zero:
        low = (high + low - span) / 2.0
    room = rect.adjusted(1.0, 3.0, -4.0, -2.0)
    xs = room.left() + points[:, 0] * room.width()
    ys = room.bottom() - (points[:, 1] - low) / span * room.height()
    line = QPolygonF([QPointF(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True)])
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    ground = QLinearGradient(0.0, room.top(), 0.0, rect.bottom())
    shade = QColor(color)
    shade.setAlphaF(0.18)
    ground.setColorAt(0.0, shade)
    shade.setAlphaF(0.0)
    ground.setColorAt(1.0, shade)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ground)
    painter.drawPolygon(QPolygonF([QPointF(xs[0], rect.bottom()), *line.toList(), QPointF(xs[-1], rect.bottom())]))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(color, 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    painter.drawPolyline(line)
    if has_dot:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(line.last(), 2.6, 2.6)
    painter.restore()


class Sparkline(QWidget):
    """A small curve in a token's colour."""

    def __init__(
        self,
        theme: Theme,
        token: str = "accent",
        parent: QWidget | None = None,
        *,
        least_span: float = 0.0,
        from_zero: bool = False,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._token = token
        self._least_span = least_span
        self._from_zero = from_zero
        self._values: Floats = np.empty(0)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_values(self, values: ArrayLike, description: str = "") -> None:
        """Show values, oldest first; `description` says in words what they are."""
        self._values = np.array(values, dtype=np.float64).reshape(-1)
        self.setAccessibleName(description)
        self.setToolTip(description)
        self.update()

    def set_token(self, token: str) -> None:
        """Show it in another colour."""
        self._token = token
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(130, 32)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_sparkline(
            painter,
            QRectF(self.rect()),
            self._values,
            self._theme.color(self._token),
            least_span=self._least_span,
            from_zero=self._from_zero,
        )
        painter.end()
