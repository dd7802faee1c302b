"""The tasks of a run as a table: the graph's alternative, for those who do not see the picture, and for sorting.

Decides its columns. Used by the DAG page.
"""

from __future__ import annotations

from PySide6.QtCore import QRect
from PySide6.QtGui import QPainter

from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.tables import Column, RowModel, RowTable
from dagdeck_desktop.viewmodels.run import TaskRow
from dagdeck_desktop.viewmodels.shape import ShapeModel
from dagdeck_desktop.viewmodels.wording import duration_text, full_time_text, time_text
from dagdeck_desktop.views.structure import kind_of
from dagdeck_desktop.widgets.pill import paint_pill

GROUP_COLUMN = 3
"""Hidden for a DAG without groups."""


def task_table(context: DesktopContext, shape: ShapeModel) -> RowTable[TaskRow]:
    """A table for task instances; `set_rows` of its `row_model` fills it, `shape` tells of their tasks."""

    def operator(row: TaskRow) -> str:
        node = shape.node(row.task_id)
        return kind_of(node) if node is not None else ""

    def group(row: TaskRow) -> str:
        node = shape.node(row.task_id)
        return (node.group_id or "") if node is not None else ""

    def state(painter: QPainter, rect: QRect, row: TaskRow) -> None:
        paint_pill(painter, rect, row.state, context.theme, context.icons)

    columns: list[Column[TaskRow]] = [
        Column(
            title="State",
            text=lambda row: context.theme.state_label(row.state),
            paint=state,
            sort_key=lambda row: row.state or "",
            width=174,
        ),
        Column(
            title="Task",
            text=lambda row: f"{row.task_id} {row.map_label}".rstrip(),
            tool_tip=lambda row: row.task_id,
            sort_key=lambda row: (row.task_id.casefold(), row.map_index),
            stretches=True,
        ),
        Column(title="Operator", text=operator, sort_key=operator, width=132, is_quiet=True),
        Column(title="Group", text=group, sort_key=group, width=110, is_quiet=True),
        Column(
            title="Try",
            text=lambda row: str(row.try_number) if row.try_number else "–",
            sort_key=lambda row: row.try_number or None,
            width=56,
            is_number=True,
        ),
        Column(
            title="Started",
            text=lambda row: time_text(row.start_date),
            tool_tip=lambda row: full_time_text(row.start_date),
            sort_key=lambda row: row.start_date,
            width=112,
        ),
        Column(
            title="Took",
            text=lambda row: duration_text(row.duration),
            sort_key=lambda row: row.duration,
            width=90,
        ),
    ]
    return RowTable(context.theme, RowModel(columns, lambda row: (row.task_id, row.map_index)), "Tasks")
