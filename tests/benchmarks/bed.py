"""The bed that a benchmark runs on: one warm cluster on one backend, triggered through its control API.

Decides the backends, their settings and how a run is started and read back. Does not decide what is measured
(`cases`). Called by `__main__` and by the short form in test_benchmarks.py.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import sqlalchemy as sa

from dagdeck_client.requests import runs
from dagdeck_client.transport import HttpTransport
from dagdeck_core.actions import PutPool, SetDagRunState
from dagdeck_core.states import DagRunState
from dagdeck_io.db import tables as t
from tests.benchmarks import usage
from tests.e2e.cluster_database import Run, TaskInstance
from tests.e2e.daemon import wait_until
from tests.e2e.harness import ClusterUnderTest
from tests.support.services import MariaDb, RedisServer

Say = Callable[[str], None]
"""Tells people what is going on."""
BACKENDS = ("mariadb", "standalone")
SLOTS = 8
SINGLE = "fanout_1"
"""The DAG of one task, with which every bed is warmed up."""
DAGS = Path(__file__).parent / "dags"
SETTINGS = {
    "worker.slots": str(SLOTS),
    "dag_processor.paused_at_creation": "false",
    "logging.level": "warning",
}
"""Everything else is as a user finds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of the backend `mariadb`; None for standalone."""

    mariadb: MariaDb
    redis: RedisServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One run that ended, with its task instances and what it cost."""

    run: Run
    sent_at: datetime
    """When the request to the control API was sent."""
    asked_at: datetime
    """When the control API stored the action."""
    tasks: list[TaskInstance]
    cpu: Counter[str]
    """CPU seconds by role, from before the trigger to after the end."""

    @property
    def seconds(self) -> float:
        """From the trigger's commit to the run's end."""
        assert self.run.end_date is not None
        return (self.run.end_date - self.asked_at).total_seconds()

    @property
    def hops(self) -> list[float]:
        """Seconds from each task's end to the next one's start, of a chain."""
        ordered = sorted(self.tasks, key=lambda ti: ti.start_date or self.asked_at)
        pairs = itertools.pairwise(ordered)
        return [(b.start_date - a.end_date).total_seconds() for a, b in pairs if b.start_date and a.end_date]

    @property
    def first_start(self) -> datetime:
        """When the first task began."""
        return min(ti.start_date for ti in self.tasks if ti.start_date is not None)


@dataclass(slots=True, kw_only=True)
class Bed:
    """A running cluster."""

    backend: str
    cluster: ClusterUnderTest
    client: HttpTransport
    servers: Servers | None
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    def run(self, dag_id: str, *, timeout: float = 120.0) -> Finished:
        """Trigger `dag_id` through the control API and wait for its end."""
        run_id = f"bench-{next(self._numbers)}"
        named = self.processes()
        before = usage.cpu_seconds(named)
        sent_at = datetime.now(UTC)
        self.client.send(runs.trigger_run(dag_id, run_id=run_id))
        run = self.wait(run_id, timeout)
        after = usage.cpu_seconds(named | self.processes())
        after.subtract(before)
        return Finished(
            run=run,
            sent_at=sent_at,
            asked_at=self.asked_at(run_id),
            tasks=self.cluster.database.task_instances(run_id),
            cpu=after,
        )

    def wait(self, run_id: str, timeout: float) -> Run:
        """Wait for a run's end, looking in a way and so rarely that looking costs little."""
        pause = 0.02
        deadline = time.monotonic() + timeout
        query = sa.select(t.dag_run.c.state).where(t.dag_run.c.run_id == run_id)
        engine = self.cluster.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            while connection.execute(query).scalar_one_or_none() not in (DagRunState.SUCCESS, DagRunState.FAILED):
                assert time.monotonic() < deadline, f"{run_id} did not end within {timeout:g} s"
                time.sleep(pause)
                pause = min(pause * 1.2, 0.25)
        run = self.cluster.database.run(run_id)
        assert run is not None
        assert run.state == DagRunState.SUCCESS, f"{run_id} ended {run.state}"
        return run

    def defer(self, dag_id: str, size: int, *, timeout: float = 120.0) -> tuple[str, float]:
        """Trigger `dag_id` and wait until triggerers hold `size` of its triggers: the run's id, and the seconds."""
        run_id = f"bench-{next(self._numbers)}"
        self.client.send(runs.trigger_run(dag_id, run_id=run_id))
        held = sa.select(sa.func.count()).select_from(t.trigger).where(t.trigger.c.triggerer_id.is_not(None))
        engine = self.cluster.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            what = f"{size} triggers are held"
            wait_until(lambda: connection.execute(held).scalar_one() >= size, timeout, what, pause=0.1)
        return run_id, (datetime.now(UTC) - self.asked_at(run_id)).total_seconds()

    def ask(self, dag_id: str) -> tuple[str, datetime]:
        """Trigger `dag_id` and wait for nothing: the run's id, and when the action was stored."""
        run_id = f"bench-{next(self._numbers)}"
        self.client.send(runs.trigger_run(dag_id, run_id=run_id))
        return run_id, self.asked_at(run_id)

    def instances(self, run_id: str) -> int:
        """How many task instances the run has."""
        run = self.cluster.database.run(run_id)
        assert run is not None
        query = sa.select(sa.func.count()).select_from(t.task_instance).where(t.task_instance.c.run_key == run.run_key)
        with self.cluster.database.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def end(self, run_id: str) -> None:
        """End a run that waits, and all that it waits for."""
        run = self.cluster.database.run(run_id)
        assert run is not None
        self.cluster.database.act_and_wait(SetDagRunState(run_key=run.run_key, state=DagRunState.SUCCESS))

    def asked_at(self, run_id: str) -> datetime:
        """When the action that made this run was stored."""
        for row in self.cluster.database.rows(
            sa.select(t.action.c.payload, t.action.c.requested_at)
            .where(t.action.c.kind == "trigger_dag_run")
            .order_by(t.action.c.action_id.desc())
        ):
            if row["payload"].get("run_id") == run_id:
                asked: datetime = row["requested_at"]
                return asked
        raise AssertionError(f"no action made {run_id}")

    def processes(self) -> dict[psutil.Process, str]:
        """All processes of the cluster and of its servers, with their roles."""
        named = usage.roles(self.cluster.processes())
        if self.servers is not None:
            named[psutil.Process(self.servers.mariadb.pid)] = "mariadb"
            named[psutil.Process(self.servers.redis.pid)] = "redis"
        return named


@contextmanager
def servers() -> Iterator[Servers]:
    """Private servers with durable commits."""
    with MariaDb() as mariadb, RedisServer() as redis:
        yield Servers(mariadb=mariadb, redis=redis)


@contextmanager
def new_cluster(backend: str, folder: Path, on: Servers | None, dags: Sequence[Path]) -> Iterator[ClusterUnderTest]:
    """A cluster of a backend that has not been started; its database is new."""
    database_url = queue_url = None
    if on is not None and backend == "mariadb":
        name = f"bench_{folder.name.replace('-', '_')}"
        on.redis.execute("FLUSHALL")
        database_url, queue_url = on.mariadb.create_database(name), on.redis.url()
    with ClusterUnderTest(
        folder, dags=dags, database_url=database_url, queue_url=queue_url, settings=SETTINGS
    ) as cluster:
        yield cluster
    if on is not None and backend == "mariadb":
        on.mariadb.drop_database(name)


@contextmanager
def bed(backend: str, folder: Path, on: Servers | None, dag_ids: Sequence[str]) -> Iterator[Bed]:
    """A started cluster that knows `dag_ids` and SINGLE, with a pool that limits nothing."""
    dag_ids = sorted({SINGLE, *dag_ids})
    with ExitStack() as stack:
        files = [DAGS / "measured_tasks.py", *(DAGS / f"{dag_id}.py" for dag_id in dag_ids)]
        cluster = stack.enter_context(new_cluster(backend, folder, on, files))
        if cluster.is_standalone:
            cluster.start_standalone()
        else:
            cluster.start_cluster(["worker-1"])
        cluster.wait_ready(*dag_ids, timeout=120)
        client = stack.enter_context(cluster.client())
        cluster.database.act_and_wait(PutPool(name="default_pool", slots=-1))
        this = Bed(backend=backend, cluster=cluster, client=client, servers=on if backend == "mariadb" else None)
        warm_up(this)
        yield this


def warm_up(this: Bed) -> None:
    """Let every runner have run something, as on any cluster that is in use."""
    for _ in range(3):
        this.run(SINGLE)
    wait_until(lambda: this.cluster.database.active_workers(), 10, "a worker is there")
