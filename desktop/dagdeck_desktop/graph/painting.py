"""Paints a graph's scene: grid, frames, edges, nodes, with less detail the smaller it is shown.

Decides the order and the levels of detail. Does not handle events (`area`). Positions are in logical pixels of the
viewport; bodies and lines are put on whole device pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen, QPixmap, QPolygonF

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.areas import Fragments, draw_fragments, draw_lines, draw_rects
from dagdeck_desktop.graph.cells import Floats, Ints
from dagdeck_desktop.graph.scene import GraphScene
from dagdeck_desktop.graph.sprites import Sprites
from dagdeck_desktop.graph.texts import Texts
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme

STATES = tuple(TaskInstanceState)
CODE_OF = {state: code for code, state in enumerate(STATES)}
BLOCKS_BELOW = 0.22
"""Below this zoom a node is a block of its state's colour."""
TEXT_FROM = 0.45
DETAIL_FROM = 0.72
CURVES_FROM = 0.2
SMOOTH_FROM = 0.3
ARROWS_FROM = 0.3
DOT_PITCH = 24
_DOTS_OF_TILE = 8
_FEW_LINES = 700
FRAME_HEADER = 30.0
TEXT_LEFT = 44.0
TEXT_RIGHT = 10.0
EDGE_LABEL_ROOM = 96.0
_REACH = 16.0
_DIMMED = 0.28


@dataclass(slots=True)
class GraphLook:
    """What is shown of a scene now. `codes[i]` is an index into STATES."""

    scene: GraphScene
    codes: NDArray[np.uint8]
    titles: list[str]
    details: list[str]
    stacked: NDArray[np.bool_]
    frame_titles: dict[str, str] = field(default_factory=dict)
    selected: list[int] = field(default_factory=list)
    hovered: int | None = None
    current: int | None = None
    hits: NDArray[np.bool_] | None = None
    """Which items a search has found; None while nothing is searched."""
    edge_labels: list[tuple[float, float, str]] = field(default_factory=list)
    """Words on edges, with the places in the scene that they stand at."""
    has_focus: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlace:
    """Where a viewport stands: `x`, `y` are the logical pixels of the scene's origin, `dpr` the display's ratio."""

    x: float
    y: float
    zoom: float
    dpr: float

    def to_scene(self, rect: QRectF) -> tuple[float, float, float, float]:
        """A rectangle of the viewport as left, top, right, bottom in the scene."""
        return (
            (rect.left() - self.x) / self.zoom,
            (rect.top() - self.y) / self.zoom,
            (rect.right() - self.x) / self.zoom,
            (rect.bottom() - self.y) / self.zoom,
        )


class GraphPainter:
    """Paints looks. Keeps pixmaps and prepared texts between paints."""

    def __init__(self, theme: Theme, icons: Icons) -> None:
        self._theme = theme
        self._icons = icons
        self._sprites = Sprites(theme, icons)
        self._titles = Texts(theme.font(FontRole.BODY_MEDIUM))
        self._details = Texts(theme.font(FontRole.SMALL))
        self._headers = Texts(theme.font(FontRole.BODY_STRONG))
        self._dots: QPixmap | None = None

    def theme_changed(self) -> None:
        """Forget what was drawn in the former colours."""
        self._sprites.clear()
        self._dots = None

    def paint(self, painter: QPainter, rect: QRect, look: GraphLook | None, place: ViewPlace) -> None:
        """Paint one rectangle of the viewport. The painter is clipped to it."""
        painter.save()
        painter.setClipRect(rect)
        self._paint_dots(painter, rect, place)
        if look is not None:
            self._sprites.set_scale(place.zoom, place.dpr)
            # What is beside the rectangle reaches into it: shadows, halos, arrow tips.
            reach = _REACH + 8.0
            part = place.to_scene(QRectF(rect).adjusted(-reach, -reach, reach, reach))
            self._paint_frames(painter, look, place, part)
            self._paint_edges(painter, look, place, part)
            if place.zoom >= DETAIL_FROM:
                # Below the boxes: a long word must not cover a task.
                self._paint_edge_labels(painter, look, place, rect)
            items = look.scene.boxes_in(*part)
            if place.zoom < BLOCKS_BELOW:
                self._paint_blocks(painter, look, place, items)
            else:
                self._paint_bodies(painter, look, place, items)
            self._paint_marks(painter, look, place, items)
            if place.zoom >= TEXT_FROM:
                self._paint_texts(painter, look, place, items)
        painter.restore()

    def _paint_dots(self, painter: QPainter, rect: QRect, place: ViewPlace) -> None:
        if self._dots is None or self._dots.devicePixelRatio() != place.dpr:
            # Many dots in one tile: each tile costs as much as a blank one.
            side, pitch = round(DOT_PITCH * _DOTS_OF_TILE * place.dpr), DOT_PITCH * place.dpr
            self._dots = QPixmap(side, side)
            self._dots.fill(self._theme.tokens.canvas)
            dot = QPainter(self._dots)
            size = max(1, round(1.5 * place.dpr))
            for x in range(_DOTS_OF_TILE):
                for y in range(_DOTS_OF_TILE):
                    dot.fillRect(round(x * pitch), round(y * pitch), size, size, self._theme.tokens.grid_dot)
            dot.end()
            self._dots.setDevicePixelRatio(place.dpr)
        painter.setBrushOrigin(QPointF(place.x, place.y))
        painter.fillRect(rect, QBrush(self._dots))
        painter.setBrushOrigin(QPointF(0.0, 0.0))

    def _paint_frames(
        self, painter: QPainter, look: GraphLook, place: ViewPlace, part: tuple[float, float, float, float]
    ) -> None:
        tokens = self._theme.tokens
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, place.zoom >= SMOOTH_FROM)
        for frame in look.scene.frames:
            box = frame.box
            if box.x > part[2] or box.right < part[0] or box.y > part[3] or box.bottom < part[1]:
                continue
            shown = QRectF(
                _snap(box.x * place.zoom + place.x, place.dpr) + 0.5,
                _snap(box.y * place.zoom + place.y, place.dpr) + 0.5,
                _snap(box.width * place.zoom, place.dpr),
                _snap(box.height * place.zoom, place.dpr),
            )
            ground = QColor(tokens.accent_ground if frame.depth % 2 == 0 else tokens.surface)
            ground.setAlphaF(0.35)
            painter.setPen(QPen(tokens.border_strong, 1.0))
            painter.setBrush(ground)
            radius = self._theme.metrics.card_radius * min(1.0, place.zoom * 1.2)
            painter.drawRoundedRect(shown, radius, radius)
            if place.zoom >= TEXT_FROM:
                self._paint_header(painter, look.frame_titles.get(frame.group_id, frame.group_id), shown, place)

    def _paint_header(self, painter: QPainter, title: str, shown: QRectF, place: ViewPlace) -> None:
        tokens = self._theme.tokens
        side = max(8, round(14 * place.zoom))
        left = _snap(shown.left() + 10 * place.zoom, place.dpr)
        top = _snap(shown.top() + 8 * place.zoom, place.dpr)
        painter.drawPixmap(QPointF(left, top), self._icons.pixmap("square-minus", side, tokens.text_3, place.dpr))
        painter.save()
        painter.scale(place.zoom, place.zoom)
        painter.setPen(tokens.text_2)
        painter.setFont(self._headers.font)
        room = shown.width() / place.zoom - 42.0
        x = (left + side) / place.zoom + 6.0
        y = (top + side / 2.0) / place.zoom - self._headers.height / 2.0
        self._headers.draw(painter, x, y, title, room)
        painter.restore()

    def _paint_edges(
        self, painter: QPainter, look: GraphLook, place: ViewPlace, part: tuple[float, float, float, float]
    ) -> None:
        scene, tokens = look.scene, self._theme.tokens
        pieces = scene.pieces_in(*part)
        if not len(pieces):
            return
        marked = scene.edges_of(look.selected)
        is_marked = np.isin(scene.piece_edges[pieces], marked) if len(marked) else np.zeros(len(pieces), bool)
        color = QColor(tokens.edge)
        if place.zoom < SMOOTH_FROM:
            # Many thin lines on little room become a wall: let what is below shine through.
            color.setAlphaF(0.35 + 0.65 * place.zoom / SMOOTH_FROM)
        if look.hits is not None:
            color.setAlphaF(color.alphaF() * 0.5)
        self._stroke(painter, scene, pieces[~is_marked], place, QPen(color, 1.0))
        if is_marked.any():
            self._stroke(painter, scene, pieces[is_marked], place, QPen(tokens.accent, 2.0))
        if place.zoom >= ARROWS_FROM:
            targets = scene.ends[scene.piece_edges[pieces], 1]
            self._paint_arrows(painter, scene, _distinct(targets[~is_marked]), place, color, part)
            self._paint_arrows(painter, scene, _distinct(targets[is_marked]), place, tokens.accent, part)

    def _stroke(self, painter: QPainter, scene: GraphScene, pieces: Ints, place: ViewPlace, pen: QPen) -> None:
        zoom = place.zoom
        steps = 1 if zoom < CURVES_FROM else 4 if zoom < SMOOTH_FROM else 8 if zoom < 0.8 else 14
        lines = scene.lines(pieces, steps) * zoom
        lines += (place.x, place.y, place.x, place.y)
        # Level and upright lines on the middle of a device pixel are sharp.
        axis = (0, 2) if scene.is_down else (1, 3)
        is_level = lines[:, axis[0]] == lines[:, axis[1]]
        snapped = (np.floor(lines[is_level][:, axis] * place.dpr) + 0.5) / place.dpr
        lines[np.ix_(is_level, axis)] = snapped
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, zoom >= SMOOTH_FROM)
        if zoom >= SMOOTH_FROM and len(lines) < _FEW_LINES:
            # Beyond one device pixel, Qt strokes each line as a path: ten times as long.
            pen.setWidthF(max(pen.widthF(), 1.3))
        elif pen.widthF() <= 1.0:
            pen.setCosmetic(True)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        draw_lines(painter, lines)

    def _paint_arrows(
        self,
        painter: QPainter,
        scene: GraphScene,
        targets: Ints,
        place: ViewPlace,
        color: QColor,
        part: tuple[float, float, float, float],
    ) -> None:
        # One tip for all that arrive at the same item.
        tips = scene.tips[targets]
        inside = (tips[:, 0] >= part[0]) & (tips[:, 0] <= part[2]) & (tips[:, 1] >= part[1]) & (tips[:, 1] <= part[3])
        tips = tips[inside] * place.zoom + (place.x, place.y)
        if not len(tips):
            return
        pixmap = self._arrow(scene.is_down, place, color)
        size = np.array([pixmap.width(), pixmap.height()])
        # The tip touches the node: the pixmap's far end, in whole device pixels.
        corners = np.floor(tips * place.dpr + 0.5) - (size * (0.5, 1.0) if scene.is_down else size * (1.0, 0.5))
        sources = np.tile(np.array([0.0, 0.0, *size]), (len(tips), 1))
        draw_fragments(
            painter, Fragments((np.floor(corners + 0.5) + size / 2.0) / place.dpr, sources, 1.0 / place.dpr), pixmap
        )

    def _arrow(self, is_down: bool, place: ViewPlace, color: QColor) -> QPixmap:
        length = max(4.0, min(8.0, 7.0 * place.zoom))
        side = round(length * place.dpr)
        side += 1 - side % 2
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        half, low, high = side / 2.0, side * 0.08, side * 0.92
        shape = [QPointF(side, half), QPointF(0, low), QPointF(0, high)]
        painter.drawPolygon(QPolygonF([QPointF(p.y(), p.x()) for p in shape] if is_down else shape))
        painter.end()
        return pixmap

    def _paint_blocks(self, painter: QPainter, look: GraphLook, place: ViewPlace, items: Ints) -> None:
        boxes = look.scene.boxes[items] * place.zoom
        boxes[:, :2] += (place.x, place.y)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1.5)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(Qt.PenStyle.NoPen)
        for code in _distinct(look.codes[items]).tolist():
            mask = look.codes[items] == code
            state = STATES[code]
            color = self._block_color(state)
            for is_dim, chosen in self._by_hit(look, items, mask):
                shade = QColor(color)
                shade.setAlphaF(_DIMMED if is_dim else 1.0)
                painter.setBrush(shade)
                draw_rects(painter, boxes[chosen])

    def _block_color(self, state: TaskInstanceState) -> QColor:
        return self._theme.tokens.border_strong if state is TaskInstanceState.NONE else self._theme.state_color(state)

    def _by_hit(self, look: GraphLook, items: Ints, mask: NDArray[np.bool_]) -> list[tuple[bool, NDArray[np.bool_]]]:
        if look.hits is None:
            return [(False, mask)]
        hit = look.hits[items]
        return [(True, mask & ~hit), (False, mask & hit)]

    def _paint_bodies(self, painter: QPainter, look: GraphLook, place: ViewPlace, items: Ints) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        corners = self._corners(look.scene.boxes[items], place)
        scene = look.scene
        keys = (scene.size_codes[items] * 2 + look.stacked[items]) * len(STATES) + look.codes[items]
        for key in _distinct(keys).tolist():
            mask = keys == key
            kind, code = divmod(key, len(STATES))
            width, height = scene.sizes[kind // 2]
            sprite = self._sprites.body(STATES[code], bool(kind % 2), width, height)
            size = np.array([sprite.pixmap.width(), sprite.pixmap.height()], dtype=np.float64)
            for is_dim, chosen in self._by_hit(look, items, mask):
                centres = (corners[chosen] - sprite.margin + size / 2.0) / place.dpr
                sources = np.tile(np.array([0.0, 0.0, *size]), (len(centres), 1))
                painter.setOpacity(_DIMMED if is_dim else 1.0)
                draw_fragments(painter, Fragments(centres, sources, 1.0 / place.dpr), sprite.pixmap)
        painter.setOpacity(1.0)

    def _corners(self, boxes: Floats, place: ViewPlace) -> Floats:
        """The left upper corners of boxes in whole device pixels."""
        # Not round(): it goes to the even number, which differs after a move by one.
        corners: Floats = np.floor((boxes[:, :2] * place.zoom + (place.x, place.y)) * place.dpr + 0.5)
        return corners

    def _paint_marks(self, painter: QPainter, look: GraphLook, place: ViewPlace, items: Ints) -> None:
        """Borders of what is hovered, found, selected and current."""
        tokens = self._theme.tokens
        visible = set(items.tolist())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if look.hits is not None:
            for item in np.flatnonzero(look.hits).tolist():
                if item in visible and item not in look.selected:
                    self._outline(painter, look, place, item, tokens.warning, 2.0)
        if look.hovered in visible and look.hovered is not None and look.hovered not in look.selected:
            self._outline(painter, look, place, look.hovered, tokens.text_3, 1.0)
        for item in look.selected:
            if item in visible:
                halo = QColor(tokens.accent)
                halo.setAlphaF(0.28)
                self._outline(painter, look, place, item, halo, 3.0, outside=2.5)
                self._outline(painter, look, place, item, tokens.accent, 1.6)
        if look.has_focus and look.current in visible and look.current is not None and len(look.selected) != 1:
            self._outline(painter, look, place, look.current, tokens.accent, 1.0, outside=4.0)

    def _outline(
        self,
        painter: QPainter,
        look: GraphLook,
        place: ViewPlace,
        item: int,
        color: QColor,
        width: float,
        outside: float = 0.0,
    ) -> None:
        box = look.scene.boxes[item]
        corner = self._corners(box[None, :], place)[0] / place.dpr
        size = (_snap(box[2] * place.zoom, place.dpr), _snap(box[3] * place.zoom, place.dpr))
        rect = QRectF(corner[0], corner[1], size[0], size[1]).adjusted(0.5, 0.5, -0.5, -0.5)
        radius = self._theme.metrics.node_radius * place.zoom
        painter.setPen(QPen(color, width))
        painter.drawRoundedRect(rect.adjusted(-outside, -outside, outside, outside), radius + outside, radius + outside)

    def _paint_edge_labels(self, painter: QPainter, look: GraphLook, place: ViewPlace, rect: QRect) -> None:
        """Words on edges, on the ground of the canvas so that the line does not go through them."""
        if not look.edge_labels:
            return
        tokens, zoom, texts = self._theme.tokens, place.zoom, self._details
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(texts.font)
        painter.scale(zoom, zoom)
        for x, y, text in look.edge_labels:
            width = min(texts.width(text), EDGE_LABEL_ROOM)
            left, top = x + place.x / zoom - width / 2.0, y + place.y / zoom - texts.height / 2.0
            box = QRectF(left - 5.0, top - 1.0, width + 10.0, texts.height + 2.0)
            if QRectF(box.topLeft() * zoom, box.size() * zoom).intersects(QRectF(rect)):
                painter.setPen(QPen(tokens.border, 1.0))
                painter.setBrush(tokens.canvas)
                painter.drawRoundedRect(box, 4.0, 4.0)
                painter.setPen(tokens.text_2)
                texts.draw(painter, left, top, text, width + 0.5)
        painter.restore()

    def _paint_texts(self, painter: QPainter, look: GraphLook, place: ViewPlace, items: Ints) -> None:
        tokens, zoom = self._theme.tokens, place.zoom
        boxes = look.scene.boxes[items]
        corners = self._corners(boxes, place) / place.dpr / zoom
        has_details = zoom >= DETAIL_FROM
        painter.save()
        painter.scale(zoom, zoom)
        rows = zip(items.tolist(), corners.tolist(), boxes[:, 2:].tolist(), strict=True)
        places = [
            (item, x + TEXT_LEFT, y + high / 2.0, wide - TEXT_LEFT - TEXT_RIGHT) for item, (x, y), (wide, high) in rows
        ]
        hits = look.hits
        pending = CODE_OF[TaskInstanceState.NONE]
        passes = [(self._titles, look.titles, -self._titles.height / 2.0)]
        if has_details:
            passes = [(self._titles, look.titles, -17.0), (self._details, look.details, 2.5)]
        for number, (texts, words, shift) in enumerate(passes):
            painter.setFont(texts.font)
            strong, weak = (tokens.text_1, tokens.text_2) if number == 0 else (tokens.text_2, tokens.text_3)
            for item, x, middle, room in places:
                is_weak = look.codes[item] == pending or (hits is not None and not hits[item])
                painter.setPen(weak if is_weak else strong)
                texts.draw(painter, x, middle + shift, words[item], room)
        painter.restore()


def _snap(length: float, dpr: float) -> float:
    return math.floor(length * dpr + 0.5) / dpr


def _distinct(numbers: NDArray[np.integer[Any]]) -> Ints:
    """Which small whole numbers occur, ascending."""
    return np.flatnonzero(np.bincount(numbers)) if len(numbers) else np.empty(0, np.int64)
