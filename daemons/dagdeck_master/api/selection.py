"""What "these tasks, with downstream, and future runs" means: explicit task instances, run by run.

Decides how a clear or a mark is resolved against each run's own version of the graph. Does not decide its effect (the
scheduler does); what it names, with the states that were seen, is what the person was shown and what happens. Called by
the clear and patch routes, for dry runs too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_core.actions import TaskTarget
from dagdeck_core.graph import Graph
from dagdeck_core.setups import cleared_with
from dagdeck_core.states import TaskInstanceState
from dagdeck_io.db.tables import dag_run, task_instance
from dagdeck_master.api.dag_scope import DagScope, hidden_of
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.specs import KnownVersion, SpecCache

MAX_RUNS = 1_000
MAX_TARGETS = 100_000
_FAILED = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)
_RUNS_PER_QUERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asked for. `tasks` None means all; an entry is a task, a group, or (task, map index).

    `with_setups` adds the setups and teardowns that belong to what is meant.
    """

    tasks: Sequence[str | tuple[str, int]] | None = None
    upstream: bool = False
    downstream: bool = False
    only_failed: bool = False
    only_running: bool = False
    with_setups: bool = False


@dataclass(slots=True, kw_only=True)
class RunTargets:
    """The task instances of one run that are meant."""

    run_key: int
    run_id: str
    targets: list[TaskTarget] = field(default_factory=list)


def require_within(connection: sa.Connection, found: Sequence[RunTargets], scope: DagScope | None) -> None:
    """Raise ApiProblem 403 when markers have led to runs of DAGs that the request may not touch."""
    if scope is not None and hidden_of(connection, dag_run.c.run_key, [each.run_key for each in found], scope):
        raise ApiProblem(
            403, "Forbidden: markers in this DAG lead to runs of other DAGs, which you may not change; clear less"
        )


def runs_from(connection: sa.Connection, run: Any, *, past: bool, future: bool) -> list[Any]:
    """`run` and, on request, the DAG's runs before and after it by logical date, oldest first.

    Raises ApiProblem 400 when others are asked for and the run has no logical date, or there are too many.
    """
    if not past and not future:
        return [run]
    if run.logical_date is None:
        raise ApiProblem(
            400,
            f"The run {run.run_id} has no logical date, so it has no past or future runs: leave include_past and "
            "include_future out",
        )
    conditions = [dag_run.c.dag_id == run.dag_id, dag_run.c.logical_date.is_not(None)]
    if not past:
        conditions.append(dag_run.c.logical_date >= run.logical_date)
    if not future:
        conditions.append(dag_run.c.logical_date <= run.logical_date)
    return _bounded_runs(connection, conditions)


def runs_between(connection: sa.Connection, dag_id: str, start: datetime | None, end: datetime | None) -> list[Any]:
    """A DAG's runs with a logical date in a closed window, oldest first."""
    conditions = [dag_run.c.dag_id == dag_id]
    if start is not None:
        conditions.append(dag_run.c.logical_date >= start)
    if end is not None:
        conditions.append(dag_run.c.logical_date <= end)
    return _bounded_runs(connection, conditions)


def _bounded_runs(connection: sa.Connection, conditions: Iterable[sa.ColumnElement[bool]]) -> list[Any]:
    statement = sa.select(dag_run).where(*conditions).order_by(dag_run.c.logical_date, dag_run.c.run_key)
    runs = list(connection.execute(statement.limit(MAX_RUNS + 1)))
    if len(runs) > MAX_RUNS:
        raise ApiProblem(400, f"This concerns more than {MAX_RUNS} runs; narrow it down by start_date and end_date")
    return runs


def resolve(connection: sa.Connection, specs: SpecCache, runs: Sequence[Any], wish: Wish) -> list[RunTargets]:
    """The task instances that `wish` means in each of `runs`; runs without any are left out.

    Raises ApiProblem 404 when a named task is in none of the runs' versions, 400 when there are too many.
    """
    versions = specs.get_all(connection, (run.version_id for run in runs))
    known_names: dict[str, None] = {}
    found: list[RunTargets] = []
    total = 0
    for start in range(0, len(runs), _RUNS_PER_QUERY):
        part = runs[start : start + _RUNS_PER_QUERY]
        rows = _task_rows(connection, [run.run_key for run in part])
        for run in part:
            version = versions.get(run.version_id)
            meant = None if version is None else _meant(version, wish, known_names)
            targets = [_target(row) for row in rows.get(run.run_key, ()) if _is_meant(row, meant, wish)]
            total += len(targets)
            if total > MAX_TARGETS:
                raise ApiProblem(400, f"This concerns more than {MAX_TARGETS} task instances; narrow it down")
            if targets:
                found.append(RunTargets(run_key=run.run_key, run_id=run.run_id, targets=targets))
    missing = [name for name in _names(wish) if name not in known_names]
    if missing and runs:
        not_found("The Task", task_id=", ".join(missing))
    return found


def _names(wish: Wish) -> list[str]:
    return [entry if isinstance(entry, str) else entry[0] for entry in wish.tasks or ()]


def _task_rows(connection: sa.Connection, run_keys: Sequence[int]) -> dict[int, list[Any]]:
    statement = (
        sa.select(
            task_instance.c.run_key,
            task_instance.c.ti_id,
            task_instance.c.task_id,
            task_instance.c.map_index,
            task_instance.c.state,
        )
        .where(task_instance.c.run_key.in_(run_keys))
        .order_by(task_instance.c.ti_id)
    )
    rows: dict[int, list[Any]] = {}
    for row in connection.execute(statement):
        rows.setdefault(row.run_key, []).append(row)
    return rows


def _meant(version: KnownVersion, wish: Wish, known_names: dict[str, None]) -> dict[str, frozenset[int] | None] | None:
    """Task id → map indexes that are meant (None: all); None instead of a mapping means every task."""
    if wish.tasks is None:
        return None
    named: dict[str, frozenset[int] | None] = {}
    for entry in wish.tasks:
        name, index = (entry, None) if isinstance(entry, str) else entry
        members = [name] if name in version.tasks else version.tasks_of_group(name)
        if members:
            known_names[name] = None
        for task_id in members:
            earlier = named.get(task_id, frozenset())
            named[task_id] = None if index is None or earlier is None else earlier | {index}
    if wish.upstream or wish.downstream or wish.with_setups:
        graph = version.graph()
        starts = [graph.index[task_id] for task_id in named]
        named_before, directions = dict(named), (wish.upstream, wish.downstream)
        reached = graph.closure(starts, upstream=wish.upstream, downstream=wish.downstream)
        if wish.with_setups:
            reached = cleared_with(graph, starts, upstream=wish.upstream, downstream=wish.downstream)
        for i in reached:
            task_id = graph.tasks[i].task_id
            named.setdefault(task_id, _indexes_of(graph, i, named_before, directions))
    return named


def _indexes_of(
    graph: Graph, index: int, named: Mapping[str, frozenset[int] | None], directions: tuple[bool, bool]
) -> frozenset[int] | None:
    """The map indexes of a task that belong to what was named: inside a mapped group index goes with index."""
    if graph.expansion is None:
        return None
    found: set[int] = set()
    upstream, downstream = directions
    for task_id, indexes in named.items():
        start = graph.index[task_id]
        if index not in graph.closure([start], upstream=upstream, downstream=downstream):
            continue
        for map_index in (None,) if indexes is None else indexes:
            related = None if map_index is None else graph.expansion.related(start, map_index, index)
            if related is None:
                return None
            found.update(related)
    # What is there only for the sake of something else, such as a setup, is meant as a whole.
    return frozenset({*found, -1}) if found else None


def _is_meant(row: Any, meant: dict[str, frozenset[int] | None] | None, wish: Wish) -> bool:
    if meant is not None:
        if row.task_id not in meant:
            return False
        indexes = meant[row.task_id]
        if indexes is not None and row.map_index not in indexes:
            return False
    if wish.only_failed:
        return row.state in _FAILED
    return row.state is TaskInstanceState.RUNNING if wish.only_running else True


def _target(row: Any) -> TaskTarget:
    return TaskTarget(ti_id=row.ti_id, task_id=row.task_id, map_index=row.map_index, expected=row.state)
