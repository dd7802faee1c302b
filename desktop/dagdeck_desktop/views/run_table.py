"""The runs of a DAG as a table.

Decides its columns. Does not decide which run is selected. Used by the DAG page.
"""

from __future__ import annotations

from PySide6.QtCore import QRect
from PySide6.QtGui import QPainter

from dagdeck_client.models import DagRun
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.tables import Column, RowModel, RowTable
from dagdeck_desktop.viewmodels.home import age_of
from dagdeck_desktop.viewmodels.wording import duration_text, full_time_text, time_text
from dagdeck_desktop.widgets.pill import paint_pill

_TRIGGERS = {
    "rest_api": "API",
    "cli": "Command line",
    "ui": "By hand",
    "timetable": "Schedule",
    "backfill": "Backfill",
    "asset": "Asset",
    "operator": "Another DAG",
}


def started_by(run: DagRun) -> str:
    """Who or what made the run."""
    what = _TRIGGERS.get(run.triggered_by or "", (run.triggered_by or run.run_type).replace("_", " ").capitalize())
    return f"{what} · {run.triggering_user_name}" if run.triggering_user_name else what


def run_table(context: DesktopContext) -> RowTable[DagRun]:
    """A table for runs; `set_rows` of its `row_model` fills it."""

    def state(painter: QPainter, rect: QRect, run: DagRun) -> None:
        paint_pill(painter, rect, run.state, context.theme, context.icons)

    columns: list[Column[DagRun]] = [
        Column(title="State", text=lambda run: run.state, paint=state, sort_key=lambda run: run.state, width=130),
        Column(
            title="Run",
            text=lambda run: run.dag_run_id,
            tool_tip=lambda run: run.dag_run_id,
            sort_key=lambda run: run.dag_run_id,
            stretches=True,
        ),
        Column(
            title="Due",
            text=lambda run: time_text(run.run_after),
            tool_tip=lambda run: full_time_text(run.run_after),
            sort_key=lambda run: run.run_after,
            width=130,
        ),
        Column(
            title="Took",
            text=lambda run: duration_text(age_of(run)),
            sort_key=age_of,
            width=92,
        ),
        Column(title="Started by", text=started_by, sort_key=started_by, width=170, is_quiet=True),
        Column(title="Note", text=lambda run: run.note or "", width=140, is_quiet=True),
    ]
    return RowTable(context.theme, RowModel(columns, lambda run: run.dag_run_id), "Runs")
