"""The panel of the selected task: its facts, live log, details, XCom, code and tries.

Decides layout and what each tab asks for when it is opened. Does not decide what is selected (`dag_page`). Used by the
DAG page.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QStackedWidget,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from dagdeck_core.errors import UserError
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.log import LogArea
from dagdeck_desktop.shell.notices import Tone
from dagdeck_desktop.viewmodels import Phase
from dagdeck_desktop.viewmodels.dag import DagModel
from dagdeck_desktop.viewmodels.run import RunModel
from dagdeck_desktop.viewmodels.task import TaskModel, TaskPlace
from dagdeck_desktop.viewmodels.task_log import LogPlace, TaskLogModel
from dagdeck_desktop.viewmodels.wording import count_text, duration_text, time_text
from dagdeck_desktop.views.task_tabs import CodeTab, DetailsTab, TriesTab, XComTab
from dagdeck_desktop.widgets import Card, ContentStack, EmptyState, StatePill, button, label, line, search_field
from dagdeck_desktop.widgets.controls import set_variant
from dagdeck_desktop.widgets.header import ElidedLabel

TABS = ("Log", "Details", "XCom", "Code", "Tries")
_FACTS = ("Operator", "Pool", "Started", "Duration", "Worker", "Attempt")


class LogTab(QWidget):
    """A log with its filter, and what stands in for it while there is none."""

    def __init__(self, context: DesktopContext, model: TaskLogModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._model = model
        theme, icons = context.theme, context.icons
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 12, 0, 0)
        column.setSpacing(10)
        bar = QHBoxLayout()
        bar.setSpacing(8)
        self.filter = search_field("Filter log (regex)", icons, self)
        self.filter.textChanged.connect(self._filter)
        self.hits = label("", "tertiary", self)
        self.wrap = button("Wrap", icons, "wrap-text", parent=self)
        self.wrap.setCheckable(True)
        self.save = button("Save", icons, "download", parent=self)
        self.save.clicked.connect(self._save)
        bar.addWidget(self.filter, 1)
        bar.addWidget(self.hits)
        self.hits.hide()
        bar.addWidget(self.wrap)
        bar.addWidget(self.save)
        column.addLayout(bar)
        self.area = LogArea(theme, icons, self)
        self.area.hits_changed.connect(self._show_hits)
        self.wrap.toggled.connect(self.area.set_wrapping)
        empty = EmptyState(theme, icons, "scroll-text", "No output yet", "")
        frame = Card(margin=1)
        frame.body.addWidget(self.area)
        self.stack = ContentStack(theme, icons, frame, empty, model.retry, self)
        column.addWidget(self.stack, 1)
        model.restarted.connect(self._restarted)
        model.appended.connect(self._appended)
        model.changed.connect(self._show_phase)
        self._show_phase()

    def set_waiting_text(self, text: str) -> None:
        """Say why there is no output yet."""
        self.stack.empty.set_texts("No output yet", text)

    def _restarted(self) -> None:
        self.area.clear()
        self.area.set_following(True)

    def _appended(self, content: bytes) -> None:
        self.area.append(content)
        self._show_phase()

    def _show_phase(self) -> None:
        model = self._model
        if model.phase is Phase.READY or model.end:
            self.stack.show_content(is_empty=model.end == 0)
        elif model.phase is Phase.FAILED and model.error is not None:
            self.stack.show_error(model.error, model.WHAT)
        else:
            self.stack.show_loading()
        self.save.setEnabled(model.end > 0)

    def _filter(self, text: str) -> None:
        try:
            self.area.set_filter(text)
        except UserError as error:
            set_variant(self.filter, "invalid", True)
            self.filter.setToolTip(error.message)
            self._say("not a pattern")
            return
        set_variant(self.filter, "invalid", False)
        self.filter.setToolTip("")
        if not text:
            self._say("")

    def _say(self, text: str) -> None:
        self.hits.setText(text)
        self.hits.setVisible(bool(text))

    def _show_hits(self, count: int, is_whole: bool) -> None:
        if self.filter.text():
            self._say(count_text(count, "line") + ("" if is_whole else "…"))

    def _save(self) -> None:
        place = self._model.place
        if place is None:
            return
        name = f"{place.dag_id}.{place.task_id}.{self._model.try_number}.log".replace("/", "_")
        path, _kind = QFileDialog.getSaveFileName(self.window(), "Save the log", name, "Logs (*.log);;All files (*)")
        if not path:
            return
        try:
            with open(path, "wb") as file:
                file.write(self.area.content())
        except OSError as error:
            self._context.window.notify_error(error, f"{path} could not be written")
            return
        self._context.window.notify(f"Saved {path}", Tone.DONE)


class TaskPanel(Card):
    """One task instance. `closed` follows the cross, `menu_wanted(button)` the dots, `instance_chosen(map_index)`
    another instance of a mapped task."""

    closed = Signal()
    menu_wanted = Signal(object)
    instance_chosen = Signal(int)

    def __init__(self, context: DesktopContext, dag: DagModel, run: RunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent, margin=0, gap=0)
        self._context = context
        self._run = run
        self.model = TaskModel(context.api, context.feed, self)
        self.log_model = TaskLogModel(context.api, context.feed, self)
        self.model.failed.connect(context.window.notify_error)
        self.log_model.failed.connect(context.window.notify_error)
        self.place: TaskPlace | None = None
        self._try_number: int | None = None
        self._build_head()
        self._build_tabs(dag)
        self.model.changed.connect(self._show)
        run.tasks_changed.connect(self._run_changed)

    def _build_head(self) -> None:
        theme, icons = self._context.theme, self._context.icons
        head = QHBoxLayout()
        head.setContentsMargins(16, 12, 8, 0)
        head.setSpacing(8)
        self.title = ElidedLabel("", "section", self)
        self.pill = StatePill(theme, icons, None, self)
        self.instances = QComboBox(self)
        self.instances.setAccessibleName("Instance of the mapped task")
        self.instances.setMaximumWidth(180)
        self.instances.activated.connect(lambda index: self.instance_chosen.emit(self.instances.itemData(index)))
        more = QToolButton(self)
        more.setAccessibleName("Actions on the task")
        more.setToolTip("Clear or mark the task")
        icons.bind(more, "ellipsis", 18)
        more.clicked.connect(lambda: self.menu_wanted.emit(more))
        close = QToolButton(self)
        close.setAccessibleName("Close the task")
        close.setToolTip("Close (Esc)")
        icons.bind(close, "x", 18)
        close.clicked.connect(self.closed)
        head.addWidget(self.title)
        head.addWidget(self.pill)
        head.addWidget(self.instances)
        head.addStretch(1)
        head.addWidget(more)
        head.addWidget(close)
        self.body.addLayout(head)
        facts = QGridLayout()
        facts.setContentsMargins(16, 8, 16, 4)
        facts.setHorizontalSpacing(16)
        facts.setVerticalSpacing(4)
        self._facts: dict[str, ElidedLabel] = {}
        for number, name in enumerate(_FACTS):
            row, column = divmod(number, 2)
            facts.addWidget(label(name, "secondary", self), row, 2 * column)
            self._facts[name] = ElidedLabel("–", "body", self)
            facts.addWidget(self._facts[name], row, 2 * column + 1)
            facts.setColumnStretch(2 * column + 1, 1)
        self.body.addLayout(facts)

    def _build_tabs(self, dag: DagModel) -> None:
        context = self._context
        inside = QVBoxLayout()
        inside.setContentsMargins(16, 6, 16, 16)
        inside.setSpacing(0)
        self.tabs = QTabBar(self)
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName("About the task")
        for name in TABS:
            self.tabs.addTab(name)
        self.tabs.currentChanged.connect(self._tab_changed)
        self.pages = QStackedWidget(self)
        self.log = LogTab(context, self.log_model, self)
        self.details = DetailsTab(context, self.model, self)
        self.xcom = XComTab(context, self.model, self)
        self.code = CodeTab(context, dag, self)
        self.tries = TriesTab(context, self.model, self)
        self.tries.try_chosen.connect(self._show_try)
        for page in (self.log, self.details, self.xcom, self.code, self.tries):
            self.pages.addWidget(page)
        inside.addWidget(self.tabs)
        inside.addWidget(line(self))
        inside.addWidget(self._try_note())
        inside.addWidget(self.pages, 1)
        self.body.addLayout(inside, 1)

    def _try_note(self) -> QPushButton:
        self.try_note = QPushButton(self)
        self.try_note.setProperty("kind", "link")
        self.try_note.setCursor(Qt.CursorShape.PointingHandCursor)
        self.try_note.clicked.connect(lambda: self._show_try(None))
        self.try_note.hide()
        return self.try_note

    # ------------------------------------------------------------ what is shown

    def open(self, place: TaskPlace | None) -> None:
        """Show a task instance, or none."""
        if place == self.place:
            return
        self.place = place
        self._try_number = None
        self.model.open(place)
        self._open_log()
        self._show()
        if place is not None:
            self.title.setText(place.task_id)
            self._tab_changed(self.tabs.currentIndex())

    def set_active(self, is_active: bool) -> None:
        """Follow changes while the page is shown."""
        for model in (self.model, self.log_model):
            model.activate() if is_active else model.deactivate()

    def _open_log(self) -> None:
        place = self.place
        row = self._run.row(place.task_id, place.map_index) if place is not None else None
        self.try_note.setVisible(self._try_number is not None)
        self.try_note.setText(f"Try {self._try_number}. Show the newest try")
        if place is None or row is None:
            self.log_model.open(None)
            return
        self.log_model.open(
            LogPlace(
                dag_id=place.dag_id,
                run_id=place.run_id,
                task_id=place.task_id,
                map_index=place.map_index,
                ti_id=row.ti_id,
                try_number=self._try_number,
            )
        )

    def _show_try(self, number: int | None) -> None:
        newest = self.model.instance.try_number if self.model.instance is not None else 0
        self._try_number = None if number == newest else number
        self._open_log()
        self.tabs.setCurrentIndex(0)

    def _run_changed(self, task_ids: set[str] | None) -> None:
        place = self.place
        if place is None or (task_ids is not None and place.task_id not in task_ids):
            return
        self.model.note(self._run.row(place.task_id, place.map_index))
        self._open_log()
        self._show()

    def _show(self) -> None:
        place, instance = self.place, self.model.instance
        if place is None:
            return
        row = self._run.row(place.task_id, place.map_index)
        state = row.state if row is not None else instance.state if instance is not None else None
        self.pill.set_state(state)
        self._show_instances()
        values = dict.fromkeys(_FACTS, "–")
        if instance is not None:
            most = max(instance.max_tries + 1, instance.try_number)
            values |= {
                "Operator": instance.operator_name or instance.operator or "–",
                "Pool": instance.pool or "–",
                "Started": time_text(instance.start_date),
                "Duration": duration_text(instance.duration),
                "Worker": instance.hostname or "–",
                "Attempt": f"{instance.try_number} of {most}" if instance.try_number else "not started",
            }
        for name, text in values.items():
            self._facts[name].setText(text)
        self.log.set_waiting_text(self._why_nothing(state))
        self.setAccessibleName(f"Task {place.task_id}, {self._context.theme.state_label(state)}")

    def _why_nothing(self, state: str | None) -> str:
        found = self.model.explanation
        if found is not None and found.gates:
            return "\n".join(f"{gate.reason}. {gate.opens}" for gate in found.gates[:3])
        if state in ("skipped", "upstream_failed", "removed"):
            return "This task was not run."
        return "The log appears here as soon as the task writes it."

    def _show_instances(self) -> None:
        assert self.place is not None
        rows = [row for row in self._run.instances(self.place.task_id) if row.map_index >= 0]
        self.instances.setVisible(bool(rows))
        texts = [f"{row.map_label} · {self._context.theme.state_label(row.state)}" for row in rows]
        if [self.instances.itemText(number) for number in range(self.instances.count())] != texts:
            self.instances.clear()
            for row, text in zip(rows, texts, strict=True):
                self.instances.addItem(text, row.map_index)
        self.instances.setCurrentIndex(self.instances.findData(self.place.map_index))

    def _tab_changed(self, number: int) -> None:
        self.pages.setCurrentIndex(number)
        page = self.pages.currentWidget()
        if isinstance(page, (DetailsTab, XComTab, CodeTab, TriesTab)):
            page.load()
        self.try_note.setVisible(self._try_number is not None and number == 0)
