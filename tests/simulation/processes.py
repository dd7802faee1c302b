"""The simulation's processes: masters that run the product's rounds, and worker machines.

Decides how a process behaves while it is well, frozen or dead. A process may freeze in the middle of a transaction:
then everybody else goes on, and only afterwards does its commit arrive. Ticked by the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ids import IdSource
from dagdeck_core.outcome import decide
from dagdeck_core.ports import CommitUnknown, LeadershipLost
from dagdeck_core.records import TaskRecord, WorkerRecord, WorkerState
from dagdeck_core.scheduling import invariants
from dagdeck_core.scheduling.decisions import Decision, Offer, Revoke
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_core.states import DISPATCHED, TaskInstanceState
from dagdeck_core.wire import FinishedDispatch, Hint, Nudge, Report
from dagdeck_core.work import TaskCallback, TaskFacts, WorkRecord, WorkState
from dagdeck_master.scheduler.rounds import Outcome, Rounds, RoundSettings
from tests.simulation.database import (
    Crash,
    SimSchedulerStore,
    SimTrigger,
    claim,
    claim_triggers,
    claim_work,
    finish,
    finish_work,
    fire,
    free_triggers,
)
from tests.simulation.lineage import emitted_by
from tests.simulation.scenario import BASE, Ending, Waiting

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

LEASE = 6.0
TAKEOVER = 3.0


@dataclass
class Execution:
    """One run of user code: when its process began and when it was surely dead."""

    ti_id: int
    dispatch_no: int
    worker: str
    start: float
    end: float | None = None
    outcome: str = "killed"
    resumed: str | None = None
    """How it went on after a deferral."""


class _FreezingStore(SimSchedulerStore):
    """A store whose caller may freeze between deciding and committing."""

    def __init__(self, cluster: Cluster, freeze: Callable[[], None]) -> None:
        super().__init__(cluster.db, takeover=TAKEOVER)
        self._freeze = freeze

    def commit(self, epoch: int, now: datetime, decisions: Sequence[Decision]) -> None:
        self._freeze()
        super().commit(epoch, now, decisions)


class SimMaster:
    """One master process: standby, leader, frozen or dead."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.frozen_until = -1.0
        self.dead_until = -1.0
        self.in_transaction = False
        self.restart()

    def restart(self) -> None:
        self.store = _FreezingStore(self.cluster, self._freeze)
        self.epoch: int | None = None
        self.rounds: Rounds | None = None
        self.machine: Machine | None = None
        self.last_renewal = -1.0
        self.wakeups: dict[str, datetime] = {}

    def _freeze(self) -> None:
        if self.cluster.trouble and self.cluster.rng.random() < 0.003:
            self.in_transaction = True
            self.cluster.let_others_go_on(self.cluster.rng.uniform(0.5, 3 * TAKEOVER))
            self.in_transaction = False

    def tick(self) -> None:
        now = self.cluster.now
        if self.in_transaction or now < self.frozen_until or now < self.dead_until:
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
        settings = MachineSettings(
            lease_time=LEASE,
            reoffer_after=2.0,
            max_rows=cluster.max_rows,
            offered_per_task=cluster.offered_per_task,
        )
        self.machine = Machine(settings, IdSource(node=cluster.nodes % 1024), lambda name: UTC)
        intervals = RoundSettings(
            worker_interval=0.5,
            action_interval=0.5,
            dag_interval=0.5,
            work_interval=1.0,
            asset_interval=1.0,
            reconcile_interval=2.0,
        )
        rounds = Rounds(self.store, self.machine, self._send, intervals)
        self._after(rounds.start(epoch, cluster.moment, cluster.now))
        self.wakeups.update(self.machine.next_runs())
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
        due = [dag_id for dag_id, at in self.wakeups.items() if at <= cluster.moment]
        for dag_id in due:
            del self.wakeups[dag_id]
        for _ in range(50):
            outcome = self.rounds.round(cluster.moment, cluster.now, messages, due)
            self._after(outcome)
            invariants.check(self.machine.world)
            messages, due = [], []
            if not outcome.again:
                break

    def _after(self, outcome: Outcome) -> None:
        for schedule in outcome.schedules:
            if schedule.run_after is not None:
                self.wakeups[schedule.dag_id] = schedule.run_after

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
        self.in_transaction = False
        self.worker_id: int | None = None
        self.deadline = float("inf")
        self.last_renewal = -1.0
        self.running: dict[int, tuple[TaskRecord | WorkRecord, Execution, float]] = {}
        self.waiting: dict[int, tuple[SimTrigger, float]] = {}
        """trigger_id → the trigger that its triggerer runs, and when that fires."""
        self.unreported: list[tuple[TaskRecord | WorkRecord, Execution, float]] = []

    def keeper(self) -> None:
        """Runs even while the parent is frozen or dead."""
        if self.cluster.now >= self.deadline:
            self.kill_all(min(self.cluster.now, self.deadline))

    def kill_all(self, at: float) -> None:
        for _, execution, _ in self.running.values():
            execution.end = at
        self.running.clear()
        self.waiting.clear()
        self.unreported.clear()
        self.worker_id = None
        self.deadline = float("inf")

    def tick(self) -> None:
        self.keeper()
        now = self.cluster.now
        if self.in_transaction or now < self.frozen_until or now < self.dead_until:
            return
        try:
            if self.worker_id is None:
                self._register()
            self._renew()
            self._finish()
            self._take()
            self._wait()
        except EnvironmentFault:
            pass

    def triggerer_dies(self) -> None:
        """kill -9 of the triggerer: its claims hold, and the same triggers run anew in the next one."""
        for trigger, _ in list(self.waiting.values()):
            self._begin(trigger)

    def _begin(self, trigger: SimTrigger) -> None:
        waiting = self._waiting_of(self.cluster.db.tasks.get(trigger.ti_id))
        delay = waiting.fires_after if waiting is not None else None
        self.waiting[trigger.trigger_id] = (trigger, float("inf") if delay is None else self.cluster.now + delay)

    def _wait(self) -> None:
        """Claim triggers, drop those that were cancelled, and fire what is due."""
        cluster, worker_id = self.cluster, self.worker_id
        if worker_id is None:
            return
        db = cluster.db
        for trigger_id, (trigger, _) in list(self.waiting.items()):
            held = db.triggers.get(trigger_id)
            if held is None or held.worker_id != worker_id or held.claim_no != trigger.claim_no:
                del self.waiting[trigger_id]
        if any(held.worker_id == worker_id and key not in self.waiting for key, held in db.triggers.items()):
            # A claim whose commit was not confirmed: what it does not know to hold it gives back, with all others.
            self.waiting.clear()
            db.transaction(lambda: free_triggers(db, worker_id))
        if cluster.rng.random() < 0.5:
            try:
                claimed = db.transaction(lambda: claim_triggers(db, worker_id, cluster.rng.randint(1, 3)))
            except CommitUnknown:
                claimed = []
            self._freeze()
            if self.worker_id != worker_id:
                return
            for trigger in claimed:
                self._begin(trigger)
        for trigger, fires_at in list(self.waiting.values()):
            if fires_at <= cluster.now:
                self._fire(worker_id, trigger)

    def _fire(self, worker_id: int, trigger: SimTrigger) -> None:
        cluster = self.cluster
        row = cluster.db.tasks.get(trigger.ti_id)
        waiting = self._waiting_of(row)
        outcome = "resume"
        if row is not None and waiting is not None and waiting.ends:
            outcome = self._ending(row)[1].result
        cluster.events += 1
        number = cluster.events
        self._freeze()
        fired = cluster.db.transaction(lambda: fire(cluster.db, worker_id, trigger, number, outcome))
        self.waiting.pop(trigger.trigger_id, None)
        if fired is not None:
            for _ in range(cluster.rng.choice([0, 1, 1, 2])):
                cluster.tell(Report(worker_id, fired=(fired,)))

    def _waiting_of(self, record: TaskRecord | None) -> Waiting | None:
        if record is None:
            return None
        cluster = self.cluster
        dag_id = cluster.db.every_run(record.run_key).dag_id
        graph = cluster.graphs[dag_id]
        spec = graph.tasks[graph.index[record.task_id]]
        return cluster.scenario.waiting(dag_id, spec, graph, record.try_number, record.map_index)

    def _asks(self, record: TaskRecord) -> float | None:
        cluster = self.cluster
        dag_id = cluster.db.every_run(record.run_key).dag_id
        graph = cluster.graphs[dag_id]
        spec = graph.tasks[graph.index[record.task_id]]
        return cluster.scenario.asks(dag_id, spec, graph, record.try_number, record.map_index)

    def die(self) -> None:
        """kill -9 of the parent: the keeper ends everything at once."""
        self.kill_all(self.cluster.now)
        self.dead_until = self.cluster.now + self.cluster.rng.uniform(0.5, 10.0)

    def _freeze(self) -> None:
        if self.cluster.trouble and self.cluster.rng.random() < 0.005:
            self.in_transaction = True
            self.cluster.let_others_go_on(self.cluster.rng.uniform(0.5, 2 * LEASE))
            self.in_transaction = False

    def _register(self) -> None:
        cluster = self.cluster
        cluster.db.reach()
        for worker in list(cluster.db.workers.values()):
            if worker.name == self.name and worker.state is WorkerState.ACTIVE:
                cluster.db.workers[worker.worker_id] = cluster.changed(worker, state=WorkerState.LOST)
                free_triggers(cluster.db, worker.worker_id)
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
        for ti_id in [ti_id for ti_id in self.running if ti_id > 0]:
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
            entry = self.unreported[0]
            record, execution, end = entry
            if isinstance(record, WorkRecord):
                told = self._commit_work(record, execution)
            else:
                told = self._commit_end(record, execution, end)
            if entry in self.unreported:
                self.unreported.remove(entry)
            if told is not None:
                cluster.tell(Report(self.worker_id or 0, (told,)))

    def _commit_end(self, record: TaskRecord, execution: Execution, end: float) -> FinishedDispatch | None:
        cluster = self.cluster
        dag_id, ending = self._ending(record)
        waiting = self._waiting_of(record)
        if waiting is not None and execution.resumed is None:
            ending = Ending("deferred", ending.duration)
        asks = self._asks(record) if execution.resumed is None else None
        if asks is not None:
            ending = Ending("awaiting_input", ending.duration)
        graph = cluster.graphs[dag_id]
        verdict = decide(
            ending.result,
            task=graph.tasks[graph.index[record.task_id]],
            ti_id=record.ti_id,
            try_number=record.try_number,
            max_tries=record.max_tries,
            now=BASE + timedelta(seconds=end),
        )
        if ending.result == "deferred" and waiting is not None and waiting.timeout is not None:
            verdict = replace(verdict, next_at=BASE + timedelta(seconds=end + waiting.timeout))
        if asks is not None:
            verdict = replace(verdict, next_at=BASE + timedelta(seconds=end + asks))
        worker_id = self.worker_id or 0
        outlet_events = emitted_by(cluster, dag_id, record.task_id)
        self._freeze()

        def body() -> TaskInstanceState | None:
            was_live = self._is_live(record.ti_id, execution.dispatch_no)
            state = finish(
                cluster.db,
                worker_id,
                record.ti_id,
                execution.dispatch_no,
                verdict.state,
                next_at=verdict.next_at,
                effects=ending.effects,
                outlet_events=outlet_events,
            )
            if was_live and ending.dies:
                self._call_back(record, dag_id, state)
            return state

        state = cluster.db.transaction(body)
        if state is None:
            return None
        if ending.dies:
            cluster.tell(Nudge("work"))
        if outlet_events:
            cluster.tell(Nudge("asset"))
        own = state is verdict.state
        return FinishedDispatch(
            record.run_key,
            record.ti_id,
            execution.dispatch_no,
            state,
            0.01,
            verdict.next_at if own else None,
            ending.effects if own else None,
        )

    def _is_live(self, ti_id: int, dispatch_no: int) -> bool:
        row = self.cluster.db.tasks.get(ti_id)
        return row is not None and row.dispatch_no == dispatch_no and row.state in DISPATCHED

    def _call_back(self, record: TaskRecord, dag_id: str, state: TaskInstanceState | None) -> None:
        """The task's process died: its callback becomes work, in the transaction that ends it."""
        cluster = self.cluster
        if state is not TaskInstanceState.FAILED:
            return
        cluster.nodes += 1
        work = WorkRecord(
            work_id=IdSource(node=cluster.nodes % 1024).next(int(cluster.moment.timestamp() * 1000)),
            order=TaskCallback(
                task=TaskFacts(ti_id=record.ti_id, task_id=record.task_id), names=("on_failure_callback",)
            ),
            dag_id=dag_id,
            version_id=cluster.db.every_run(record.run_key).version_id,
            run_key=record.run_key,
        )
        cluster.db.put(cluster.db.works, work.work_id, work)

    def _commit_work(self, record: WorkRecord, execution: Execution) -> FinishedDispatch | None:
        cluster = self.cluster
        self._freeze()
        failed = cluster.scenario.work_fails(record)
        wanted = WorkState.FAILED if failed else WorkState.SUCCESS
        answer = None if failed else cluster.scenario.answer(record)
        state = cluster.db.transaction(
            lambda: finish_work(cluster.db, execution.ti_id, execution.dispatch_no, wanted, answer)
        )
        if state is None:
            return None
        told = TaskInstanceState.SUCCESS if state is WorkState.SUCCESS else TaskInstanceState.FAILED
        return FinishedDispatch(record.run_key, execution.ti_id, execution.dispatch_no, told)

    def _ending(self, record: TaskRecord) -> tuple[str, Ending]:
        cluster = self.cluster
        dag_id = cluster.db.every_run(record.run_key).dag_id
        graph = cluster.graphs[dag_id]
        spec = graph.tasks[graph.index[record.task_id]]
        return dag_id, cluster.scenario.ending(dag_id, spec, graph, record.try_number, record.map_index)

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
        worker_id = self.worker_id
        if ti_id in self.running or worker_id is None:
            return
        if ti_id < 0:
            self._claim_work(worker_id, ti_id, dispatch_no)
            return
        try:
            row = cluster.db.transaction(lambda: claim(cluster.db, worker_id, ti_id, dispatch_no))
        except CommitUnknown:
            row = claim(cluster.db, worker_id, ti_id, dispatch_no)
        resumed = cluster.db.next_methods.get(ti_id)
        self._freeze()
        # The keeper may have ended this incarnation while it was frozen: then nothing starts any more.
        if row is None or self.worker_id != worker_id or cluster.has_run(dispatch_no):
            return
        begins = cluster.spec_of(row).start_trigger is None or resumed is not None
        assert begins, f"seed {cluster.seed}: {row} was dispatched before its trigger fired"
        execution = Execution(ti_id, dispatch_no, self.name, cluster.now, resumed=resumed)
        cluster.executions.append(execution)
        _, ending = self._ending(row)
        self.running[ti_id] = (row, execution, cluster.now + ending.duration)
        cluster.tell(Report(worker_id, (), ((row.run_key, ti_id, dispatch_no),)))

    def _claim_work(self, worker_id: int, ti_id: int, dispatch_no: int) -> None:
        cluster = self.cluster
        try:
            row = cluster.db.transaction(lambda: claim_work(cluster.db, worker_id, ti_id, dispatch_no))
        except CommitUnknown:
            row = claim_work(cluster.db, worker_id, ti_id, dispatch_no)
        self._freeze()
        if row is None or self.worker_id != worker_id or cluster.has_run(dispatch_no):
            return
        execution = Execution(ti_id, dispatch_no, self.name, cluster.now)
        cluster.executions.append(execution)
        self.running[ti_id] = (row, execution, cluster.now + cluster.scenario.work_takes(row.work_id))
        cluster.tell(Report(worker_id, (), ((row.run_key, ti_id, dispatch_no),)))
