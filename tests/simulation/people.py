"""The simulation's people: they trigger, clear, mark, pause, resize and delete, at random moments, on what they see.

Decides which actions are asked for. They go through the `action` table, as the control API's do. What a person has
touched no longer ends as the script says, so touched runs are remembered for the checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagdeck_core.actions import (
    Action,
    ClearTaskInstances,
    DeleteDagRun,
    PutPool,
    RespondToInput,
    SetDagRunState,
    SetDagsPaused,
    SetNote,
    SetTaskInstanceState,
    SetWorkerDrain,
    TaskTarget,
)
from dagdeck_core.records import ActionRecord
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import Nudge

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

_S = TaskInstanceState


class SimPeople:
    """Everybody who uses the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.touched: set[int] = set()
        """Runs whose task instances somebody cleared or marked."""
        self.deleted: set[int] = set()
        self.paused: set[str] = set()
        """DAGs that somebody paused for a while."""
        self._number = 10_000

    def act(self) -> None:
        """Ask for something, while there is trouble anyway."""
        cluster = self.cluster
        if not cluster.trouble or not cluster.db.runs:
            return
        self._answer()
        kind = cluster.rng.choice(["clear", "clear", "mark", "mark run", "pause", "pool", "note", "drain", "delete"])
        run_key = cluster.rng.choice(sorted(cluster.db.runs))
        action = self._on_run(kind, run_key) or self._on_cluster(kind, run_key)
        if action is not None:
            self.ask(action)

    def _answer(self) -> None:
        """Answer what some task asks, or has asked a moment ago; others may answer it at the same time."""
        cluster = self.cluster
        asking = [row for row in cluster.db.tasks.values() if row.state is _S.AWAITING_INPUT]
        if not asking or cluster.rng.random() < 0.5:
            return
        row = cluster.rng.choice(asking)
        for _ in range(cluster.rng.choice([1, 1, 2])):
            answer = RespondToInput(
                run_key=row.run_key,
                ti_id=row.ti_id,
                task_id=row.task_id,
                chosen_options=("yes",),
                user_id="1",
                user_name="ann",
            )
            self.ask(answer)

    def ask(self, action: Action) -> None:
        """Store an action and nudge the scheduler."""
        self._number += 1
        self.cluster.db.actions[self._number] = ActionRecord(action_id=self._number, action=action, actor="sim")
        self.cluster.tell(Nudge("action"))

    def put_in_order(self) -> None:
        """At the end of the trouble: unpause, resume, make room."""
        cluster = self.cluster
        self.ask(SetDagsPaused(dag_ids=tuple(cluster.db.dags), is_paused=False))
        self.ask(PutPool(name="narrow", slots=max(cluster.scenario.pool_slots, 2)))
        for worker in list(cluster.db.workers):
            self.ask(SetWorkerDrain(worker_id=worker, drain=False))

    def _on_run(self, kind: str, run_key: int) -> Action | None:
        rng, db = self.cluster.rng, self.cluster.db
        rows = [db.tasks[ti_id] for ti_id in db.tasks_of.get(run_key, ())]
        # Where later runs look back at this one, a failure would rightly hold them for ever.
        looked_at = self.cluster.graphs[db.runs[run_key].dag_id].uses_past
        if kind == "mark run":
            self.touched.add(run_key)
            states = [DagRunState.SUCCESS] if looked_at else [DagRunState.SUCCESS, DagRunState.FAILED]
            return SetDagRunState(run_key=run_key, state=rng.choice(states))
        if kind == "delete":
            self.deleted.add(run_key)
            return DeleteDagRun(run_key=run_key)
        if kind not in ("clear", "mark") or not rows:
            return None
        self.touched.add(run_key)
        chosen = rng.sample(rows, k=min(len(rows), rng.choice([1, 1, 3])))
        busy = [row for row in rows if row.state in (_S.RUNNING, _S.DEFERRED, _S.AWAITING_INPUT)]
        if busy and rng.random() < 0.5:
            # What runs or waits is what people act on most, and where most can go wrong.
            chosen = [rng.choice(busy)]
        look = rng.random() < 0.5
        targets = tuple(
            TaskTarget(row.ti_id, row.task_id, row.map_index, row.state if look else None) for row in chosen
        )
        if kind == "clear":
            return ClearTaskInstances(run_key=run_key, targets=targets)
        state = rng.choice([_S.SUCCESS, _S.SKIPPED] if looked_at else [_S.SUCCESS, _S.SKIPPED, _S.FAILED])
        return SetTaskInstanceState(run_key=run_key, targets=targets, state=state)

    def _on_cluster(self, kind: str, run_key: int) -> Action | None:
        rng, db = self.cluster.rng, self.cluster.db
        match kind:
            case "pause":
                action = SetDagsPaused(dag_ids=(rng.choice(sorted(db.dags)),), is_paused=rng.random() < 0.5)
                if action.is_paused:
                    self.paused.update(action.dag_ids)
                return action
            case "pool":
                return PutPool(name="narrow", slots=rng.choice([0, 1, 2, 5, -1]))
            case "note":
                return SetNote(run_key=run_key, note="seen")
            case "drain" if db.workers:
                return SetWorkerDrain(worker_id=rng.choice(sorted(db.workers)), drain=rng.random() < 0.5)
            case _:
                return None
