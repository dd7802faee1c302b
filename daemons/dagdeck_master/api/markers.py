"""What is cleared with an ExternalTaskMarker: the task of another DAG that depends on it, and what follows there.

Decides which runs of other DAGs that means, from marker to marker, and that it ends. Called by the clear routes, for
dry runs too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_core.spec import MarkerSpec
from dagdeck_io.db.tables import dag, dag_run, rendered_fields
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.selection import MAX_TARGETS, RunTargets, Wish, resolve
from dagdeck_master.api.specs import SpecCache


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """A marker in a run that is being cleared, and how many DAGs may still be followed from it."""

    marker: MarkerSpec
    task_id: str
    ti_id: int
    run: Any
    depth: int


def with_marked(
    connection: sa.Connection, specs: SpecCache, runs: Sequence[Any], found: Sequence[RunTargets]
) -> list[RunTargets]:
    """`found`, task instances in `runs`, with those of other DAGs to which markers among them lead.

    Raises ApiProblem 400 when the markers lead further than one of them allows, or around in a circle, and 404 for a
    marker whose task does not exist.
    """
    by_key = {run.run_key: run for run in runs}
    meant = {each.run_key: each for each in found}
    waiting = deque(
        each
        for targets in found
        for each in _markers(connection, specs, by_key[targets.run_key], targets, seen=(), depth=None)
    )
    while waiting:
        followed = waiting.popleft()
        for run in _runs_behind(connection, followed):
            wish = Wish(tasks=[followed.marker.task_id], downstream=True, with_setups=True)
            for more in resolve(connection, specs, [run], wish):
                known = meant.setdefault(run.run_key, RunTargets(run_key=run.run_key, run_id=run.run_id))
                seen = {target.ti_id for target in known.targets}
                waiting.extend(
                    _markers(connection, specs, run, more, seen=tuple(sorted(seen)), depth=followed.depth - 1)
                )
                known.targets.extend(target for target in more.targets if target.ti_id not in seen)
        if sum(len(each.targets) for each in meant.values()) > MAX_TARGETS:
            raise ApiProblem(400, f"The markers lead to more than {MAX_TARGETS} task instances; narrow this down")
    return list(meant.values())


def _markers(
    connection: sa.Connection,
    specs: SpecCache,
    run: Any,
    targets: RunTargets,
    *,
    seen: Sequence[int],
    depth: int | None,
) -> Iterator[_Followed]:
    version = specs.get(connection, run.version_id)
    if version is None:
        return
    for target in targets.targets:
        task = version.tasks.get(target.task_id)
        if task is None or task.marker is None or target.ti_id in seen:
            continue
        left = task.marker.depth if depth is None else min(depth, task.marker.depth)
        if left < 1:
            raise ApiProblem(
                400,
                f"The marker {target.task_id} of Dag {run.dag_id} leads further than the recursion_depth of a marker "
                "before it: the markers go around in a circle, or recursion_depth has to be raised",
            )
        yield _Followed(marker=task.marker, task_id=target.task_id, ti_id=target.ti_id, run=run, depth=left)


def _runs_behind(connection: sa.Connection, followed: _Followed) -> list[Any]:
    """The runs of the other DAG that have the marker's date; none when there is no such run."""
    marker = followed.marker
    if "{{" in f"{marker.dag_id}{marker.task_id}{marker.logical_date}":
        marker = _rendered(connection, followed)
    if connection.execute(sa.select(dag.c.dag_id).where(dag.c.dag_id == marker.dag_id)).one_or_none() is None:
        raise ApiProblem(404, f"The marker {followed.task_id} names the Dag {marker.dag_id}, which does not exist")
    date = followed.run.logical_date if marker.logical_date is None else _parsed(marker.logical_date, followed)
    if date is None:
        return []
    statement = sa.select(dag_run).where(dag_run.c.dag_id == marker.dag_id, dag_run.c.logical_date == date)
    return list(connection.execute(statement))


def _rendered(connection: sa.Connection, followed: _Followed) -> MarkerSpec:
    """The marker with its templates as they were rendered when it ran."""
    statement = sa.select(rendered_fields.c.fields).where(rendered_fields.c.ti_id == followed.ti_id)
    fields: dict[str, Any] = connection.execute(statement).scalar_one_or_none() or {}
    return MarkerSpec(
        dag_id=str(fields.get("external_dag_id", followed.marker.dag_id)),
        task_id=str(fields.get("external_task_id", followed.marker.task_id)),
        logical_date=fields.get("logical_date", followed.marker.logical_date),
    )


def _parsed(text: str, followed: _Followed) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ApiProblem(
            400, f"The marker {followed.task_id} has no date that can be read as its logical_date: {text}"
        ) from None
    return found.astimezone(UTC) if found.utcoffset() is not None else found.replace(tzinfo=UTC)
