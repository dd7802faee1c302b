"""The bodies of nodes as pixmaps, one for each state and size, so that thousands are copied and not drawn.

Decides how a node's body looks: ground, border, shadow, stripe, icon. Does not draw its text (`painting`). Owned by
`painting`; made anew when the zoom, the display or the theme changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QPixmap

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme

MARGIN = 6.0
"""Room around a body for its shadow, in logical pixels at any zoom."""
ICON_LEFT = 15.0
ICON_FROM = 0.45
_SHADOW_FROM = 0.6
_STACK = 4.0


@dataclass(frozen=True, slots=True)
class Sprite:
    """A body's pixmap in device pixels, and its size there without the margin."""

    pixmap: QPixmap
    width: int
    height: int
    margin: int


class Sprites:
    """Bodies for one zoom and one display."""

    def __init__(self, theme: Theme, icons: Icons) -> None:
        self._theme = theme
        self._icons = icons
        self._scale = (1.0, 1.0)
        self._made: dict[tuple[TaskInstanceState, bool, float, float], Sprite] = {}

    def set_scale(self, zoom: float, dpr: float) -> None:
        """Say at which zoom and on which display bodies are wanted."""
        if self._scale != (zoom, dpr):
            self._scale = (zoom, dpr)
            self._made.clear()

    def clear(self) -> None:
        """Forget all: the theme has changed."""
        self._made.clear()

    def body(self, state: TaskInstanceState, is_stacked: bool, width: float, height: float) -> Sprite:
        """The body of a node of a size in the layout's units."""
        key = (state, is_stacked, width, height)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._render(state, is_stacked, width, height)
        return found

    def _render(self, state: TaskInstanceState, is_stacked: bool, width: float, height: float) -> Sprite:
        zoom, dpr = self._scale
        wide, high = max(2, round(width * zoom * dpr)), max(2, round(height * zoom * dpr))
        margin = round(MARGIN * dpr)
        pixmap = QPixmap(wide + 2 * margin, high + 2 * margin)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(dpr, dpr)
        self._draw(painter, QRectF(margin / dpr, margin / dpr, wide / dpr, high / dpr), state, is_stacked)
        painter.end()
        return Sprite(pixmap, wide, high, margin)

    def _draw(self, painter: QPainter, box: QRectF, state: TaskInstanceState, is_stacked: bool) -> None:
        zoom, dpr = self._scale
        tokens = self._theme.tokens
        radius = self._theme.metrics.node_radius * zoom
        line = box.adjusted(0.5, 0.5, -0.5, -0.5)
        is_pending = state is TaskInstanceState.NONE
        if is_stacked:
            self._draw_behind(painter, line, radius)
        if zoom >= _SHADOW_FROM and not is_pending:
            self._draw_shadow(painter, box, radius)
        pen = QPen(tokens.border_strong, 1.0)
        if is_pending:
            pen.setDashPattern([3.0, 2.5])
        painter.setPen(pen)
        painter.setBrush(tokens.surface)
        painter.drawRoundedRect(line, radius, radius)
        self._draw_stripe(painter, box, state, radius)
        if zoom >= ICON_FROM:
            side = max(8, round(self._theme.metrics.state_icon * zoom))
            top = box.center().y() - side / 2.0
            left = box.left() + ICON_LEFT * zoom
            # Whole device pixels: an icon on a fraction of one looks octagonal.
            x, y = round(left * dpr) / dpr, round(top * dpr) / dpr
            ink = self._theme.state_ink(state)
            pixmap = self._icons.pixmap(self._theme.state_icon(state), side, ink, dpr)
            painter.drawPixmap(QRectF(x, y, side, side), pixmap, QRectF(pixmap.rect()))

    def _draw_shadow(self, painter: QPainter, box: QRectF, radius: float) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        for spread, share in ((2.5, 0.35), (1.5, 0.55), (0.5, 0.9)):
            color = QColor(self._theme.tokens.shadow)
            color.setAlphaF(color.alphaF() * share)
            painter.setBrush(color)
            painter.drawRoundedRect(box.adjusted(-spread, -spread + 1.5, spread, spread + 1.5), radius, radius)

    def _draw_behind(self, painter: QPainter, line: QRectF, radius: float) -> None:
        """A second sheet below the first: there is more inside."""
        tokens = self._theme.tokens
        shift = min(MARGIN - 2.0, max(2.0, _STACK * self._scale[0]))
        painter.setPen(QPen(tokens.border_strong, 1.0))
        painter.setBrush(tokens.surface)
        painter.drawRoundedRect(line.translated(shift, shift), radius, radius)

    def _draw_stripe(self, painter: QPainter, box: QRectF, state: TaskInstanceState, radius: float) -> None:
        theme = self._theme
        zoom, dpr = self._scale
        width = max(2.0, round(theme.metrics.node_stripe * zoom * dpr) / dpr)
        outline = QPainterPath()
        outline.addRoundedRect(box, radius, radius)
        part = QPainterPath()
        part.addRect(QRectF(box.left(), box.top(), width, box.height()))
        color = theme.tokens.border_strong if state is TaskInstanceState.NONE else theme.state_color(state)
        painter.fillPath(outline.intersected(part), color)
        if theme.needs_border(state) and state is not TaskInstanceState.NONE:
            # Where the colour alone is too close to the ground, its edge is drawn in one that is not.
            edge = max(1.0, width / 5.0)
            rest = QPainterPath()
            rest.addRect(QRectF(box.left() + edge, box.top(), box.width(), box.height()))
            painter.fillPath(outline.intersected(part).subtracted(rest), theme.state_ink(state))
