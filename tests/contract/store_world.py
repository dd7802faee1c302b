"""A small world over one database's stores: what the contract tests of the stores set up and look at.

Decides how a test makes DAGs, runs and dispatches (through the ports only) and how it looks at rows (`rows`, the only
place with SQL, one per adapter). Called by conftest.py and the test_*store*.py beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagdeck_core.ports import FinishWrite
from dagdeck_core.records import RunRecord
from dagdeck_core.scheduling.decisions import (
    CreateRun,
    CreateTasks,
    Decision,
    MoveRun,
    MoveTask,
    Revoke,
    TaskSeed,
)
from dagdeck_core.spec import DagSpec, TaskSpec
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_io.db.engine import Database
from dagdeck_io.db.processor_store import PublishedDag
from dagdeck_io.db.scheduler_store import SqlSchedulerStore
from dagdeck_io.db.tables import metadata
from dagdeck_io.db.worker_store import SqlWorkerStore

S = TaskInstanceState
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def task_spec(task_id: str, **options: Any) -> TaskSpec:
    """A task of a DAG under test."""
    return TaskSpec(task_id=task_id, task_type="PythonOperator", **options)


@dataclass
class StoreWorld:
    """One adapter's stores over an empty database."""

    database: Database
    worker_database: Database
    scheduler: SqlSchedulerStore
    worker: SqlWorkerStore
    lease: SqlWorkerStore
    epoch: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _more: list[Any] = field(default_factory=list)

    # -------------------------------------------------------------- making

    def lead(self) -> int:
        """Take the lease."""
        epoch = self.scheduler.acquire_leadership("first")
        assert epoch is not None
        self.epoch = epoch
        return epoch

    def dag(self, dag_id: str, *tasks: TaskSpec, code: str = "c1", **options: Any) -> int:
        """Publish a DAG and return the id of its newest version."""
        spec = DagSpec(dag_id=dag_id, fileloc=f"{dag_id}.py", tasks=tasks or (task_spec("a"),), **options)
        self.database.processor_store().publish(
            "dags", "v1", [PublishedDag(spec=spec, code_sha256=code, parse_duration=0.1)], [], complete=False
        )
        return int(self.rows("dag", dag_id=dag_id)[0]["version_id"])

    def run(
        self,
        dag_id: str = "d",
        tasks: Sequence[TaskSpec] = (),
        *,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        state: DagRunState = DagRunState.RUNNING,
        map_indexes: Sequence[int] = (-1,),
        **options: Any,
    ) -> tuple[int, list[int]]:
        """Commit a run with task instances; (run_key, ti_ids)."""
        version_id = self.dag(dag_id, *tasks) if not self.rows("dag", dag_id=dag_id) else self.version_of(dag_id)
        run_key = self.database.new_id()
        record = RunRecord(
            run_key=run_key,
            dag_id=dag_id,
            run_id=run_id or f"run_{next(self._numbers)}",
            version_id=version_id,
            state=state,
            run_type=DagRunType.MANUAL,
            run_after=NOW,
            queued_at=NOW,
            logical_date=logical_date,
            **options,
        )
        seeds = tuple(
            TaskSeed(ti_id=self.database.new_id(), task=task, map_index=index, priority=3)
            for task in (tasks or (task_spec("a"),))
            for index in map_indexes
        )
        self.commit(
            CreateRun(run=record, cause="test:run"),
            CreateTasks(
                run_key=run_key,
                dag_id=dag_id,
                run_id=record.run_id,
                version_id=version_id,
                seeds=seeds,
                old_count=0,
                new_count=len(seeds),
            ),
        )
        return run_key, [seed.ti_id for seed in seeds]

    def version_of(self, dag_id: str) -> int:
        """The newest version of a DAG."""
        return int(self.rows("dag", dag_id=dag_id)[0]["version_id"])

    def commit(self, *decisions: Decision, now: datetime = NOW) -> None:
        """Commit under the current epoch."""
        self.scheduler.commit(self.epoch or self.lead(), now, decisions)

    def move(self, ti_id: int, new: TaskInstanceState, /, **options: Any) -> MoveTask:
        """A move of a task instance from the state that its row has now."""
        row = self.task(ti_id)
        values: dict[str, Any] = {
            "run_key": row["run_key"],
            "ti_id": ti_id,
            "old": row["state"],
            "new": new,
            "old_no": row["dispatch_no"],
            "new_no": row["dispatch_no"],
            "try_number": row["try_number"],
            "max_tries": row["max_tries"],
        }
        return MoveTask(**(values | options))

    def queue(self, *ti_ids: int) -> list[int]:
        """Commit a new dispatch of each; their numbers."""
        numbers = [self.database.new_id() for _ in ti_ids]
        self.commit(
            *(
                self.move(ti_id, S.QUEUED, new_no=number, try_number=self.task(ti_id)["try_number"] + 1)
                for ti_id, number in zip(ti_ids, numbers, strict=True)
            )
        )
        return numbers

    def register(self, name: str = "w", **options: Any) -> int:
        """Register a worker."""
        values: dict[str, Any] = {
            "name": name,
            "hostname": "host",
            "slots": 4,
            "queues": ["default"],
            "version": "0.1",
            "pid": 7,
        }
        return self.worker.register(**(values | options))

    def running(self, ti_id: int, worker_id: int) -> int:
        """Dispatch a task instance and let the worker claim it; the dispatch number."""
        (number,) = self.queue(ti_id)
        _, won = self.worker.transact(worker_id, [], [(ti_id, number)])
        assert [task.dispatch_no for task in won] == [number]
        return number

    def finish(self, ti_id: int, dispatch_no: int, state: TaskInstanceState = S.SUCCESS, **options: Any) -> FinishWrite:
        """The end of a dispatch."""
        return FinishWrite(
            run_key=self.task(ti_id)["run_key"],
            ti_id=ti_id,
            dispatch_no=dispatch_no,
            state=state,
            start_date=NOW + timedelta(seconds=1),
            end_date=NOW + timedelta(seconds=3),
            duration=2.0,
            **options,
        )

    def revoke(self, ti_id: int, dispatch_no: int, worker_id: int, target: TaskInstanceState) -> Revoke:
        """The revocation of a live dispatch."""
        run_key = self.task(ti_id)["run_key"]
        return Revoke(
            run_key=run_key, ti_id=ti_id, dispatch_no=dispatch_no, worker_id=worker_id, target=target, cause="action:1"
        )

    def end_run(self, run_key: int, dag_id: str = "d", state: DagRunState = DagRunState.SUCCESS) -> None:
        """Commit the end of a running run."""
        self.commit(MoveRun(run_key=run_key, dag_id=dag_id, old=DagRunState.RUNNING, new=state))

    def another_scheduler(self, **options: Any) -> SqlSchedulerStore:
        """A second candidate for the lease, on a connection of its own."""
        return self.database.scheduler_store(**options)

    def another_worker_store(self) -> SqlWorkerStore:
        """A store of another process."""
        return self.worker_database.worker_store()

    # -------------------------------------------------------------- looking

    def rows(self, table_name: str, **where: Any) -> list[dict[str, Any]]:
        """Rows of a table by equal columns, in the order of their keys."""
        table = metadata.tables[table_name]
        query = sa.select(table).where(*(table.c[name] == value for name, value in where.items()))
        with self.database.reading() as connection:
            found = connection.execute(query.order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in found]

    def insert(self, table_name: str, **values: Any) -> None:
        """Insert a row that another part of the system would."""
        with self.database.writing() as connection:
            connection.execute(metadata.tables[table_name].insert().values(**values))

    def task(self, ti_id: int) -> dict[str, Any]:
        """One task_instance row."""
        (row,) = self.rows("task_instance", ti_id=ti_id)
        return row

    def transitions(self, ti_id: int) -> list[tuple[str, str]]:
        """(from, to) of a task instance's transitions."""
        return [(row["from_state"], row["to_state"]) for row in self.rows("transition", ti_id=ti_id)]

    def stats(self, dag_id: str = "d") -> dict[str, int]:
        """Runs of a DAG by state, zeros left out."""
        return {
            row["state"].value: row["run_count"] for row in self.rows("dag_stats", dag_id=dag_id) if row["run_count"]
        }

    def attention(self, kind: str) -> list[int]:
        """Subjects of attention rows."""
        return [row["subject_id"] for row in self.rows("attention", kind=kind)]
