"""What the DAG page draws: the tasks, groups and edges of the version that the run looked at began with.

Decides which version is shown and when it is asked for anew, and how the shape is guessed where a server does not tell
it (an Airflow, an older DagDeck): there, groups are the prefixes of task ids. Does not draw. Used by `views.dag_page`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from dagdeck_client.errors import NotFound
from dagdeck_client.models import DagRun, Structure, StructureEdge, StructureGroup, StructureNode, Task, TaskPage
from dagdeck_client.requests.dags import get_structure, list_tasks
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live import Feed
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import ViewModel

KEPT_VERSIONS = 4
GUESSED_VERSION = 0
"""The version number of a shape that was guessed from tasks."""


class ShapeModel(ViewModel):
    """The shape of one DAG. `shape_changed` follows another one; the same one again is not told."""

    WHAT = "The DAG's tasks could not be loaded"
    shape_changed = Signal()

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.dag_id = ""
        self.run_id = ""
        self._shape: Structure | None = None
        self._nodes: dict[str, StructureNode] = {}
        self._known: OrderedDict[int, Structure] = OrderedDict()
        self._load_number = 0

    # ------------------------------------------------------------ state

    @property
    def nodes(self) -> tuple[StructureNode, ...]:
        """The tasks; none before they are known."""
        return self._shape.nodes if self._shape is not None else ()

    @property
    def edges(self) -> tuple[StructureEdge, ...]:
        """What comes after what."""
        return self._shape.edges if self._shape is not None else ()

    @property
    def groups(self) -> tuple[StructureGroup, ...]:
        """The task groups."""
        return self._shape.groups if self._shape is not None else ()

    @property
    def version_number(self) -> int | None:
        """The version that is shown; None before it is known, 0 where the server does not tell."""
        return self._shape.version_number if self._shape is not None else None

    def has_task(self, name: str) -> bool:
        """True for a task of this version, False for a group and anything else."""
        return name in self._nodes

    def node(self, task_id: str) -> StructureNode | None:
        """A task of this version."""
        return self._nodes.get(task_id)

    # ------------------------------------------------------------ what is looked at

    def open(self, dag_id: str, run_id: str) -> None:
        """Show the version of a run, "" for the newest one; until it comes, the former shape of the same DAG stays."""
        if (dag_id, run_id) == (self.dag_id, self.run_id):
            return
        if dag_id != self.dag_id:
            self._known.clear()
            self._put(None)
        self.dag_id, self.run_id = dag_id, run_id
        if self.is_active:
            self.load()

    def note_run(self, run: DagRun) -> None:
        """A run is told: when it has another version than the one that is shown, show that."""
        number = run.dag_versions[-1].version_number if run.dag_versions else None
        if number is None or (run.dag_id, run.dag_run_id) != (self.dag_id, self.run_id):
            return
        if number in self._known:
            self._load_number += 1
            self._put(self._known[number])
        elif self.version_number not in (None, number, GUESSED_VERSION):
            self.load()

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        if not self.dag_id:
            return
        self._load_number += 1
        number = self._load_number
        if self.api.is_dagdeck is False:
            self._ask_tasks(number)
            return
        self.ask(
            get_structure(self.dag_id, dag_run_id=self.run_id or None),
            lambda shape: self._came(number, shape),
            lambda error: self._missing(number, error),
        )

    def _came(self, number: int, shape: Structure) -> None:
        if shape.dag_id != self.dag_id:
            return
        self._known[shape.version_number] = shape
        while len(self._known) > KEPT_VERSIONS:
            self._known.popitem(last=False)
        # Another one may have been asked for meanwhile; until that comes, this is better than nothing.
        if number == self._load_number or self._shape is None:
            self._put(shape)
            self.ready()

    def _missing(self, number: int, error: DagDeckError) -> None:
        if number != self._load_number:
            return
        if isinstance(error, NotFound):
            self._ask_tasks(number)
        else:
            self.not_loaded(error)

    def _ask_tasks(self, number: int) -> None:
        self.ask(list_tasks(self.dag_id), lambda page: self._tasks_came(number, page), self._no_tasks)

    def _tasks_came(self, number: int, page: TaskPage) -> None:
        if number == self._load_number:
            self._put(guessed_shape(self.dag_id, page.tasks))
            self.ready()

    def _no_tasks(self, error: DagDeckError) -> None:
        # That there is no such DAG is said where its details are asked for.
        if not isinstance(error, NotFound):
            self.not_loaded(error)

    def _put(self, shape: Structure | None) -> None:
        if shape != self._shape:
            self._shape = shape
            self._nodes = {node.task_id: node for node in self.nodes}
            self.shape_changed.emit()


def guessed_shape(dag_id: str, tasks: Sequence[Task]) -> Structure:
    """A shape made from tasks alone. A prefix that is a task's own id is no group; edges to unknown tasks are left
    out."""
    known = {task.task_id for task in tasks}
    groups: dict[str, StructureGroup] = {}
    nodes = []
    for task in tasks:
        parts = task.task_id.split(".")
        parent: str | None = None
        for number in range(1, len(parts)):
            name = ".".join(parts[:number])
            if name in known or not parts[number - 1]:
                continue
            groups.setdefault(name, StructureGroup(group_id=name, label=parts[number - 1], parent_id=parent))
            parent = name
        nodes.append(
            StructureNode(
                task_id=task.task_id,
                label=task.task_display_name or task.task_id,
                group_id=parent,
                operator=task.operator_name or "",
                is_mapped=bool(task.is_mapped),
            )
        )
    edges = tuple(
        StructureEdge(source_id=task.task_id, target_id=after)
        for task in tasks
        for after in task.downstream_task_ids or ()
        if after in known
    )
    return Structure(
        dag_id=dag_id,
        version_number=GUESSED_VERSION,
        nodes=tuple(nodes),
        edges=edges,
        groups=tuple(groups.values()),
    )
