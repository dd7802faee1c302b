"""Faults on real processes with MariaDB and Redis.

Whatever is killed, frozen, flushed or restarted: every run ends right, no two dispatches of one task instance overlap,
no retry is used up, and nothing is sent that was not committed. One cluster lives through all of it. Leases are
short, so that a test can wait for them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from dagdeck_core.actions import ClearTaskInstances, SetDagRunState, SetTaskInstanceState
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db import tables as t
from tests.e2e.cluster_database import TaskInstance
from tests.e2e.conftest import DAGS
from tests.e2e.daemon import Daemon
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until
from tests.e2e.hint_tap import HintTap
from tests.e2e.promises import check_run
from tests.e2e.stamps import Execution, overlaps
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LEASE = float(QUICK["scheduler.lease_timeout"])
FREEZE = 30.0
"""Seconds that the database server stands still: several leases, and as long as a read waits for an answer."""
SAFE_SHARE = 0.7
SLACK = 1.0
"""Seconds by which a busy machine may be late."""
WORKERS = ("worker-1", "worker-2")


class Site:
    """The cluster with its servers, and the tap that watches what is sent."""

    def __init__(self, cluster: ClusterUnderTest, mariadb: MariaDb, redis: RedisServer) -> None:
        self.cluster = cluster
        self.mariadb = mariadb
        self.redis = redis
        self.tap = HintTap(redis.url(), cluster.database, cluster.settings["queue.cluster"])
        self.tap.start()

    def repair(self) -> None:
        """Bring back whatever a test took away."""
        for server in (self.mariadb, self.redis):
            server.thaw()
            server.start()
        if (standby := self.cluster.daemons.pop("standby", None)) is not None and standby.is_running:
            standby.stop()
        for name in ("master", *WORKERS):
            daemon = self.cluster.daemons[name]
            if not daemon.is_running:
                daemon.start()
            daemon.thaw()
        self.cluster.wait_ready("layers", "long", "retried", "line", workers=WORKERS)

    def busy_worker(self, run_id: str) -> tuple[Daemon, list[Execution]]:
        """The worker with most of the run's living executions, and these."""
        living = [e for e in self.cluster.stamps.executions(run_id) if not e.ended]
        mine: dict[str, list[Execution]] = {name: [] for name in WORKERS}
        for name in WORKERS:
            below = {child.pid for child in self.cluster.daemons[name].children(recursive=True)}
            mine[name] = [e for e in living if e.pid in below]
        name = max(mine, key=lambda name: len(mine[name]))
        assert mine[name], f"no task of {run_id} runs"
        return self.cluster.daemons[name], mine[name]

    def worker_row(self, worker_id: int) -> Any:
        """The row of one incarnation."""
        return next(row for row in self.cluster.database.workers() if row["worker_id"] == worker_id)


@pytest.fixture(scope="module")
def the_site(
    mariadb: MariaDb,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """The one cluster of this module."""
    folder: Path = tmp_path_factory.mktemp("faults")
    url = mariadb.create_database(f"faults_{os.getpid()}")
    dags = [DAGS / "stamped.py"]
    with ClusterUnderTest(folder, dags=dags, database_url=url, queue_url=redis_server.url(), settings=QUICK) as cluster:
        cluster.start_cluster(WORKERS)
        site = Site(cluster, mariadb, redis_server)
        yield site
        site.tap.stop()


@pytest.fixture
def site(the_site: Site) -> Iterator[Site]:
    """The cluster with everything running; afterwards everything sent so far must have been committed."""
    the_site.repair()
    yield the_site
    the_site.repair()
    the_site.tap.settle()
    assert the_site.tap.seen, "the tap heard nothing, so it could not have found anything"
    assert the_site.tap.early == set(), "sent before it was committed"


def now() -> float:
    """The clock of the tasks' stamps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_step(site: Site, run_id: str, task_id: str) -> None:
    """Wait until this task of a run has begun."""

    def begun(tasks: list[TaskInstance]) -> bool:
        return any(ti.task_id == task_id and ti.state not in ("none", "scheduled") for ti in tasks)

    site.cluster.wait_tasks(run_id, begun, f"{task_id} begins")


def again(site: Site, run_id: str, executions: list[Execution]) -> list[Execution]:
    """Later executions of the task instances of `executions`."""
    keys = {e.key for e in executions}
    old = {e.dispatch_no for e in executions}
    return [e for e in site.cluster.stamps.executions(run_id) if e.key in keys and e.dispatch_no not in old]


# ------------------------------------------------------------ workers


def test_killed_worker_frees_its_tasks_when_it_comes_back(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 2})
    site.cluster.wait_running(run_id, 4)
    worker, victims = site.busy_worker(run_id)
    killed = now()
    worker.kill()
    worker.start()
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id)
    assert len(again(site, run_id, victims)) == len(victims)
    dead = {(e.task_id, e.dispatch_no) for e in site.cluster.stamps.executions(run_id) if not e.ended}
    assert dead == {(e.task_id, e.dispatch_no) for e in victims}
    assert all(e.last < killed + SLACK for e in site.cluster.stamps.executions(run_id) if not e.ended)


def test_killed_worker_that_stays_away_loses_its_tasks_to_another(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 2})
    site.cluster.wait_running(run_id, 4)
    worker, victims = site.busy_worker(run_id)
    worker.kill()
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id)
    assert len(again(site, run_id, victims)) == len(victims)
    lost = [d for d in site.cluster.database.history(run_id) if d.ended_by == "scheduler"]
    assert {d.dispatch_no for d in lost} == {e.dispatch_no for e in victims}


def test_killed_keeper_takes_its_tasks_along_and_no_retry(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 2})
    site.cluster.wait_running(run_id, 4)
    worker, victims = site.busy_worker(run_id)
    killed = now()
    site.cluster.keeper(worker).kill()
    wait_until(lambda: not any(psutil.pid_exists(e.pid) for e in victims), 5, "the keeper's tasks are dead")
    if worker.exit_code is not None or not worker.children():
        site.repair()
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id)
    assert len(again(site, run_id, victims)) == len(victims)
    assert all(e.last < killed + SLACK for e in site.cluster.stamps.executions(run_id) if not e.ended)


def test_killed_runner_is_its_tasks_own_failure(site: Site) -> None:
    run_id = site.cluster.trigger("retried")
    site.cluster.wait_running(run_id)
    [execution] = [e for e in site.cluster.stamps.executions(run_id) if not e.ended]
    os.kill(execution.pid, signal.SIGKILL)
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id, tries=2)
    first, second = site.cluster.database.history(run_id)
    assert (first.dispatch_no, first.try_number, first.state) == (
        execution.dispatch_no,
        1,
        TaskInstanceState.UP_FOR_RETRY,
    )
    assert (second.try_number, second.state) == (2, TaskInstanceState.SUCCESS)


def test_worker_frozen_past_its_lease_has_no_task_left_when_it_goes_on(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 6})
    tasks = site.cluster.wait_running(run_id, 4)
    worker, victims = site.busy_worker(run_id)
    [worker_id] = {ti.worker_id for ti in tasks if ti.dispatch_no == victims[0].dispatch_no}
    assert worker_id is not None
    frozen = now()
    worker.freeze()
    wait_until(lambda: str(site.worker_row(worker_id)["state"]) == "lost", LEASE * 2.5 + SLACK, "the worker is lost")
    alive = [e for e in victims if psutil.pid_exists(e.pid) and psutil.Process(e.pid).status() != "zombie"]
    assert alive == [], "its keeper did not end its tasks in time"
    worker.thaw()
    site.cluster.wait_run(run_id, timeout=40)
    check_run(site.cluster, run_id)
    ended = [e for e in site.cluster.stamps.executions(run_id) if e.dispatch_no in {v.dispatch_no for v in victims}]
    assert all(e.last <= frozen + SAFE_SHARE * LEASE + SLACK and not e.ended for e in ended)
    wait_until(lambda: worker.name in site.cluster.database.active_workers(), 10, "it registers anew")


def test_drained_worker_finishes_what_it_has(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 2})
    site.cluster.wait_running(run_id, 4)
    worker, mine = site.busy_worker(run_id)
    assert worker.stop(timeout=20) == 0
    run = site.cluster.trigger("layers")
    site.cluster.wait_run(run_id)
    site.cluster.wait_run(run)
    check_run(site.cluster, run_id)
    check_run(site.cluster, run)
    assert again(site, run_id, mine) == []
    assert all(e.ended for e in site.cluster.stamps.executions(run_id))
    stopped = [row for row in site.cluster.database.workers() if row["name"] == worker.name]
    assert str(stopped[-1]["state"]) == "stopped"


# ------------------------------------------------------------ the master


def test_killed_scheduler_comes_back_and_goes_on(site: Site) -> None:
    run_id = site.cluster.trigger("line")
    master = site.cluster.daemons["master"]
    for step in ("step_3", "step_12"):
        wait_step(site, run_id, step)
        scheduler = master.part("scheduler")
        scheduler.kill()
        scheduler.wait(5)
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id)


def test_killed_master_takes_its_parts_along_and_goes_on(site: Site) -> None:
    run_id = site.cluster.trigger("layers")
    site.cluster.wait_running(run_id, 2)
    master = site.cluster.daemons["master"]
    parts = master.children()
    assert len(parts) == 3
    master.kill()
    wait_until(lambda: not any(part.is_running() for part in parts), 5, "its parts are dead")
    master.start()
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id)


def test_standby_takes_over_from_a_dead_leader(site: Site) -> None:
    standby = site.cluster.start_master("standby")
    standby.part("scheduler")
    run_id = site.cluster.trigger("line")
    wait_step(site, run_id, "step_5")
    epoch = site.cluster.database.leader()[1]
    site.cluster.daemons["master"].kill()
    site.cluster.wait_run(run_id)
    check_run(site.cluster, run_id)
    assert site.cluster.database.leader()[1] > epoch
    assert standby.stop() == 0


def test_scheduler_frozen_inside_a_transaction_is_replaced(site: Site) -> None:
    """The leader stands still while it holds the lease row's lock; the standby ends its connection and leads."""
    standby = site.cluster.start_master("standby")
    standby.part("scheduler")
    run_id = site.cluster.trigger("long", {"seconds": 1})
    tasks = site.cluster.wait_running(run_id, 4)
    scheduler = site.cluster.daemons["master"].part("scheduler")
    _, epoch, connection_id = site.cluster.database.leader()
    last = next(ti for ti in tasks if ti.task_id == "after")
    with site.cluster.database.connection() as holder:
        # Whoever writes this row waits, with the lease row locked.
        holder.execute(
            sa.select(t.task_instance.c.ti_id).where(t.task_instance.c.ti_id == last.ti_id).with_for_update()
        )
        _freeze_while_it_waits(site, scheduler, connection_id)
        wait_until(lambda: site.cluster.database.leader()[1] > epoch, 15, "the standby leads")
    site.cluster.wait_run(run_id)
    scheduler.resume()
    second = site.cluster.trigger("layers")
    site.cluster.wait_run(second)
    for each in (run_id, second):
        check_run(site.cluster, each)
    wait_until(
        lambda: "another scheduler leads now" in site.cluster.daemons["master"].log(), 10, "the old leader notices"
    )
    assert standby.stop() == 0


def _freeze_while_it_waits(site: Site, scheduler: psutil.Process, connection_id: int | None) -> None:
    waiting = (
        "SELECT COUNT(*) FROM information_schema.innodb_trx "
        f"WHERE trx_state = 'LOCK WAIT' AND trx_mysql_thread_id = {connection_id}"
    )
    # That table is renewed only when nobody has read it for 0.1 s.
    wait_until(lambda: site.mariadb.execute(waiting).strip() == "1", 15, "the scheduler waits for the row", pause=0.15)
    scheduler.suspend()


# ------------------------------------------------------------ the servers


def test_flushed_redis_loses_nothing(site: Site) -> None:
    runs = [site.cluster.trigger("line"), site.cluster.trigger("layers")]
    for step in ("step_2", "step_6", "step_10"):
        wait_step(site, runs[0], step)
        site.redis.execute("FLUSHALL")
    for run_id in runs:
        site.cluster.wait_run(run_id)
        check_run(site.cluster, run_id)


def test_runs_end_while_redis_is_down(site: Site) -> None:
    before = site.cluster.trigger("layers")
    site.cluster.wait_running(before, 2)
    site.redis.kill()
    down = time.monotonic()
    during = site.cluster.trigger("layers")
    for run_id in (before, during):
        site.cluster.wait_run(run_id, timeout=40)
    # The runs ended without it; the rest of its ten seconds shows that idling without it harms nothing.
    time.sleep(max(0.0, down + 10 - time.monotonic()))
    site.redis.start()
    after = site.cluster.trigger("line")
    site.cluster.wait_run(after)
    for run_id in (before, during, after):
        check_run(site.cluster, run_id)


def test_crashed_mariadb_loses_nothing_that_was_committed(site: Site) -> None:
    runs = [site.cluster.trigger("line"), site.cluster.trigger("layers")]
    site.cluster.wait_running(runs[1], 2)
    site.mariadb.restart(crash=True)
    for run_id in runs:
        site.cluster.wait_run(run_id, timeout=40)
        check_run(site.cluster, run_id)


def test_frozen_mariadb_stops_tasks_in_time_and_declares_nobody_lost(site: Site) -> None:
    """Frozen for longer than the lease: tasks end before anyone else could start them, then the work is done again."""
    run_id = site.cluster.trigger("long", {"seconds": 5})
    site.cluster.wait_running(run_id, 4)
    frozen = now()
    site.mariadb.freeze()
    time.sleep(FREEZE)
    victims = [e for e in site.cluster.stamps.executions(run_id) if not e.ended]
    assert victims, "this test wants tasks that run while the server is frozen"
    assert all(e.last <= frozen + SAFE_SHARE * LEASE + SLACK for e in victims), "tasks outlived their lease"
    site.mariadb.thaw()
    site.cluster.wait_run(run_id, timeout=60)
    check_run(site.cluster, run_id)


def test_everything_at_once(site: Site) -> None:
    runs = [site.cluster.trigger("layers"), site.cluster.trigger("line"), site.cluster.trigger("long", {"seconds": 2})]
    site.cluster.wait_running(runs[2], 4)
    worker, _ = site.busy_worker(runs[2])
    site.cluster.daemons["master"].part("scheduler").kill()
    site.redis.execute("FLUSHALL")
    worker.kill()
    worker.start()
    site.mariadb.restart(crash=True)
    for run_id in runs:
        site.cluster.wait_run(run_id, timeout=60)
        check_run(site.cluster, run_id)


# ------------------------------------------------------------ people


def test_cleared_and_marked_tasks_are_ended_before_anything_else_runs(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 4})
    run = site.cluster.database.run
    site.cluster.wait_running(run_id, 4)
    row = run(run_id)
    assert row is not None
    targets = site.cluster.database.targets
    cleared = ClearTaskInstances(run_key=row.run_key, targets=targets(run_id, "work_0"))
    marked = SetTaskInstanceState(
        run_key=row.run_key, targets=targets(run_id, "work_1"), state=TaskInstanceState.SUCCESS
    )
    for action in (cleared, marked):
        assert str(site.cluster.database.act_and_wait(action)["state"]) == "done"
    site.cluster.wait_run(run_id)
    executions = site.cluster.stamps.executions(run_id)
    assert [e.ended for e in executions if e.task_id == "work_0"] == [False, True]
    assert [e.ended for e in executions if e.task_id == "work_1"] == [False]
    check_run_with_marks(site, run_id)


def check_run_with_marks(site: Site, run_id: str) -> None:
    """As `check_run`, for a run in which work_1 was marked and so never ended by itself."""
    states = site.cluster.database.states(run_id)
    assert set(states.values()) == {TaskInstanceState.SUCCESS}
    assert overlaps(site.cluster.stamps.executions(run_id)) == []


def test_run_marked_failed_ends_its_processes(site: Site) -> None:
    run_id = site.cluster.trigger("long", {"seconds": 20})
    site.cluster.wait_running(run_id, 4)
    row = site.cluster.database.run(run_id)
    assert row is not None
    action = SetDagRunState(run_key=row.run_key, state=DagRunState.FAILED)
    assert str(site.cluster.database.act_and_wait(action)["state"]) == "done"
    site.cluster.wait_tasks(run_id, lambda tis: all(ti.state == "failed" for ti in tis[1:]), "its tasks failed", 15)
    told = now()
    time.sleep(0.2)
    executions = site.cluster.stamps.executions(run_id)
    assert not any(e.ended for e in executions)
    assert all(e.last <= told for e in executions), "a process went on although its task was said to have ended"


# ------------------------------------------------------------ the end


def test_orderly_stop_leaves_nothing_behind(site: Site) -> None:
    run_id = site.cluster.trigger("layers")
    site.cluster.wait_run(run_id)
    daemons = [site.cluster.daemons[name] for name in (*WORKERS, "master")]
    for daemon in daemons:
        daemon.signal(signal.SIGTERM)
    assert [daemon.wait(30) for daemon in daemons] == [0, 0, 0]
    wait_until(lambda: not site.cluster.processes(), 5, "no process is left")
