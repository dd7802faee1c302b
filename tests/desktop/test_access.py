"""Without a mouse and without eyes: every control has a name, and Tab reaches each of them and comes round."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractButton, QAbstractScrollArea, QApplication, QDialog, QWidget
from pytestqt.qtbot import QtBot

from dagdeck_desktop.views.dag_list import DagListPage
from dagdeck_desktop.views.dag_page import DagPage
from tests.desktop.fakes import dag, page, run
from tests.desktop.test_views_pages import Desk, answer_dag_page, desk

__all__ = ["desk"]
WORKER = {"worker_id": 7, "name": "worker-07", "state": "active", "slots": 8, "running": 1, "queues": ["default"]}


def opened(desk: Desk, qtbot: QtBot, key: str) -> QWidget:
    """A page with something on it."""
    answer_dag_page(desk.api, params={"share": {"value": 0.5, "schema": {"type": "number"}}})
    desk.api.answers |= {
        "GET /api/v2/dags": page("dags", dag("churn", "daily"), dag("sales")),
        "GET /api/v2/dags/~/dagRuns": page("dag_runs", run("churn", 1), run("sales", 2, "failed")),
    }
    if key == "dag":
        shown: DagPage = desk.open("dag", dag_id="churn", task_id="join")
        qtbot.waitUntil(lambda: shown.graph.scene is not None and not shown.graph.is_busy)
        return shown
    made: QWidget = desk.open(key)
    if key in ("home", "workers"):
        desk.feed.snapshot_received.emit("workers", {"workers": [WORKER], "queues": []})
    if key == "home":
        counts = {"total": 2, "active": 2, "paused": 0}
        desk.feed.snapshot_received.emit("home", {"dags": counts, "runs": [run("churn", 1), run("sales", 2, "failed")]})
    return made


def controls(root: QWidget) -> Iterator[QWidget]:
    """What the keyboard can go to; what is only a part of another control is left out."""
    for each in root.findChildren(QWidget):
        if not each.isVisibleTo(root) or not each.isEnabled():
            continue
        if each.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(each.parent(), QAbstractScrollArea):
            yield each


def name_of(widget: QWidget) -> str:
    """What a screen reader says."""
    found = QAccessible.queryAccessibleInterface(widget)
    return found.text(QAccessible.Text.Name) if found is not None else ""


@pytest.mark.parametrize("key", ["home", "dags", "dag", "workers"])
def test_every_control_has_a_name(desk: Desk, qtbot: QtBot, key: str) -> None:
    opened(desk, qtbot, key)
    found = list(controls(desk.window))
    assert len(found) > 8
    nameless = [f"{type(each).__name__} in {type(each.parentWidget()).__name__}" for each in found if not name_of(each)]
    assert nameless == []


@pytest.mark.parametrize("what", ["trigger", "clear"])
def test_controls_of_dialogs_have_names(desk: Desk, qtbot: QtBot, what: str) -> None:
    shown = opened(desk, qtbot, "dag")
    assert isinstance(shown, DagPage)
    shown.trigger() if what == "trigger" else shown.clear(("join",))
    dialog: QDialog = desk.dialog(QDialog)
    nameless = [type(each).__name__ for each in controls(dialog) if not name_of(each)]
    assert nameless == []


@pytest.mark.parametrize("key", ["home", "dags", "dag", "workers"])
def test_tab_reaches_every_button_and_comes_round(desk: Desk, qtbot: QtBot, key: str) -> None:
    opened(desk, qtbot, key)
    window = desk.window
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window)
    wanted = {each for each in controls(window) if isinstance(each, QAbstractButton)}
    window.rail.button("home").setFocus(Qt.FocusReason.TabFocusReason)
    seen: list[QWidget] = []
    for _ in range(300):
        at = QApplication.focusWidget()
        if at is None or (seen and at is seen[0]):
            break
        seen.append(at)
        qtbot.keyClick(at, Qt.Key.Key_Tab)
    missed = [name_of(each) for each in wanted if each not in seen and each.isVisible() and not _in_group(each, seen)]
    assert missed == []


def _in_group(button: QAbstractButton, seen: list[QWidget]) -> bool:
    """Of exclusive buttons, Tab goes to one; arrows go through the others."""
    group = button.group()
    return group is not None and group.exclusive() and any(each in seen for each in group.buttons())


def test_a_dag_is_opened_triggered_and_left_by_keyboard_alone(desk: Desk, qtbot: QtBot) -> None:
    opened(desk, qtbot, "home")
    window = desk.window
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window)
    qtbot.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    listed = window.pages.currentWidget()
    assert isinstance(listed, DagListPage)
    listed.table.setFocus()
    qtbot.keyClick(listed.table, Qt.Key.Key_Down)
    qtbot.keyClick(listed.table, Qt.Key.Key_Up)
    qtbot.keyClick(listed.table, Qt.Key.Key_Return)
    shown = window.pages.currentWidget()
    assert isinstance(shown, DagPage)
    assert shown.dag_id == "churn"
    qtbot.waitUntil(lambda: shown.graph.scene is not None and not shown.graph.is_busy)
    shown.graph.setFocus()
    qtbot.keyClick(shown.graph, Qt.Key.Key_Right)
    assert shown.task_id == "extract"
    qtbot.keyClick(window, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    dialog: QDialog = desk.dialog(QDialog)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    qtbot.keyClick(window, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert window.pages.currentWidget() is listed
