"""A whole cluster in one thread: masters, workers, people, database and queue on one fake clock, with seeded faults.

Decides what goes wrong and when; everything that schedules is the product's own code (`Rounds`, `Machine`).
Executions are recorded with their start and end, so that an overlap of two dispatches of one task
instance cannot hide. Call `Cluster(seed).run()`; it raises AssertionError with the story when a promise breaks.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from dagdeck_core.actions import TriggerDagRun
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.graph import Graph, build_graph
from dagdeck_core.records import (
    ActionRecord,
    DagRecord,
    DagVersionRecord,
    PoolRecord,
    TaskRecord,
    WorkerRecord,
)
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TERMINAL, DagRunState
from dagdeck_core.timetables import NullSpec
from dagdeck_core.wire import Nudge, Report
from tests.simulation.broker import SimBroker
from tests.simulation.checks import CommitWatch, check_end
from tests.simulation.database import SimDatabase
from tests.simulation.lineage import ASSETS, is_quiet
from tests.simulation.people import SimPeople
from tests.simulation.processes import LEASE, Execution, SimMaster, SimWorker
from tests.simulation.scenario import BASE, EVERY, LAST, make_scenario

TROUBLE_ENDS = 40.0
GIVE_UP = 900.0
MISFORTUNES = (
    "worker dies",
    "worker freezes",
    "triggerer dies",
    "master dies",
    "master freezes",
    "flush",
    "queue down",
    "hints down",
    "db down",
)


@dataclass
class Cluster:
    """Everything of one seed. `run` plays it to the end and checks the promises."""

    seed: int
    now: float = 0.0
    executions: list[Execution] = field(default_factory=list)
    nodes: int = 0
    worker_ids: int = 100
    events: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(f"cluster/{self.seed}")
        self.scenario = make_scenario(self.seed)
        self.specs = {spec.dag_id: spec for spec in (*self.scenario.dags, *self.scenario.listeners)}
        self.graphs = {spec.dag_id: build_graph(spec) for spec in self.specs.values()}
        self.scheduled = [spec.dag_id for spec in self.scenario.dags if not isinstance(spec.timetable, NullSpec)]
        self.max_rows = self.rng.choice([20, 2000])
        self.offered_per_task = random.Random(f"offered/{self.seed}").choice([1, 3, 64])
        self.watch = CommitWatch(self)
        self.db = SimDatabase(lambda: self.now, self.rng, committed=self.watch.committed)
        self.broker = SimBroker(lambda: self.now, self.rng)
        self.people = SimPeople(self)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._fill()
        self.masters = [SimMaster(self, "master1"), SimMaster(self, "master2")]
        self.workers = [SimWorker(self, f"worker{i}", slots=self.rng.randint(1, 4)) for i in range(3)]

    def _fill(self) -> None:
        for number, spec in enumerate(self.specs.values(), start=1):
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
            self.db.assets = {asset.asset_id: asset for asset in ASSETS}
            if spec in self.scenario.listeners:
                continue
            for run in range(self.scenario.runs_per_dag):
                key = number * 100 + run
                date = BASE - timedelta(days=10 - run)
                action = TriggerDagRun(dag_id=spec.dag_id, run_id=f"r{run}", logical_date=date)
                self.db.actions[key] = ActionRecord(action_id=key, action=action, actor="sim")
        self.db.pools = {
            "default_pool": PoolRecord(name="default_pool", slots=128),
            "narrow": PoolRecord(name="narrow", slots=max(self.scenario.pool_slots, 2)),
        }

    # ------------------------------------------------------------ what the parts ask

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

    def spec_of(self, row: TaskRecord) -> TaskSpec:
        """The task of a row."""
        graph = self.graphs[self.db.every_run(row.run_key).dag_id]
        return graph.tasks[graph.index[row.task_id]]

    def ended_by_death(self, row: TaskRecord, spec: TaskSpec, graph: Graph) -> bool:
        """Whether the process of the last try died, or its worker did and nobody ran it again."""
        dag_id = self.db.every_run(row.run_key).dag_id
        ending = self.scenario.ending(dag_id, spec, graph, row.try_number, row.map_index)
        return row.lost_count >= 3 or (ending.result == "failed" and ending.dies)

    def ended_by_trigger(self, row: TaskRecord, spec: TaskSpec, graph: Graph) -> bool:
        """Whether the trigger of the last try ended it."""
        dag_id = self.db.every_run(row.run_key).dag_id
        waiting = self.scenario.waiting(dag_id, spec, graph, row.try_number, row.map_index)
        return waiting is not None and waiting.ends and row.lost_count < 3

    def has_run(self, dispatch_no: int) -> bool:
        """Whether user code was begun for this dispatch."""
        return any(execution.dispatch_no == dispatch_no for execution in self.executions)

    # ------------------------------------------------------------ time and trouble

    def at(self, delay: float, call: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, call))

    def _every(self, low: float, high: float, call: Callable[[], None]) -> None:
        def again() -> None:
            # First the next time: the call may freeze, and its process must not be forgotten.
            self.at(self.rng.uniform(low, high), again)
            call()

        self.at(self.rng.uniform(0, high), again)

    def let_others_go_on(self, seconds: float) -> None:
        """The caller is frozen for so long: everything else happens now."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self._next()
        self.now = max(self.now, until)

    def _next(self) -> None:
        at, _, call = heapq.heappop(self._events)
        self.now = max(self.now, at)
        for worker in self.workers:
            worker.keeper()
        call()

    def _misfortune(self) -> None:
        if not self.trouble:
            return
        rng = self.rng
        kind = rng.choice(MISFORTUNES)
        worker, master = rng.choice(self.workers), rng.choice(self.masters)
        if kind == "worker dies":
            worker.die()
        elif kind == "triggerer dies":
            worker.triggerer_dies()
        elif kind == "worker freezes":
            worker.frozen_until = self.now + rng.uniform(0.5, 2.5 * LEASE)
        elif kind == "master dies" and not master.in_transaction:
            master.restart()
            master.dead_until = self.now + rng.uniform(0.5, 8.0)
        elif kind == "master freezes":
            master.frozen_until = self.now + rng.uniform(0.5, 8.0)
        elif kind == "flush":
            self.broker.flush()
        elif kind == "queue down":
            self.broker.down_until = self.now + rng.uniform(0.5, 6.0)
        elif kind == "hints down":
            self.broker.hints_down_until = self.now + rng.uniform(0.5, 10.0)
        elif kind == "db down":
            self.db.down_until = self.now + rng.uniform(0.2, 1.5 * LEASE)

    def run(self) -> Cluster:
        """Play to the end. Raises AssertionError when something is stuck, overlaps or differs from the script."""
        self.broker.drop = self.rng.choice([0.0, 0.05, 0.3])
        self.broker.repeat = self.rng.choice([0.0, 0.1, 0.3])
        self.broker.delay = self.rng.choice([0.0, 0.05, 1.0])
        self.db.unknown_rate = self.rng.choice([0.0, 0.02, 0.1])
        for tick in [*(master.tick for master in self.masters), *(worker.tick for worker in self.workers)]:
            self._every(0.1, 0.4, tick)
        self._every(1.0, 6.0, self._misfortune)
        if self.scenario.people:
            self._every(0.3, 3.0, self.people.act)
        self.at(TROUBLE_ENDS, self._heal)
        while self._events:
            self._next()
            if not self.trouble and self._is_over():
                break
            assert self.now < GIVE_UP, f"seed {self.seed}: stuck\n{self._story()}"
        check_end(self)
        return self

    def _heal(self) -> None:
        self.broker.drop = self.broker.repeat = self.broker.delay = 0.0
        self.db.unknown_rate = 0.0
        if self.scenario.people:
            self.people.put_in_order()

    def _is_over(self) -> bool:
        runs = self.db.runs.values()
        return (
            len(self.db.action_ends) == len(self.db.actions)
            and all(run.state in (DagRunState.SUCCESS, DagRunState.FAILED) for run in runs)
            and all(row.state in TERMINAL for row in self.db.tasks.values())
            and all(work_id in self.db.settled for work_id in self.db.works)
            and all(self._has_last_run(dag_id) for dag_id in self.scheduled)
            and is_quiet(self)
        )

    def _has_last_run(self, dag_id: str) -> bool:
        if not self.specs[dag_id].catchup:
            return self.moment > BASE + LAST + EVERY
        runs = (*self.db.runs.values(), *self.db.deleted.values())
        return any(run.dag_id == dag_id and run.run_after == BASE + LAST for run in runs)

    def _story(self) -> str:
        lines = [f"t={self.now:.1f}"]
        lines += [str(run) for run in self.db.runs.values() if run.state in ("queued", "running")]
        lines += [str(row) for row in self.db.tasks.values() if row.state not in TERMINAL]
        lines += [str(work) for key, work in self.db.works.items() if key not in self.db.settled]
        lines += [str(worker) for worker in self.db.workers.values() if worker.state == "active"]
        lines += [str(action) for key, action in self.db.actions.items() if key not in self.db.action_ends]
        return "\n".join(lines)
