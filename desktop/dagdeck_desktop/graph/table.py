"""The tasks of a graph as a table: for those who do not see the picture, and for sorting and filtering.

Decides the columns. Shows the same content and opens the same tasks as `area`. Made by the DAG page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.graph.content import WEIGHT, GraphContent
from dagdeck_desktop.graph.model import Edge, GraphGroup, GraphNode, NodeState
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.tables import CellKind, ListColumn, ListModel, ListTable
from dagdeck_desktop.theme import Theme

_RANK = {state: rank for rank, state in enumerate(WEIGHT)}


@dataclass(frozen=True, slots=True)
class _TaskRow:
    task_id: str
    state: TaskInstanceState
    detail: str
    kind: str
    group_id: str
    upstream: int
    downstream: int


class TaskTable(QWidget):
    """A graph's tasks in rows. `task_activated` follows Enter or a double click."""

    task_activated = Signal(str)
    selection_changed = Signal(list)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._content = GraphContent()
        self._degrees: Mapping[str, tuple[int, int]] = {}
        self._model: ListModel[_TaskRow] = ListModel(_columns(theme), lambda row: row.task_id)
        self.table: ListTable[_TaskRow] = ListTable(theme, icons, self._model, "Tasks", self)
        self.table.activated_key.connect(lambda key: self.task_activated.emit(str(key)))
        self.table.current_key_changed.connect(
            lambda key: self.selection_changed.emit([] if key is None else [str(key)])
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)

    def set_graph(self, nodes: Sequence[GraphNode], edges: Sequence[Edge], groups: Sequence[GraphGroup] = ()) -> None:
        """Show the tasks of a graph; states are forgotten."""
        self._content = GraphContent(nodes, edges, groups)
        degrees = {node.task_id: [0, 0] for node in nodes}
        for source, target in edges:
            if source in degrees and target in degrees:
                degrees[target][0] += 1
                degrees[source][1] += 1
        self._degrees = {name: (before, after) for name, (before, after) in degrees.items()}
        self._show()

    def set_states(self, states: Mapping[str, NodeState]) -> None:
        """Show new states; tasks that are not named keep theirs."""
        if self._content.set_states(states):
            self._show()

    def clear_states(self) -> None:
        """Show every task without a state."""
        self._content.clear_states()
        self._show()

    def set_search(self, text: str) -> int:
        """Show only tasks that hold a text; how many there are."""
        self._model.set_filter(text)
        return len(self._model.rows)

    def select(self, names: Sequence[str]) -> None:
        """Put the cursor on the last of these tasks that is shown."""
        known = [name for name in names if self._model.place_of(name) >= 0]
        self.table.set_current_key(known[-1] if known else None)

    def _show(self) -> None:
        self._model.set_rows([self._row(node) for node in self._content.nodes.values()])

    def _row(self, node: GraphNode) -> _TaskRow:
        upstream, downstream = self._degrees.get(node.task_id, (0, 0))
        return _TaskRow(
            node.task_id,
            self._content.state_of(node.task_id),
            self._content.detail_of(node.task_id),
            node.kind,
            node.group_id or "",
            upstream,
            downstream,
        )


def _columns(theme: Theme) -> Sequence[ListColumn[_TaskRow]]:
    return (
        ListColumn(title="Task", text=lambda row: row.task_id, width=280, stretches=True),
        ListColumn(
            title="State",
            text=lambda row: theme.state_label(row.state),
            kind=CellKind.STATE,
            sort_key=lambda row: _RANK[row.state],
            state=lambda row: row.state,
            width=160,
        ),
        ListColumn(title="Details", text=lambda row: row.detail, kind=CellKind.QUIET, width=180),
        ListColumn(title="Operator", text=lambda row: row.kind, kind=CellKind.QUIET, width=160),
        ListColumn(title="Group", text=lambda row: row.group_id, kind=CellKind.QUIET, width=140),
        ListColumn(
            title="Upstream",
            text=lambda row: str(row.upstream),
            kind=CellKind.NUMBER,
            sort_key=lambda row: row.upstream,
            width=90,
        ),
        ListColumn(
            title="Downstream",
            text=lambda row: str(row.downstream),
            kind=CellKind.NUMBER,
            sort_key=lambda row: row.downstream,
            width=104,
        ),
    )
