"""What is written about other work than task instances: by the scheduler's decisions and by workers' transactions.

Decides the statements on the tables `work` and `deadline`, with their guards, and which ends and claims of a worker
count. Task instances are written elsewhere (task_writes.py, worker_writes.py), which this never touches. Called by
decision_writes.py and worker_store.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from dagdeck_core.ports import ClaimedTask, FinishWrite
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.work import (
    ENDED,
    TaskCallback,
    TaskFacts,
    UnheardEnd,
    WorkRecord,
    WorkState,
    facts_of,
    hint_id,
    kind_of,
    order_encoder,
)
from dagdeck_io.db.dialects import Script, id_list
from dagdeck_io.db.ids import IdMaker

_INSERTED = (
    "work_id, kind, state, settled, dag_id, version_id, run_key, `queue`, dispatch_no, lost_count, `order`, "
    "created_at, queued_at"
)
_ENDS = {
    TaskInstanceState.SUCCESS: WorkState.SUCCESS,
    TaskInstanceState.UP_FOR_RESCHEDULE: WorkState.NEW,
}
"""How a worker's end of a piece of work is stored; anything else is a failure."""
_SHOWN = {
    WorkState.NEW: TaskInstanceState.UP_FOR_RESCHEDULE,
    WorkState.SUCCESS: TaskInstanceState.SUCCESS,
    WorkState.FAILED: TaskInstanceState.FAILED,
}


def insert_works(script: Script, records: Sequence[WorkRecord], now: datetime) -> None:
    """Append rows of new work."""
    text, at = script.text, script.instant(now)

    def render(record: WorkRecord) -> str:
        queued = at if record.state is WorkState.QUEUED else "NULL"
        return (
            f"({record.work_id},'{kind_of(record.order)}','{record.state}',0,{text(record.dag_id)},"
            f"{record.version_id},{record.run_key},{text(record.queue)},{record.dispatch_no},{record.lost_count},"
            f"{text(order_encoder.encode(record.order).decode())},{at},{queued})"
        )

    script.insert("work", _INSERTED, records, render)


# ------------------------------------------------------------------ the scheduler's decisions


def write_decisions(script: Script, decisions: Sequence[d.Decision], now: datetime) -> None:
    """Append what decisions about work ask for; others are passed over."""
    insert_works(script, [x.work for x in decisions if isinstance(x, d.CreateWork)], now)
    for decision in decisions:
        if isinstance(decision, d.MoveWork):
            _move(script, decision, now)
        elif isinstance(decision, d.SettleWork):
            script.add(
                f"UPDATE work SET settled = 1 WHERE work_id = {decision.work_id} "
                f"AND dispatch_no = {decision.dispatch_no} AND settled = 0",
                expect=1,
                what=f"settling work {decision.work_id}",
            )


def write_deadlines(script: Script, decisions: Sequence[d.Decision], now: datetime) -> None:
    """Append what decisions about deadlines ask for; others are passed over."""
    created = [x.deadline for x in decisions if isinstance(x, d.CreateDeadline)]
    script.insert(
        "deadline",
        "deadline_id, run_key, deadline_time, callback, created_at, number",
        created,
        lambda each: (
            f"({each.deadline_id},{each.run_key},{script.instant(each.at)},"
            f"{script.text(order_encoder.encode(each.spec).decode())},{script.instant(now)},{each.number})"
        ),
    )
    for decision in decisions:
        if isinstance(decision, d.MissDeadline):
            script.add(
                f"UPDATE deadline SET callback_state = 'missed', work_id = {decision.work_id} "
                f"WHERE deadline_id = {decision.deadline_id} AND callback_state IS NULL",
                expect=1,
                what=f"missing deadline {decision.deadline_id}",
            )
        elif isinstance(decision, d.DropDeadlines):
            script.add(
                f"DELETE FROM deadline WHERE deadline_id IN ({id_list(decision.deadline_ids)}) "
                "AND callback_state IS NULL",
                expect=len(decision.deadline_ids),
                what="taking deadlines away",
            )


def _move(script: Script, move: d.MoveWork, now: datetime) -> None:
    at = script.instant(now)
    assigned = [
        f"state = '{move.new}'",
        f"dispatch_no = {move.new_no}",
        f"lost_count = {move.lost_count}",
        "worker_id = NULL",
    ]
    if move.new is WorkState.QUEUED:
        assigned += [f"queued_at = {at}", "start_date = NULL"]
    if move.new in ENDED:
        assigned += [f"end_date = {at}", f"error = {script.text(move.error)}"]
    script.add(
        f"UPDATE work SET {', '.join(assigned)} WHERE work_id = {move.work_id} AND state = '{move.old}' "
        f"AND dispatch_no = {move.old_no}",
        expect=1,
        what=f"moving work {move.work_id} from {move.old} to {move.new}",
    )


# ------------------------------------------------------------------ a worker's transaction


@dataclass(slots=True, kw_only=True)
class SidePlan:
    """Which ends and claims of work one transaction of a worker counts."""

    ended: list[FinishWrite] = field(default_factory=list)
    states: dict[int, TaskInstanceState] = field(default_factory=dict)
    """dispatch_no → state now on the row, in the words of a task instance's report."""
    won: list[WorkRecord] = field(default_factory=list)
    held: list[WorkRecord] = field(default_factory=list)


def plan_works(
    rows: Mapping[int, WorkRecord],
    finishes: Sequence[FinishWrite],
    claims: Sequence[tuple[int, int]],
    worker_id: int,
) -> SidePlan:
    """Judge ends and claims by the locked rows, which are given by work_id."""
    plan = SidePlan()
    for finish in finishes:
        row = rows.get(-finish.ti_id)
        if row is None or row.dispatch_no != finish.dispatch_no or finish.dispatch_no in plan.states:
            continue
        if row.state is WorkState.RUNNING:
            plan.ended.append(finish)
            plan.states[finish.dispatch_no] = _SHOWN[_end_of(finish)]
        elif row.state in _SHOWN:
            plan.states[finish.dispatch_no] = _SHOWN[row.state]
    for ti_id, dispatch_no in dict.fromkeys(claims):
        row = rows.get(-ti_id)
        if row is None or row.dispatch_no != dispatch_no or dispatch_no in plan.states:
            continue
        if row.state is WorkState.QUEUED:
            plan.won.append(row)
        elif row.state is WorkState.RUNNING and row.worker_id == worker_id:
            plan.held.append(row)
    return plan


def _end_of(finish: FinishWrite) -> WorkState:
    return _ENDS.get(finish.state, WorkState.FAILED)


def write_plan(script: Script, plan: SidePlan, worker_id: int, now: datetime) -> None:
    """Append what the plan says."""
    at = script.instant(now)
    for finish in sorted(plan.ended, key=lambda finish: finish.ti_id):
        state = _end_of(finish)
        script.add(
            f"UPDATE work SET state = '{state}', answer = {script.json(finish.answer)}, "
            f"error = {script.text(finish.error)}, start_date = {script.instant(finish.start_date)}, "
            f"end_date = {'NULL' if state is WorkState.NEW else at}, lost_count = 0 "
            f"WHERE work_id = {-finish.ti_id} AND dispatch_no = {finish.dispatch_no} AND state = 'running'",
            expect=1,
            what="ending work",
        )
    if plan.won:
        script.add(
            f"UPDATE work SET state = 'running', worker_id = {worker_id}, start_date = {at} "
            f"WHERE work_id IN ({id_list(row.work_id for row in plan.won)}) AND state = 'queued'",
            expect=len(plan.won),
            what="claiming work",
        )


def claimed_work(row: WorkRecord) -> ClaimedTask:
    """What the worker is told of a piece of work that it holds."""
    facts = facts_of(row.order)
    return ClaimedTask(
        run_key=row.run_key,
        ti_id=hint_id(row.work_id),
        dispatch_no=row.dispatch_no,
        version_id=row.version_id,
        task_id=facts.task_id if facts else "",
        map_index=facts.map_index if facts else -1,
        try_number=facts.try_number if facts else 0,
        max_tries=facts.max_tries if facts else 0,
        order=row.order,
    )


def works_of_ends(ended: Sequence[tuple[FinishWrite, UnheardEnd, TaskInstanceState]], ids: IdMaker) -> list[WorkRecord]:
    """The work that ends make whose process could not call its callbacks, by the state that each row takes."""
    found = []
    for finish, unheard, state in ended:
        names = unheard.by_state.get(state.value)
        if not names:
            continue
        order = TaskCallback(task=_with_state(unheard, state), names=names)
        found.append(
            WorkRecord(
                work_id=ids.next(),
                order=order,
                dag_id=unheard.dag_id,
                version_id=unheard.version_id,
                run_key=finish.run_key,
                queue=unheard.queue,
            )
        )
    return found


def _with_state(unheard: UnheardEnd, state: TaskInstanceState) -> TaskFacts:
    return msgspec.structs.replace(unheard.task, state=state)
