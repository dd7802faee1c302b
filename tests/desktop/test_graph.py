"""The graph area: what it paints, how people move and select in it, and what screen readers are told."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSizeF, Qt, QThreadPool
from PySide6.QtGui import QAccessible, QColor, QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from dagdeck_core.errors import UserError
from dagdeck_core.layout import Direction, LayoutNode, lay_out
from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.graph import Edge, GraphArea, GraphGroup, GraphNode, NodeState
from dagdeck_desktop.graph.camera import Camera
from dagdeck_desktop.graph.cells import CellGrid
from dagdeck_desktop.graph.content import LEGEND, WEIGHT, GraphContent
from dagdeck_desktop.graph.regions import merged
from dagdeck_desktop.graph.scene import GraphScene
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Appearance, Theme

EDGES: list[Edge] = [("a", "b"), ("b", "c"), ("b", "d"), ("c", "e"), ("d", "e")]
EMOJI = "🚀 räkna-ut_värdet_för_alla_kunder_i_hela_världen_" + "x" * 300


def tasks(names: str) -> list[GraphNode]:
    return [GraphNode(task_id=name, kind="PythonOperator") for name in names]


@pytest.fixture
def area(theme: Theme, icons: Icons, qtbot: QtBot) -> GraphArea:
    made = GraphArea(theme, icons)
    qtbot.addWidget(made)
    made.resize(1200, 700)
    made.show()
    made.set_graph(tasks("abcde"), EDGES)
    QApplication.processEvents()
    return made


@pytest.fixture
def grouped(area: GraphArea) -> GraphArea:
    nodes = [
        GraphNode(task_id="start"),
        *(GraphNode(task_id=f"load.t{n}", group_id="load") for n in range(3)),
        GraphNode(task_id="load.inner.x", group_id="load.inner"),
        GraphNode(task_id="end"),
    ]
    edges = [("start", "load.t0"), ("start", "load.t1"), ("load.t0", "load.t2"), ("load.t2", "load.inner.x")]
    groups = [GraphGroup(group_id="load"), GraphGroup(group_id="load.inner", parent_id="load")]
    area.set_graph(nodes, [*edges, ("load.inner.x", "end"), ("load.t1", "end")], groups)
    return area


def picture(area: GraphArea) -> QImage:
    QApplication.processEvents()
    return area.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


def pixels(image: QImage) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)[:, :, :3].copy()


def centre(area: GraphArea, name: str) -> QPoint:
    return area.item_rect(name).center()


def stripe_of(area: GraphArea, name: str) -> QColor:
    rect = area.item_rect(name)
    return QColor(picture(area).pixel(rect.left() + 2, rect.center().y()))


def test_nodes_are_painted_in_their_states(area: GraphArea, theme: Theme) -> None:
    area.set_states({"a": NodeState(state="success"), "b": NodeState(state="failed", label="Failed · try 2 of 2")})
    assert stripe_of(area, "a") == theme.state_color("success")
    assert stripe_of(area, "b") == theme.state_color("failed")
    assert set(area.legend.states) == {TaskInstanceState.FAILED, TaskInstanceState.NONE, TaskInstanceState.SUCCESS}
    area.clear_states()
    assert stripe_of(area, "a") == theme.tokens.border_strong


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
def test_the_picture_follows_the_theme(area: GraphArea, theme: Theme, appearance: Appearance) -> None:
    theme.set_appearance(appearance)
    area.set_states({"a": NodeState(state="running")})
    image = picture(area)
    assert stripe_of(area, "a") == theme.state_color("running")
    assert QColor(image.pixel(200, 300)) in (theme.tokens.canvas, theme.tokens.grid_dot)


def test_a_new_state_repaints_only_its_node(area: GraphArea) -> None:
    before = pixels(picture(area))
    area.set_states({"c": NodeState(state="success")})
    rect = area.item_rect("c").adjusted(-10, -10, 10, 10)
    after = pixels(picture(area))
    changed = (before != after).any(axis=2)
    for overlay in (area.overview, area.legend):
        # Both tell of states too.
        place = overlay.geometry()
        changed[place.top() : place.bottom() + 1, place.left() : place.right() + 1] = False
    rows, columns = np.nonzero(changed)
    assert len(rows) > 50
    assert QRect(QPoint(columns.min(), rows.min()), QPoint(columns.max(), rows.max())).intersected(rect) == QRect(
        QPoint(columns.min(), rows.min()), QPoint(columns.max(), rows.max())
    )


def test_the_same_states_again_paint_nothing(area: GraphArea, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"a": NodeState(state="success")}
    area.set_states(states)
    told: list[object] = []
    monkeypatch.setattr(area, "_update_item", told.append)
    area.set_states(states)
    area.set_states({"unknown": NodeState(state="failed")})
    assert told == []


@pytest.mark.parametrize("steps", [[(30, 0)], [(0, -25)], [(17, 9), (-40, 21)], [(5, 5)] * 8])
def test_panning_by_copying_looks_like_painting_anew(
    area: GraphArea, qtbot: QtBot, steps: list[tuple[int, int]]
) -> None:
    area.zoom_by(1.3)
    area.set_states({"a": NodeState(state="success"), "d": NodeState(state="failed")})
    area.select(["b"])
    area.set_heading("Graph", "5 tasks")
    # The overview shows new states a moment later; not while pictures are compared.
    qtbot.waitUntil(lambda: not area._overview_due.isActive())
    picture(area)
    for dx, dy in steps:
        area.pan_by(dx, dy)
        QApplication.processEvents()
    # What is in the window's memory now, against everything painted anew.
    window = area.window().windowHandle()
    assert window is not None
    shown = pixels(area.screen().grabWindow(window.winId()).toImage().convertToFormat(QImage.Format.Format_RGB32))
    area.viewport().update()
    QApplication.processEvents()
    anew = pixels(area.screen().grabWindow(window.winId()).toImage().convertToFormat(QImage.Format.Format_RGB32))
    assert shown.std() > 1
    rows, columns = np.nonzero((shown != anew).any(axis=2))
    assert sorted(set(zip(rows.tolist(), columns.tolist(), strict=True)))[:20] == []


def test_zoom_keeps_the_place_under_the_mouse(area: GraphArea) -> None:
    at = centre(area, "c")
    before = area.zoom
    event = QWheelEvent(
        QPointF(at),
        QPointF(area.viewport().mapToGlobal(at)),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(area.viewport(), event)
    assert area.zoom > before
    assert (centre(area, "c") - at).manhattanLength() <= 2


def test_fit_shows_everything_and_follows_the_size(area: GraphArea) -> None:
    area.zoom_by(1.8)
    area.pan_by(-300, 0)
    area.fit()
    assert all(area.viewport().rect().contains(area.item_rect(name)) for name in "abcde")
    area.resize(700, 400)
    assert all(area.viewport().rect().contains(area.item_rect(name)) for name in "abcde")


def test_the_graph_cannot_be_lost(area: GraphArea) -> None:
    for _ in range(20):
        area.pan_by(-500, -500)
    assert any(area.viewport().rect().intersects(area.item_rect(name)) for name in "abcde")
    area.zoom_by(1e9)
    assert area.zoom == 2.0
    area.zoom_by(1e-9)
    assert any(area.viewport().rect().contains(area.item_rect(name)) for name in "abcde")


def test_clicks_select_and_open(area: GraphArea, qtbot: QtBot) -> None:
    with qtbot.waitSignal(area.selection_changed) as told:
        QTest.mouseClick(area.viewport(), Qt.MouseButton.LeftButton, pos=centre(area, "b"))
    assert told.args == [["b"]]
    control = Qt.KeyboardModifier.ControlModifier
    QTest.mouseClick(area.viewport(), Qt.MouseButton.LeftButton, control, centre(area, "d"))
    assert area.selection == ["b", "d"]
    QTest.mouseClick(area.viewport(), Qt.MouseButton.LeftButton, control, centre(area, "b"))
    assert area.selection == ["d"]
    with qtbot.waitSignal(area.task_activated) as opened:
        QTest.mouseDClick(area.viewport(), Qt.MouseButton.LeftButton, pos=centre(area, "e"))
    assert opened.args == ["e"]
    QTest.mouseClick(area.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(600, 120))
    assert area.selection == []


def test_dragging_pans_and_does_not_select(area: GraphArea) -> None:
    start = centre(area, "b")
    QTest.mousePress(area.viewport(), Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(area.viewport(), start + QPoint(20, 0))
    QTest.mouseMove(area.viewport(), start + QPoint(60, 30))
    QTest.mouseRelease(area.viewport(), Qt.MouseButton.LeftButton, pos=start + QPoint(60, 30))
    assert area.selection == []
    assert centre(area, "b") == start + QPoint(60, 30)


def test_arrow_keys_go_along_edges(area: GraphArea, qtbot: QtBot) -> None:
    walked = []
    for key in (
        Qt.Key.Key_Right,
        Qt.Key.Key_Right,
        Qt.Key.Key_Right,
        Qt.Key.Key_Down,
        Qt.Key.Key_Up,
        Qt.Key.Key_Right,
        Qt.Key.Key_Left,
        Qt.Key.Key_Home,
        Qt.Key.Key_End,
    ):
        QTest.keyClick(area, key)
        walked.append(area.selection[0])
    upper, lower = sorted("cd", key=lambda name: area.item_rect(name).y())
    assert walked[:3] == ["a", "b", walked[2]]
    assert walked[2] in ("c", "d")
    assert walked[3:6] == [lower, upper, "e"]
    assert walked[6] in ("c", "d")
    assert walked[7:] == ["a", "e"]
    with qtbot.waitSignal(area.task_activated) as opened:
        QTest.keyClick(area, Qt.Key.Key_Return)
    assert opened.args == ["e"]
    QTest.keyClick(area, Qt.Key.Key_Escape)
    assert area.selection == []


def test_keys_zoom(area: GraphArea) -> None:
    before = area.zoom
    QTest.keyClick(area, Qt.Key.Key_Plus)
    assert area.zoom == pytest.approx(before * 1.2)
    QTest.keyClick(area, Qt.Key.Key_Minus)
    QTest.keyClick(area, Qt.Key.Key_Minus)
    QTest.keyClick(area, Qt.Key.Key_F)
    assert area.zoom == pytest.approx(before)


def test_a_selection_marks_its_edges(area: GraphArea, theme: Theme) -> None:
    def accents() -> int:
        found = pixels(picture(area)).astype(int)
        color = theme.tokens.accent
        return int((np.abs(found - (color.blue(), color.green(), color.red())).sum(axis=2) < 12).sum())

    before = accents()
    area.select(["b"])
    assert accents() > before + 300


def test_words_on_edges_are_painted_between_their_tasks(area: GraphArea, qtbot: QtBot) -> None:
    nodes = [GraphNode(task_id="a"), GraphNode(task_id="b"), GraphNode(task_id="c")]
    edges = [("a", "b"), ("a", "c")]
    pictures = []
    for labels in ({}, {("a", "b"): "if 日本"}, {("a", "gone"): "nowhere"}):
        area.set_graph(nodes, edges, labels=labels)
        qtbot.waitUntil(lambda: not area.is_busy and area.scene is not None)
        area.zoom_by(1.0 / area.zoom)
        pictures.append(picture(area))
    plain, labelled, other = pictures
    assert plain == other
    assert plain != labelled
    # Only between the boxes: they are painted over it.
    box = area.item_rect("a")
    assert plain.copy(box) == labelled.copy(box)


def test_search_marks_hits_and_goes_through_them(area: GraphArea) -> None:
    area.set_graph(
        [GraphNode(task_id=name) for name in ("extract_a", "load", "extract_b")],
        [("extract_a", "load"), ("extract_b", "load")],
    )
    assert area.set_search("EXTRACT") == 2
    area.next_hit()
    first = area.selection
    area.next_hit()
    assert {*first, *area.selection} == {"extract_a", "extract_b"}
    area.next_hit(-1)
    assert area.selection == first
    assert area.set_search("nothing like it") == 0
    area.next_hit()
    assert area.selection == first
    assert area.set_search("") == 0


def test_folding_keeps_the_group_in_place_and_sums_it_up(grouped: GraphArea, qtbot: QtBot) -> None:
    grouped.set_states({"load.t0": NodeState(state="failed"), "load.t1": NodeState(state="success")})
    scene = grouped.scene
    assert scene is not None
    frame = next(frame for frame in scene.frames if frame.group_id == "load").box
    corner = grouped._camera.to_view(grouped._rect_of("load")).topLeft().toPoint()
    with qtbot.waitSignal(grouped.group_folded) as told:
        QTest.mouseClick(grouped.viewport(), Qt.MouseButton.LeftButton, pos=corner + QPoint(8, 8))
    assert told.args == ["load", True]
    assert frame.width > 400
    assert grouped.item_rect("load").size().width() < 320
    assert (grouped.item_rect("load").topLeft() - corner).manhattanLength() <= 3
    assert stripe_of(grouped, "load") == grouped._theme.state_color("failed")
    grouped.select(["load.t2"])
    assert grouped.selection == ["load"]
    QTest.keyClick(grouped, Qt.Key.Key_Space)
    assert grouped.folded == frozenset()
    assert not grouped.item_rect("load.inner.x").isNull()


def test_folded_groups_stay_folded_in_the_next_version(grouped: GraphArea) -> None:
    grouped.set_folded(["load", "unknown"])
    grouped.set_graph([GraphNode(task_id="load.n", group_id="load")], [], [GraphGroup(group_id="load")])
    assert grouped.folded == {"load"}
    grouped.set_graph(tasks("a"), [])
    assert grouped.folded == frozenset()


def test_downwards(area: GraphArea) -> None:
    area.set_direction(Direction.TOP_DOWN)
    assert area.item_rect("a").bottom() < area.item_rect("b").top()
    area.select(["a"])
    QTest.keyClick(area, Qt.Key.Key_Down)
    assert area.selection == ["b"]


def test_screen_readers_are_told_the_visible_items(area: GraphArea) -> None:
    area.set_states({"b": NodeState(state="failed", label="Failed · try 2 of 2")})
    area.select(["b"])
    interface = QAccessible.queryAccessibleInterface(area)
    assert interface.role() is QAccessible.Role.List
    assert interface.childCount() == 5
    names = [interface.child(n).text(QAccessible.Text.Name) for n in range(5)]
    assert names[:2] == ["a, No status", "b, Failed"]
    child = interface.child(1)
    assert "PythonOperator" in child.text(QAccessible.Text.Description)
    assert "try 2 of 2" in child.text(QAccessible.Text.Description)
    assert child.rect().center() == area.viewport().mapToGlobal(centre(area, "b"))
    assert interface.indexOfChild(child) == 1
    at = area.viewport().mapToGlobal(centre(area, "c"))
    assert interface.childAt(at.x(), at.y()).text(QAccessible.Text.Name).startswith("c,")
    area.set_graph([], [])
    assert interface.childCount() == 0


def test_accessible_children_outlive_nothing(theme: Theme, icons: Icons, qapp: QApplication) -> None:
    for _ in range(20):
        area = GraphArea(theme, icons)
        area.set_graph(tasks("ab"), [("a", "b")])
        interface = QAccessible.queryAccessibleInterface(area)
        assert all(interface.child(n).isValid() for n in range(interface.childCount()))
        area.deleteLater()
        del area, interface
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        qapp.processEvents()


def test_large_graphs_are_laid_out_beside_the_window(area: GraphArea, qtbot: QtBot) -> None:
    nodes = [GraphNode(task_id=f"t{n}") for n in range(600)]
    edges = [(f"t{n // 2}", f"t{n}") for n in range(1, 600)]
    with qtbot.waitSignal(area.laid_out, timeout=30_000):
        area.set_graph(nodes, edges)
        assert area.is_busy
        # A second request before the first is done: only the second counts.
        area.set_graph(nodes[:300], edges[:299])
    assert area.scene is not None
    assert len(area.scene.names) == 300
    assert not area.is_busy


@pytest.mark.parametrize("zoom", [0.1, 0.3, 0.6, 1.0, 2.0])
def test_every_level_of_detail_shows_every_state(area: GraphArea, theme: Theme, zoom: float) -> None:
    names = [state.value for state in TaskInstanceState]
    area.set_graph([GraphNode(task_id=name, is_mapped=True) for name in names], [])
    area.set_states({name: NodeState(state=name) for name in names})
    area._camera.zoom = zoom
    area._camera.x = area._camera.y = 10
    area.viewport().update()
    image = picture(area)
    for name in ("success", "failed", "running", "deferred"):
        rect = area.item_rect(name)
        if area.viewport().rect().contains(rect):
            assert QColor(image.pixel(rect.left() + 1, rect.center().y())) == theme.state_color(name)


@pytest.mark.parametrize("name", [EMOJI, "<b>bold</b>", "line\nbreak", "日本語のタスク", "\u202eright to left"])
def test_any_name_is_painted(area: GraphArea, name: str) -> None:
    area.set_graph([GraphNode(task_id=name), GraphNode(task_id="other")], [(name, "other")])
    area.set_states({name: NodeState(state="success", label="x" * 2_000)})
    rect = area.item_rect(name)
    assert len(np.unique(pixels(picture(area).copy(rect)).reshape(-1, 3), axis=0)) > 20
    assert area.item_at(rect.center()) == name


def test_a_wrong_graph_is_told(area: GraphArea, qtbot: QtBot) -> None:
    with qtbot.waitSignal(area.layout_failed) as told:
        area.set_graph(tasks("a"), [("a", "missing")])
    assert told.args is not None
    assert isinstance(told.args[0], UserError)
    assert area.scene is None
    assert len(np.unique(pixels(picture(area)).reshape(-1, 3), axis=0)) > 5


def test_hover_and_tooltip_name_the_task(area: GraphArea) -> None:
    QTest.mouseMove(area.viewport(), centre(area, "c"))
    assert area._look is not None
    assert area._look.scene.names[area._look.hovered or 0] == "c"
    assert area.viewport().cursor().shape() is Qt.CursorShape.PointingHandCursor


def test_the_overview_moves_the_view(area: GraphArea) -> None:
    area.zoom_by(3)
    before = area.item_rect("a")
    QTest.mouseClick(area.overview, Qt.MouseButton.LeftButton, pos=QPoint(140, 40))
    assert area.item_rect("a").x() < before.x()


def test_a_group_has_its_most_pressing_state() -> None:
    content = GraphContent(
        [GraphNode(task_id=f"g.{n}", group_id="g") for n in range(3)], [], [GraphGroup(group_id="g")]
    )
    assert content.state_of("g") is TaskInstanceState.NONE
    content.set_states({f"g.{n}": NodeState(state="success") for n in range(3)})
    assert content.state_of("g") is TaskInstanceState.SUCCESS
    assert content.detail_of("g") == "3 of 3 done"
    content.set_states({"g.1": NodeState(state="running")})
    assert content.state_of("g") is TaskInstanceState.RUNNING
    content.set_states({"g.0": NodeState(state="failed")})
    assert content.state_of("g") is TaskInstanceState.FAILED
    assert content.detail_of("g") == "3 tasks · 1 failed"
    assert "1 failed, 1 running, 1 success" in content.description_of("g")
    assert set(WEIGHT) == set(LEGEND) == set(TaskInstanceState)


def test_cells_find_what_a_plain_search_finds() -> None:
    random = np.random.default_rng(5)
    corners = random.uniform(0, 9_000, (800, 2))
    bounds = np.hstack([corners, corners + random.uniform(0, 900, (800, 2))])
    bounds[0] = (0, 0, 20_000, 20_000)
    grid = CellGrid(bounds, cell=500.0)
    for _ in range(60):
        left, top = random.uniform(-200, 9_500, 2)
        right, bottom = left + random.uniform(0, 4_000), top + random.uniform(0, 400)
        plain = [n for n, b in enumerate(bounds) if b[0] <= right and b[2] >= left and b[1] <= bottom and b[3] >= top]
        assert grid.touching(left, top, right, bottom).tolist() == plain
    assert len(CellGrid(np.empty((0, 4))).touching(0, 0, 10, 10)) == 0


def test_curves_join_the_ends_of_their_pieces() -> None:
    nodes = [LayoutNode(node_id=name, width=200, height=46) for name in "abc"]
    scene = GraphScene(lay_out(nodes, [("a", "b"), ("a", "c")]))
    pieces = np.flatnonzero(~scene.is_straight)
    assert len(pieces) == 2
    lines = scene.lines(pieces, 8).reshape(2, 8, 4)
    assert np.allclose(lines[:, 0, :2], scene.pieces[pieces, :2])
    assert np.allclose(lines[:, -1, 2:], scene.pieces[pieces, 2:])
    assert np.allclose(lines[:, 1:, :2], lines[:, :-1, 2:])
    assert (lines[:, :, 2] >= lines[:, :, 0]).all()


def test_rectangles_are_joined_where_that_is_cheaper() -> None:
    near = [QRect(0, 0, 1000, 7), QRect(0, 7, 7, 600), QRect(0, 30, 200, 20)]
    joined = merged(near)
    assert len(joined) < len(near)
    assert all(any(whole.contains(rect) for whole in joined) for rect in near)
    assert len(merged([QRect(0, 0, 50, 50), QRect(2_000, 2_000, 50, 50)])) == 2


def test_revealing_moves_as_little_as_needed() -> None:
    camera = Camera(x=0, y=0, zoom=1.0)
    camera.reveal(QRectF(100, 100, 200, 46), QSizeF(800, 600))
    assert (camera.x, camera.y) == (0, 0)
    camera.reveal(QRectF(900, 100, 200, 46), QSizeF(800, 600))
    assert (camera.x, camera.y) == (-348, 0)


def test_layout_threads_end_quietly_after_the_window(theme: Theme, icons: Icons, qtbot: QtBot) -> None:
    area = GraphArea(theme, icons)
    area.set_graph([GraphNode(task_id=f"t{n}") for n in range(400)], [])
    area.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    del area
    assert QThreadPool.globalInstance().waitForDone(10_000)
    QApplication.processEvents()
