"""The view of a graph: what is painted, where one looks, and what lies over it.

Decides how the view moves: panning copies what stays visible. Knows scenes, not tasks: what is shown of a scene and
what people select in it is `area`, which builds on this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from PySide6.QtCore import QMargins, QPoint, QPointF, QRect, QRectF, QSizeF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QResizeEvent, QShowEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from dagdeck_desktop.areas import announce_items
from dagdeck_desktop.graph.camera import STEP, Camera
from dagdeck_desktop.graph.overlays import Corner, Heading, Legend, ZoomButtons
from dagdeck_desktop.graph.overview import Overview
from dagdeck_desktop.graph.painting import FRAME_HEADER, GraphLook, GraphPainter, ViewPlace
from dagdeck_desktop.graph.regions import merged
from dagdeck_desktop.graph.scene import GraphScene
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme

_HALO = 8


class GraphView(QAbstractScrollArea):
    """Paints `_look` through `_camera`. The look is None while there is nothing to paint; `_message` then says why."""

    zoom_changed = Signal(float)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._painter = GraphPainter(theme, icons)
        self._look: GraphLook | None = None
        self._camera = Camera()
        self._wants_fit = True
        self._follows_fit = True
        self._message = ""
        self._is_joined = False
        self._overview_due = QTimer(self, singleShot=True, interval=150)
        self._build(icons)
        theme.changed.connect(self._theme_changed)

    def _build(self, icons: Icons) -> None:
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Graph")
        view = self.viewport()
        view.setMouseTracking(True)
        # Everything in the event's region is painted: Qt need not clear it first.
        view.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        view.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.overview = Overview(self._theme, view)
        self.buttons = ZoomButtons(self._theme, icons, view)
        self.legend = Legend(self._theme, view)
        self._heading = Heading(self._theme, view)
        self._corners = [Corner(self._theme, view, at) for at in Qt.Corner]
        self._overlays: list[QWidget] = [
            self.overview,
            self.buttons,
            self.legend,
            self._heading,
            *self._corners,
        ]
        self.overview.moved.connect(self._centre_on)
        self._overview_due.timeout.connect(self.overview.refresh)
        self.buttons.smaller.clicked.connect(lambda: self.zoom_by(1 / STEP))
        self.buttons.larger.clicked.connect(lambda: self.zoom_by(STEP))
        self.buttons.all.clicked.connect(self.fit)

    def join_above(self) -> None:
        """Be the lower part of a card instead of a card of its own: no upper border and no round corners there."""
        self._is_joined = True
        for corner in self._corners[:]:
            if corner.is_upper:
                self._corners.remove(corner)
                self._overlays.remove(corner)
                corner.deleteLater()

    @property
    def scene(self) -> GraphScene | None:
        """What is painted."""
        return self._look.scene if self._look is not None else None

    @property
    def zoom(self) -> float:
        """The zoom, 1.0 being a node's own size."""
        return self._camera.zoom

    # Moving about

    def fit(self) -> None:
        """Show the whole graph, and keep it whole while the window's size changes."""
        if self._look is not None:
            self._camera.fit(self._drawing(), self._size(), self._margins())
            self._follows_fit = True
            self._moved()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom; the point `at` of the viewport stays, its middle by default."""
        if self._look is None:
            return
        middle = QPointF(self.viewport().rect().center())
        whole = Camera()
        whole.fit(self._drawing(), self._size(), self._margins())
        self._camera.zoom_to(self._camera.zoom * factor, middle if at is None else at, whole.zoom)
        self._keep_in_sight()
        self._follows_fit = False
        self._moved()

    def pan_by(self, dx: int, dy: int) -> None:
        """Move the picture by pixels; what stays visible is copied, not painted."""
        if self._look is None:
            return
        dx, dy = self._camera.bounded(dx, dy, self._drawing(), self._size())
        if not dx and not dy:
            return
        self._follows_fit = False
        self._camera.x += dx
        self._camera.y += dy
        view = self.viewport()
        if self.devicePixelRatioF() % 1.0:
            # Whole logical pixels are no whole device pixels here: copying would smear.
            view.update()
        else:
            # The border stays where it is.
            view.scroll(dx, dy, view.rect().adjusted(1, 1, -1, -1))
            for overlay in self._overlays:
                if overlay.isVisible():
                    # The copy took the overlay along: paint where it went and where it is.
                    view.update(overlay.geometry().translated(dx, dy).united(overlay.geometry()))
                    overlay.update()
        self._show_part()

    def _centre_on(self, point: QPointF) -> None:
        self._camera.centre_on(point, self._size())
        self._keep_in_sight()
        self._follows_fit = False
        self._moved()

    def _reveal(self, item: int) -> None:
        before = (self._camera.x, self._camera.y)
        self._camera.reveal(QRectF(*self._box(item)), self._size())
        if before != (self._camera.x, self._camera.y):
            self._follows_fit = False
            self._moved()

    def _keep_in_sight(self) -> None:
        dx, dy = self._camera.bounded(0, 0, self._drawing(), self._size())
        self._camera.x += dx
        self._camera.y += dy

    def _moved(self) -> None:
        self.viewport().update()
        self._show_part()
        self.zoom_changed.emit(self._camera.zoom)

    def _show_part(self) -> None:
        size = self._size()
        corner = self._camera.to_scene(QPointF(0, 0))
        self.overview.set_visible_part(
            QRectF(corner.x(), corner.y(), size.width() / self._camera.zoom, size.height() / self._camera.zoom)
        )
        announce_items(self)

    # Geometry

    def _size(self) -> QSizeF:
        return QSizeF(self.viewport().size())

    def _drawing(self) -> QSizeF:
        scene = self.scene
        return QSizeF(scene.width, scene.height) if scene is not None else QSizeF(1, 1)

    def _margins(self) -> QMargins:
        return QMargins(24, 52, 24, 44)

    def _box(self, item: int) -> tuple[float, float, float, float]:
        assert self._look is not None
        x, y, width, height = self._look.scene.boxes[item].tolist()
        return x, y, width, height

    def _rect_of(self, name: str) -> QRectF:
        """Where an item or an open group is in the scene; empty for what is not shown."""
        scene = self.scene
        if scene is None:
            return QRectF()
        if name in scene.index:
            return QRectF(*self._box(scene.index[name]))
        frame = next((frame for frame in scene.frames if frame.group_id == name), None)
        return QRectF(frame.box.x, frame.box.y, frame.box.width, frame.box.height) if frame else QRectF()

    def item_rect(self, name: str) -> QRect:
        """Where an item is in the viewport; empty for what is not shown."""
        rect = self._rect_of(name)
        return self._camera.to_view(rect).toRect() if not rect.isNull() else QRect()

    def item_at(self, point: QPoint) -> str:
        """The item at a point of the viewport, or ""."""
        item = self._item_at(QPointF(point))
        return self._look.scene.names[item] if item is not None and self._look is not None else ""

    def _item_at(self, point: QPointF) -> int | None:
        at = self._camera.to_scene(point)
        return self._look.scene.item_at(at.x(), at.y()) if self._look is not None else None

    def _header_at(self, point: QPointF) -> str:
        at = self._camera.to_scene(point)
        frame = self._look.scene.frame_header_at(at.x(), at.y(), FRAME_HEADER) if self._look is not None else None
        return frame.group_id if frame is not None else ""

    def _update_item(self, item: int) -> None:
        rect = self._camera.to_view(QRectF(*self._box(item))).toAlignedRect()
        self.viewport().update(rect.adjusted(-_HALO, -_HALO, _HALO, _HALO))

    def _place_overlays(self) -> None:
        size = self.viewport().size()
        self.overview.move(size.width() - self.overview.width() - 14, size.height() - self.overview.height() - 14)
        self.buttons.move(size.width() - self.buttons.width() - 14, 11)
        self._heading.move(18, 11)
        self.legend.set_room(max(100, self.overview.x() - 36))
        self.legend.move(18, size.height() - self.legend.height() - 12)
        self.legend.setVisible(bool(self.legend.states) and size.height() > 180)
        self.overview.setVisible(self._look is not None and size.width() > 320 and size.height() > 220)
        for corner in self._corners:
            corner.place_in(size)

    def _theme_changed(self) -> None:
        self._painter.theme_changed()
        self.viewport().update()

    # Qt's own

    def _place(self) -> ViewPlace:
        return ViewPlace(
            x=self._camera.x, y=self._camera.y, zoom=self._camera.zoom, dpr=self.viewport().devicePixelRatioF()
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        for rect in merged(cast(Iterable[QRect], event.region())):
            self._painter.paint(painter, rect, self._look, self._place())
        if self._look is None and self._message:
            painter.setFont(self._theme.font(FontRole.BODY))
            painter.setPen(self._theme.tokens.text_2)
            room = self.viewport().rect().adjusted(40, 40, -40, -40)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._message)
        painter.setPen(QPen(self._theme.tokens.border, 1.0))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        # Open at the top where it is joined: a line stands there already.
        top = -2.0 if self._is_joined else 0.5
        painter.drawRect(QRectF(self.viewport().rect()).adjusted(0.5, top, -0.5, -0.5))
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_overlays()
        if self._look is not None:
            if self._follows_fit:
                self.fit()
            else:
                self._keep_in_sight()
                self._moved()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._place_overlays()
        if self._wants_fit and self._look is not None:
            self._wants_fit = False
            self.fit()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """There are no scroll bars: the camera pans."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        modifiers = event.modifiers()
        pixels = event.pixelDelta()
        if not pixels.isNull() and not modifiers & Qt.KeyboardModifier.ControlModifier:
            self.pan_by(pixels.x(), pixels.y())
        elif modifiers & Qt.KeyboardModifier.ShiftModifier:
            turned = event.angleDelta()
            self.pan_by(turned.x() or turned.y(), 0)
        else:
            self.zoom_by(STEP ** (event.angleDelta().y() / 120.0), event.position())
        event.accept()
