"""The bar over the DAG page's graph: its tabs, the search for tasks, the next run, and which run is looked at.

Decides layout and the words of the run list. Does not decide what a choice does (`dag_page`). Used by the DAG page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QTabBar, QWidget

from dagdeck_client.models import DagDetails, DagRun
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.viewmodels.dag import DagModel
from dagdeck_desktop.viewmodels.wording import distance_text, full_time_text, time_text
from dagdeck_desktop.widgets import search_field
from dagdeck_desktop.widgets.header import ElidedLabel

TABS = ("Graph", "Runs", "Tasks", "Code")
SEARCHED = ("Graph", "Tasks")
"""The tabs in which tasks can be searched for."""


class DagBar(QWidget):
    """`found_next(step)` follows Enter in the search (1) or Shift+Enter (-1), `run_picked(index)` a choice of a run."""

    found_next = Signal(int)
    run_picked = Signal(int)

    def __init__(self, context: DesktopContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._entries: list[tuple[str, str, str]] = []
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 6, 10, 0)
        row.setSpacing(8)
        self.tabs = QTabBar(self)
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName("About the DAG")
        for name in TABS:
            self.tabs.addTab(name)
        self.tabs.currentChanged.connect(lambda number: self.search.setVisible(TABS[number] in SEARCHED))
        self.search: QLineEdit = search_field("Find a task", context.icons, self)
        self.search.setToolTip("Find tasks by their name (Ctrl+F); Enter goes to the next one")
        self.search.setMinimumWidth(112)
        self.search.setMaximumWidth(180)
        self.search.installEventFilter(self)
        self.next_run = ElidedLabel("", "tertiary", self)
        self.next_run.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.run_box = QComboBox(self)
        self.run_box.setAccessibleName("Run")
        self.run_box.setMinimumWidth(150)
        self.run_box.setMaximumWidth(320)
        self.run_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.run_box.activated.connect(self.run_picked)
        self.run_button = QPushButton("\u2009Run", self)
        self.run_button.setAccessibleName("Actions on the run")
        self.run_button.setCursor(Qt.CursorShape.PointingHandCursor)
        context.icons.bind(self.run_button, "ellipsis")
        row.addWidget(self.tabs, 0, Qt.AlignmentFlag.AlignBottom)
        row.addWidget(self.next_run, 3)
        row.addWidget(self.search, 2)
        row.addWidget(self.run_box)
        row.addWidget(self.run_button)

    def show_dag(self, dag: DagModel) -> None:
        """Show the DAG's runs and its next one."""
        entries = [(run_name(run), run.dag_run_id, run.state) for run in dag.recent]
        if dag.selected_run_id and dag.selected_run is None:
            entries.insert(0, (dag.selected_run_id, dag.selected_run_id, ""))
        if entries != self._entries:
            self._entries = entries
            self._fill(entries)
        self.run_box.setCurrentIndex(self.run_box.findData(dag.selected_run_id))
        self.run_box.setVisible(bool(entries))
        self.run_button.setVisible(bool(entries))
        self.tick(dag)

    def tick(self, dag: DagModel) -> None:
        """Say when the next run comes, as of now."""
        if dag.details is not None:
            self.next_run.setText(next_run_text(dag.details))
            self.next_run.setToolTip(full_time_text(dag.details.next_dagrun_run_after))

    def begin_search(self) -> None:
        """Let a person type what to look for."""
        if TABS[self.tabs.currentIndex()] not in SEARCHED:
            self.tabs.setCurrentIndex(0)
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def _fill(self, entries: Sequence[tuple[str, str, str]]) -> None:
        theme, dpr = self._context.theme, self.devicePixelRatioF()
        self.run_box.clear()
        for text, run_id, state in entries:
            icon = self._context.icons.pixmap(theme.state_icon(state), 16, theme.state_ink(state), dpr)
            self.run_box.addItem(icon, text, run_id)

    def eventFilter(self, watched: object, event: object) -> bool:
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() is QKeyEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.found_next.emit(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
                return True
            if event.key() == Qt.Key.Key_Escape and self.search.text():
                self.search.clear()
                return True
        return False


def run_name(run: DagRun) -> str:
    """How a run is named in the list to choose from."""
    return f"{time_text(run.run_after)} · {run.run_type.replace('_', ' ')}"


def next_run_text(details: DagDetails, now: datetime | None = None) -> str:
    """When the next run comes, and by which schedule."""
    after = details.next_dagrun_run_after
    said = details.timetable_description or details.timetable_summary or ""
    if details.is_paused:
        when = "Paused"
    elif after is None:
        when = "Started by hand" if details.timetable_summary in (None, "None") else "No next run"
        said = "" if when == "Started by hand" else said
    else:
        when = "Next run due now" if after <= (now or datetime.now(UTC)) else f"Next run {distance_text(after, now)}"
    return " · ".join(part for part in (when, said) if part)
