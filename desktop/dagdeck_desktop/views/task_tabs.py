"""The task panel's tabs beside the log: details with rendered fields, XCom, code, tries.

Decides their layout. Used by `task_panel`.
"""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import QRect, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QFrame, QGridLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from dagdeck_client.models import TaskInstance
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.tables import Column, RowModel, RowTable
from dagdeck_desktop.theme import FontRole
from dagdeck_desktop.viewmodels.dag import DagModel
from dagdeck_desktop.viewmodels.task import TaskModel
from dagdeck_desktop.viewmodels.wording import duration_text, full_time_text, time_text
from dagdeck_desktop.views.text_dialog import TextDialog, text_view
from dagdeck_desktop.views.web_links import link_button, web_address
from dagdeck_desktop.widgets import ContentStack, EmptyState, label
from dagdeck_desktop.widgets.pill import paint_pill

MOST_TEXT = 2_000
"""Characters of a value that are shown in place; the rest is in a window of its own."""
LONGEST_WORD = 36
"""Characters of a word that fits into the narrowest panel."""


def json_text(value: Any) -> str:
    """A value as a person reads it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)


class DetailsTab(QScrollArea):
    """The task instance's links and everything known about it, then its rendered fields."""

    def __init__(self, context: DesktopContext, model: TaskModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._model = model
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self._inside = QWidget()
        # On the panel's own ground.
        self.setProperty("kind", "plain")
        self._inside.setProperty("kind", "plain")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._grid = QGridLayout(self._inside)
        self._grid.setContentsMargins(0, 12, 0, 12)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(1, 1)
        self.setWidget(self._inside)
        self._shown: list[tuple[str, str]] = []
        self._links: dict[str, str | None] = {}
        model.changed.connect(self.show_details)

    def load(self) -> None:
        """Ask for what only this tab shows."""
        self._model.load_links()

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Names and values as shown."""
        return self._shown

    def show_details(self) -> None:
        """Show the model's instance."""
        wanted, links = self._facts(), self._model.links
        if (wanted, links) == (self._shown, self._links):
            return
        self._shown, self._links = wanted, dict(links)
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        first = self._show_links()
        for number, (name, value) in enumerate(wanted, first):
            if not value:
                self._grid.addWidget(label(name, "section", self._inside), number, 0, 1, 2)
                continue
            self._grid.addWidget(label(name, "secondary", self._inside), number, 0, Qt.AlignmentFlag.AlignTop)
            self._grid.addWidget(self._value(value), number, 1, Qt.AlignmentFlag.AlignTop)
        self._grid.setRowStretch(first + len(wanted), 1)

    def _show_links(self) -> int:
        """Place the links above the facts; how many rows they take. What is no address of the web is shown as text."""
        number = 0
        for name, address in self._links.items():
            url = web_address(address)
            if url is not None:
                self._grid.addWidget(link_button(name, url, self._inside), number, 0, 1, 2, Qt.AlignmentFlag.AlignLeft)
            elif address:
                self._grid.addWidget(label(name, "secondary", self._inside), number, 0, Qt.AlignmentFlag.AlignTop)
                self._grid.addWidget(self._value(address), number, 1, Qt.AlignmentFlag.AlignTop)
            number += bool(address)
        return number

    def _value(self, text: str) -> QWidget:
        shown_text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"
        if len(text) > LONGEST_WORD and not any(part in text for part in (" ", "\n")):
            return self._word(shown_text)
        shown = label(shown_text, "body", self._inside, wraps=True)
        shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        if "\n" in text or text.startswith(("{", "[")):
            shown.setFont(self._context.theme.font(FontRole.MONO))
        return shown

    def _word(self, text: str) -> QLineEdit:
        """A long id has no blank to be broken at: it is read by moving in it, and the panel stays narrow."""
        shown = QLineEdit(text, self._inside)
        shown.setReadOnly(True)
        shown.setCursorPosition(0)
        shown.setProperty("kind", "flat")
        shown.setToolTip(text)
        shown.setAccessibleName(text)
        return shown

    def _facts(self) -> list[tuple[str, str]]:
        instance = self._model.instance
        if instance is None:
            return []
        explanation = self._model.explanation
        gates = [("Why it waits", "")] if explanation is not None and explanation.gates else []
        if explanation is not None:
            gates += [(gate.kind.replace("_", " "), f"{gate.reason}. {gate.opens}") for gate in explanation.gates]
        fields = instance.rendered_fields or {}
        rendered = [("Rendered fields", "")] if fields else []
        rendered += [(name, json_text(value) or '""') for name, value in fields.items()]
        return [*gates, *_plain_facts(instance), *rendered]


def _plain_facts(ti: TaskInstance) -> list[tuple[str, str]]:
    told = {
        "Task id": ti.task_id,
        "Run id": ti.dag_run_id,
        "Map index": str(ti.map_index) if ti.map_index >= 0 else "",
        "State": ti.state or "none",
        "Operator": ti.operator or ti.operator_name or "",
        "Tries": f"{ti.try_number} of {max(ti.max_tries + 1, ti.try_number)}",
        "Queued": full_time_text(ti.queued_when) if ti.queued_when else "",
        "Started": full_time_text(ti.start_date) if ti.start_date else "",
        "Ended": full_time_text(ti.end_date) if ti.end_date else "",
        "Duration": duration_text(ti.duration) if ti.duration is not None else "",
        "Waited": _waited(ti),
        "Pool": ti.pool,
        "Queue": ti.queue or "",
        "Priority weight": str(ti.priority_weight) if ti.priority_weight is not None else "",
        "Host": ti.hostname or "",
        "Process": str(ti.pid) if ti.pid else "",
        "Note": ti.note or "",
        "Id": ti.id or "",
    }
    return [(name, value) for name, value in told.items() if value]


def _waited(ti: TaskInstance) -> str:
    if ti.queued_when is None or ti.start_date is None:
        return ""
    return duration_text(max(0.0, (ti.start_date - ti.queued_when).total_seconds()))


class XComTab(QWidget):
    """The values that the task pushed."""

    def __init__(self, context: DesktopContext, model: TaskModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._context = context
        columns: list[Column[tuple[str, str]]] = [
            Column(title="Key", text=lambda row: row[0], width=150),
            Column(title="Value", text=lambda row: " ".join(row[1].split()), stretches=True, is_quiet=True),
        ]
        self.rows: RowModel[tuple[str, str]] = RowModel(columns, lambda row: row[0])
        self.table = RowTable(context.theme, self.rows, "XCom values", self)
        self.table.opened.connect(self._open)
        empty = EmptyState(context.theme, context.icons, "package", "No XCom", "This task pushed no value.")
        self.stack = ContentStack(context.theme, context.icons, self.table, empty, self.load, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.stack)
        model.xcoms_came.connect(self._show)
        model.changed.connect(self._state_changed)

    def load(self) -> None:
        """Ask anew."""
        self.stack.show_loading()
        self._model.load_xcoms()

    def _state_changed(self) -> None:
        if self.isVisible() and self._model.is_finished and not self._model.xcom_keys:
            self._model.load_xcoms()

    def _show(self) -> None:
        error = self._model.part_error
        if error is not None:
            self.stack.show_error(error, "XCom could not be loaded")
            return
        xcoms = self._model.xcoms
        self.rows.set_rows([(key, json_text(xcoms[key]) if key in xcoms else "…") for key in self._model.xcom_keys])
        self.stack.show_content(is_empty=not self._model.xcom_keys)

    def _open(self, row: tuple[str, str]) -> None:
        TextDialog(self._context, row[0], row[1], self.window()).open()


class CodeTab(QWidget):
    """The file that defines the DAG."""

    def __init__(self, context: DesktopContext, model: DagModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.view = text_view(context, self)
        empty = EmptyState(context.theme, context.icons, "file-code", "No code", "The cluster keeps no source of it.")
        self.stack = ContentStack(context.theme, context.icons, self.view, empty, self.load, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 12, 0, 0)
        column.addWidget(self.stack)
        model.source_came.connect(self._show)

    def load(self) -> None:
        """Ask for the file, unless it is there."""
        if self._model.source is not None:
            self._show()
            return
        self.stack.show_loading()
        self._model.load_source()

    def _show(self) -> None:
        source, error = self._model.source, self._model.source_error
        if error is not None:
            self.stack.show_error(error, "The code could not be loaded")
            return
        text = (source.content if source is not None else None) or ""
        if text != self.view.toPlainText():
            self.view.setPlainText(text)
        self.stack.show_content(is_empty=not text)


class TriesTab(QWidget):
    """Every try; a click shows its log."""

    try_chosen = Signal(int)

    def __init__(self, context: DesktopContext, model: TaskModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model

        def state(painter: QPainter, rect: QRect, row: TaskInstance) -> None:
            paint_pill(painter, rect, row.state, context.theme, context.icons)

        columns: list[Column[TaskInstance]] = [
            Column(title="Try", text=lambda row: str(row.try_number), width=50, is_number=True),
            Column(title="State", text=lambda row: row.state or "none", paint=state, width=134),
            Column(title="Started", text=lambda row: time_text(row.start_date), width=84),
            Column(title="Took", text=lambda row: duration_text(row.duration), width=74),
            Column(title="Worker", text=lambda row: row.hostname or "–", stretches=True, is_quiet=True),
        ]
        self.rows: RowModel[TaskInstance] = RowModel(columns, lambda row: row.try_number)
        self.table = RowTable(context.theme, self.rows, "Tries", self, opens_by_click=True)
        self.table.opened.connect(lambda row: self.try_chosen.emit(row.try_number))
        empty = EmptyState(context.theme, context.icons, "history", "No tries yet", "This task has not started.")
        self.stack = ContentStack(context.theme, context.icons, self.table, empty, self.load, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.stack)
        model.tries_came.connect(self._show)
        model.changed.connect(self._state_changed)
        self._seen = ("", 0)

    def load(self) -> None:
        """Ask anew."""
        self._model.load_tries()

    def _state_changed(self) -> None:
        instance = self._model.instance
        seen = (instance.state or "", instance.try_number) if instance is not None else ("", 0)
        if self.isVisible() and seen != self._seen:
            self.load()
        self._seen = seen

    def _show(self) -> None:
        error = self._model.part_error
        if error is not None:
            self.stack.show_error(error, "Tries could not be loaded")
            return
        self.rows.set_rows(self._model.tries)
        self.stack.show_content(is_empty=not self._model.tries)
