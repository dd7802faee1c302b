"""What an explanation is made of: gates, the facts that are judged, and the words for numbers and times.

Decides the vocabulary. Does not judge anything: `explain` does. Called by it, by the control API, which reads the
facts, and by clients, which show the gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from dagdeck_core.graph import Graph
from dagdeck_core.records import DagRecord, PoolRecord, RunRecord, TaskRecord, WorkerRecord
from dagdeck_core.spec import DagSpec

NAMES_SHOWN = 5
"""Most subjects that a sentence names; `subjects` holds them all."""


class GateKind(StrEnum):
    """What holds something back."""

    DAG_GONE = "dag_gone"
    DAG_PAUSED = "dag_paused"
    RUN_AFTER = "run_after"
    MAX_ACTIVE_RUNS = "max_active_runs"
    RUN_CREATING = "run_creating"
    RUN_ENDED = "run_ended"
    UPSTREAM = "upstream"
    BRANCH = "branch"
    EXPANSION = "expansion"
    """How many instances there are to be is not known yet, or they are being created."""
    DEPENDS_ON_PAST = "depends_on_past"
    RETRY_AT = "retry_at"
    RESCHEDULED = "rescheduled"
    MAX_ACTIVE_TASKS = "max_active_tasks"
    MAX_ACTIVE_TIS_PER_DAG = "max_active_tis_per_dag"
    MAX_ACTIVE_TIS_PER_DAGRUN = "max_active_tis_per_dagrun"
    POOL_MISSING = "pool_missing"
    POOL_TOO_SMALL = "pool_too_small"
    POOL_FULL = "pool_full"
    NO_WORKER = "no_worker"
    WORKERS_DRAINING = "workers_draining"
    WORKERS_INCOMPATIBLE = "workers_incompatible"
    WORKERS_BUSY = "workers_busy"
    QUEUED = "queued"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"
    BEING_ENDED = "being_ended"
    PRIORITY = "priority"
    """No limit holds it: it goes as soon as what has a higher priority has gone."""
    NEXT_ROUND = "next_round"
    """Nothing holds it: the scheduler acts on it in its next round."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One reason. `reason` and `opens` are sentences for people; the rest is the same for programs."""

    kind: GateKind
    reason: str
    opens: str
    subjects: tuple[str, ...] = ()
    """What it is about: task ids, a pool, a queue."""
    numbers: dict[str, float] = {}
    at: datetime | None = None
    """When it opens by itself, if time alone opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The rows that are judged, all read at about `now`."""

    now: datetime
    run: RunRecord
    tasks: Sequence[TaskRecord]
    """Every task instance of the run."""
    spec: DagSpec
    """Of the version that the run is pinned to."""
    dag: DagRecord | None
    """None when the DAG is gone."""
    max_active_runs: int
    """Of the DAG's newest version; 0 means without limit."""
    running_runs: int = 0
    """Runs of the DAG in state running, this one included if it is."""
    pools: Mapping[str, tuple[PoolRecord, int]] = field(default_factory=dict)
    """name → (pool, slots held)."""
    workers: Sequence[WorkerRecord] = ()
    """Those that are not stopped or lost."""
    queue_active: Mapping[str, int] = field(default_factory=dict)
    """queue → task instances queued or running in it, of all DAGs."""
    task_active: Mapping[str, int] = field(default_factory=dict)
    """task_id → its instances queued or running in all runs of the DAG."""
    predecessor: tuple[RunRecord, Sequence[TaskRecord]] | None = None
    """The run before this one by logical date, if there is one; needed where a task depends on its past."""
    graph: Graph | None = None
    """The spec's graph, if the caller has it."""


# ---------------------------------------------------------------- words


def listed(items: Iterable[Any]) -> str:
    """A few names: "a, b and 7 more"."""
    texts = [str(name) for name in items]
    shown = ", ".join(texts[:NAMES_SHOWN])
    return f"{shown} and {len(texts) - NAMES_SHOWN} more" if len(texts) > NAMES_SHOWN else shown


def moment(at: datetime) -> str:
    """A moment as people read it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def span(start: datetime, end: datetime) -> str:
    """A length of time in its two largest units: "3 min 20 s"."""
    seconds = max((end - start).total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))
