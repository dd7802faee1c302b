"""Home: the cluster's health, what fails, runs and waits, the last runs, and files that could not be loaded.

Decides layout. Does not decide which run is in which list (`viewmodels.home`). Registered by `views`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from dagdeck_client.models import DagRun, Worker
from dagdeck_core.states import DagRunState
from dagdeck_desktop.charts import Sparkline
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.tables import RowModel, RowTable
from dagdeck_desktop.viewmodels.home import HomeModel
from dagdeck_desktop.viewmodels.wording import count_text, percent_text
from dagdeck_desktop.viewmodels.workers import WorkersModel
from dagdeck_desktop.views.cards import FigureCard, card_row
from dagdeck_desktop.views.home_parts import HealthRow, TimeStrip
from dagdeck_desktop.views.page import Page
from dagdeck_desktop.views.progress import PartsBar
from dagdeck_desktop.views.run_bars import RunBars
from dagdeck_desktop.views.run_lists import RunList
from dagdeck_desktop.views.text_dialog import TextDialog
from dagdeck_desktop.views.worker_columns import worker_columns
from dagdeck_desktop.widgets import Card, EmptyState, label

FINISHED_ROWS = 50
BARS = 40
CARD_BARS = 18
WORKER_ROW_HEIGHT = 48
KEPT_SECONDS = 300
"""How far back the small curves of what runs and waits go."""


class HomePage(Page):
    """The cluster at a glance."""

    def __init__(self, context: DesktopContext) -> None:
        self.model = HomeModel(context.api, context.feed)
        self.workers = WorkersModel(context.api, context.feed)
        super().__init__(context, "Home", self.model, self.workers)
        empty = EmptyState(
            context.theme,
            context.icons,
            "layout-dashboard",
            "Nothing to watch yet",
            "This cluster has no DAGs. Put Python files that define DAGs into its DAG folder.",
        )
        self.set_content(self._content(), empty)
        self.model.changed.connect(self.show_state)
        self.workers.changed.connect(self._show_workers)
        self._clock = QTimer(self, interval=1_000)
        self._clock.timeout.connect(self._tick)
        self._clock.start()
        self.show_state()

    def _content(self) -> QWidget:
        context = self.context
        inside = QWidget()
        column = QVBoxLayout(inside)
        margin = context.theme.metrics.page_margin
        gap = context.theme.metrics.card_gap
        column.setContentsMargins(margin, 0, margin, margin)
        column.setSpacing(gap)
        self.dags_card = FigureCard("DAGs", self)
        self.success_card = FigureCard("Last runs", self)
        self.running_card = FigureCard("Running now", self)
        self.waiting_card = FigureCard("Waiting", self)
        self._add_pictures()
        column.addLayout(card_row(self.dags_card, self.success_card, self.running_card, self.waiting_card, gap=gap))
        self.failing = RunList(context, "Failing", "No DAG's last run has failed.")
        self.running = RunList(context, "Running", "Nothing runs now.")
        self.queued = RunList(context, "Queued", "Nothing waits.")
        self.recent = RunList(context, "Finished last", "No run has finished yet.", FINISHED_ROWS, fills=True)
        now = QHBoxLayout()
        now.setSpacing(gap)
        for each in (self.failing, self.running, self.queued):
            now.addWidget(each, 1)
        lists = QVBoxLayout()
        lists.setSpacing(gap)
        lists.addLayout(now)
        lists.addWidget(self.recent, 1)
        row = QHBoxLayout()
        row.setSpacing(gap)
        row.addLayout(lists, 11)
        row.addLayout(self._side(), 4)
        column.addLayout(row, 1)
        area = QScrollArea(self)
        area.setAccessibleName("Overview of the cluster")
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(inside)
        return area

    def _add_pictures(self) -> None:
        theme = self.context.theme
        self.dag_parts = PartsBar(theme, self)
        self.dags_card.set_picture(self.dag_parts)
        self.card_bars = RunBars(theme, CARD_BARS, self)
        self.card_bars.run_chosen.connect(self._open_run)
        self.success_card.set_picture(self.card_bars)
        self.curves: dict[str, Sparkline] = {}
        self._numbers: dict[str, deque[float]] = {}
        for name, token, card in (("running", "info", self.running_card), ("queued", "warning", self.waiting_card)):
            self.curves[name] = Sparkline(theme, token, self, from_zero=True, least_span=2.0)
            self._numbers[name] = deque(maxlen=KEPT_SECONDS)
            card.set_picture(self.curves[name])

    def _side(self) -> QVBoxLayout:
        """Health, the chart of the last runs, and import errors."""
        context = self.context
        side = QVBoxLayout()
        side.setSpacing(context.theme.metrics.card_gap)
        self.health_card = Card(self, gap=10)
        self.health_card.body.addWidget(label("Health", "section", self))
        self._health_rows = [HealthRow(context, self) for _number in range(5)]
        for row in self._health_rows:
            self.health_card.body.addWidget(row)
        side.addWidget(self.health_card)
        chart = Card(self, gap=8)
        self.bars_title = label("Last runs", "section", self)
        chart.body.addWidget(self.bars_title)
        self.bars = RunBars(context.theme, BARS, self, fills=True, height=72)
        self.bars.run_chosen.connect(self._open_run)
        chart.body.addWidget(self.bars)
        self.strip = TimeStrip(context, self.bars, self)
        chart.body.addWidget(self.strip)
        side.addWidget(chart)
        self.errors_card = Card(self, gap=8)
        self.errors_card.body.addWidget(label("Files that could not be loaded", "section", self))
        self._error_rows = [QPushButton(self) for _number in range(4)]
        for number, button in enumerate(self._error_rows):
            button.setProperty("kind", "link")
            button.setCursor(Qt.CursorShape.PointingHandCursor)
            button.clicked.connect(partial(self._show_import_error, number))
            self.errors_card.body.addWidget(button)
        side.addWidget(self.errors_card)
        side.addWidget(self._workers_card(), 1)
        return side

    def _workers_card(self) -> Card:
        """Every worker's load, live."""
        self.workers_card = Card(self, margin=1, gap=0)
        title = label("Workers", "section", self)
        title.setContentsMargins(15, 12, 15, 4)
        self.workers_card.body.addWidget(title)
        columns = worker_columns(self.context.theme, self.workers, is_small=True)
        model = RowModel(columns, lambda worker: worker.worker_id)
        self.worker_table = RowTable(
            self.context.theme, model, "Workers", self, row_height=WORKER_ROW_HEIGHT, opens_by_click=True
        )
        self.worker_table.opened.connect(self._open_worker)
        self.workers_card.body.addWidget(self.worker_table, 1)
        return self.workers_card

    # ------------------------------------------------------------ what is shown

    def show_state(self) -> None:
        """Show the model's state as it is now."""
        model = self.model
        if not self.show_phase(is_empty=model.is_new and not model.runs and bool(model.dag_counts)):
            return
        self.failing.set_runs(model.failing)
        self.running.set_runs(model.in_state(DagRunState.RUNNING))
        self.queued.set_runs(model.in_state(DagRunState.QUEUED))
        finished = [run for run in model.recent if run.state in (DagRunState.SUCCESS, DagRunState.FAILED)]
        self.recent.set_runs(finished[:FINISHED_ROWS])
        shown = list(reversed(model.recent[:BARS]))
        self.bars.set_runs(shown)
        self.card_bars.set_runs(shown)
        self.bars_title.setText(f"Last {count_text(len(shown), 'run')}" if shown else "Last runs")
        self.strip.set_runs(shown)
        self._show_health()
        self._show_cards(finished)
        self._show_import_errors()

    def _show_cards(self, finished: Sequence[DagRun]) -> None:
        model = self.model
        total, paused = model.dag_counts.get("total", 0), model.dag_counts.get("paused", 0)
        self.dags_card.set_figure(f"{total:,}", f"{total - paused:,} active, {paused:,} paused")
        self.dag_parts.set_parts(((total - paused, "accent", "active"), (paused, "border_strong", "paused")))
        failed = sum(run.state == DagRunState.FAILED for run in finished)
        share = (len(finished) - failed) / len(finished) if finished else None
        self.success_card.set_title(f"Last {count_text(len(finished), 'run')}" if finished else "Last runs")
        self.success_card.set_figure(
            percent_text(share), f"{len(finished) - failed} succeeded, {failed} failed" if finished else "none yet"
        )
        running, queued = model.run_counts.get("running", 0), model.run_counts.get("queued", 0)
        slots, active = model.worker_counts.get("slots", 0), model.worker_counts.get("active", 0)
        self.running_card.set_figure(f"{running:,}", count_text(running, "run").split(" ", 1)[1] + " in progress")
        without = "no worker takes tasks" if model.worker_counts and not active else ""
        said = without or f"{count_text(active, 'worker')}, {count_text(slots, 'slot')}"
        self.waiting_card.set_figure(f"{queued:,}", said, is_bad=bool(without))

    def _show_health(self) -> None:
        parts = self.model.components()
        for number, row in enumerate(self._health_rows):
            row.setVisible(number < len(parts))
            if number < len(parts):
                row.set_component(parts[number])

    def _show_import_errors(self) -> None:
        errors = self.model.import_errors
        self.errors_card.setVisible(bool(errors))
        for number, button in enumerate(self._error_rows):
            button.setVisible(number < len(errors))
            if number < len(errors):
                name = errors[number].filename.rpartition("/")[2]
                button.setText(name)
                button.setToolTip(errors[number].filename)
                button.setAccessibleName(f"Show why {name} could not be loaded")

    def _show_workers(self) -> None:
        """Every second, and when one comes or goes; an Airflow server has no such list."""
        listed = self.workers.listed()
        self.worker_table.row_model.set_rows(listed)
        self.workers_card.setVisible(bool(listed))

    def _tick(self) -> None:
        if self.isVisible():
            self._show_health()
            self._show_workers()
            for name, curve in self.curves.items():
                self._numbers[name].append(float(self.model.run_counts.get(name, 0)))
                values = self._numbers[name]
                curve.set_values(values if len(values) > 1 else [], f"Runs {name} in the last minutes")
            for runs, state in ((self.running, DagRunState.RUNNING), (self.queued, DagRunState.QUEUED)):
                runs.set_runs(self.model.in_state(state))

    # ------------------------------------------------------------ what a person does

    def _open_run(self, run_id: str) -> None:
        run = next((each for each in self.model.recent if each.dag_run_id == run_id), None)
        if run is not None:
            self.context.window.open_page("dag", dag_id=run.dag_id, run_id=run.dag_run_id)

    def _open_worker(self, worker: Worker) -> None:
        self.context.window.open_page("workers", worker_id=str(worker.worker_id))

    def _show_import_error(self, number: int) -> None:
        errors = self.model.import_errors
        if number < len(errors):
            error = errors[number]
            TextDialog(self.context, error.filename, error.stack_trace, self.window()).open()
