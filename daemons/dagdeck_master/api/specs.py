"""Decoded DAG specs and their graphs, kept while they are asked for.

Decides how much stays in memory: bounded by the number of tasks, the least recently used go first. A version never
changes, so nothing here grows stale. Used by queries (task details), selection (graphs) and conf checks (params).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from dagdeck_core.graph import Graph, build_graph
from dagdeck_core.spec import DagSpec, TaskSpec
from dagdeck_io.db.tables import dag_version

MAX_TASKS_KEPT = 20_000


@dataclass(slots=True, kw_only=True)
class KnownVersion:
    """One version's spec with what is derived from it on demand."""

    spec: DagSpec
    tasks: dict[str, TaskSpec]
    _graph: Graph | None = field(default=None, repr=False)

    def graph(self) -> Graph:
        """The graph, built on first use."""
        if self._graph is None:
            self._graph = build_graph(self.spec)
        return self._graph

    def tasks_of_group(self, group_id: str) -> list[str]:
        """Ids of the tasks in a group and in the groups within it."""
        parents = {group.group_id: group.parent_id for group in self.spec.groups}

        def is_within(current: str | None) -> bool:
            for _ in range(len(parents) + 1):
                if current is None or current == group_id:
                    break
                current = parents.get(current)
            return current == group_id

        return [task.task_id for task in self.spec.tasks if is_within(task.group_id)]


class SpecCache:
    """Version id → spec. Thread-safe."""

    def __init__(self, max_tasks: int = MAX_TASKS_KEPT) -> None:
        self._max_tasks = max_tasks
        self._known: OrderedDict[int, KnownVersion] = OrderedDict()
        self._tasks = 0
        self._lock = threading.Lock()

    def get(self, connection: sa.Connection, version_id: int) -> KnownVersion | None:
        """One version; None when it does not exist."""
        return self.get_all(connection, [version_id]).get(version_id)

    def get_all(self, connection: sa.Connection, version_ids: Iterable[int]) -> dict[int, KnownVersion]:
        """These versions; unknown ids are left out."""
        wanted = dict.fromkeys(version_ids)
        found: dict[int, KnownVersion] = {}
        with self._lock:
            for each in wanted:
                if each in self._known:
                    self._known.move_to_end(each)
                    found[each] = self._known[each]
        missing = [each for each in wanted if each not in found]
        if missing:
            statement = sa.select(dag_version.c.version_id, dag_version.c.spec).where(
                dag_version.c.version_id.in_(missing)
            )
            for version_id, spec in connection.execute(statement):
                found[version_id] = KnownVersion(spec=spec, tasks={task.task_id: task for task in spec.tasks})
                self._keep(version_id, found[version_id])
        return found

    def _keep(self, version_id: int, version: KnownVersion) -> None:
        with self._lock:
            if version_id in self._known:
                return
            self._known[version_id] = version
            self._tasks += len(version.tasks) + 1
            while self._tasks > self._max_tasks and len(self._known) > 1:
                _, dropped = self._known.popitem(last=False)
                self._tasks -= len(dropped.tasks) + 1
