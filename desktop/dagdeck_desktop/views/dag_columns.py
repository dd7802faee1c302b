"""The columns of the DAG list.

Decides what each cell says and how it is drawn. Used by `dag_list`.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime

from PySide6.QtCore import QRect
from PySide6.QtGui import QPainter

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.tables import Column
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.viewmodels.dag_list import KEPT_RUNS, DagRow
from dagdeck_desktop.viewmodels.home import age_of
from dagdeck_desktop.viewmodels.wording import distance_text, duration_text, full_time_text
from dagdeck_desktop.views.cells import paint_name_and_tags, paint_switch, paint_two_lines
from dagdeck_desktop.views.run_bars import paint_bars, run_sentence
from dagdeck_desktop.widgets.pill import paint_pill

SWITCH_COLUMN = 0
_BARS_WIDTH = 9 * KEPT_RUNS - 3


class DagColumns:
    """The columns; `switching` holds the DAGs whose switch is on its way."""

    def __init__(self, theme: Theme, icons: Icons, switching: Container[str]) -> None:
        self._theme = theme
        self._icons = icons
        self._switching = switching

    def all(self) -> list[Column[DagRow]]:
        """Every column, from the left."""
        return [*self._of_the_dag(), *self._of_its_runs()]

    def _of_the_dag(self) -> list[Column[DagRow]]:
        return [
            Column(
                title="",
                text=lambda row: "Paused" if row.dag.is_paused else "Active",
                paint=self._paint_switch,
                tool_tip=lambda row: "Paused: its schedule makes no runs" if row.dag.is_paused else "Active",
                sort_key=lambda row: row.dag.is_paused,
                width=60,
            ),
            Column(
                title="DAG",
                text=lambda row: row.dag.dag_display_name,
                paint=self._paint_name,
                tool_tip=lambda row: "\n".join(filter(None, (row.dag.dag_id, row.dag.description))),
                sort_key=lambda row: row.dag.dag_display_name.casefold(),
                stretches=True,
                width=320,
            ),
            Column(
                title="Schedule",
                text=schedule_of,
                paint=self._paint_schedule,
                tool_tip=lambda row: row.dag.timetable_description or "",
                sort_key=schedule_of,
                width=170,
            ),
        ]

    def _of_its_runs(self) -> list[Column[DagRow]]:
        return [
            Column(
                title=f"Last {KEPT_RUNS} runs",
                text=lambda row: ", ".join(run.state for run in row.runs) or "none",
                paint=self._paint_bars,
                tool_tip=last_sentence,
                width=156,
            ),
            Column(
                title="Last run",
                text=lambda row: row.last_run.state if row.last_run else "none",
                paint=self._paint_state,
                tool_tip=last_sentence,
                sort_key=lambda row: row.last_run.state if row.last_run else None,
                width=120,
            ),
            Column(
                title="Started",
                text=lambda row: distance_text(row.last_run.run_after) if row.last_run else "–",
                paint=self._paint_when,
                tool_tip=lambda row: full_time_text(row.last_run.run_after) if row.last_run else "",
                sort_key=lambda row: row.last_run.run_after if row.last_run else None,
                width=110,
            ),
            Column(
                title="Next run",
                text=next_text,
                tool_tip=lambda row: full_time_text(row.dag.next_dagrun_run_after),
                sort_key=lambda row: row.dag.next_dagrun_run_after,
                width=110,
                is_quiet=True,
            ),
        ]

    def _paint_switch(self, painter: QPainter, rect: QRect, row: DagRow) -> None:
        is_busy = row.dag.dag_id in self._switching
        paint_switch(painter, rect, self._theme, is_on=not row.dag.is_paused, is_busy=is_busy)

    def _paint_name(self, painter: QPainter, rect: QRect, row: DagRow) -> None:
        paint_name_and_tags(painter, rect, self._theme, row.dag.dag_display_name, row.dag.description or "", row.tags)

    def _paint_schedule(self, painter: QPainter, rect: QRect, row: DagRow) -> None:
        said = row.dag.timetable_description if row.dag.timetable_summary not in (None, "None") else ""
        words = said if said and said != schedule_of(row) else ""
        paint_two_lines(painter, rect, self._theme, schedule_of(row), words)

    def _paint_bars(self, painter: QPainter, rect: QRect, row: DagRow) -> None:
        place = QRect(rect.left(), rect.top() + 14, _BARS_WIDTH, rect.height() - 28)
        paint_bars(painter, place, row.runs, self._theme, most=KEPT_RUNS)

    def _paint_state(self, painter: QPainter, rect: QRect, row: DagRow) -> None:
        if row.last_run is not None:
            paint_pill(painter, rect, row.last_run.state, self._theme, self._icons)

    def _paint_when(self, painter: QPainter, rect: QRect, row: DagRow) -> None:
        run = row.last_run
        if run is not None:
            paint_two_lines(painter, rect, self._theme, distance_text(run.run_after), duration_text(age_of(run)))


def schedule_of(row: DagRow) -> str:
    """A DAG's schedule as it is written."""
    summary = row.dag.timetable_summary
    return summary if summary and summary != "None" else "By hand"


def last_sentence(row: DagRow) -> str:
    """The newest run in words."""
    return run_sentence(row.last_run) if row.last_run is not None else "No runs yet"


def next_text(row: DagRow, now: datetime | None = None) -> str:
    """When the next run is due, in words."""
    after = row.dag.next_dagrun_run_after
    if after is None:
        return "–"
    if row.dag.is_paused:
        return "paused"
    return distance_text(after, now) if after > (now or datetime.now(UTC)) else "due now"
