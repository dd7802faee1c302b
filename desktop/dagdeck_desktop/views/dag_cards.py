"""The DAG page's four cards: how the last runs ended, how long they took, what runs now, and the scheduler's lag.

Decides what the cards say. Used by the DAG page.
"""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dagdeck_core.states import TERMINAL, TaskInstanceState
from dagdeck_desktop.charts import Sparkline
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.viewmodels.dag import DagModel, figures_of
from dagdeck_desktop.viewmodels.lag import Lag
from dagdeck_desktop.viewmodels.pulse import PulseModel
from dagdeck_desktop.viewmodels.run import RunModel
from dagdeck_desktop.viewmodels.wording import count_text, duration_text, percent_text
from dagdeck_desktop.views.cards import FigureCard
from dagdeck_desktop.views.progress import StateBar
from dagdeck_desktop.views.run_bars import RunBars

BARS = 18
MOST_LAGS = 120
"""Waits that are drawn: no picture is wider."""
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
        self._lag = Lag(seconds=())
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
        self.lag = FigureCard("Scheduler lag", self)
        self.lag.setToolTip(
            "The median time from the end of a task's upstream tasks to its start, in the run that is shown"
        )
        self.lags = Sparkline(theme, "positive", self, from_zero=True, least_span=0.5)
        self.lag.set_picture(self.lags)
        for card in (self.runs, self.length, self.tasks, self.lag):
            row.addWidget(card, 1)

    def show_dag(self, dag: DagModel) -> None:
        """Show the figures of the last runs."""
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
            said = f"{over:,} of {sum(counts.values()):,} done" + (f", {failed:,} failed" if failed else "")
            self.tasks.set_figure(f"{running:,}", said, is_bad=failed > 0)
        else:
            self.tasks.set_title("Tasks")
            said = f"{counts[TaskInstanceState.SUCCESS.value]:,} succeeded"
            skipped = counts[TaskInstanceState.SKIPPED.value]
            said += f", {failed:,} failed" if failed else f", {skipped:,} skipped" if skipped else ""
            self.tasks.set_figure(f"{sum(counts.values()):,}", said, is_bad=failed > 0)

    def show_lag(self, lag: Lag) -> None:
        """Show how long the tasks of the run waited for the scheduler."""
        self._lag = lag
        shown = lag.seconds[-MOST_LAGS:]
        self.lags.set_values(shown if len(shown) > 1 else [], "How long tasks waited, in the order of their starts")

    def show_pulse(self, pulse: PulseModel) -> None:
        """Show when the scheduler was heard of, as of now."""
        age = pulse.age_seconds()
        is_bad = pulse.is_healthy is False
        said = "is not running" if is_bad and age is None else "" if age is None else f"heartbeat {age_words(age)}"
        self.lag.set_figure(duration_text(self._lag.median), said, is_bad=is_bad)


def age_words(seconds: float) -> str:
    """How long ago, as of now: "2 s ago"."""
    whole = int(seconds)
    return "now" if not whole else f"{whole} s ago" if whole < 60 else f"{duration_text(float(whole))} ago"
