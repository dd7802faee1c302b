"""The real program for the session test: it tells where things are on the screen, and what it shows, when asked.

Decides nothing and does nothing: every click and key comes from outside, through the X server. Started by
`test_session`, which writes a question a line and reads an answer a line.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QPoint, QRect, QSocketNotifier
from PySide6.QtWidgets import QAbstractButton, QApplication, QCheckBox, QWidget

from dagdeck_desktop.app import Desktop, StartOptions
from dagdeck_desktop.keyring import SecretStore
from dagdeck_desktop.settings import Places
from dagdeck_desktop.views import register_pages
from dagdeck_desktop.views.dag_list import DagListPage
from dagdeck_desktop.views.dag_page import DagPage
from dagdeck_desktop.views.workers_page import WorkersPage
from tests.desktop.test_keyring import MemoryKeyring

Place = tuple[int, int] | None


def middle(widget: QWidget, rect: QRect | None = None) -> Place:
    """The middle of a widget, or of a part of it, on the screen."""
    point = widget.mapToGlobal((rect if rect is not None else widget.rect()).center())
    return point.x(), point.y()


def where(name: str) -> Place:
    """The middle of the button in front that is called so; None without one."""
    blocking = QApplication.activeModalWidget()
    for button in QApplication.allWidgets():
        if not isinstance(button, QAbstractButton) or not button.isVisible() or not button.isEnabled():
            continue
        if blocking is not None and button.window() is not blocking.window():
            continue
        if name in (button.accessibleName(), button.text().strip("\u2009 ")):
            # A check box is as wide as its row, but only its sign and text take clicks.
            return middle(button, QRect(0, 0, 18, button.height()) if isinstance(button, QCheckBox) else None)
    return None


class Witness:
    """Answers questions about one window."""

    def __init__(self, desktop: Desktop) -> None:
        self._desktop = desktop
        self._notifier = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._read)

    def _read(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self._desktop.window.close()
            QApplication.quit()
            return
        question, _space, rest = line.strip().partition(" ")
        print(json.dumps(self.answer(question, rest)), flush=True)

    def answer(self, question: str, rest: str) -> Any:
        """What is asked for; None for what is not there."""
        page = self._desktop.window.pages.currentWidget()
        if question == "where":
            return where(rest)
        if question == "page":
            route = self._desktop.window.pages.route
            return route.key if route is not None else None
        if question == "cell" and isinstance(page, DagListPage):
            dag_id, _space, column = rest.partition(" ")
            row = page.table_model.row_of(dag_id)
            rect = page.table.visualRect(page.table_model.index(row, int(column)))
            return middle(page.table.viewport(), rect) if row >= 0 else None
        if question == "paused" and isinstance(page, DagListPage):
            return {row.dag.dag_id: row.dag.is_paused for row in page.table_model.rows}
        if isinstance(page, DagPage):
            return self._of_dag(page, question, rest)
        if question == "samples" and isinstance(page, WorkersPage) and page.chosen is not None:
            return len(page.model.moments(page.chosen))
        return None

    def _of_dag(self, page: DagPage, question: str, rest: str) -> Any:
        if question == "states":
            return {row.task_id: [row.state, row.try_number] for row in page.run.rows.values()}
        if question == "node":
            rect = page.graph.item_rect(rest)
            return middle(page.graph.viewport(), rect) if not rect.isEmpty() else None
        if question == "stripe":
            rect = page.graph.item_rect(rest)
            image = page.graph.viewport().grab().toImage()
            return image.pixelColor(QPoint(rect.left() + 3, rect.center().y())).name() if not rect.isEmpty() else None
        if question == "log":
            return page.panel.log.area.content().decode("utf-8", "replace") if page.panel.isVisible() else None
        return None


def main() -> int:
    """Run the program until its window or standard input is closed."""
    application = QApplication(sys.argv[:1])
    folder = Path(os.environ["SESSION_FOLDER"])
    places = Places(config=folder / "config", state=folder / "state")
    desktop = Desktop(application, places, register_pages, secrets=SecretStore(MemoryKeyring))
    witness = Witness(desktop)
    desktop.start(StartOptions())
    desktop.window.move(0, 0)
    desktop.window.resize(1400, 900)
    code = application.exec()
    del witness
    return code


if __name__ == "__main__":
    sys.exit(main())
