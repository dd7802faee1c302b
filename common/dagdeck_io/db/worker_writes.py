"""What a worker's transaction does to rows that it has locked: which ends and claims count, and what they write.

Decides the state that a finished dispatch takes (a revocation's target goes before the result), which claims are won,
and everything written beside: history, transition, XComs, rendered fields, log, attention. Pure of I/O: it looks at
locked rows and appends to a script. Called by worker_store.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_core.human_input import Question
from dagdeck_core.ports import ClaimedTask, FinishWrite, LogChunk
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import DagRunContext, Deferral
from dagdeck_io.db import sealed_xcoms
from dagdeck_io.db.asset_writes import leave_changes
from dagdeck_io.db.dialects import REPLACE, Dialect, Row, Script, id_list
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.rows import task_state
from dagdeck_io.db.tables import NAME
from dagdeck_io.db.task_writes import (
    CLEARED,
    TRANSITION_COLUMNS,
    TRIGGER_COLUMNS,
    add_failures,
    cut,
    drop_results,
    keep_questions,
    write_history,
)
from dagdeck_io.db.trigger_tables import TASK
from dagdeck_io.db.types import storable_json
from dagdeck_io.db.work_writes import insert_works, works_of_ends
from dagdeck_io.secrets import FIELD, Vault

LOCKED_COLUMNS = (
    "ti_id, run_key, dispatch_no, state, revoke_to, worker_id, version_id, task_id, map_index, try_number, max_tries, "
    "first_start_date, next_method, next_kwargs"
)
WORKER_ALIVE = "the worker is alive"
"""`what` of the statement that fails when the worker was declared lost."""
_LIVE = (TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING)
_RESUMED = "('up_for_reschedule', 'deferred', 'awaiting_input')"
_COMPRESS_FROM = 1024
"""Compressing the few lines of a short log would cost more time than it saves space."""
_encode_effects = msgspec.json.Encoder().encode
LOG_COLUMNS = "ti_id, dispatch_no, `offset`, try_number, size, encoding, data, created_at"
_END_NAMES = ("ti_id", "old_no", "st", "sd", "ed", "du", "nx", "ef", "er", "pd", "rm", "at")
_END_ASSIGNED = (
    "state = v.st, start_date = v.sd, end_date = v.ed, duration = v.du, next_at = v.nx, effects = v.ef, "
    "error = v.er, pid = v.pd, rendered_map_index = COALESCE(v.rm, t.rendered_map_index), revoke_to = NULL, "
    f"lost_count = 0, updated_at = v.at, first_start_date = CASE WHEN v.st IN {_RESUMED} "
    "THEN COALESCE(t.first_start_date, v.sd) ELSE NULL END"
)
_END_WHERE = "t.dispatch_no = v.old_no AND t.state IN ('running', 'restarting')"
_END_WHERE_ASSUMED = "t.dispatch_no = v.old_no AND t.state = 'running' AND t.revoke_to IS NULL"
ENDING = "ending dispatches"
"""`what` of the statement that fails when a dispatch is not what it was assumed to be."""


class LockedTask(NamedTuple):
    """A task_instance row under this transaction's lock; LOCKED_COLUMNS in their order."""

    ti_id: int
    run_key: int
    dispatch_no: int
    state: str
    revoke_to: str | None
    worker_id: int | None
    version_id: int
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    first_start_date: Any
    next_method: str | None
    next_kwargs: str | None


@dataclass(slots=True, kw_only=True)
class WorkerPlan:
    """What one transaction will write and answer."""

    ended: list[tuple[FinishWrite, LockedTask, TaskInstanceState]] = field(default_factory=list)
    late: list[FinishWrite] = field(default_factory=list)
    """Finishes whose dispatch is not live: reported before, or void."""
    won: list[LockedTask] = field(default_factory=list)
    held: list[LockedTask] = field(default_factory=list)
    """Claims that this worker had won before."""


def plan(
    rows: Mapping[int, LockedTask], finishes: Sequence[FinishWrite], claims: Sequence[tuple[int, int]], worker_id: int
) -> WorkerPlan:
    """Judge finishes and claims by the locked rows."""
    found = WorkerPlan()
    seen: set[int] = set()
    for finish in finishes:
        row = rows.get(finish.ti_id)
        live = row is not None and row.dispatch_no == finish.dispatch_no and row.state in _LIVE
        if row is None or not live or finish.dispatch_no in seen:
            found.late.append(finish)
        else:
            found.ended.append((finish, row, _end_state(finish, row)))
            seen.add(finish.dispatch_no)
    for ti_id, dispatch_no in claims:
        row = rows.get(ti_id)
        if row is None or row.dispatch_no != dispatch_no or dispatch_no in seen:
            continue
        if row.state == TaskInstanceState.QUEUED:
            found.won.append(row)
        elif row.state in _LIVE and row.worker_id == worker_id:
            found.held.append(row)
        seen.add(dispatch_no)
    return found


def assumed_running(finishes: Sequence[FinishWrite], worker_id: int) -> dict[int, LockedTask]:
    """The rows of these dispatches as they nearly always are: running here, and nobody wants them to end.

    Whoever writes by them must do it `assumed` (see WorkerWriter), so that the database refuses what is not so.
    """
    return {
        each.ti_id: LockedTask(
            ti_id=each.ti_id,
            run_key=each.run_key,
            dispatch_no=each.dispatch_no,
            state=TaskInstanceState.RUNNING.value,
            revoke_to=None,
            worker_id=worker_id,
            version_id=0,
            task_id="",
            map_index=-1,
            try_number=0,
            max_tries=0,
            first_start_date=None,
            next_method=None,
            next_kwargs=None,
        )
        for each in finishes
    }


def _end_state(finish: FinishWrite, row: LockedTask) -> TaskInstanceState:
    """What a person asked for while it ran goes before its own result."""
    if row.revoke_to is not None:
        return task_state(row.revoke_to)
    if row.state == TaskInstanceState.RESTARTING:
        return TaskInstanceState.NONE
    return finish.state


def claimed_task(row: LockedTask, dialect: Dialect, run: DagRunContext | None = None) -> ClaimedTask:
    """What the worker is told of a claim that it holds."""
    return ClaimedTask(
        run_key=row.run_key,
        ti_id=row.ti_id,
        dispatch_no=row.dispatch_no,
        version_id=row.version_id,
        task_id=row.task_id,
        map_index=row.map_index,
        try_number=row.try_number,
        max_tries=row.max_tries,
        first_start_date=dialect.read_instant(row.first_start_date),
        next_method=row.next_method,
        next_kwargs=row.next_kwargs,
        run=run,
    )


def locked_tasks(found: Sequence[Row]) -> dict[int, LockedTask]:
    """Rows of LOCKED_COLUMNS by ti_id."""
    return {row[0]: LockedTask._make(row) for row in found}


@dataclass(slots=True, kw_only=True)
class WorkerWriter:
    """Appends one plan's statements."""

    script: Script
    now: datetime
    ids: IdMaker
    worker_id: int
    hostname: str
    unixname: str | None
    assumed: bool = False
    """Whether the ended rows were not read: their update then hits them only if they are as `assumed_running` says."""
    vault: Vault | None = None

    @property
    def actor(self) -> str:
        """This worker, as transitions and histories name it."""
        return f"worker:{self.worker_id}"

    def write(self, planned: WorkerPlan, logs: Sequence[LogChunk]) -> None:
        """Append everything; the statement that proves the worker alive comes last, so that its lock is short."""
        if planned.ended:
            self._end(planned.ended)
            self._store_results(planned.ended)
            self._leave_asset_changes(planned.ended)
        if planned.won:
            self._claim(planned.won)
        self._transitions(planned)
        self._logs([*logs, *(finish.log for finish, _, _ in planned.ended if finish.log is not None)])
        if planned.won:
            prove_alive(self.script, self.worker_id)

    def _end(self, ended: list[tuple[FinishWrite, LockedTask, TaskInstanceState]]) -> None:
        script = self.script
        ended.sort(key=_ti_id_of_end)
        rows = [_end_row(finish, state, self.now) for finish, _, state in ended]
        where = _END_WHERE_ASSUMED if self.assumed else _END_WHERE
        script.update_rows("task_instance", _END_NAMES, rows, _END_ASSIGNED, where, what=ENDING)
        self._history(ended)
        self._deferrals(ended)
        cleared = [finish.ti_id for finish, _, state in ended if state is TaskInstanceState.NONE]
        if cleared:
            script.add(f"UPDATE task_instance AS t SET {CLEARED} WHERE ti_id IN ({id_list(cleared)})")
            drop_results(script, cleared)
        revoked = [row.dispatch_no for _, row, _ in ended if row.revoke_to is not None]
        if revoked:
            script.add(f"DELETE FROM revocation WHERE dispatch_no IN ({id_list(revoked)})")
        failed = [(row.ti_id, row.run_key) for _, row, state in ended if state is TaskInstanceState.FAILED]
        add_failures(script, failed, self.now)

    def _deferrals(self, ended: Sequence[tuple[FinishWrite, LockedTask, TaskInstanceState]]) -> None:
        """Triggers of what is deferred now, and no next method for what has gone on from an earlier deferral."""
        script = self.script
        forgetful = [finish.ti_id for finish, _, _ in ended if finish.forgets_next_method]
        if forgetful:
            script.add(
                f"UPDATE task_instance SET next_method = NULL, next_kwargs = NULL WHERE ti_id IN ({id_list(forgetful)})"
            )
        for finish, _, state in ended:
            if finish.deferral is not None and state is TaskInstanceState.DEFERRED:
                self._defer(finish, finish.deferral)
            elif finish.question is not None and state is TaskInstanceState.AWAITING_INPUT:
                self._ask(finish.ti_id, finish.question)

    def _ask(self, ti_id: int, question: Question) -> None:
        script, text, json = self.script, self.script.text, self.script.json
        script.add(
            f"UPDATE task_instance SET next_method = {text(question.next_method)}, next_kwargs = NULL "
            f"WHERE ti_id = {ti_id}",
            expect=1,
        )
        keep_questions(script, [ti_id])
        defaults = None if question.defaults is None else list(question.defaults)
        script.add(
            "REPLACE INTO hitl_detail (ti_id, subject, body, options, defaults, multiple, params, assigned_users, "
            f"created_at, try_number) SELECT {ti_id},{text(question.subject)},{text(question.body)},"
            f"{json(list(question.options))},{json(defaults)},{int(question.multiple)},{json(question.params)},"
            f"{json(list(question.assigned_users))},{script.instant(self.now)}, try_number "
            f"FROM task_instance WHERE ti_id = {ti_id}"
        )

    def _defer(self, finish: FinishWrite, deferral: Deferral) -> None:
        script, text = self.script, self.script.text
        script.add(
            f"UPDATE task_instance SET next_method = {text(deferral.next_method)}, "
            f"next_kwargs = {text(deferral.next_kwargs)} WHERE ti_id = {finish.ti_id}",
            expect=1,
        )
        if self.vault is None:
            raise UserError("the arguments of triggers are encrypted, which needs a key", field=FIELD, remedy="Set it")
        script.add(
            f"INSERT INTO `trigger` ({TRIGGER_COLUMNS}) SELECT {self.ids.next()}, '{TASK}', ti_id, dispatch_no, "
            f"run_key, version_id, {text(deferral.classpath)}, {text(self.vault.encrypt(deferral.kwargs))}, "
            f"{text(deferral.queue)}, {script.instant(self.now)}, 0, {int(finish.log_end)} "
            f"FROM task_instance WHERE ti_id = {finish.ti_id}",
            expect=1,
        )

    def _history(self, ended: Sequence[tuple[FinishWrite, LockedTask, TaskInstanceState]]) -> None:
        for cleared in (False, True):
            some = [finish for finish, _, state in ended if (state is TaskInstanceState.NONE) is cleared]
            if some:
                write_history(
                    self.script,
                    f"ti_id IN ({self.script.ids([f.ti_id for f in some])}) "
                    f"AND dispatch_no IN ({self.script.ids([f.dispatch_no for f in some])})",
                    state="'failed'" if cleared else "state",
                    end_date="end_date",
                    duration="duration",
                    ended_by=self.actor,
                    reason="cleared while it was running" if cleared else "",
                    expect=len(some),
                )

    def _store_results(self, ended: Sequence[tuple[FinishWrite, LockedTask, TaskInstanceState]]) -> None:
        text, at = self.script.text, self.script.instant(self.now)
        kept = [finish for finish, _, state in ended if state is not TaskInstanceState.NONE]
        self.script.insert(
            "xcom",
            "ti_id, `key`, run_key, dispatch_no, value, timestamp",
            [(finish, item) for finish in kept for item in finish.xcoms],
            lambda pair: (
                f"({pair[0].ti_id},{text(pair[1].key)},{pair[0].run_key},{pair[0].dispatch_no},"
                f"{text(sealed_xcoms.stored(pair[1], self.vault))},{at})"
            ),
            verb=REPLACE,
        )
        self.script.insert(
            "rendered_fields",
            "ti_id, run_key, dispatch_no, fields",
            [finish for finish in kept if finish.rendered_fields is not None],
            lambda finish: (
                f"({finish.ti_id},{finish.run_key},{finish.dispatch_no},{text(storable_json(finish.rendered_fields))})"
            ),
            verb=REPLACE,
        )
        unheard = [(finish, finish.unheard, state) for finish, _, state in ended if finish.unheard is not None]
        if unheard:
            insert_works(self.script, works_of_ends(unheard, self.ids), self.now)

    def _leave_asset_changes(self, ended: Sequence[tuple[FinishWrite, LockedTask, TaskInstanceState]]) -> None:
        """What successes emit; one that a person marked while it ran emits nothing."""
        emitting = [
            finish
            for finish, row, state in ended
            if finish.outlet_events and state is TaskInstanceState.SUCCESS and row.revoke_to is None
        ]
        if emitting:
            leave_changes(self.script, emitting, self.now, self.ids)

    def _claim(self, won: list[LockedTask]) -> None:
        script = self.script
        won.sort(key=itemgetter(0))
        again = [r.ti_id for r in won if r.try_number > 1 and r.first_start_date is None and r.next_method is None]
        if again:
            # A new try begins without what an earlier one pushed.
            script.add(f"DELETE FROM xcom WHERE ti_id IN ({id_list(again)})")
        at = script.bind_instant(self.now)
        script.add(
            f"UPDATE task_instance SET state = 'running', worker_id = {self.worker_id}, "
            f"hostname = {script.text(self.hostname)}, unixname = {script.text(self.unixname)}, start_date = {at}, "
            f"updated_at = {at} WHERE ti_id IN ({script.ids([row.ti_id for row in won])}) "
            f"AND dispatch_no IN ({script.ids([row.dispatch_no for row in won])}) AND state = 'queued'",
            expect=len(won),
            what="claiming dispatches",
        )

    def _transitions(self, planned: WorkerPlan) -> None:
        now, actor = self.now, self.actor
        numbers = iter(self.ids.take(len(planned.ended) + len(planned.won)))
        rows = [
            (
                next(numbers),
                t.run_key,
                t.ti_id,
                t.dispatch_no,
                t.state,
                state.value,
                now,
                actor,
                cut(_reason(f, t, state)),
                "",
            )
            for f, t, state in planned.ended
        ]
        rows += [
            (next(numbers), t.run_key, t.ti_id, t.dispatch_no, t.state, "running", now, actor, "claimed", "")
            for t in planned.won
        ]
        self.script.insert_rows("transition", TRANSITION_COLUMNS, rows)

    def _logs(self, chunks: Sequence[LogChunk]) -> None:
        now = self.now
        rows = []
        for chunk in chunks:
            data, encoding = pack_log(chunk.data)
            size = len(chunk.data)
            rows.append((chunk.ti_id, chunk.dispatch_no, chunk.offset, chunk.try_number, size, encoding, data, now))
        self.script.insert_rows("log_chunk", LOG_COLUMNS, rows, verb=self.script.dialect.insert_ignore)


def prove_alive(script: Script, worker_id: int) -> None:
    """Append the statement that fails when the worker was declared lost."""
    script.add(
        f"UPDATE worker SET slots = slots WHERE worker_id = {worker_id} AND state IN ('active', 'draining')",
        expect=1,
        what=WORKER_ALIVE,
    )


def _reason(finish: FinishWrite, row: LockedTask, state: TaskInstanceState) -> str:
    if row.revoke_to is not None or state is not finish.state:
        return "ended because a person asked for it"
    return finish.error or ""


def pack_log(data: bytes) -> tuple[bytes, str]:
    """A log piece as it is stored, and the name of its encoding."""
    if len(data) < _COMPRESS_FROM:
        return data, "raw"
    packed = zlib.compress(data, 1)
    return (packed, "zlib") if len(packed) < len(data) else (data, "raw")


def unpack_log(data: bytes, encoding: str) -> bytes:
    """The log piece that `pack_log` stored."""
    return zlib.decompress(data) if encoding == "zlib" else data


def _end_row(finish: FinishWrite, state: TaskInstanceState, now: datetime) -> tuple[Any, ...]:
    """The values of _END_NAMES."""
    own = state is finish.state
    shown = finish.rendered_map_index
    return (
        finish.ti_id,
        finish.dispatch_no,
        state.value,
        finish.start_date,
        finish.end_date,
        _seconds(finish.duration),
        finish.next_at if own else None,
        _encode_effects(finish.effects).decode() if own and finish.effects is not None else None,
        finish.error,
        finish.pid,
        shown and cut(shown, NAME),
        now,
    )


def _ti_id_of_end(item: tuple[FinishWrite, LockedTask, TaskInstanceState]) -> int:
    return item[0].ti_id


def _seconds(value: float) -> float:
    """A duration as it is stored; what no clock can have measured is 0."""
    return float(value) if 0 <= value < 1e12 else 0.0
