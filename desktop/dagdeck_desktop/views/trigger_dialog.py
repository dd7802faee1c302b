"""The dialog that starts a run: a field for each param, or the whole configuration as JSON.

Decides layout, and that only what was changed is sent. Does not decide what is valid (`viewmodels.trigger_form`).
Opened by the DAG page and the DAG list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QCompleter,
    QDialog,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QStackedWidget,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from dagdeck_core.errors import UserError
from dagdeck_desktop.actions.spec import command_line
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.theme import FontRole
from dagdeck_desktop.viewmodels.trigger_form import (
    FieldKind,
    ParamField,
    changed_conf,
    conf_from_json,
    fields_of,
    problem_of,
    value_of,
)
from dagdeck_desktop.widgets import button, label, line
from dagdeck_desktop.widgets.controls import set_variant
from dagdeck_desktop.widgets.header import ElidedLabel

WIDTH = 560
_LONG = frozenset({FieldKind.LINES, FieldKind.LIST, FieldKind.JSON})
_HINTS = {FieldKind.LIST: "One value a line", FieldKind.JSON: "JSON", FieldKind.INTEGER: "Whole number"}


class ParamInput(QWidget):
    """One param: its title, the control, its description, and what is wrong. `edited` follows each change."""

    edited = Signal()

    def __init__(self, context: DesktopContext, field: ParamField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = field
        self._read: Callable[[], Any] = lambda: None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.control = self._make(context)
        self.control.setAccessibleName(field.title)
        self.control.setAccessibleDescription(field.description)
        if field.kind is not FieldKind.SWITCH:
            head = QHBoxLayout()
            head.addWidget(label(field.title + (" *" if field.is_required else ""), "body", self))
            head.addStretch(1)
            if field.title != field.name:
                head.addWidget(label(field.name, "tertiary", self))
            column.addLayout(head)
        column.addWidget(self.control)
        if field.description:
            column.addWidget(label(field.description, "secondary", self, wraps=True))
        self.problem = label("", "danger", self, wraps=True)
        self.problem.hide()
        column.addWidget(self.problem)

    def value(self) -> Any:
        """What stands in the control. Raises UserError when that is no value of the kind."""
        return self._read()

    def check(self) -> bool:
        """Say what is wrong, or nothing; True when it is right."""
        try:
            said = problem_of(self.field, self.value())
        except UserError as error:
            said = error.message[0].upper() + error.message[1:] + "."
        self.problem.setText(said)
        self.problem.setVisible(bool(said))
        set_variant(self.control, "invalid", bool(said))
        return not said

    def _make(self, context: DesktopContext) -> QWidget:
        kind = self.field.kind
        if kind is FieldKind.SWITCH:
            return self._make_switch()
        if kind is FieldKind.CHOICE:
            return self._make_choice()
        if kind in _LONG:
            return self._make_text(context)
        return self._make_line()

    def _make_switch(self) -> QWidget:
        box = QCheckBox(self.field.title, self)
        box.setChecked(bool(self.field.default))
        box.toggled.connect(lambda _on: self.edited.emit())
        self._read = box.isChecked
        return box

    def _make_choice(self) -> QWidget:
        box = QComboBox(self)
        for text, _value in self.field.choices:
            box.addItem(text)
        values = [value for _text, value in self.field.choices]
        box.setCurrentIndex(values.index(self.field.default) if self.field.default in values else -1)
        box.currentIndexChanged.connect(lambda _index: self.edited.emit())
        self._read = lambda: values[box.currentIndex()] if box.currentIndex() >= 0 else None
        return box

    def _make_text(self, context: DesktopContext) -> QWidget:
        edit = QPlainTextEdit(self.field.default_text, self)
        edit.setPlaceholderText(_HINTS.get(self.field.kind, ""))
        edit.setTabChangesFocus(True)
        edit.setFixedHeight(96)
        if self.field.kind is FieldKind.JSON:
            edit.setFont(context.theme.font(FontRole.MONO))
        edit.textChanged.connect(self.edited)
        self._read = lambda: value_of(self.field, edit.toPlainText())
        return edit

    def _make_line(self) -> QWidget:
        edit = QLineEdit(self.field.default_text, self)
        hint = "Empty: none" if self.field.is_nullable else _HINTS.get(self.field.kind, "")
        edit.setPlaceholderText(hint)
        if self.field.hints:
            completer = QCompleter(list(self.field.hints), edit)
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            edit.setCompleter(completer)
        edit.textChanged.connect(lambda _text: self.edited.emit())
        self._read = lambda: value_of(self.field, edit.text())
        return edit


class TriggerDialog(QDialog):
    """Asks for a run's params. `accepted_run(conf, run_id, note)` follows "Trigger run"."""

    accepted_run = Signal(object, str, str)

    def __init__(
        self, context: DesktopContext, dag_id: str, params: Mapping[str, Any], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._context = context
        self._dag_id = dag_id
        self.inputs = [ParamInput(context, field, self) for field in fields_of(params)]
        self.setWindowTitle(f"Trigger {dag_id}")
        self.setModal(True)
        self._lay_out()
        for each in self.inputs:
            each.edited.connect(self._edited)
        self.json.textChanged.connect(self._edited)
        self.tabs.currentChanged.connect(self._tab_changed)
        room = parent.height() - 80 if parent is not None else 720
        self.resize(WIDTH, min(max(360, room), self.sizeHint().height()))
        self._edited()

    # ------------------------------------------------------------ layout

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(ElidedLabel(f"Trigger {self._dag_id}", "title", self))
        self.tabs = QTabBar(self)
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.addTab("Parameters")
        self.tabs.addTab("JSON")
        self.pages = QStackedWidget(self)
        self.pages.addWidget(self._form())
        self.pages.addWidget(self._json_page())
        column.addWidget(self.tabs)
        column.addWidget(line(self))
        column.addWidget(self.pages, 1)
        column.addWidget(line(self))
        self.run_id = QLineEdit(self)
        self.run_id.setPlaceholderText("Run id (made up when empty)")
        self.run_id.setAccessibleName("Run id")
        self.note = QLineEdit(self)
        self.note.setPlaceholderText("Note")
        self.note.setAccessibleName("Note")
        more = QHBoxLayout()
        more.setSpacing(8)
        more.addWidget(self.run_id, 1)
        more.addWidget(self.note, 1)
        column.addLayout(more)
        column.addLayout(self._buttons())

    def _form(self) -> QWidget:
        inside = QWidget()
        form = QVBoxLayout(inside)
        form.setContentsMargins(0, 4, 12, 4)
        form.setSpacing(16)
        section = ""
        for each in self.inputs:
            if each.field.section and each.field.section != section:
                section = each.field.section
                form.addWidget(label(section, "section", inside))
            form.addWidget(each)
        if not self.inputs:
            form.addWidget(label("This DAG has no parameters. A configuration can be given as JSON.", "secondary"))
        form.addStretch(1)
        area = QScrollArea(self)
        area.setAccessibleName("Parameters")
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(inside)
        area.setMinimumHeight(min(500, inside.sizeHint().height() + 8))
        return area

    def _json_page(self) -> QWidget:
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(6)
        said = "The whole configuration. Parameters that are left out keep their defaults."
        column.addWidget(label(said, "secondary", page, wraps=True))
        self.json = QPlainTextEdit("{}", page)
        self.json.setAccessibleName("Configuration as JSON")
        self.json.setFont(self._context.theme.font(FontRole.MONO))
        self.json.setMinimumHeight(160)
        column.addWidget(self.json, 1)
        self.json_problem = label("", "danger", page, wraps=True)
        column.addWidget(self.json_problem)
        return page

    def _buttons(self) -> QHBoxLayout:
        icons = self._context.icons
        row = QHBoxLayout()
        row.setSpacing(8)
        copy = button("Copy as command", icons, "terminal", "quiet", self)
        copy.clicked.connect(self._copy)
        cancel = button("Cancel", icons, parent=self)
        cancel.clicked.connect(self.reject)
        self.ok = button("Trigger run", icons, "play", "primary", self)
        self.ok.setDefault(True)
        self.ok.clicked.connect(self._accept)
        row.addWidget(copy)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self.ok)
        return row

    # ------------------------------------------------------------ what a person does

    @property
    def is_json(self) -> bool:
        """True while the configuration is given as JSON."""
        return self.tabs.currentIndex() == 1

    def conf(self) -> dict[str, Any]:
        """The configuration as it is now. Raises UserError when it is none."""
        if self.is_json:
            return conf_from_json(self.json.toPlainText())
        return changed_conf(
            [each.field for each in self.inputs], {each.field.name: each.value() for each in self.inputs}
        )

    def _problems(self) -> Sequence[str]:
        if not self.is_json:
            return [each.problem.text() for each in self.inputs if not each.check()]
        try:
            self.conf()
        except UserError as error:
            return [error.message[0].upper() + error.message[1:] + "."]
        return []

    def _edited(self) -> None:
        problems = self._problems()
        self.json_problem.setText(problems[0] if problems and self.is_json else "")
        self.ok.setEnabled(not problems)

    def _tab_changed(self, number: int) -> None:
        if number == 1:
            # What was filled in so far is where the JSON begins.
            self.tabs.blockSignals(True)
            self.tabs.setCurrentIndex(0)
            try:
                text = json.dumps(self.conf(), indent=2, ensure_ascii=False)
            except UserError:
                text = self.json.toPlainText()
            self.tabs.setCurrentIndex(1)
            self.tabs.blockSignals(False)
            self.json.setPlainText(text)
        self.pages.setCurrentIndex(number)
        self._edited()

    def _copy(self) -> None:
        try:
            conf = self.conf()
        except UserError as error:
            self._context.window.notify_error(error, "There is no command for this")
            return
        text = command_line(trigger_arguments(self._dag_id, conf, self.run_id.text().strip(), self.note.text().strip()))
        QGuiApplication.clipboard().setText(text)
        self._context.window.notify(f"Copied: {text}")

    def _accept(self) -> None:
        if self._problems():
            self._edited()
            return
        self.accepted_run.emit(self.conf(), self.run_id.text().strip(), self.note.text().strip())
        self.accept()


def trigger_arguments(dag_id: str, conf: Mapping[str, Any], run_id: str = "", note: str = "") -> list[str]:
    """The command line that starts the same run."""
    arguments = ["dags", "trigger", dag_id]
    if conf:
        arguments += ["--conf", json.dumps(conf, ensure_ascii=False)]
    if run_id:
        arguments += ["--run-id", run_id]
    if note:
        arguments += ["--note", note]
    return arguments
