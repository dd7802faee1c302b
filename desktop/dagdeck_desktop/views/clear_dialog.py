"""The question before tasks are cleared: which of them it would be, and with what comes after them or not.

Decides layout; the server says which task instances are meant. Opened by the DAG page.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QDialog, QHBoxLayout, QListWidget, QVBoxLayout, QWidget

from dagdeck_client.models import TaskInstancePage
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.viewmodels.run import RunModel
from dagdeck_desktop.viewmodels.wording import count_text
from dagdeck_desktop.widgets import button, label
from dagdeck_desktop.widgets.header import ElidedLabel
from dagdeck_desktop.widgets.placeholders import sentence_of

MOST_NAMES = 200


class ClearDialog(QDialog):
    """Asks before clearing. `confirmed(with_downstream, only_failed)` follows "Clear"."""

    confirmed = Signal(bool, bool)

    def __init__(
        self, context: DesktopContext, run: RunModel, task_ids: Sequence[str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(True)
        self._context = context
        self._run = run
        self._task_ids = list(task_ids)
        self._number = 0
        title = f"Clear {task_ids[0]}" if len(task_ids) == 1 else "Clear tasks" if task_ids else "Clear the run"
        self.setWindowTitle(title)
        self.resize(480, 420)
        self._lay_out(title)
        self._ask()

    def _lay_out(self, title: str) -> None:
        icons = self._context.icons
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(ElidedLabel(title, "title", self))
        said = "Cleared tasks run once more, with new tries. What they did before is kept in their history."
        column.addWidget(label(said, "secondary", self, wraps=True))
        self.downstream = QCheckBox("Also what comes after", self)
        self.downstream.setChecked(True)
        self.downstream.setVisible(bool(self._task_ids))
        self.only_failed = QCheckBox("Only those that failed", self)
        for box in (self.downstream, self.only_failed):
            box.toggled.connect(lambda _on: self._ask())
            column.addWidget(box)
        self.count = label("", "section", self)
        column.addWidget(self.count)
        self.names = QListWidget(self)
        self.names.setAccessibleName("Task instances that will be cleared")
        column.addWidget(self.names, 1)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        cancel = button("Cancel", icons, parent=self)
        cancel.clicked.connect(self.reject)
        self.ok = button("Clear", icons, "rotate-ccw", "primary", self)
        self.ok.setEnabled(False)
        self.ok.clicked.connect(self._confirm)
        row.addWidget(cancel)
        row.addWidget(self.ok)
        column.addLayout(row)

    def _ask(self) -> None:
        self._number += 1
        number = self._number
        self.ok.setEnabled(False)
        self.count.setText("…")
        request = self._run.clear_preview(
            self._task_ids, with_downstream=self.downstream.isChecked(), only_failed=self.only_failed.isChecked()
        )
        self._context.api.call(
            request,
            lambda page: self._came(number, page),
            lambda error: self._refused(number, error),
            owner=self,
        )

    def _came(self, number: int, page: TaskInstancePage) -> None:
        if number != self._number:
            return
        found = page.task_instances
        total = page.total_entries if page.total_entries is not None else len(found)
        self.count.setText(count_text(total, "task") if total else "Nothing to clear")
        self.names.clear()
        for ti in found[:MOST_NAMES]:
            name = ti.task_id if ti.map_index < 0 else f"{ti.task_id} [{ti.map_index}]"
            self.names.addItem(f"{name}  ·  {self._context.theme.state_label(ti.state)}")
        self.ok.setEnabled(total > 0)
        self.ok.setFocus()

    def _refused(self, number: int, error: DagDeckError) -> None:
        if number == self._number:
            self.count.setText(" ".join(sentence_of(error)).strip())
            self.names.clear()

    def _confirm(self) -> None:
        self.confirmed.emit(self.downstream.isChecked(), self.only_failed.isChecked())
        self.accept()
