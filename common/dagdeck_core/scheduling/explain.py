"""Why something is not running: every gate that holds a task instance or a run now, and what opens each.

Decides what is said, in words and numbers. Decides nothing about scheduling and changes nothing: it judges rows with
the machine's own counters and rules, so that what it says is what the scheduler does. Called by the control API over
rows it has read, and by tests, which ask it about everything that waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from dagdeck_core.graph import build_graph
from dagdeck_core.records import WorkerState
from dagdeck_core.scheduling.gates import Facts, Gate, GateKind, listed, moment, span
from dagdeck_core.scheduling.instances import concerned, length_of
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.states import TERMINAL, DagRunState, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement, UpstreamCounts, judge
from dagdeck_core.wire import WIRE_VERSION

__all__ = ["Facts", "Gate", "GateKind", "explain_run", "explain_task"]

_S = TaskInstanceState
_PAST_OK = frozenset({_S.SUCCESS, _S.SKIPPED, _S.REMOVED})


def explain_run(facts: Facts) -> list[Gate]:
    """Every gate that keeps a queued run from starting or a running one from starting tasks; [] when none does."""
    run = facts.run
    if run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
        return []
    gates = _dag_gates(facts)
    if run.state is DagRunState.QUEUED:
        if run.run_after > facts.now:
            gates.append(
                Gate(
                    kind=GateKind.RUN_AFTER,
                    reason=f"the run may start at {moment(run.run_after)}, in {span(facts.now, run.run_after)}",
                    opens="by itself at that time",
                    at=run.run_after,
                )
            )
        limit = facts.max_active_runs
        if limit and facts.running_runs >= limit:
            gates.append(
                Gate(
                    kind=GateKind.MAX_ACTIVE_RUNS,
                    reason=f"max_active_runs: {facts.running_runs} of {limit} runs of {run.dag_id} are running",
                    opens="when one of them ends, or when the DAG allows more",
                    numbers={"active": facts.running_runs, "limit": limit},
                )
            )
        return gates or [_next_round("the run is started")]
    if run.created_tasks < len(facts.spec.tasks):
        gates.append(
            Gate(
                kind=GateKind.RUN_CREATING,
                reason=f"{run.created_tasks} of {len(facts.spec.tasks)} task instances of the run have been created",
                opens="by itself, as soon as all are there",
                numbers={"created": run.created_tasks, "total": len(facts.spec.tasks)},
            )
        )
    return gates


def explain_task(facts: Facts, ti_id: int, since: datetime | None = None) -> list[Gate]:
    """Every gate that holds one task instance now, `since` when it is in its state.

    A task instance that runs undisturbed, succeeded or failed has none. One that was skipped or is upstream_failed
    has the reason why. Raises KeyError when the run has no such task instance.
    """
    graph = facts.graph or build_graph(facts.spec)
    state = RunState.from_rows(facts.run, graph, facts.spec.max_active_tasks, facts.tasks)
    task = state.by_id[ti_id]
    if task.state in (_S.RUNNING, _S.RESTARTING):
        return _being_ended(task, since, facts.now)
    if task.state in TERMINAL:
        return _why_not_run(state, task)
    if facts.run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
        return [
            Gate(
                kind=GateKind.RUN_ENDED,
                reason=f"the run has ended ({facts.run.state})",
                opens="when the run is cleared or queued again",
            )
        ]
    gates = explain_run(facts)
    if task.state is _S.QUEUED:
        return [*_queue_gates(facts, task, claimed=True), _queued(facts, task, since)]
    waiting = _own_gates(facts, state, task)
    if not waiting and facts.run.state is DagRunState.RUNNING:
        waiting = _limit_gates(facts, state, task) or ([] if gates else [_released_next(task)])
    return [*gates, *waiting]


# ---------------------------------------------------------------- the DAG and the task's own state


def _dag_gates(facts: Facts) -> list[Gate]:
    if facts.dag is None:
        return [
            Gate(
                kind=GateKind.DAG_GONE,
                reason=f"the DAG {facts.run.dag_id} was deleted",
                opens="when its file is in the DAG folder again",
            )
        ]
    if facts.dag.is_paused:
        return [
            Gate(
                kind=GateKind.DAG_PAUSED,
                reason=f"the DAG {facts.run.dag_id} is paused, so nothing new starts in it",
                opens="when somebody unpauses it",
            )
        ]
    return []


def _own_gates(facts: Facts, state: RunState, task: Task) -> list[Gate]:
    """What holds a task instance by its own state: time, a trigger, a person, its upstream, its past."""
    if task.state in (_S.UP_FOR_RETRY, _S.UP_FOR_RESCHEDULE):
        return _timer_gates(facts, task)
    if task.state is _S.DEFERRED:
        return _deferral_gates(facts, task)
    if task.state is _S.AWAITING_INPUT:
        return [
            Gate(kind=GateKind.AWAITING_INPUT, reason="it waits for a person's answer", opens="when somebody answers")
        ]
    if task.state is not _S.NONE:
        return []
    judgement = state.verdict(task)
    if judgement is Judgement.WAIT:
        return [_upstream_gate(state, task)]
    if judgement is not Judgement.RUN:
        why = _why_not_run(state, task)
        judged = facts.run.state is DagRunState.RUNNING and state.complete
        return [*why, _next_round(f"it becomes {_becomes(judgement)}")] if judged or not why else why
    return _expansion_gates(facts, state, task) or _past_gates(facts, task)


def _expansion_gates(facts: Facts, state: RunState, task: Task) -> list[Gate]:
    """What keeps a task that is to be expanded from having its instances."""
    expansion = state.graph.expansion
    index = task.task_index
    if task.map_index >= 0 or expansion is None or not expansion.is_expanded(index):
        return []
    length = length_of(state, index)
    if length is not None:
        if facts.run.state is not DagRunState.RUNNING or not state.complete or _dag_gates(facts):
            return []
        return [_next_round(f"its {length} instances are created" if length > 0 else "it ends without instances")]
    unknown = [
        state.graph.tasks[source].task_id
        for source in expansion.sources[index]
        if any(other.state not in TERMINAL for other in state.tasks[source])
    ]
    names = listed(unknown)
    return [
        Gate(
            kind=GateKind.EXPANSION,
            reason=f"it is expanded over results of other tasks: it waits for the length of what {names} returns",
            opens=f"when {names} {'end' if len(unknown) > 1 else 'ends'}",
            subjects=tuple(unknown),
        )
    ]


def _shown(task: Task) -> str:
    """A task instance's name for people."""
    return task.spec.task_id if task.map_index < 0 else f"{task.spec.task_id}[{task.map_index}]"


def _upstream_of(state: RunState, task: Task) -> list[Task]:
    """The upstream task instances that a task instance depends on: in a mapped group those of its index."""
    return _among(state, task, state.graph.up[task.task_index])


def _among(state: RunState, task: Task, others: Iterable[int]) -> list[Task]:
    """The instances of other tasks that concern a task instance."""
    return [each for index in others for each in concerned(state, task, index)]


def _becomes(judgement: Judgement) -> str:
    return "skipped" if judgement is Judgement.SKIP else "upstream_failed"


def _deferral_gates(facts: Facts, task: Task) -> list[Gate]:
    until = task.next_at
    if until is not None and until <= facts.now:
        return []
    opens = "when the trigger fires"
    if until is not None:
        opens += f"; without that it goes on at {moment(until)}, in {span(facts.now, until)}, to fail"
    return [Gate(kind=GateKind.DEFERRED, reason="it waits for its trigger to fire", opens=opens, at=until)]


def _timer_gates(facts: Facts, task: Task) -> list[Gate]:
    if task.next_at is None or task.next_at <= facts.now:
        return []
    at, wait = task.next_at, span(facts.now, task.next_at)
    if task.state is _S.UP_FOR_RETRY:
        return [
            Gate(
                kind=GateKind.RETRY_AT,
                reason=f"try {task.try_number} of {task.max_tries + 1} failed; the next is at {moment(at)}, in {wait}",
                opens="by itself at that time, or at once when it is cleared",
                numbers={"try_number": task.try_number, "max_tries": task.max_tries},
                at=at,
            )
        ]
    return [
        Gate(
            kind=GateKind.RESCHEDULED,
            reason=f"the sensor looks again at {moment(at)}, in {wait}",
            opens="by itself at that time",
            at=at,
        )
    ]


def _upstream_gate(state: RunState, task: Task) -> Gate:
    """Which upstream a waiting task instance waits for."""
    upstream = _upstream_of(state, task)
    counts = UpstreamCounts(total=len(upstream))
    for other in upstream:
        counts.setups += other.spec.is_setup
        counts.count(other.state, 1, is_setup=other.spec.is_setup)
    waiting = [other for other in upstream if other.state not in TERMINAL]
    names = listed(f"{_shown(other)} ({other.state})" for other in waiting)
    rule = task.spec.trigger_rule
    guards = _among(state, task, state.graph.guards.get(task.task_index, ()))
    guards = [other for other in guards if other.state not in TERMINAL]
    if guards and judge(rule, counts) is Judgement.RUN:
        waiting, names = guards, listed(f"{_shown(other)} ({other.state})" for other in guards)
        what = "all between its setups and itself has to end" if task.spec.is_teardown else "it needs its setups"
        reason = f"{what}: {names}"
        opens = f"when {listed(_shown(other) for other in guards)} {'end' if len(guards) > 1 else 'ends'}"
    elif waiting:
        reason = f"trigger rule {rule}: {len(waiting)} of {counts.total} upstream have not ended: {names}"
        opens = f"when {listed(_shown(other) for other in waiting)} {'end' if len(waiting) > 1 else 'ends'}"
    else:
        reason = f"trigger rule {rule}: all {counts.total} upstream have ended, and not so that it could hold"
        opens = "when one of them is cleared or marked; the run is failed as a deadlock before"
    return Gate(
        kind=GateKind.UPSTREAM,
        reason=reason,
        opens=opens,
        subjects=tuple(dict.fromkeys(other.spec.task_id for other in waiting)),
        numbers={"total": counts.total, "ended": counts.done, "success": counts.success, "failed": counts.failed},
    )


def _why_not_run(state: RunState, task: Task) -> list[Gate]:
    """Why a task instance was (or is about to be) skipped or upstream_failed."""
    if task.state not in (_S.NONE, _S.SKIPPED, _S.UPSTREAM_FAILED):
        return []
    branches = _skippers(state, task)
    if branches:
        return [
            Gate(
                kind=GateKind.BRANCH,
                reason=f"{listed(branches)} did not take this branch",
                opens=f"when {listed(branches)} is cleared and decides otherwise, or when this is marked",
                subjects=branches,
            )
        ]
    setups = () if task.spec.is_teardown else state.graph.guards.get(task.task_index, ())
    upstream = list(dict.fromkeys((*_among(state, task, setups), *_upstream_of(state, task))))
    guilty = [other for other in upstream if other.state in TERMINAL and other.state is not _S.SUCCESS] or upstream
    if not guilty or (task.state is not _S.NONE and state.verdict(task) in (Judgement.RUN, Judgement.WAIT)):
        return []
    names = listed(f"{_shown(other)} ({other.state})" for other in guilty)
    return [
        Gate(
            kind=GateKind.UPSTREAM,
            reason=f"trigger rule {task.spec.trigger_rule} cannot hold: {names}",
            opens=f"when {listed(_shown(other) for other in guilty)} and this are cleared, or are marked",
            subjects=tuple(dict.fromkeys(other.spec.task_id for other in guilty)),
        )
    ]


def _skippers(state: RunState, task: Task) -> tuple[str, ...]:
    task_id = task.spec.task_id
    return tuple(
        dict.fromkeys(
            other.spec.task_id
            for other in state.by_id.values()
            if other.state is _S.SUCCESS
            and other.effects is not None
            and task_id in other.effects.skip
            and _skips_instance(state, other, task)
        )
    )


def _skips_instance(state: RunState, other: Task, task: Task) -> bool:
    places = state.skip_places_of(other, task.task_index) if other.map_index >= 0 else []
    return not places or (task.task_index, task.map_index) in places


def _past_gates(facts: Facts, task: Task) -> list[Gate]:
    spec = task.spec
    looks_back = spec.depends_on_past or spec.wait_for_downstream
    if not looks_back or facts.predecessor is None or facts.run.logical_date is None:
        return []
    before, rows = facts.predecessor
    wanted = {spec.task_id: None}
    if spec.wait_for_downstream:
        graph = facts.graph or build_graph(facts.spec)
        wanted.update((graph.tasks[i].task_id, None) for i in graph.down[task.task_index])
    held = [row for row in rows if row.task_id in wanted and row.state not in _PAST_OK]
    if not held and before.created_tasks >= len(facts.spec.tasks):
        return []
    setting = "wait_for_downstream" if spec.wait_for_downstream else "depends_on_past"
    names = listed(f"{row.task_id} ({row.state})" for row in held) or "its tasks are still being created"
    return [
        Gate(
            kind=GateKind.DEPENDS_ON_PAST,
            reason=f"{setting}: in the run before, {before.run_id}: {names}",
            opens="when they end as success or skipped there, or are marked so",
            subjects=tuple(dict.fromkeys(row.task_id for row in held)),
        )
    ]


def _being_ended(task: Task, since: datetime | None, now: datetime) -> list[Gate]:
    if task.revoke_to is None and task.state is not _S.RESTARTING:
        return []
    target = task.revoke_to or _S.NONE
    then = "runs again" if target is _S.NONE else f"becomes {target}"
    waited = f", asked {span(since, now)} ago" if since is not None else ""
    return [
        Gate(
            kind=GateKind.BEING_ENDED,
            reason=f"its process is being ended{waited}; then it {then}",
            opens="when its worker confirms that the process is dead, or the worker's lease runs out",
            subjects=(str(task.worker_id),) if task.worker_id is not None else (),
        )
    ]


# ---------------------------------------------------------------- limits


def _limit_gates(facts: Facts, state: RunState, task: Task) -> list[Gate]:
    """Every limit that has no room for a task instance which may run."""
    spec = task.spec
    limits = [
        (GateKind.MAX_ACTIVE_TASKS, "of the run", state.active, state.max_active_tasks),
        (
            GateKind.MAX_ACTIVE_TIS_PER_DAG,
            f"of {spec.task_id} in all runs",
            facts.task_active.get(spec.task_id, 0),
            spec.max_active_tis_per_dag,
        ),
        (
            GateKind.MAX_ACTIVE_TIS_PER_DAGRUN,
            f"of {spec.task_id} in this run",
            _active_of(state, task),
            spec.max_active_tis_per_dagrun,
        ),
    ]
    gates = [
        Gate(
            kind=kind,
            reason=f"{kind}: {active} of {limit} task instances {whose} are queued or running",
            opens="when one of them ends",
            numbers={"active": active, "limit": limit},
        )
        for kind, whose, active, limit in limits
        if limit is not None and active >= limit
    ]
    return [*gates, *_pool_gates(facts, task), *_queue_gates(facts, task, claimed=False)]


def _active_of(state: RunState, task: Task) -> int:
    live = (_S.QUEUED, _S.RUNNING, _S.RESTARTING)
    return sum(other.state in live for other in state.tasks[task.task_index])


def _pool_gates(facts: Facts, task: Task) -> list[Gate]:
    name, wanted = task.spec.pool, task.spec.pool_slots
    known = facts.pools.get(name)
    if known is None:
        return [
            Gate(
                kind=GateKind.POOL_MISSING,
                reason=f"there is no pool named {name}",
                opens=f"when somebody creates the pool {name}",
                subjects=(name,),
            )
        ]
    pool, used = known
    numbers: dict[str, float] = {"slots": pool.slots, "used": used, "needed": wanted}
    if 0 <= pool.slots < wanted:
        return [
            Gate(
                kind=GateKind.POOL_TOO_SMALL,
                reason=f"pool {name}: it has {pool.slots} slots, and this needs {wanted}",
                opens="when somebody makes the pool larger",
                subjects=(name,),
                numbers=numbers,
            )
        ]
    if pool.slots >= 0 and pool.slots - used < wanted:
        needed = "" if wanted == 1 else f", and this needs {wanted}"
        return [
            Gate(
                kind=GateKind.POOL_FULL,
                reason=f"pool {name}: {used} of {pool.slots} slots are used{needed}",
                opens="when enough of the tasks that hold them end, or somebody makes the pool larger",
                subjects=(name,),
                numbers=numbers,
            )
        ]
    return []


def _queue_gates(facts: Facts, task: Task, *, claimed: bool) -> list[Gate]:
    """What the workers of its queue lack. With `claimed`, its own dispatch already counts in queue_active."""
    queue = task.spec.queue
    serving = [worker for worker in facts.workers if queue in worker.queues]
    speaking = [worker for worker in serving if worker.wire_version == WIRE_VERSION]
    active = [worker for worker in speaking if worker.state is WorkerState.ACTIVE]
    if not serving:
        kind, reason = GateKind.NO_WORKER, f"no worker serves the queue {queue}"
        opens = f"when a worker is started with --queues {queue}"
    elif not speaking:
        versions = listed(dict.fromkeys(worker.version or "unknown" for worker in serving))
        kind, reason = GateKind.WORKERS_INCOMPATIBLE, f"all workers of the queue {queue} are of version {versions}"
        opens = "when they are brought to the version of the master"
    elif not active:
        kind, reason = GateKind.WORKERS_DRAINING, f"every worker of the queue {queue} is draining"
        opens = "when one of them is resumed, or another worker is started"
    else:
        slots, busy = sum(worker.slots for worker in active), facts.queue_active.get(queue, 0)
        if busy - claimed < slots:
            return []
        kind, reason = GateKind.WORKERS_BUSY, f"queue {queue}: all {slots} slots of its workers are taken"
        opens = "when one of them ends, or another worker is started"
        return [
            Gate(kind=kind, reason=reason, opens=opens, subjects=(queue,), numbers={"slots": slots, "active": busy})
        ]
    return [Gate(kind=kind, reason=reason, opens=opens, subjects=(queue,), numbers={"workers": len(serving)})]


def _queued(facts: Facts, task: Task, since: datetime | None) -> Gate:
    waited = f" for {span(since, facts.now)}" if since is not None else ""
    return Gate(
        kind=GateKind.QUEUED,
        reason=f"it waits in the queue {task.spec.queue}{waited}",
        opens="when a worker with a free slot takes it",
        subjects=(task.spec.queue,),
        numbers={"seconds": (facts.now - since).total_seconds()} if since is not None else {},
    )


def _released_next(task: Task) -> Gate:
    if task.state is _S.SCHEDULED or task.map_index >= 0:
        # Of many instances only some compete at a time; the others stay none until it is their turn.
        return Gate(
            kind=GateKind.PRIORITY,
            reason=f"no limit holds it (priority {task.priority})",
            opens="when what has a higher priority in its pool has been released",
            numbers={"priority": task.priority},
        )
    return _next_round("it is released")


def _next_round(what: str) -> Gate:
    return Gate(kind=GateKind.NEXT_ROUND, reason=f"nothing holds it: {what} next", opens="by itself, at once")
