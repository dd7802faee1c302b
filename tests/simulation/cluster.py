"""A whole cluster in one thread: masters, workers, database and queue on one fake clock, with seeded faults.

Decides what goes wrong and when; everything that schedules is the product's own code (`Rounds`, `Machine`).
Executions are recorded with their start and end, so that an overlap of two dispatches of one task
instance cannot hide. Call `Cluster(seed).run()`; it raises AssertionError with the story when a promise breaks.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from dagdeck_core.actions import TriggerDagRun
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.graph import build_graph
from dagdeck_core.ids import IdSource
from dagdeck_core.outcome import decide
from dagdeck_core.ports import CommitUnknown, LeadershipLost
from dagdeck_core.records import (
    ActionRecord,
    DagRecord,
    DagVersionRecord,
    PoolRecord,
    TaskRecord,
    WorkerRecord,
    WorkerState,
)
from dagdeck_core.scheduling import invariants
from dagdeck_core.scheduling.decisions import Decision, Offer, Revoke
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.scheduling.world import MachineSettings
from dagdeck_core.states import TERMINAL, DagRunState, TaskInstanceState
from dagdeck_core.wire import FinishedDispatch, Hint, Nudge, Report
from dagdeck_master.scheduler.rounds import Rounds, RoundSettings
from tests.simulation.broker import SimBroker
from tests.simulation.database import Crash, SimDatabase, SimSchedulerStore, claim, finish
from tests.simulation.scenario import make_scenario

BASE = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = 6.0
TROUBLE_ENDS = 40.0
GIVE_UP = 900.0
_S = TaskInstanceState


@dataclass
class Execution:
    """One run of user code: when its process began and when it was surely dead."""

    ti_id: int
    dispatch_no: int
    worker: str
    start: float
    end: float | None = None
    outcome: str = "killed"


class SimMaster:
    """One master process: standby, leader, frozen or dead."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.frozen_until = -1.0
        self.dead_until = -1.0
        self.restart()

    def restart(self) -> None:
        self.store = SimSchedulerStore(self.cluster.db, takeover=3.0)
        self.epoch: int | None = None
        self.rounds: Rounds | None = None
        self.machine: Machine | None = None
        self.last_renewal = -1.0

    def tick(self) -> None:
        now = self.cluster.now
        if now < self.frozen_until or now < self.dead_until:
            return
        try:
            if self.epoch is None:
                self._stand_by()
            else:
                self._lead()
        except LeadershipLost:
            self.restart()
        except EnvironmentFault:
            if self.rounds is None:
                self.epoch = None
        except Crash:
            self.restart()
            self.dead_until = now + 2.0

    def _stand_by(self) -> None:
        cluster = self.cluster
        epoch = self.store.acquire_leadership(self.name)
        if epoch is None:
            return
        self.epoch = epoch
        cluster.nodes += 1
        settings = MachineSettings(lease_time=LEASE, reoffer_after=2.0)
        self.machine = Machine(settings, IdSource(node=cluster.nodes % 1024), lambda name: UTC)
        intervals = RoundSettings(worker_interval=0.5, action_interval=0.5, reconcile_interval=2.0)
        rounds = Rounds(self.store, self.machine, self._send, intervals)
        rounds.start(epoch, cluster.moment, cluster.now)
        self.rounds = rounds

    def _lead(self) -> None:
        cluster = self.cluster
        assert self.epoch is not None
        assert self.rounds is not None
        assert self.machine is not None
        if cluster.now - self.last_renewal > 0.5:
            self.store.renew_leadership(self.epoch)
            self.last_renewal = cluster.now
        messages = []
        try:
            messages = cluster.broker.read_reports()
            self.rounds.queue_is_back()
        except EnvironmentFault:
            self.rounds.queue_is_down()
        for _ in range(50):
            outcome = self.rounds.round(cluster.moment, cluster.now, messages)
            invariants.check(self.machine.world)
            messages = []
            if not outcome.again:
                break

    def _send(self, decisions: Sequence[Decision]) -> bool:
        cluster = self.cluster
        if cluster.trouble and cluster.rng.random() < 0.01:
            raise Crash
        try:
            for decision in decisions:
                if isinstance(decision, Offer):
                    for ti_id, dispatch_no, _ in decision.dispatches:
                        assert dispatch_no in cluster.db.committed_dispatches, "sent before commit"
                        cluster.broker.offer(decision.queue, [Hint(((ti_id, dispatch_no),))])
                elif isinstance(decision, Revoke):
                    cluster.broker.reach()
        except EnvironmentFault:
            return False
        return True


class SimWorker:
    """One worker machine: parent, keeper and runners. The keeper ends executions at the lease deadline."""

    def __init__(self, cluster: Cluster, name: str, slots: int) -> None:
        self.cluster = cluster
        self.name = name
        self.slots = slots
        self.frozen_until = -1.0
        self.dead_until = -1.0
        self.worker_id: int | None = None
        self.deadline = float("inf")
        self.last_renewal = -1.0
        self.running: dict[int, tuple[TaskRecord, Execution, float]] = {}
        self.unreported: list[tuple[TaskRecord, Execution, float]] = []

    def keeper(self) -> None:
        """Runs even while the parent is frozen or dead."""
        if self.cluster.now >= self.deadline:
            self.kill_all(min(self.cluster.now, self.deadline))

    def kill_all(self, at: float) -> None:
        for _, execution, _ in self.running.values():
            execution.end = at
        self.running.clear()
        self.unreported.clear()
        self.worker_id = None
        self.deadline = float("inf")

    def tick(self) -> None:
        self.keeper()
        now = self.cluster.now
        if now < self.frozen_until or now < self.dead_until:
            return
        try:
            if self.worker_id is None:
                self._register()
            self._renew()
            self._finish()
            self._take()
        except CommitUnknown:
            pass
        except EnvironmentFault:
            pass

    def die(self) -> None:
        """kill -9 of the parent: the keeper ends everything at once."""
        self.kill_all(self.cluster.now)
        self.dead_until = self.cluster.now + self.cluster.rng.uniform(0.5, 10.0)

    def _register(self) -> None:
        cluster = self.cluster
        cluster.db.reach()
        for worker in list(cluster.db.workers.values()):
            if worker.name == self.name and worker.state is WorkerState.ACTIVE:
                cluster.db.workers[worker.worker_id] = cluster.changed(worker, state=WorkerState.LOST)
        cluster.worker_ids += 1
        self.worker_id = cluster.worker_ids
        cluster.db.workers[self.worker_id] = WorkerRecord(
            worker_id=self.worker_id, name=self.name, state=WorkerState.ACTIVE, slots=self.slots
        )
        self.deadline = cluster.now + 0.7 * LEASE
        cluster.tell(Nudge("worker"))

    def _renew(self) -> None:
        cluster = self.cluster
        assert self.worker_id is not None
        if cluster.now - self.last_renewal < 0.5:
            return
        cluster.db.reach()
        row = cluster.db.workers[self.worker_id]
        if row.state is WorkerState.LOST:
            self.kill_all(cluster.now)
            raise EnvironmentFault("lease lost")
        cluster.db.workers[self.worker_id] = cluster.changed(row, counter=row.counter + 1)
        self.last_renewal = cluster.now
        self.deadline = cluster.now + 0.7 * LEASE
        for ti_id in list(self.running):
            task = cluster.db.tasks[ti_id]
            record, execution, _ = self.running[ti_id]
            if task.dispatch_no == execution.dispatch_no and task.revoke_to is not None:
                execution.end = cluster.now
                execution.outcome = "revoked"
                del self.running[ti_id]
                self.unreported.append((record, execution, cluster.now))

    def _finish(self) -> None:
        cluster = self.cluster
        for ti_id, (record, execution, end) in list(self.running.items()):
            if end <= cluster.now:
                execution.end = end
                execution.outcome = "ended"
                del self.running[ti_id]
                self.unreported.append((record, execution, end))
        while self.unreported:
            record, execution, end = self.unreported[0]
            told = self._commit_end(record, execution, end)
            self.unreported.pop(0)
            if told is not None:
                cluster.tell(Report(self.worker_id or 0, (told,)))

    def _commit_end(self, record: TaskRecord, execution: Execution, end: float) -> FinishedDispatch | None:
        cluster = self.cluster
        run = cluster.db.runs[record.run_key]
        graph = cluster.graphs[run.dag_id]
        spec = graph.tasks[graph.index[record.task_id]]
        downstream = tuple(graph.tasks[i].task_id for i in graph.down[graph.index[record.task_id]])
        ending = cluster.scenario.ending(run.dag_id, spec, downstream, record.try_number)
        verdict = decide(
            ending.result,
            task=spec,
            ti_id=record.ti_id,
            try_number=record.try_number,
            max_tries=record.max_tries,
            now=BASE + timedelta(seconds=end),
        )
        state = cluster.db.transaction(
            lambda: finish(
                cluster.db,
                self.worker_id or 0,
                record.ti_id,
                execution.dispatch_no,
                verdict.state,
                next_at=verdict.next_at,
                effects=ending.effects,
            )
        )
        if state is None:
            return None
        return FinishedDispatch(
            record.run_key, record.ti_id, execution.dispatch_no, state, 0.01, verdict.next_at, ending.effects
        )

    def _take(self) -> None:
        cluster = self.cluster
        offers: list[tuple[int, int]] = []
        try:
            while len(self.running) + len(offers) < self.slots and (hint := cluster.broker.take(["default"])):
                offers.extend(hint.dispatches)
        except EnvironmentFault:
            pass
        if len(self.running) + len(offers) < self.slots:
            for dispatch_no, (_, _, ti_id) in sorted(cluster.db.ready.items(), key=lambda item: item[1])[:2]:
                del cluster.db.ready[dispatch_no]
                offers.append((ti_id, dispatch_no))
        for ti_id, dispatch_no in offers:
            self._claim(ti_id, dispatch_no)

    def _claim(self, ti_id: int, dispatch_no: int) -> None:
        cluster = self.cluster
        worker_id = self.worker_id or 0
        if ti_id in self.running:
            return
        try:
            row = cluster.db.transaction(lambda: claim(cluster.db, worker_id, ti_id, dispatch_no))
        except CommitUnknown:
            row = claim(cluster.db, worker_id, ti_id, dispatch_no)
        if row is None or any(execution.dispatch_no == dispatch_no for execution in cluster.executions):
            return
        execution = Execution(ti_id, dispatch_no, self.name, cluster.now)
        cluster.executions.append(execution)
        run = cluster.db.runs[row.run_key]
        graph = cluster.graphs[run.dag_id]
        spec = graph.tasks[graph.index[row.task_id]]
        ending = cluster.scenario.ending(run.dag_id, spec, (), row.try_number)
        self.running[ti_id] = (row, execution, cluster.now + ending.duration)
        cluster.tell(Report(worker_id, (), ((row.run_key, ti_id, dispatch_no),)))


@dataclass
class Cluster:
    """Everything of one seed. `run` plays it to the end and checks the promises."""

    seed: int
    now: float = 0.0
    executions: list[Execution] = field(default_factory=list)
    nodes: int = 0
    worker_ids: int = 100

    def __post_init__(self) -> None:
        self.rng = random.Random(f"cluster/{self.seed}")
        self.scenario = make_scenario(self.seed)
        self.db = SimDatabase(lambda: self.now, self.rng)
        self.broker = SimBroker(lambda: self.now, self.rng)
        self.graphs = {spec.dag_id: build_graph(spec) for spec in self.scenario.dags}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._fill()
        self.masters = [SimMaster(self, "master1"), SimMaster(self, "master2")]
        self.workers = [SimWorker(self, f"worker{i}", slots=self.rng.randint(1, 4)) for i in range(3)]

    @property
    def moment(self) -> datetime:
        return BASE + timedelta(seconds=self.now)

    @property
    def trouble(self) -> bool:
        return self.now < TROUBLE_ENDS

    @staticmethod
    def changed(row: WorkerRecord, **changes: object) -> WorkerRecord:
        return msgspec.structs.replace(row, **changes)

    def tell(self, message: Report | Nudge) -> None:
        """Send to the scheduler, if the queue is there."""
        try:
            self.broker.report(message)
        except EnvironmentFault:
            pass

    def _fill(self) -> None:
        for number, spec in enumerate(self.scenario.dags, start=1):
            self.db.versions[number] = DagVersionRecord(
                version_id=number,
                dag_id=spec.dag_id,
                version_number=1,
                bundle_name="sim",
                bundle_version="1",
                spec=spec,
            )
            self.db.dags[spec.dag_id] = DagRecord(dag_id=spec.dag_id, version_id=number)
            self.db.revisions[spec.dag_id] = 1
            for run in range(self.scenario.runs_per_dag):
                key = number * 100 + run
                action = TriggerDagRun(dag_id=spec.dag_id, run_id=f"r{run}", logical_date=BASE + timedelta(days=run))
                self.db.actions[key] = ActionRecord(action_id=key, action=action, actor="sim")
        self.db.pools = {
            "default_pool": PoolRecord(name="default_pool", slots=128),
            "narrow": PoolRecord(name="narrow", slots=self.scenario.pool_slots),
        }

    # ------------------------------------------------------------ time and trouble

    def at(self, delay: float, call: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, call))

    def _every(self, low: float, high: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self.at(self.rng.uniform(low, high), again)

        self.at(self.rng.uniform(0, high), again)

    def _misfortune(self) -> None:
        if not self.trouble:
            return
        rng = self.rng
        kind = rng.choice(
            ["worker dies", "worker freezes", "master dies", "master freezes", "flush", "queue down", "db down"]
        )
        worker, master = rng.choice(self.workers), rng.choice(self.masters)
        if kind == "worker dies":
            worker.die()
        elif kind == "worker freezes":
            worker.frozen_until = self.now + rng.uniform(0.5, 2.5 * LEASE)
        elif kind == "master dies":
            master.restart()
            master.dead_until = self.now + rng.uniform(0.5, 8.0)
        elif kind == "master freezes":
            master.frozen_until = self.now + rng.uniform(0.5, 8.0)
        elif kind == "flush":
            self.broker.flush()
        elif kind == "queue down":
            self.broker.down_until = self.now + rng.uniform(0.5, 6.0)
        else:
            self.db.down_until = self.now + rng.uniform(0.2, 1.5 * LEASE)

    def run(self) -> Cluster:
        """Play to the end. Raises AssertionError when something is stuck, overlaps or differs from the script."""
        self.broker.drop = self.rng.choice([0.0, 0.05, 0.3])
        self.broker.repeat = self.rng.choice([0.0, 0.1, 0.3])
        self.broker.delay = self.rng.choice([0.0, 0.05, 1.0])
        self.db.unknown_rate = self.rng.choice([0.0, 0.02, 0.1])
        for process in (*self.masters, *self.workers):
            self._every(0.1, 0.4, process.tick)
        self._every(1.0, 6.0, self._misfortune)
        self.at(TROUBLE_ENDS, self._heal)
        while self._events:
            self.now, _, call = heapq.heappop(self._events)
            for worker in self.workers:
                worker.keeper()
            call()
            if not self.trouble and self._is_over():
                break
            assert self.now < GIVE_UP, f"seed {self.seed}: stuck\n{self._story()}"
        self.check()
        return self

    def _heal(self) -> None:
        self.broker.drop = self.broker.repeat = self.broker.delay = 0.0
        self.db.unknown_rate = 0.0

    def _is_over(self) -> bool:
        runs = self.db.runs.values()
        return len(self.db.action_ends) == len(self.db.actions) and all(
            run.state in (DagRunState.SUCCESS, DagRunState.FAILED) for run in runs
        )

    # ------------------------------------------------------------ promises

    def check(self) -> None:
        """Every promise about a finished cluster."""
        seed = self.seed
        expected = len(self.scenario.dags) * self.scenario.runs_per_dag
        assert len(self.db.runs) == expected, f"seed {seed}: {len(self.db.runs)} runs, {expected} were triggered"
        for row in self.db.tasks.values():
            assert row.state in TERMINAL, f"seed {seed}: {row} was left over"
        self._check_overlaps()
        for row in self.db.tasks.values():
            self._check_against_script(row)

    def _check_overlaps(self) -> None:
        by_task: dict[int, list[Execution]] = {}
        for execution in self.executions:
            by_task.setdefault(execution.ti_id, []).append(execution)
        for ti_id, executions in by_task.items():
            executions.sort(key=lambda e: e.start)
            for earlier, later in itertools.pairwise(executions):
                assert earlier.end is not None
                assert earlier.end <= later.start, f"seed {self.seed}: overlap of {ti_id}: {earlier} {later}"
        numbers = [execution.dispatch_no for execution in self.executions]
        assert len(numbers) == len(set(numbers)), f"seed {self.seed}: a dispatch ran twice"

    def _check_against_script(self, row: TaskRecord) -> None:
        """What ended a task instance is what its script says for its last try; faults used up no retry."""
        run = self.db.runs[row.run_key]
        graph = self.graphs[run.dag_id]
        spec = graph.tasks[graph.index[row.task_id]]
        if row.state in (_S.SKIPPED, _S.UPSTREAM_FAILED) and row.dispatch_no == 0:
            return
        if spec.is_empty:
            assert row.state is _S.SUCCESS, f"seed {self.seed}: {row}"
            return
        if row.lost_count >= 3:
            assert row.state is _S.FAILED
            return
        fails = 0
        while self.scenario.ending(run.dag_id, spec, (), fails + 1).result == "failed" and fails < spec.retries:
            fails += 1
        ending = self.scenario.ending(run.dag_id, spec, (), fails + 1)
        if run.state is DagRunState.FAILED and row.state is _S.SKIPPED:
            return
        assert row.state == ending.result, f"seed {self.seed}: {row}, script says {ending}"
        assert row.try_number == fails + 1, f"seed {self.seed}: a fault used up a retry: {row}"

    def _story(self) -> str:
        lines = [f"t={self.now:.1f}"]
        lines += [str(run) for run in self.db.runs.values() if run.state in ("queued", "running")]
        lines += [str(row) for row in self.db.tasks.values() if row.state not in TERMINAL]
        lines += [str(worker) for worker in self.db.workers.values() if worker.state == "active"]
        return "\n".join(lines)
