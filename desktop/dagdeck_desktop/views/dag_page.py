"""The DAG page: head with the run's state, cards, live graph, runs, tasks, code, and the panel of the selected task.

Decides layout and what is selected. Does not decide what tasks or runs are (`viewmodels`), nor how the graph is drawn
(`graph`). Registered by `views`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from dagdeck_client.models import DagRun
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.graph import GraphArea, NodeState
from dagdeck_desktop.viewmodels import Phase
from dagdeck_desktop.viewmodels.dag import DagModel
from dagdeck_desktop.viewmodels.lag import lag_of
from dagdeck_desktop.viewmodels.pulse import PulseModel
from dagdeck_desktop.viewmodels.run import RunModel, TaskRow
from dagdeck_desktop.viewmodels.shape import ShapeModel
from dagdeck_desktop.viewmodels.task import TaskPlace
from dagdeck_desktop.viewmodels.wording import count_text, time_text
from dagdeck_desktop.views.clear_dialog import ClearDialog
from dagdeck_desktop.views.dag_actions import DagActions
from dagdeck_desktop.views.dag_bar import TABS, DagBar
from dagdeck_desktop.views.dag_cards import DagCards
from dagdeck_desktop.views.page import Page
from dagdeck_desktop.views.run_table import run_table
from dagdeck_desktop.views.structure import FOLDED_FROM, graph_of
from dagdeck_desktop.views.task_panel import TaskPanel
from dagdeck_desktop.views.task_table import GROUP_COLUMN, task_table
from dagdeck_desktop.views.task_tabs import CodeTab
from dagdeck_desktop.views.trigger_dialog import TriggerDialog
from dagdeck_desktop.widgets import Card, EmptyState, button, confirm, line

MANY_TASKS = 1_000
"""From so many on the table of tasks and the lag are made anew a few times a second at most."""
FILL_MS = 250
_RUN_MENU = ("run.clear", "run.mark_success", "run.mark_failed", None, "run.delete")
_TASK_MENU = ("task.clear", None, "task.mark_success", "task.mark_failed", "task.mark_skipped")


class DagPage(Page):
    """One DAG and one of its runs."""

    def __init__(self, context: DesktopContext, actions: DagActions) -> None:
        self.dag = DagModel(context.api, context.feed)
        self.run = RunModel(context.api, context.feed)
        self.shape = ShapeModel(context.api, context.feed)
        self.pulse = PulseModel(context.api, context.feed)
        super().__init__(context, "", self.dag, self.run, self.shape, self.pulse)
        self._actions = actions
        self._task: tuple[str, int] | None = None
        self._is_lag_stale = self._is_table_stale = True
        self._ticks = 0
        self._filling = QTimer(self, singleShot=True, interval=FILL_MS)
        self._filling.timeout.connect(self._fill_table)
        self._add_buttons()
        self.cards = DagCards(context, self)
        self.panel = TaskPanel(context, self.dag, self.run, self)
        empty = EmptyState(
            context.theme, context.icons, "workflow", "There is no such DAG", "It may have been removed."
        )
        self.set_content(self._content(), empty)
        self._wire()
        # What runs counts on; only the boxes whose words change are painted.
        self._clock = QTimer(self, interval=1_000)
        self._clock.timeout.connect(self._tick)
        self._clock.start()
        self._show_task()

    # ------------------------------------------------------------ layout

    def _add_buttons(self) -> None:
        icons = self.context.icons
        self.header.set_crumbs([("DAGs", self._go_up)])
        self.pause_button = button("Pause", icons, "pause", parent=self)
        self.pause_button.clicked.connect(lambda: self.set_paused(not self.is_dag_paused))
        self.clear_button = button("Clear task", icons, "rotate-ccw", parent=self)
        self.clear_button.clicked.connect(lambda: self.clear((self.task_id,)))
        self.trigger_button = button("Trigger run", icons, "play", "primary", self)
        self.trigger_button.setToolTip("Start a run now (Ctrl+T)")
        self.trigger_button.clicked.connect(self.trigger)
        for each in (self.pause_button, self.clear_button, self.trigger_button):
            self.header.add_button(each)

    def _content(self) -> QWidget:
        content = QWidget(self)
        column = QVBoxLayout(content)
        margin, gap = self.context.theme.metrics.page_margin, self.context.theme.metrics.card_gap
        column.setContentsMargins(margin, 0, margin, margin)
        column.setSpacing(gap)
        column.addWidget(self.cards)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.splitter.setHandleWidth(gap)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self._left())
        self.splitter.addWidget(self.panel)
        self.panel.setMinimumWidth(360)
        self.splitter.setStretchFactor(0, 2)
        self.splitter.setStretchFactor(1, 1)
        column.addWidget(self.splitter, 1)
        return content

    def _left(self) -> QWidget:
        context = self.context
        card = Card(margin=0, gap=0)
        self.bar = DagBar(context, self)
        self.tabs, self.run_box = self.bar.tabs, self.bar.run_box
        card.body.addWidget(self.bar)
        card.body.addSpacing(6)
        card.body.addWidget(_inside_border(line(self), below=0))
        self.pages = QStackedWidget(self)
        self.graph = GraphArea(context.theme, context.icons, self)
        self.graph.setFrameShape(QFrame.Shape.NoFrame)
        self.graph.join_above()
        self.runs = run_table(context)
        self.tasks = task_table(context, self.shape)
        self.code = CodeTab(context, self.dag, self)
        self.code.setContentsMargins(12, 0, 12, 12)
        self.pages.addWidget(self.graph)
        for page in (self.runs, self.tasks, self.code):
            self.pages.addWidget(_inside_border(page))
        card.body.addWidget(self.pages, 1)
        return card

    def _wire(self) -> None:
        self.dag.changed.connect(self._show_dag)
        self.dag.definition_changed.connect(self.shape.load)
        self.shape.shape_changed.connect(self._show_graph)
        self.dag.run_selected.connect(self._run_selected)
        self.run.tasks_changed.connect(self._show_states)
        self.run.changed.connect(self._show_run)
        self.pulse.changed.connect(self._show_lag)
        self.tabs.currentChanged.connect(self._tab_changed)
        self.bar.run_picked.connect(self._run_picked)
        self.bar.run_button.clicked.connect(lambda: self._menu(_RUN_MENU, self.bar.run_button))
        self.bar.search.textChanged.connect(self._search)
        self.bar.found_next.connect(self._find_next)
        self.cards.run_chosen.connect(self.dag.select_run)
        self.runs.current_changed.connect(self._run_row_chosen)
        self.runs.opened.connect(lambda _run: self.tabs.setCurrentIndex(0))
        self.runs.menu_wanted.connect(self._run_menu)
        self.tasks.current_changed.connect(self._task_row_chosen)
        self.tasks.menu_wanted.connect(lambda row, point: self._task_menu(row.task_id, point))
        self.graph.selection_changed.connect(self._graph_selected)
        self.graph.laid_out.connect(self._select_in_graph)
        self.graph.context_requested.connect(self._task_menu)
        self.panel.closed.connect(lambda: self.select_task(""))
        self.panel.menu_wanted.connect(lambda anchor: self._menu(_TASK_MENU, anchor))
        self.panel.instance_chosen.connect(self._instance_chosen)

    # ------------------------------------------------------------ where we are

    def open_route(self, params: Mapping[str, str]) -> None:
        """Show the DAG, run and task that a route names."""
        self._actions.set_target(self)
        dag_id = params.get("dag_id", "")
        if dag_id != self.dag.dag_id:
            self.select_task("")
            self.header.set_title(dag_id)
        self.dag.open(dag_id, params.get("run_id", ""))
        if params.get("task_id"):
            self.select_task(params["task_id"])
        self._show_dag()

    @property
    def dag_id(self) -> str:
        return self.dag.dag_id

    @property
    def run_id(self) -> str:
        return self.dag.selected_run_id

    @property
    def task_id(self) -> str:
        return self._task[0] if self._task is not None else ""

    @property
    def is_dag_paused(self) -> bool:
        return self.dag.is_paused

    def is_shown(self) -> bool:
        return self.isVisible()

    # ------------------------------------------------------------ the DAG and its runs

    def _show_dag(self) -> None:
        dag = self.dag
        if dag.phase is Phase.FAILED and dag.is_missing:
            self._show_missing()
            return
        if not self.show_phase(is_empty=False):
            return
        self.header.set_title(dag.display_name)
        self.pause_button.setText("\u2009Unpause" if dag.is_paused else "\u2009Pause")
        self.pause_button.setAccessibleName("Unpause the DAG" if dag.is_paused else "Pause the DAG")
        self.context.icons.bind(self.pause_button, "play" if dag.is_paused else "pause")
        self._show_buttons(is_there=True)
        self.cards.show_dag(dag)
        self.runs.row_model.set_rows(dag.recent)
        self.runs.set_current_key(dag.selected_run_id)
        self.bar.show_dag(dag)
        self._show_run()

    def _show_buttons(self, *, is_there: bool) -> None:
        self.pause_button.setVisible(is_there)
        self.trigger_button.setVisible(is_there)

    def _show_missing(self) -> None:
        self._show_buttons(is_there=False)
        self.header.set_state(None, is_shown=False)
        assert self.stack is not None
        name = self.dag.dag_id
        self.stack.empty.set_texts(f"There is no DAG {name}", "It may have been removed, or its file cannot be loaded.")
        self.stack.show_content(is_empty=True)

    def _show_run(self) -> None:
        run = self.run.run or self.dag.selected_run
        self.header.set_state(run.state if run is not None else None, is_shown=run is not None)
        if run is not None:
            self.shape.note_run(run)
        total = len(self.shape.nodes)
        title = f"Run {time_text(run.run_after)}" if run is not None else "Not run yet"
        self.graph.set_heading(title, count_text(total, "task"))
        self.cards.show_tasks(self.run, total)

    def _go_up(self) -> None:
        self.context.window.open_page("dags")

    def _run_row_chosen(self, run: DagRun | None) -> None:
        if run is not None:
            self._pick(run.dag_run_id)

    def _run_selected(self, run_id: str) -> None:
        self.shape.open(self.dag.dag_id, run_id)
        self.run.open(self.dag.dag_id, run_id)
        self._open_panel()

    def _run_picked(self, index: int) -> None:
        if index == 0:
            self.dag.follow_newest()
        else:
            self._pick(self.run_box.itemData(index))

    def _pick(self, run_id: str) -> None:
        if run_id != self.dag.selected_run_id:
            self.dag.select_run(run_id)

    # ------------------------------------------------------------ graph and tasks

    def _show_graph(self) -> None:
        nodes, edges, groups = graph_of(self.shape)
        labels = {(edge.source_id, edge.target_id): edge.label for edge in self.shape.edges if edge.label}
        self.graph.set_graph(nodes, edges, groups, labels)
        if len(nodes) > FOLDED_FROM:
            self.graph.set_folded([group.group_id for group in groups])
        self.tasks.setColumnHidden(GROUP_COLUMN, not groups)
        self._show_states(None)

    def _show_states(self, task_ids: set[str] | None) -> None:
        if task_ids is None and not self.run.rows:
            self.graph.clear_states()
        else:
            names = [node.task_id for node in self.shape.nodes] if task_ids is None else task_ids
            shown = {name: self.run.shown(name) for name in names}
            self.graph.set_states({name: NodeState(state=each.state, label=each.label) for name, each in shown.items()})
        self._is_lag_stale = self._is_table_stale = True
        if len(self.shape.nodes) < MANY_TASKS:
            self._fill_table()
        elif not self._filling.isActive():
            self._filling.start()
        self.cards.show_tasks(self.run, len(self.shape.nodes))

    def _fill_table(self) -> None:
        """Only while it is looked at: a large table takes longer than the graph's change."""
        if self._is_table_stale and TABS[self.tabs.currentIndex()] == "Tasks":
            self._is_table_stale = False
            self.tasks.row_model.set_rows(self._task_rows())

    def _task_rows(self) -> list[TaskRow]:
        rows: list[TaskRow] = []
        for node in self.shape.nodes:
            found = self.run.instances(node.task_id)
            rows += found or [TaskRow(ti_id=f"{node.task_id}/-1", state=None, task_id=node.task_id)]
        return rows

    def _tick(self) -> None:
        if not self.isVisible():
            return
        ticking = self.run.ticking()
        if ticking:
            shown = {name: self.run.shown(name) for name in sorted(ticking)}
            self.graph.set_states({name: NodeState(state=each.state, label=each.label) for name, each in shown.items()})
        self.bar.tick(self.dag)
        self._show_lag()

    def _show_lag(self) -> None:
        """At most once a second, in large runs more seldom: they change more often than their median matters."""
        self._ticks += 1
        if self._is_lag_stale and self._ticks % (1 + len(self.run.rows) // MANY_TASKS) == 0:
            self._is_lag_stale = False
            run = self.run.run
            self.cards.show_lag(lag_of(self.run.by_task, self.shape.edges, run.start_date if run is not None else None))
        self.cards.show_pulse(self.pulse)

    def _search(self, text: str) -> None:
        self.graph.set_search(text)
        self.tasks.row_model.set_filter(text)

    def _find_next(self, step: int) -> None:
        if TABS[self.tabs.currentIndex()] == "Graph":
            self.graph.next_hit(step)
        elif self.tasks.row_model.rows:
            place = self.tasks.row_model.row_of(self.tasks.current_key)
            rows = self.tasks.row_model.rows
            self.tasks.set_current_key(self.tasks.row_model.key(rows[(place + step) % len(rows)]))

    def find_task(self) -> None:
        """Let a person type a task's name."""
        self.bar.begin_search()

    # ------------------------------------------------------------ the selected task

    def select_task(self, task_id: str, map_index: int | None = None) -> None:
        """Open a task's panel; "" closes it."""
        if not task_id:
            self._task = None
        else:
            first = next(iter(self.run.instances(task_id)), None)
            index = map_index if map_index is not None else first.map_index if first is not None else -1
            self._task = (task_id, index)
        self._select_in_graph()
        self._show_task()

    def _select_in_graph(self) -> None:
        wanted = [self.task_id] if self.task_id else []
        if self.graph.selection != wanted:
            self.graph.select(wanted)

    def _show_task(self) -> None:
        self.panel.setVisible(self._task is not None)
        self.clear_button.setVisible(self._task is not None and bool(self.run_id))
        if self._task is not None and self.splitter.sizes()[1] < 360:
            width = self.splitter.width()
            self.splitter.setSizes([width * 2 // 3, width // 3])
        self._open_panel()
        self.context.actions.refresh()

    def _open_panel(self) -> None:
        place = None
        if self._task is not None and self.run_id:
            task_id, map_index = self._task
            place = TaskPlace(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, map_index=map_index)
        self.panel.open(place)
        self.panel.set_active(self.isVisible() and place is not None)

    def _graph_selected(self, names: list[str]) -> None:
        chosen = next((name for name in names if self.shape.has_task(name)), "")
        if chosen != self.task_id:
            self.select_task(chosen)

    def _task_row_chosen(self, row: TaskRow | None) -> None:
        if row is not None:
            self.select_task(row.task_id, row.map_index)

    def _instance_chosen(self, map_index: int) -> None:
        if self._task is not None:
            self.select_task(self._task[0], map_index)

    def _tab_changed(self, number: int) -> None:
        self.pages.setCurrentIndex(number)
        self._fill_table()
        if TABS[number] == "Code":
            self.code.load()

    # ------------------------------------------------------------ menus

    def _menu(self, keys: Sequence[str | None], anchor: QWidget) -> None:
        menu = self.context.actions.menu(keys, self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(anchor.mapToGlobal(QPoint(0, anchor.height() + 4)))

    def _run_menu(self, run: DagRun, point: QPoint) -> None:
        self._pick(run.dag_run_id)
        self._popup(_RUN_MENU, point)

    def _task_menu(self, name: str, point: QPoint) -> None:
        if name and self.shape.has_task(name):
            self.select_task(name)
            self._popup(_TASK_MENU, point)
        elif not name:
            self._popup(("dag.trigger", None, *_RUN_MENU), point)

    def _popup(self, keys: Sequence[str | None], point: QPoint) -> None:
        menu = self.context.actions.menu(keys, self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(point)

    # ------------------------------------------------------------ what a person does

    def trigger(self) -> None:
        """Ask for params and start a run."""
        dialog = TriggerDialog(self.context, self.dag_id, self.dag.params, self.window())
        dialog.accepted_run.connect(lambda conf, run_id, note: self.dag.trigger(conf, run_id=run_id, note=note))
        dialog.open()

    def set_paused(self, is_paused: bool) -> None:
        """Pause the DAG, or let its schedule go on."""
        self.dag.set_paused(is_paused)

    def clear(self, task_ids: Sequence[str]) -> None:
        """Ask, then clear tasks, or the whole run."""
        wanted = [task_id for task_id in task_ids if task_id]
        dialog = ClearDialog(self.context, self.run, wanted, self.window())
        dialog.confirmed.connect(
            lambda downstream, failed: self.run.clear(wanted, with_downstream=downstream, only_failed=failed)
        )
        dialog.open()

    def mark_task(self, state: TaskInstanceState) -> None:
        """Ask, then mark the selected task."""
        if self._task is None:
            return
        task_id, map_index = self._task
        text = f"{task_id} in run {self.run_id} is set to {state.value}. What it does now is stopped."
        if confirm(self.window(), f"Mark {task_id} {state.value}?", text, f"Mark {state.value}"):
            self.run.mark(task_id, state, map_index if map_index >= 0 else None)

    def mark_run(self, state: DagRunState) -> None:
        """Ask, then mark the run."""
        run_id = self.run_id
        text = f"Run {run_id} of {self.dag_id} is set to {state.value}. Its unfinished tasks are stopped or left out."
        if confirm(self.window(), f"Mark the run {state.value}?", text, f"Mark {state.value}"):
            self.dag.mark_run(run_id, state)

    def delete_run(self) -> None:
        """Ask, then delete the run."""
        run_id = self.run_id
        text = f"Run {run_id} of {self.dag_id}, its tasks' logs and XCom values are deleted for good."
        if confirm(self.window(), "Delete the run?", text, "Delete", is_destructive=True):
            self.dag.delete_run(run_id)

    def refresh(self) -> None:
        super().refresh()
        if self.panel.place is not None:
            self.panel.model.load()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._task is not None:
            self.select_task("")
            return
        super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not event.spontaneous():
            self._open_panel()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():
            self.panel.set_active(False)


def _inside_border(widget: QWidget, below: int = 1) -> QWidget:
    """A part of a card that leaves the card's border in sight; the graph draws that itself."""
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(1, 0, 1, below)
    column.setSpacing(0)
    column.addWidget(widget)
    return box
