"""The graph as a widget: a view to pan and zoom in, with selection, search, keyboard, folding and screen readers.

Decides how people move about and what is selected. Does not place (`layouting`), paint (`painting`) or fetch. Made by
the DAG page, which gives it nodes, edges and states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QContextMenuEvent,
    QFocusEvent,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
)
from PySide6.QtWidgets import QApplication, QToolTip, QWidget

from dagdeck_core.errors import DagDeckError
from dagdeck_core.layout import Direction
from dagdeck_desktop.areas import AccessibleItem, announce_items, install_accessible_areas
from dagdeck_desktop.graph import navigation
from dagdeck_desktop.graph.camera import STEP
from dagdeck_desktop.graph.content import LEGEND, GraphContent
from dagdeck_desktop.graph.layouting import LayoutRunner
from dagdeck_desktop.graph.model import Edge, GraphGroup, GraphNode, NodeState
from dagdeck_desktop.graph.painting import CODE_OF, STATES, GraphLook
from dagdeck_desktop.graph.scene import GraphScene
from dagdeck_desktop.graph.view import GraphView
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme

_FEW = 60
_TOWARD = {
    Qt.Key.Key_Left: navigation.Toward.LEFT,
    Qt.Key.Key_Right: navigation.Toward.RIGHT,
    Qt.Key.Key_Up: navigation.Toward.UP,
    Qt.Key.Key_Down: navigation.Toward.DOWN,
}


class GraphArea(GraphView):
    """Shows a graph. Ids in signals are task ids or group ids.

    Drag or scroll to pan, turn the wheel to zoom, click to select (with Ctrl several), double-click or Enter to open a
    task, to fold or unfold a group. Arrow keys go along edges.
    """

    task_activated = Signal(str)
    selection_changed = Signal(list)
    group_folded = Signal(str, bool)
    context_requested = Signal(str, QPoint)
    """An item and a global position; "" for the ground."""
    laid_out = Signal(float)
    """The seconds it took."""
    layout_failed = Signal(object)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, icons, parent)
        install_accessible_areas()
        self._content = GraphContent()
        self._folded: frozenset[str] = frozenset()
        self._direction = Direction.LEFT_RIGHT
        self._anchor: tuple[str, QPointF] | None = None
        self._search = ""
        self._pressed: QPoint | None = None
        self._is_panning = False
        self._runner = LayoutRunner(self)
        self._runner.finished.connect(self._show_scene)
        self._runner.failed.connect(self._show_failure)

    # What is shown

    def set_graph(
        self,
        nodes: Sequence[GraphNode],
        edges: Sequence[Edge],
        groups: Sequence[GraphGroup] = (),
        labels: Mapping[Edge, str] = MappingProxyType({}),
    ) -> None:
        """Show a graph; states are forgotten, folded groups stay folded. It appears when it is laid out. `labels` are
        words on edges."""
        self._content = GraphContent(nodes, edges, groups, labels)
        self._folded = frozenset(name for name in self._folded if name in self._content.groups)
        self._wants_fit, self._anchor, self._message = True, None, ""
        self._start_layout()

    def set_states(self, states: Mapping[str, NodeState]) -> None:
        """Show new states of tasks; those not named keep theirs. Only what changes is painted."""
        changed = self._content.set_states(states)
        look = self._look
        if look is None or not changed:
            return
        names = {look.scene.shown_as.get(name, name) for name in changed}
        items = sorted(look.scene.index[name] for name in names if name in look.scene.index)
        for item in items:
            name = look.scene.names[item]
            look.codes[item] = CODE_OF[self._content.state_of(name)]
            look.details[item] = self._content.detail_of(name)
        if len(items) > _FEW:
            self.viewport().update()
        else:
            for item in items:
                self._update_item(item)
        self._states_shown()

    def clear_states(self) -> None:
        """Show every task without a state, as before a run."""
        self._content.clear_states()
        if self._look is not None:
            self._look = self._look_of(self._look.scene, self._look)
            self.overview.set_scene(self._look.scene, self._look.codes)
            self._states_shown()
            self.viewport().update()

    def set_heading(self, title: str, text: str = "") -> None:
        """The title in the left upper corner, with a quieter text beside it."""
        self._heading.set_texts(title, text)

    def set_direction(self, direction: Direction) -> None:
        """Lay out from left to right, or downwards."""
        if direction is not self._direction:
            self._direction, self._wants_fit = direction, True
            self._start_layout()

    def set_folded(self, group_ids: Iterable[str]) -> None:
        """Fold these groups and unfold all others."""
        folded = frozenset(name for name in group_ids if name in self._content.groups)
        if folded != self._folded:
            self._folded = folded
            self._start_layout()

    def toggle_group(self, group_id: str) -> None:
        """Fold or unfold a group; it stays where it is on screen."""
        if group_id not in self._content.groups:
            return
        is_folded = group_id not in self._folded
        self._anchor = (group_id, self._camera.to_view(self._rect_of(group_id)).topLeft())
        self._folded = self._folded | {group_id} if is_folded else self._folded - {group_id}
        self._start_layout()
        self.group_folded.emit(group_id, is_folded)

    @property
    def folded(self) -> frozenset[str]:
        """The groups that are folded."""
        return self._folded

    @property
    def is_busy(self) -> bool:
        """True while a layout is being made."""
        return self._runner.is_busy

    @property
    def search_hits(self) -> int:
        """How many items the search has found."""
        look = self._look
        return int(look.hits.sum()) if look is not None and look.hits is not None else 0

    # Selection and search

    @property
    def selection(self) -> list[str]:
        """The selected items' ids in the order of their selection."""
        look = self._look
        return [look.scene.names[item] for item in look.selected] if look is not None else []

    def select(self, names: Iterable[str], *, reveals: bool = True) -> None:
        """Select items; one inside a folded group is selected as that group. Unknown ids are left out."""
        if self._look is None:
            return
        scene = self._look.scene
        shown = dict.fromkeys(scene.shown_as.get(name, name) for name in names)
        self._select([scene.index[name] for name in shown if name in scene.index], reveals=reveals)

    def set_search(self, text: str) -> int:
        """Mark items whose id holds a text and dim the others; "" ends that. The number of marked items."""
        self._search = text.strip()
        if self._look is not None:
            self._look.hits = self._hits_in(self._look.scene)
            self.viewport().update()
        return self.search_hits

    def next_hit(self, step: int = 1) -> None:
        """Select and show the next item that the search has found, or with -1 the one before."""
        look = self._look
        if look is None or look.hits is None or not look.hits.any():
            return
        found = np.flatnonzero(look.hits).tolist()
        at = found.index(look.current) if look.current in found else (-1 if step > 0 else 0)
        self._select([found[(at + step) % len(found)]])

    # Layout

    def _start_layout(self) -> None:
        if self._content.is_empty:
            self._runner.cancel()
            self._look = None
            self.overview.set_scene(None, np.empty(0, np.uint8))
            self.legend.set_states(())
            self.viewport().update()
            return
        nodes, groups = self._content.to_lay_out(self._folded, self._theme)
        if self._look is None:
            self._message = "Laying out the graph…"
            self.viewport().update()
        self._runner.start(nodes, self._content.edges, groups, self._direction)

    def _show_scene(self, scene: GraphScene, seconds: float) -> None:
        self._look = self._look_of(scene, self._look)
        self._message = ""
        self.overview.set_scene(scene, self._look.codes)
        self._states_shown()
        if self._wants_fit:
            self._wants_fit = not self.isVisible()
            self.fit()
        elif self._anchor is not None:
            name, corner = self._anchor
            moved = self._camera.to_view(self._rect_of(name)).topLeft() - corner
            self._camera.x -= round(moved.x())
            self._camera.y -= round(moved.y())
            self._keep_in_sight()
        self._anchor = None
        self._moved()
        self.laid_out.emit(seconds)

    def _show_failure(self, error: DagDeckError) -> None:
        self._look = None
        self._message = str(error)
        self.viewport().update()
        self.layout_failed.emit(error)

    def _look_of(self, scene: GraphScene, before: GraphLook | None) -> GraphLook:
        """The look of a scene; what was selected and is still there stays so."""
        content = self._content
        look = GraphLook(
            scene=scene,
            codes=np.array([CODE_OF[content.state_of(name)] for name in scene.names], dtype=np.uint8),
            titles=[content.title_of(name) for name in scene.names],
            details=[content.detail_of(name) for name in scene.names],
            stacked=np.array(
                [name in content.groups or content.nodes[name].is_mapped for name in scene.names], dtype=np.bool_
            ),
            frame_titles={frame.group_id: content.title_of(frame.group_id) for frame in scene.frames},
            edge_labels=scene.label_places(content.labels),
            hits=self._hits_in(scene),
            has_focus=self.hasFocus(),
        )
        if before is not None:
            names = [scene.shown_as.get(before.scene.names[i], before.scene.names[i]) for i in before.selected]
            look.selected = [scene.index[name] for name in dict.fromkeys(names) if name in scene.index]
            look.current = look.selected[-1] if look.selected else None
        return look

    def _hits_in(self, scene: GraphScene) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        if not self._search:
            return None
        hits = np.zeros(len(scene.names), np.bool_)
        for task_id in self._content.matches(self._search):
            hits[scene.index[scene.shown_as.get(task_id, task_id)]] = True
        return hits

    def _states_shown(self) -> None:
        if self._look is not None:
            present = {STATES[code] for code in np.flatnonzero(np.bincount(self._look.codes)).tolist()}
            self.legend.set_states([state for state in LEGEND if state in present])
            self._place_overlays()
        if not self._overview_due.isActive():
            self._overview_due.start()
        announce_items(self)

    # Selection

    def _select(self, items: list[int], *, reveals: bool = True) -> None:
        look = self._look
        if look is None or items == look.selected:
            return
        look.selected = items
        look.current = items[-1] if items else None
        if items and reveals:
            self._reveal(items[-1])
        # Edges of the selection change their colour, wherever they lead.
        self.viewport().update()
        announce_items(self)
        self.selection_changed.emit(self.selection)

    def _activate(self, name: str) -> None:
        if name in self._content.groups:
            self.toggle_group(name)
        elif name:
            self.task_activated.emit(name)

    def _go(self, toward: navigation.Toward) -> None:
        look = self._look
        if look is None:
            return
        at = look.current
        target = navigation.first_item(look.scene) if at is None else navigation.next_item(look.scene, at, toward)
        if target is not None:
            self._select([target])

    def _hover(self, item: int | None) -> None:
        look = self._look
        if look is None or look.hovered == item:
            return
        before, look.hovered = look.hovered, item
        for changed in (before, item):
            if changed is not None and changed < len(look.scene.names):
                self._update_item(changed)

    # For screen readers

    def accessible_items(self) -> Sequence[AccessibleItem]:
        """The visible tasks and groups, in reading order."""
        look = self._look
        if look is None:
            return ()
        place = self._place()
        visible = look.scene.boxes_in(*place.to_scene(QRectF(self.viewport().rect())))
        boxes = look.scene.boxes[visible]
        order = (
            np.lexsort((boxes[:, 1], boxes[:, 0])) if not look.scene.is_down else np.lexsort((boxes[:, 0], boxes[:, 1]))
        )
        return [self._accessible(int(item)) for item in visible[order]]

    def _accessible(self, item: int) -> AccessibleItem:
        assert self._look is not None
        name = self._look.scene.names[item]
        state = self._theme.state_label(self._content.state_of(name))
        return AccessibleItem(
            name=f"{self._look.titles[item]}, {state}",
            description=self._content.description_of(name),
            rect=self.item_rect(name),
            role=QAccessible.Role.Grouping if name in self._content.groups else QAccessible.Role.ListItem,
            is_selected=item in self._look.selected,
            is_focused=item == self._look.current and self.hasFocus(),
        )

    # Qt's own

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._pressed = event.position().toPoint()
            self._is_panning = False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        point = event.position().toPoint()
        if self._pressed is None:
            item = self._item_at(event.position())
            self._hover(item)
            is_link = item is not None or self._header_at(event.position())
            self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if is_link else Qt.CursorShape.ArrowCursor)
            return
        moved = point - self._pressed
        if self._is_panning or moved.manhattanLength() >= QApplication.startDragDistance():
            self._is_panning = True
            self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
            self._pressed = point
            self.pan_by(moved.x(), moved.y())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        was_click = self._pressed is not None and not self._is_panning
        self._pressed, self._is_panning = None, False
        self.viewport().unsetCursor()
        if not was_click or event.button() is not Qt.MouseButton.LeftButton or self._look is None:
            return
        item = self._item_at(event.position())
        if item is None:
            header = self._header_at(event.position())
            if header:
                self.toggle_group(header)
            else:
                self._select([])
        elif event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            chosen = self._look.selected
            self._select([other for other in chosen if other != item] if item in chosen else [*chosen, item])
        else:
            self._select([item], reveals=False)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() is Qt.MouseButton.LeftButton:
            self._activate(self.item_at(event.position().toPoint()))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        name = self.item_at(event.pos())
        if event.reason() is QContextMenuEvent.Reason.Keyboard and self.selection:
            name = self.selection[-1]
        if name and name not in self.selection:
            self.select([name], reveals=False)
        self.context_requested.emit(name, event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if key in _TOWARD:
            self._go(_TOWARD[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.selection:
            self._activate(self.selection[-1])
        elif key is Qt.Key.Key_Space and self.selection and self.selection[-1] in self._content.groups:
            self.toggle_group(self.selection[-1])
        elif key is Qt.Key.Key_Space and self.selection:
            around = self._content.groups_around(self.selection[-1])
            if around:
                self.toggle_group(around[0])
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(STEP)
        elif key is Qt.Key.Key_Minus:
            self.zoom_by(1 / STEP)
        elif key in (Qt.Key.Key_F, Qt.Key.Key_0):
            self.fit()
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End) and self._look is not None:
            find = navigation.first_item if key is Qt.Key.Key_Home else navigation.last_item
            item = find(self._look.scene)
            self._select([item] if item is not None else [])
        elif key is Qt.Key.Key_Escape and self.selection:
            self._select([])
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._show_focus()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._show_focus()

    def _show_focus(self) -> None:
        if self._look is not None:
            self._look.has_focus = self.hasFocus()
            if self._look.current is not None:
                self._update_item(self._look.current)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            name = self.item_at(event.pos())
            if name:
                QToolTip.showText(
                    event.globalPos(), self._content.description_of(name), self.viewport(), self.item_rect(name)
                )
            else:
                QToolTip.hideText()
            return True
        if event.type() is QEvent.Type.Leave:
            self._hover(None)
        return super().viewportEvent(event)
