"""The mini-map: the whole graph in the states' colours, with what is visible now, to click and drag in.

Decides its own size and drawing, which it keeps as a pixmap. Does not move the view: `moved` asks for that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.areas import draw_rects
from dagdeck_desktop.graph.painting import STATES
from dagdeck_desktop.graph.scene import GraphScene
from dagdeck_desktop.theme import Theme

WIDTH, HEIGHT = 150, 86
_INSET = 8.0


class Overview(QWidget):
    """A small picture of a scene. `moved` carries the point of the scene to be shown in the middle."""

    moved = Signal(QPointF)

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._scene: GraphScene | None = None
        self._codes: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._visible = QRectF()
        self._picture: QPixmap | None = None
        self._ground = QPixmap()
        self.setFixedSize(WIDTH, HEIGHT)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Overview of the graph")
        self.setToolTip("Click or drag to move")
        theme.changed.connect(self.refresh)

    def set_scene(self, scene: GraphScene | None, codes: NDArray[np.uint8]) -> None:
        """Show a scene in the states `codes`, which may change in place (`refresh`)."""
        self._scene, self._codes = scene, codes
        self.refresh()

    def set_visible_part(self, part: QRectF) -> None:
        """Mark the part of the scene that is visible."""
        if part != self._visible:
            self._visible = QRectF(part)
            self.update()

    def refresh(self) -> None:
        """Draw the picture anew: states have changed."""
        self._picture = None
        self.update()

    def _frame(self) -> tuple[float, float, float]:
        """The scale of the picture, and where the scene's origin is in it."""
        assert self._scene is not None
        wide, high = self.width() - 2 * _INSET, self.height() - 2 * _INSET
        scale = min(wide / max(self._scene.width, 1.0), high / max(self._scene.height, 1.0))
        return (
            scale,
            _INSET + (wide - self._scene.width * scale) / 2.0,
            _INSET + (high - self._scene.height * scale) / 2.0,
        )

    def _blank(self) -> QPixmap:
        dpr = self.devicePixelRatioF()
        picture = QPixmap(QSize(round(self.width() * dpr), round(self.height() * dpr)))
        picture.setDevicePixelRatio(dpr)
        picture.fill(Qt.GlobalColor.transparent)
        return picture

    def _render(self) -> QPixmap:
        picture = self._blank()
        assert self._scene is not None
        scale, x, y = self._frame()
        painter = QPainter(picture)
        painter.setPen(Qt.PenStyle.NoPen)
        boxes = self._scene.boxes * scale
        boxes[:, :2] += (x, y)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1.0)
        is_coarse = len(boxes) < 400
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, is_coarse)
        for code in np.flatnonzero(np.bincount(self._codes)).tolist():
            state = STATES[code]
            is_none = state is TaskInstanceState.NONE
            painter.setBrush(self._theme.tokens.border_strong if is_none else self._theme.state_color(state))
            chosen = boxes[self._codes == code]
            if is_coarse:
                for left, top, wide, high in chosen.tolist():
                    painter.drawRoundedRect(QRectF(left, top, wide, high), 1.5, 1.5)
            else:
                draw_rects(painter, chosen)
        painter.end()
        return picture

    def _draw_ground(self, painter: QPainter) -> None:
        tokens = self._theme.tokens
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = QColor(tokens.surface)
        ground.setAlphaF(0.94)
        painter.setPen(QPen(tokens.border_strong, 1.0))
        painter.setBrush(ground)
        radius = self._theme.metrics.control_radius
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)

    def _ask(self, point: QPointF) -> None:
        if self._scene is not None:
            scale, x, y = self._frame()
            self.moved.emit(QPointF((point.x() - x) / scale, (point.y() - y) / scale))

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._scene is None:
            return
        if self._picture is None or self._picture.devicePixelRatio() != self.devicePixelRatioF():
            self._ground = self._blank()
            painter = QPainter(self._ground)
            self._draw_ground(painter)
            painter.end()
            self._picture = self._render()
        tokens = self._theme.tokens
        scale, x, y = self._frame()
        part = QRectF(
            self._visible.x() * scale + x,
            self._visible.y() * scale + y,
            self._visible.width() * scale,
            self._visible.height() * scale,
        ).intersected(QRectF(self.rect()).adjusted(3.5, 3.5, -3.5, -3.5))
        shade = QColor(tokens.accent_ground)
        shade.setAlphaF(0.7)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPixmap(0, 0, self._ground)
        painter.setBrush(shade)
        painter.setPen(QPen(tokens.accent, 1.2))
        painter.drawRoundedRect(part, 3, 3)
        painter.drawPixmap(0, 0, self._picture)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton:
            self._ask(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._ask(event.position())
