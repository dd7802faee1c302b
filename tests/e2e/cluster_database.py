"""What stands in a cluster's metadata database, read by tests, and actions put into it without the control API.

Decides how rows look to tests. Does not judge them (`promises`). Called by `harness` and by tests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.actions import Action, ActionState, TaskTarget
from dagdeck_core.ids import MAX_NODES, IdSource
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db import tables as t
from tests.e2e.daemon import wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One dag_run row."""

    run_key: int
    dag_id: str
    run_id: str
    state: DagRunState
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInstance:
    """One task_instance row."""

    ti_id: int
    run_key: int
    task_id: str
    map_index: int
    state: TaskInstanceState
    dispatch_no: int
    try_number: int
    lost_count: int
    worker_id: int | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One task_instance_history row: a dispatch that has ended."""

    dispatch_no: int
    ti_id: int
    try_number: int
    state: TaskInstanceState
    ended_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One transition row."""

    transition_id: int
    run_key: int
    ti_id: int | None
    dispatch_no: int
    from_state: str
    to_state: str
    actor: str
    reason: str
    cause: str


class ClusterDatabase:
    """Reads through connections of its own, a new one each time, so that it survives what tests do to the server."""

    def __init__(self, url: str) -> None:
        timeouts = {"timeout": 10} if url.startswith("sqlite") else {"connect_timeout": 5, "read_timeout": 60}
        self.url = url
        self.engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=timeouts)
        self._ids = IdSource(node=MAX_NODES - 1)
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that is committed at the end of the block."""
        with self.engine.begin() as connection:
            yield connection

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        """All rows of a query."""
        with self.connection() as connection:
            return list(connection.execute(query).mappings())

    # ------------------------------------------------------------ reading

    def dag_ids(self) -> set[str]:
        """DAGs that have been stored."""
        return {row["dag_id"] for row in self.rows(sa.select(t.dag.c.dag_id))}

    def run(self, run_id: str) -> Run | None:
        """The run of this run_id, which tests keep unique over all DAGs."""
        columns = [t.dag_run.c[name] for name in Run.__slots__]
        found = self.rows(sa.select(*columns).where(t.dag_run.c.run_id == run_id))
        return Run(**found[0]) if found else None

    def runs(self) -> list[Run]:
        """All runs."""
        columns = [t.dag_run.c[name] for name in Run.__slots__]
        return [Run(**row) for row in self.rows(sa.select(*columns).order_by(t.dag_run.c.run_key))]

    def task_instances(self, run_id: str) -> list[TaskInstance]:
        """The run's task instances by task_id and map_index."""
        columns = [t.task_instance.c[name] for name in TaskInstance.__slots__]
        query = (
            sa.select(*columns)
            .join(t.dag_run, t.dag_run.c.run_key == t.task_instance.c.run_key)
            .where(t.dag_run.c.run_id == run_id)
            .order_by(t.task_instance.c.task_id, t.task_instance.c.map_index)
        )
        return [TaskInstance(**row) for row in self.rows(query)]

    def states(self, run_id: str) -> dict[str, TaskInstanceState]:
        """task_id → state, for runs without mapped tasks."""
        return {ti.task_id: ti.state for ti in self.task_instances(run_id)}

    def history(self, run_id: str) -> list[Dispatch]:
        """The run's ended dispatches, oldest first."""
        columns = [t.task_instance_history.c[name] for name in Dispatch.__slots__]
        query = (
            sa.select(*columns)
            .join(t.dag_run, t.dag_run.c.run_key == t.task_instance_history.c.run_key)
            .where(t.dag_run.c.run_id == run_id)
            .order_by(t.task_instance_history.c.dispatch_no)
        )
        return [Dispatch(**row) for row in self.rows(query)]

    def moves(self, run_id: str) -> list[Move]:
        """The run's transitions, its own and its task instances'."""
        columns = [t.transition.c[name] for name in Move.__slots__]
        query = (
            sa.select(*columns)
            .join(t.dag_run, t.dag_run.c.run_key == t.transition.c.run_key)
            .where(t.dag_run.c.run_id == run_id)
            .order_by(t.transition.c.transition_id)
        )
        return [Move(**row) for row in self.rows(query)]

    def workers(self) -> list[Any]:
        """All rows of worker, oldest first."""
        return self.rows(sa.select(t.worker).order_by(t.worker.c.worker_id))

    def active_workers(self) -> set[str]:
        """Names of workers that are active."""
        return {row["name"] for row in self.workers() if str(row["state"]) == "active"}

    def leader(self) -> tuple[str | None, int, int | None]:
        """The scheduler's lease: owner, epoch, connection id."""
        found = self.rows(
            sa.select(t.lease.c.owner, t.lease.c.epoch, t.lease.c.connection_id).where(t.lease.c.name == "scheduler")
        )
        return (found[0]["owner"], found[0]["epoch"], found[0]["connection_id"]) if found else (None, 0, None)

    def xcom(self, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A task's XCom value. Raises KeyError when there is none."""
        query = (
            sa.select(t.xcom.c.value)
            .join(t.task_instance, t.task_instance.c.ti_id == t.xcom.c.ti_id)
            .join(t.dag_run, t.dag_run.c.run_key == t.xcom.c.run_key)
            .where(t.dag_run.c.run_id == run_id, t.task_instance.c.task_id == task_id, t.xcom.c.key == key)
        )
        found = self.rows(query)
        if not found:
            raise KeyError(key)
        return msgspec.json.decode(found[0]["value"])

    def task_log(self, run_id: str, task_id: str) -> bytes:
        """All stored output of a task's dispatches, in order."""
        import zlib

        query = (
            sa.select(t.log_chunk)
            .join(t.task_instance, t.task_instance.c.ti_id == t.log_chunk.c.ti_id)
            .join(t.dag_run, t.dag_run.c.run_key == t.task_instance.c.run_key)
            .where(t.dag_run.c.run_id == run_id, t.task_instance.c.task_id == task_id)
            .order_by(t.log_chunk.c.dispatch_no, t.log_chunk.c.offset)
        )
        return b"".join(
            zlib.decompress(row["data"]) if row["encoding"] == "zlib" else bytes(row["data"])
            for row in self.rows(query)
        )

    def known_dispatches(self, pairs: list[tuple[int, int]]) -> set[int]:
        """Which of these (ti_id, dispatch_no) have been committed: live ones, ended ones, and any ever queued."""
        if not pairs:
            return set()
        numbers = [number for _, number in pairs]
        ids = [ti_id for ti_id, _ in pairs]
        with self.connection() as connection:
            live = connection.execute(
                sa.select(t.task_instance.c.dispatch_no).where(t.task_instance.c.ti_id.in_(ids))
            ).scalars()
            ended = connection.execute(
                sa.select(t.task_instance_history.c.dispatch_no).where(
                    t.task_instance_history.c.dispatch_no.in_(numbers)
                )
            ).scalars()
            return {*live, *ended} & set(numbers)

    # ------------------------------------------------------------ acting

    def act(self, action: Action) -> int:
        """Store an action as the control API would; its id. The scheduler finds it at its next look."""
        now = datetime.now(UTC)
        with self._lock:
            action_id = self._ids.next(time.time_ns() // 1_000_000)
        with self.connection() as connection:
            connection.execute(
                sa.insert(t.action).values(
                    action_id=action_id,
                    idempotency_key=None,
                    kind=action.__struct_config__.tag,
                    payload=msgspec.to_builtins(action),
                    state=ActionState.PENDING,
                    actor="tests",
                    source="cli",
                    requested_at=now,
                )
            )
        return action_id

    def action(self, action_id: int) -> Any:
        """The row of an action."""
        return self.rows(sa.select(t.action).where(t.action.c.action_id == action_id))[0]

    def act_and_wait(self, action: Action, timeout: float = 10.0) -> Any:
        """Store an action and wait for its end; its row. Raises WaitedTooLong."""
        action_id = self.act(action)
        ended: list[Any] = []

        def look() -> bool:
            ended[:] = [self.action(action_id)]
            return str(ended[0]["state"]) != ActionState.PENDING

        wait_until(look, timeout, f"the action {action!r} is carried out")
        return ended[0]

    def targets(self, run_id: str, *task_ids: str) -> tuple[TaskTarget, ...]:
        """Task instances of a run as an action names them; all when none is named."""
        return tuple(
            TaskTarget(ti.ti_id, ti.task_id, ti.map_index)
            for ti in self.task_instances(run_id)
            if not task_ids or ti.task_id in task_ids
        )
