"""The small signs that tell states apart without colour, drawn as vectors in cells of 8 to 24 pixels.

Decides their shapes. Does not decide which state has which (`states`). Called by the grid, the mini-map, legends, and
whatever else is too small for an icon.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from dagdeck_desktop.theme.contrast import GRAPHIC, contrast


class StateGlyph(StrEnum):
    """What stands in a small cell of a state's colour. The outlines replace the filled cell."""

    PLAIN = "plain"
    OUTLINE = "outline"
    DASHED_OUTLINE = "dashed_outline"
    PLAY = "play"
    CROSS = "cross"
    OPEN_RING = "open_ring"
    EXCLAMATION = "exclamation"
    PAUSE = "pause"
    DOTS = "dots"
    SLASH = "slash"
    DASH = "dash"
    CLOCK = "clock"
    QUESTION = "question"
    DOUBLE_CHEVRON = "double_chevron"


_OUTLINES = frozenset({StateGlyph.OUTLINE, StateGlyph.DASHED_OUTLINE})
_WHITE = QColor("#FFFFFF")
_BLACK = QColor("#12161C")


def draw_state_cell(
    painter: QPainter, rect: QRectF, color: QColor, glyph: StateGlyph, ground: QColor, radius: float = 3.0
) -> None:
    """A cell of a state: filled with `color`, with a border where that is too close to `ground`, and its glyph."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    inner = rect.adjusted(0.5, 0.5, -0.5, -0.5)
    edge = color if contrast(color, ground) >= GRAPHIC else _edge(color, ground)
    pen = QPen(edge, 1.0 if glyph not in _OUTLINES else 1.5)
    if glyph is StateGlyph.DASHED_OUTLINE:
        pen.setDashPattern([2.0, 1.6])
    fill = QColor(color)
    if glyph is StateGlyph.DASHED_OUTLINE:
        fill.setAlpha(40)
    elif glyph is StateGlyph.OUTLINE:
        fill.setAlpha(150)
    painter.setPen(pen)
    painter.setBrush(fill)
    painter.drawRoundedRect(inner, radius, radius)
    draw_state_glyph(painter, rect, glyph, _ink(color))
    painter.restore()


def draw_state_glyph(painter: QPainter, rect: QRectF, glyph: StateGlyph, color: QColor) -> None:
    """The glyph alone, centred in `rect`, in `color`; nothing for those that have none."""
    draw = _DRAWINGS.get(glyph)
    if draw is None:
        return
    side = min(rect.width(), rect.height())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.center())
    # All drawings live in a square from -8 to 8.
    painter.scale(side / 16.0, side / 16.0)
    painter.setPen(QPen(color, 1.9, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    draw(painter, color)
    painter.restore()


def _edge(color: QColor, ground: QColor) -> QColor:
    """A border in the hue of `color` that stands out from `ground`."""
    is_dark = ground.lightnessF() < 0.5
    edge = QColor(color)
    for _ in range(12):
        if contrast(edge, ground) >= GRAPHIC:
            break
        edge = edge.lighter(118) if is_dark else edge.darker(112)
    return edge


def _ink(color: QColor) -> QColor:
    return _WHITE if contrast(_WHITE, color) >= contrast(_BLACK, color) else _BLACK


def _play(painter: QPainter, color: QColor) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawPolygon(QPolygonF([QPointF(-2.8, -4.2), QPointF(4.4, 0.0), QPointF(-2.8, 4.2)]))


def _cross(painter: QPainter, _: QColor) -> None:
    painter.drawLine(QPointF(-3.3, -3.3), QPointF(3.3, 3.3))
    painter.drawLine(QPointF(3.3, -3.3), QPointF(-3.3, 3.3))


def _open_ring(painter: QPainter, _: QColor) -> None:
    painter.drawArc(QRectF(-3.6, -3.6, 7.2, 7.2), 50 * 16, 260 * 16)


def _exclamation(painter: QPainter, color: QColor) -> None:
    painter.drawLine(QPointF(0.0, -4.4), QPointF(0.0, 0.9))
    _dot(painter, color, 0.0, 4.0)


def _pause(painter: QPainter, _: QColor) -> None:
    painter.drawLine(QPointF(-2.1, -3.4), QPointF(-2.1, 3.4))
    painter.drawLine(QPointF(2.1, -3.4), QPointF(2.1, 3.4))


def _dots(painter: QPainter, color: QColor) -> None:
    for x in (-3.8, 0.0, 3.8):
        _dot(painter, color, x, 0.0)


def _slash(painter: QPainter, _: QColor) -> None:
    painter.drawLine(QPointF(-3.3, 3.3), QPointF(3.3, -3.3))


def _dash(painter: QPainter, _: QColor) -> None:
    painter.drawLine(QPointF(-3.6, 0.0), QPointF(3.6, 0.0))


def _clock(painter: QPainter, _: QColor) -> None:
    painter.drawEllipse(QPointF(0.0, 0.0), 4.6, 4.6)
    painter.drawPolyline([QPointF(0.0, -2.4), QPointF(0.0, 0.2), QPointF(2.0, 1.3)])


def _question(painter: QPainter, color: QColor) -> None:
    painter.drawArc(QRectF(-2.7, -5.2, 5.4, 5.4), -90 * 16, 260 * 16)
    painter.drawLine(QPointF(0.0, 0.2), QPointF(0.0, 1.4))
    _dot(painter, color, 0.0, 4.6)


def _double_chevron(painter: QPainter, _: QColor) -> None:
    for x in (-4.0, 0.4):
        painter.drawPolyline([QPointF(x, -3.2), QPointF(x + 3.2, 0.0), QPointF(x, 3.2)])


def _dot(painter: QPainter, color: QColor, x: float, y: float) -> None:
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawEllipse(QPointF(x, y), 1.25, 1.25)
    painter.restore()


_DRAWINGS: dict[StateGlyph, Callable[[QPainter, QColor], None]] = {
    StateGlyph.PLAY: _play,
    StateGlyph.CROSS: _cross,
    StateGlyph.OPEN_RING: _open_ring,
    StateGlyph.EXCLAMATION: _exclamation,
    StateGlyph.PAUSE: _pause,
    StateGlyph.DOTS: _dots,
    StateGlyph.SLASH: _slash,
    StateGlyph.DASH: _dash,
    StateGlyph.CLOCK: _clock,
    StateGlyph.QUESTION: _question,
    StateGlyph.DOUBLE_CHEVRON: _double_chevron,
}
