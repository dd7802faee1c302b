"""The DAG page's four cards: how the last runs ended, how long they took, what runs now, and when the next one comes.

Decides what the cards say. Used by the DAG page.
"""

from __future__ import annotations

from datetime import UTC, datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dagdeck_core.states import TERMINAL, TaskInstanceState
from dagdeck_desktop.charts import Sparkline
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.viewmodels.dag import DagModel, figures_of
from dagdeck_desktop.viewmodels.run import RunModel
from dagdeck_desktop.viewmodels.wording import count_text, distance_text, duration_text, full_time_text, percent_text
from dagdeck_desktop.views.cards import FigureCard
from dagdeck_desktop.views.progress import StateBar
from dagdeck_desktop.views.run_bars import RunBars

BARS = 18
_OVER = {state.value for state in TERMINAL}


class DagCards(QWidget):
    """The cards in a row. `run_chosen(run_id)` follows a click on a run's bar."""

    run_chosen = Signal(str)

    def __init__(self, context: DesktopContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme = context.theme
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.metrics.card_gap)
        self.runs = FigureCard("Last runs", self)
        self.bars = RunBars(theme, BARS, self)
        self.bars.run_chosen.connect(self.run_chosen)
        self.runs.set_picture(self.bars)
        self.length = FigureCard("Median duration", self)
        self.lengths = Sparkline(theme, "accent", self, from_zero=True)
        self.length.set_picture(self.lengths)
        self.tasks = FigureCard("Tasks", self)
        self.progress = StateBar(theme, self)
        self.tasks.set_picture(self.progress)
        self.next = FigureCard("Next run", self)
        for card in (self.runs, self.length, self.tasks, self.next):
            row.addWidget(card, 1)

    def show_dag(self, dag: DagModel) -> None:
        """Show the figures of the last runs and the next one."""
        shown = dag.recent[:BARS]
        figures = figures_of(shown)
        self.runs.set_title(f"Last {count_text(len(shown), 'run')}" if shown else "Last runs")
        said = f"{figures.succeeded} succeeded, {figures.failed} failed" if figures.finished else "none has ended yet"
        self.runs.set_figure(percent_text(figures.success_share), said if shown else "no runs yet")
        self.bars.set_runs(list(reversed(shown)))
        p95 = f"p95 {duration_text(figures.p95)}" if figures.p95 is not None else ""
        self.length.set_figure(duration_text(figures.median), p95)
        lengths = [run.duration for run in reversed(shown) if run.duration is not None]
        self.lengths.set_values(lengths if len(lengths) > 1 else [], "Durations of the last runs")
        self.tick(dag)

    def show_tasks(self, run: RunModel, total: int) -> None:
        """Show how far the run is."""
        counts = run.counts()
        self.progress.set_counts(counts)
        running = counts[TaskInstanceState.RUNNING.value]
        over = sum(number for state, number in counts.items() if state in _OVER)
        failed = counts[TaskInstanceState.FAILED.value] + counts[TaskInstanceState.UPSTREAM_FAILED.value]
        if not counts:
            self.tasks.set_title("Tasks")
            self.tasks.set_figure(f"{total:,}", "not run yet")
        elif over < sum(counts.values()):
            self.tasks.set_title("Running tasks")
            self.tasks.set_figure(f"{running:,}", f"{over:,} of {sum(counts.values()):,} done", is_bad=failed > 0)
        else:
            self.tasks.set_title("Tasks")
            said = f"{counts[TaskInstanceState.SUCCESS.value]:,} succeeded"
            skipped = counts[TaskInstanceState.SKIPPED.value]
            said += f", {failed:,} failed" if failed else f", {skipped:,} skipped" if skipped else ""
            self.tasks.set_figure(f"{sum(counts.values()):,}", said, is_bad=failed > 0)

    def tick(self, dag: DagModel) -> None:
        """Say when the next run comes, as of now."""
        details = dag.details
        if details is None:
            return
        after = details.next_dagrun_run_after
        said = details.timetable_description or details.timetable_summary or ""
        if details.is_paused:
            self.next.set_figure("Paused", said)
        elif after is None:
            self.next.set_figure("By hand" if details.timetable_summary in (None, "None") else "None", said)
        else:
            is_due = after <= datetime.now(UTC)
            self.next.set_figure("due now" if is_due else distance_text(after), said)
        self.next.setToolTip(full_time_text(after) if after is not None else "")
