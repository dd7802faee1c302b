"""Home: the cluster's health, what fails, runs and waits, the last runs, and files that could not be loaded.

Decides layout. Does not decide which run is in which list (`viewmodels.home`). Registered by `views`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from dagdeck_client.models import DagRun
from dagdeck_core.states import DagRunState
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.theme import FontRole
from dagdeck_desktop.viewmodels.home import Component, HomeModel, age_of
from dagdeck_desktop.viewmodels.wording import count_text, distance_text, duration_text, percent_text
from dagdeck_desktop.views.cards import FigureCard, card_row
from dagdeck_desktop.views.page import Page
from dagdeck_desktop.views.run_bars import RunBars
from dagdeck_desktop.views.text_dialog import TextDialog
from dagdeck_desktop.widgets import Card, EmptyState, IconLabel, StatePill, label
from dagdeck_desktop.widgets.controls import set_variant
from dagdeck_desktop.widgets.header import ElidedLabel

MOST_ROWS = 7
FINISHED_ROWS = 12
BARS = 40


class RunRow(QPushButton):
    """One run in a list; a click opens it."""

    def __init__(self, context: DesktopContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.setProperty("kind", "row")
        self.setFixedHeight(44)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(10)
        self._pill = StatePill(context.theme, context.icons, None, self)
        self._name = ElidedLabel("", "body", self)
        self._when = label("", "tertiary", self)
        row.addWidget(self._pill)
        row.addWidget(self._name, 1)
        row.addWidget(self._when)
        for widget in (self._pill, self._name, self._when):
            widget.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._run: DagRun | None = None
        self.clicked.connect(self._open)

    def set_run(self, run: DagRun) -> None:
        """Show a run."""
        self._run = run
        self._pill.set_state(run.state)
        self._name.setText(run.dag_id)
        if run.state in (DagRunState.RUNNING, DagRunState.QUEUED):
            said = f"for {duration_text(age_of(run))}"
        else:
            said = f"{distance_text(run.end_date or run.run_after)} · {duration_text(age_of(run))}"
        self._when.setText(said)
        self.setToolTip(f"{run.dag_id}\n{run.dag_run_id}")
        self.setAccessibleName(f"{run.dag_id}, {self._context.theme.state_label(run.state)}, {said}")

    def _open(self) -> None:
        if self._run is not None:
            self._context.window.open_page("dag", dag_id=self._run.dag_id, run_id=self._run.dag_run_id)


class RunList(Card):
    """A titled list of runs with a sentence for when it is empty."""

    def __init__(
        self, context: DesktopContext, title: str, nothing: str, most: int = MOST_ROWS, *, counts: bool = True
    ) -> None:
        super().__init__(margin=0, gap=0)
        self._most = most
        self._counts = counts
        head = QHBoxLayout()
        head.setContentsMargins(16, 12, 16, 8)
        head.setSpacing(8)
        head.addWidget(label(title, "section", self))
        self._count = label("", "tertiary", self)
        head.addWidget(self._count)
        head.addStretch(1)
        self.body.addLayout(head)
        self._nothing = label(nothing, "tertiary", self)
        self._nothing.setContentsMargins(16, 4, 16, 14)
        self.body.addWidget(self._nothing)
        self._rows = [RunRow(context, self) for _number in range(most)]
        for row in self._rows:
            self.body.addWidget(row)
            row.hide()
        self._more = label("", "tertiary", self)
        self._more.setContentsMargins(16, 6, 16, 12)
        self.body.addWidget(self._more)
        self.body.addStretch(1)

    def set_runs(self, runs: Sequence[DagRun]) -> None:
        """Show the first of these, and how many there are."""
        for number, row in enumerate(self._rows):
            if number < len(runs):
                row.set_run(runs[number])
            row.setVisible(number < len(runs))
        self._nothing.setVisible(not runs)
        self._count.setText(f"{len(runs):,}" if runs and self._counts else "")
        self._more.setText(f"and {len(runs) - self._most:,} more")
        self._more.setVisible(len(runs) > self._most)

    @property
    def shown(self) -> list[str]:
        """The accessible names of the rows that are shown."""
        return [row.accessibleName() for row in self._rows if not row.isHidden()]


class HealthRow(QWidget):
    """A component: a sign, its name, and what is known of it."""

    def __init__(self, context: DesktopContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self._sign = IconLabel(context.theme, context.icons, "circle-dashed", 16, "text_3", self)
        self._name = label("", "body", self)
        self._detail = label("", "tertiary", self)
        row.addWidget(self._sign)
        row.addWidget(self._name)
        row.addStretch(1)
        row.addWidget(self._detail)

    def set_component(self, part: Component) -> None:
        """Show a component."""
        sign = {True: ("circle-check", "positive"), False: ("circle-x", "danger"), None: ("circle-dashed", "text_3")}
        self._sign.set_look(*sign[part.is_healthy])
        self._name.setText(part.name)
        self._detail.setText(part.detail)
        set_variant(self._detail, "role", "danger" if part.is_healthy is False else "tertiary")
        word = {True: "healthy", False: "unhealthy", None: "not in use"}[part.is_healthy]
        self.setAccessibleName(f"{part.name}: {word}, {part.detail}")


class TimeStrip(QWidget):
    """The axis under bars of runs: when the oldest and the newest of them were due."""

    def __init__(self, context: DesktopContext, bars: RunBars, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = context.theme
        self._bars = bars
        self._texts = ("", "")
        self.setFixedHeight(18)
        self._theme.changed.connect(self.update)

    def set_runs(self, runs: Sequence[DagRun]) -> None:
        """Take the ends of a list of runs, oldest first."""
        ends = (distance_text(runs[0].run_after), distance_text(runs[-1].run_after)) if runs else ("", "")
        if ends != self._texts:
            self._texts = ends
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        places = self._bars.places()
        if not places:
            return
        painter = QPainter(self)
        painter.setFont(self._theme.font(FontRole.SMALL))
        painter.setPen(self._theme.tokens.text_3)
        middle = Qt.AlignmentFlag.AlignVCenter
        if len(places) > 1 and places[0].left() < self.width() / 2:
            box = self.rect().adjusted(int(places[0].left()), 0, 0, 0)
            painter.drawText(box, middle | Qt.AlignmentFlag.AlignLeft, self._texts[0])
        painter.drawText(self.rect(), middle | Qt.AlignmentFlag.AlignRight, self._texts[1])
        painter.end()


class HomePage(Page):
    """The cluster at a glance."""

    def __init__(self, context: DesktopContext) -> None:
        self.model = HomeModel(context.api, context.feed)
        super().__init__(context, "Home", self.model)
        empty = EmptyState(
            context.theme,
            context.icons,
            "layout-dashboard",
            "Nothing to watch yet",
            "This cluster has no DAGs. Put Python files that define DAGs into its DAG folder.",
        )
        self.set_content(self._content(), empty)
        self.model.changed.connect(self.show_state)
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
        column.addLayout(card_row(self.dags_card, self.success_card, self.running_card, self.waiting_card, gap=gap))
        self.failing = RunList(context, "Failing", "No DAG's last run has failed.")
        self.running = RunList(context, "Running", "Nothing runs now.")
        self.queued = RunList(context, "Queued", "Nothing waits.")
        self.recent = RunList(context, "Finished last", "No run has finished yet.", FINISHED_ROWS, counts=False)
        row = QHBoxLayout()
        row.setSpacing(gap)
        for upper, lower in ((self.failing, self.recent), (self.running, self.queued)):
            lists = QVBoxLayout()
            lists.setSpacing(gap)
            lists.addWidget(upper)
            lists.addWidget(lower)
            lists.addStretch(1)
            row.addLayout(lists, 5)
        row.addLayout(self._side(), 4)
        column.addLayout(row)
        column.addStretch(1)
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(inside)
        return area

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
        side.addStretch(1)
        return side

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
        self.bars_title.setText(f"Last {count_text(len(shown), 'run')}" if shown else "Last runs")
        self.strip.set_runs(shown)
        self._show_health()
        self._show_cards(finished)
        self._show_import_errors()

    def _show_cards(self, finished: Sequence[DagRun]) -> None:
        model = self.model
        total, paused = model.dag_counts.get("total", 0), model.dag_counts.get("paused", 0)
        self.dags_card.set_figure(f"{total:,}", f"{total - paused:,} active, {paused:,} paused")
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

    def _tick(self) -> None:
        if self.isVisible():
            self._show_health()
            for runs, state in ((self.running, DagRunState.RUNNING), (self.queued, DagRunState.QUEUED)):
                runs.set_runs(self.model.in_state(state))

    # ------------------------------------------------------------ what a person does

    def _open_run(self, run_id: str) -> None:
        run = next((each for each in self.model.recent if each.dag_run_id == run_id), None)
        if run is not None:
            self.context.window.open_page("dag", dag_id=run.dag_id, run_id=run.dag_run_id)

    def _show_import_error(self, number: int) -> None:
        errors = self.model.import_errors
        if number < len(errors):
            error = errors[number]
            TextDialog(self.context, error.filename, error.stack_trace, self.window()).open()
