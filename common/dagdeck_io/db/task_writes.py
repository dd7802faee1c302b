"""What decisions about task instances write: rows created, moved and revoked, with everything kept beside them.

Decides the statements for CreateTasks, ExpandTask, MoveTask and Revoke: the compare-and-set on task_instance, the
history row of a dispatch that ends, the transition, the attention row, and what a cleared task instance loses. Does
not decide which moves happen (`dagdeck_core.scheduling`) nor what a worker's report does (worker_writes.py, which
shares the history statement). Called by decision_writes.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from dagdeck_core.deferral import FAILED_DEFERRAL, TriggerFailure, failure_kwargs
from dagdeck_core.errors import UserError
from dagdeck_core.scheduling.decisions import (
    AnswerInput,
    CreateTasks,
    ExpandTask,
    FailDeferral,
    MoveTask,
    Revoke,
    StartDeferral,
    TaskSeed,
)
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import DISPATCHED, TERMINAL, TaskInstanceState
from dagdeck_io.db.dialects import REPLACE, Script, id_list
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.tables import NAME, REASON
from dagdeck_io.db.trigger_tables import TASK
from dagdeck_io.secrets import FIELD, Vault

FAILED_TASK = "failed_task"
UNFINISHED_RUN = "unfinished_run"
SCHEDULER = "scheduler"

TRIGGER_COLUMNS = (
    "trigger_id, owner, ti_id, dispatch_no, run_key, version_id, classpath, kwargs, `queue`, created_at, claim_no, "
    "log_offset"
)
TRANSITION_COLUMNS = "transition_id, run_key, ti_id, dispatch_no, from_state, to_state, at, actor, reason, cause"
_SEED_COLUMNS = (
    "ti_id, run_key, task_id, map_index, state, dispatch_no, try_number, max_tries, version_id, lost_count, duration, "
    "pool, pool_slots, `queue`, priority_weight, executor, operator, custom_operator_name, task_display_name, "
    "updated_at"
)
_HISTORY_COPIED = (
    "dispatch_no, ti_id, run_key, try_number, max_tries, version_id, worker_id, scheduled_at, queued_at, start_date, "
    "`queue`, priority_weight, hostname, unixname, pid, external_executor_id, rendered_map_index, error"
)
_HISTORY_COLUMNS = f"{_HISTORY_COPIED}, end_date, duration, state, ended_by, reason"

_QUESTION_COLUMNS = (
    "subject",
    "body",
    "options",
    "defaults",
    "multiple",
    "params",
    "assigned_users",
    "created_at",
    "responded_at",
    "responded_by",
    "chosen_options",
    "params_input",
)
_QUESTION = ", ".join(_QUESTION_COLUMNS)
_OF_ONE_DISPATCH = ("worker_id", "revoke_to", "start_date", "end_date", "hostname", "unixname", "pid", "error")
CLEARED = (
    ", ".join(
        f"{column} = NULL"
        for column in (
            "scheduled_at",
            "queued_at",
            "first_start_date",
            "start_date",
            "end_date",
            "worker_id",
            "effects",
            "next_method",
            "next_kwargs",
            "hostname",
            "unixname",
            "pid",
            "error",
            "rendered_map_index",
            "trigger_id",
            "triggerer_id",
            "trigger_timeout",
            "external_executor_id",
            "revoke_to",
        )
    )
    + ", duration = 0, version_id = (SELECT r.version_id FROM dag_run r WHERE r.run_key = t.run_key)"
)
"""What a task instance loses when it goes back to none; it takes the version that its run is pinned to."""

# Columns that a move sets, and the attribute of the move that holds the value.
_ALWAYS = (
    ("try_number", "try_number"),
    ("max_tries", "max_tries"),
    ("lost_count", "lost_count"),
    ("next_at", "next_at"),
)
_NEW_DISPATCH = (("dispatch_no", "new_no"),)
_PLACE = (("priority_weight", "priority"), ("`queue`", "queue"))


def cut(text: str, limit: int = REASON) -> str:
    """`text`, shortened to what its column holds."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def write_history(
    script: Script, where: str, *, state: str, end_date: str, duration: str, ended_by: str, reason: str, expect: int
) -> None:
    """Append the history rows of the dispatches whose task instances `where` names; expressions are SQL."""
    script.add(
        f"INSERT INTO task_instance_history ({_HISTORY_COLUMNS}) "
        f"SELECT {_HISTORY_COPIED}, {end_date}, {duration}, {state}, {script.text(ended_by)}, "
        f"{script.text(cut(reason))} FROM task_instance WHERE {where}",
        expect=expect,
        what="history of a dispatch",
    )


def drop_results(script: Script, ti_ids: Sequence[int]) -> None:
    """Append the removal of what earlier dispatches of these task instances stored for others.

    What they asked people, and were answered, is kept in the history.
    """
    keep_questions(script, ti_ids)
    for table in ("xcom", "rendered_fields", "`trigger`", "trigger_event", "hitl_detail"):
        script.add(f"DELETE FROM {table} WHERE ti_id IN ({id_list(ti_ids)})")


def keep_questions(script: Script, ti_ids: Sequence[int]) -> None:
    """Append that the questions of these task instances' tries are kept when others take their place."""
    script.add(
        f"REPLACE INTO hitl_detail_history (ti_id, try_number, {_QUESTION}) "
        f"SELECT h.ti_id, COALESCE(h.try_number, t.try_number), {', '.join(f'h.{each}' for each in _QUESTION_COLUMNS)} "
        f"FROM hitl_detail h JOIN task_instance t ON t.ti_id = h.ti_id WHERE h.ti_id IN ({id_list(ti_ids)})"
    )


def free_triggers(script: Script, worker_ids: str) -> None:
    """Append that others may claim what these workers' triggerers had; `worker_ids` is what stands in IN (…)."""
    script.add(f"UPDATE `trigger` SET triggerer_id = NULL WHERE triggerer_id IN ({worker_ids})")


def end_deferrals(script: Script, ti_ids: Sequence[int]) -> None:
    """Append the removal of what these task instances waited for: whoever runs their triggers finds them gone."""
    for table in ("`trigger`", "trigger_event"):
        script.add(f"DELETE FROM {table} WHERE ti_id IN ({id_list(ti_ids)})")


def write_answers(script: Script, answers: Sequence[AnswerInput], now: datetime) -> None:
    """Append what people, or nobody in time, said to task instances' questions."""
    at = script.instant(now)
    for answer in answers:
        script.add(
            f"UPDATE task_instance SET next_kwargs = {script.json({'event': answer.event})} "
            f"WHERE ti_id = {answer.ti_id} AND dispatch_no = {answer.dispatch_no} "
            f"AND state = '{TaskInstanceState.AWAITING_INPUT}'",
            expect=1,
            what="answering a question",
        )
        if answer.chosen_options is None:
            script.add(
                f"UPDATE hitl_detail SET responded_at = {at}, chosen_options = defaults "
                f"WHERE ti_id = {answer.ti_id} AND responded_at IS NULL AND defaults IS NOT NULL"
            )
            continue
        script.add(
            f"UPDATE hitl_detail SET responded_at = {at}, responded_by = {script.json(answer.user)}, "
            f"chosen_options = {script.json(list(answer.chosen_options))}, "
            f"params_input = {script.json(answer.params_input)} "
            f"WHERE ti_id = {answer.ti_id} AND responded_at IS NULL",
            expect=1,
            what="answering a question",
        )


def start_deferrals(
    script: Script, started: Sequence[StartDeferral], now: datetime, ids: IdMaker, vault: Vault | None
) -> None:
    """Append the triggers in which task instances begin, and the history of the dispatches that so have ended."""
    if vault is None:
        raise UserError("the arguments of triggers are encrypted, which needs a key", field=FIELD, remedy="Set it")
    text, at = script.text, script.instant(now)
    for each in started:
        start = each.start
        script.add(
            f"UPDATE task_instance SET next_method = {text(start.next_method)}, "
            f"next_kwargs = {text(start.next_kwargs)} WHERE ti_id = {each.ti_id}",
            expect=1,
        )
        script.add(
            f"INSERT INTO `trigger` ({TRIGGER_COLUMNS}) VALUES ({ids.next()},'{TASK}',{each.ti_id},{each.dispatch_no},"
            f"{each.run_key},{each.version_id},{text(start.classpath)},{text(vault.encrypt(start.kwargs))},NULL,{at},0,0)"
        )
    write_history(
        script,
        f"ti_id IN ({id_list(each.ti_id for each in started)}) "
        f"AND dispatch_no IN ({id_list(each.dispatch_no for each in started)})",
        state=f"'{TaskInstanceState.DEFERRED}'",
        end_date=at,
        duration="0",
        ended_by=SCHEDULER,
        reason="",
        expect=len(started),
    )


def fail_deferrals(script: Script, failed: Sequence[FailDeferral]) -> None:
    """Append, for deferred task instances whose trigger has not fired in time, how they go on."""
    ids = id_list(decision.ti_id for decision in failed)
    numbers = id_list(decision.dispatch_no for decision in failed)
    where = f"ti_id IN ({ids}) AND dispatch_no IN ({numbers}) AND state = '{TaskInstanceState.DEFERRED}'"
    # The lock comes first and by a statement of its own: a trigger that fires takes it too, so that what is read after
    # it, whether the trigger is still there, holds until the end.
    script.add(
        f"UPDATE task_instance SET updated_at = updated_at WHERE {where}",
        expect=len(failed),
        what="ending deferrals that took too long",
    )
    script.add(
        f"UPDATE task_instance SET next_method = {script.text(FAILED_DEFERRAL)}, "
        f"next_kwargs = {script.json(failure_kwargs(TriggerFailure.TIMEOUT))} WHERE {where} "
        "AND EXISTS (SELECT 1 FROM `trigger` g WHERE g.ti_id = task_instance.ti_id)"
    )
    script.add(f"DELETE FROM `trigger` WHERE ti_id IN ({ids})")


def add_failures(script: Script, failures: Iterable[tuple[int, int]], now: datetime) -> None:
    """Append attention rows for failed task instances (ti_id, run_key)."""
    since = script.instant(now)
    script.insert(
        "attention",
        "kind, subject_id, run_key, since",
        failures,
        lambda pair: f"('{FAILED_TASK}',{pair[0]},{pair[1]},{since})",
        verb=REPLACE,
    )


# ------------------------------------------------------------------ creating


def create_tasks(script: Script, decision: CreateTasks, now: datetime) -> None:
    """Append one CreateTasks."""
    script.add(
        f"UPDATE dag_run SET created_tasks = {decision.new_count}, updated_at = {script.instant(now)} "
        f"WHERE run_key = {decision.run_key} AND created_tasks = {decision.old_count}",
        expect=1,
        what=f"creating tasks of run {decision.run_id}",
    )

    def render(seed: TaskSeed) -> str:
        head, tail = _seed_parts(script, decision, seed.task, seed.priority, now)
        return f"({seed.ti_id},{head},{seed.map_index},{tail})"

    script.insert("task_instance", _SEED_COLUMNS, decision.seeds, render, what=f"tasks of run {decision.run_id}")


def _seed_parts(
    script: Script, of: CreateTasks | ExpandTask, task: TaskSpec, priority: int, now: datetime
) -> tuple[str, str]:
    """A new row's values between ti_id and map_index, and those after it."""
    text = script.text
    shown = task.display_name if task.display_name != task.task_id else None
    tail = (
        f"'none',0,0,{task.retries},{of.version_id},0,0,{text(task.pool)},{task.pool_slots},{text(task.queue)},"
        f"{priority},{text(task.executor)},{text(cut(task.task_type, NAME))},{text(task.operator_name)},{text(shown)},"
        f"{script.instant(now)}"
    )
    return f"{of.run_key},{text(task.task_id)}", tail


def expand_task(script: Script, decision: ExpandTask, now: datetime) -> None:
    """Append one ExpandTask."""
    if decision.summary_id is not None:
        index = ", map_index = 0" if decision.is_last else ""
        script.add(
            f"UPDATE task_instance SET updated_at = {script.instant(now)}{index} "
            f"WHERE ti_id = {decision.summary_id} AND map_index = -1",
            expect=1,
            what=f"expanding {decision.task.task_id} of run {decision.run_id}",
        )
    # All rows are alike but for two numbers: there may be many thousands.
    head, tail = _seed_parts(script, decision, decision.task, decision.priority, now)
    script.insert(
        "task_instance",
        _SEED_COLUMNS,
        enumerate(decision.ti_ids, decision.first_index),
        lambda seed: f"({seed[1]},{head},{seed[0]},{tail})",
        what=f"instances of {decision.task.task_id} of run {decision.run_id}",
    )


# ------------------------------------------------------------------ moving


def write_moves(script: Script, moves: Sequence[MoveTask | Revoke], now: datetime, ids: IdMaker) -> None:
    """Append moves and revocations. Several of one task instance happen one after another, in their order."""
    waves: list[list[MoveTask | Revoke]] = []
    depth: dict[int, int] = {}
    for move in moves:
        level = depth.get(move.ti_id, 0)
        depth[move.ti_id] = level + 1
        if level == len(waves):
            waves.append([])
        waves[level].append(move)
    for wave in waves:
        # By id: transactions that touch the same rows lock them in the same order.
        wave.sort(key=lambda move: move.ti_id)
        _write_wave(script, [m for m in wave if isinstance(m, MoveTask)], now, ids)
        revocations = [m for m in wave if isinstance(m, Revoke)]
        if revocations:
            _write_revocations(script, revocations, now, ids)


def _write_wave(script: Script, moves: Sequence[MoveTask], now: datetime, ids: IdMaker) -> None:
    groups: dict[tuple[TaskInstanceState, TaskInstanceState, bool, bool], list[MoveTask]] = {}
    for move in moves:
        key = (move.old, move.new, move.old_no == 0, move.new_no != move.old_no)
        groups.setdefault(key, []).append(move)
    for group in groups.values():
        _end_dispatches(script, group, now)
        _move_group(script, group, now)
        _follow_group(script, group, now)
    write_transitions(script, moves, now, ids)


def _ends_dispatch(move: MoveTask) -> bool:
    if move.old not in DISPATCHED:
        return False
    return move.new not in DISPATCHED or move.new_no != move.old_no


def _where(group: Sequence[MoveTask]) -> str:
    """The guard of a whole group. A dispatch number belongs to one task instance, so two lists pair safely."""
    first = group[0]
    numbers = "= 0" if first.old_no == 0 else f"IN ({id_list(move.old_no for move in group)})"
    return f"ti_id IN ({id_list(move.ti_id for move in group)}) AND dispatch_no {numbers} AND state = '{first.old}'"


def _end_dispatches(script: Script, group: Sequence[MoveTask], now: datetime) -> None:
    first = group[0]
    if not _ends_dispatch(first) or first.old_no == 0:
        return
    at = script.instant(now)
    if first.old is TaskInstanceState.QUEUED:
        # Nobody ran it: the history says so by this state.
        state, duration = TaskInstanceState.QUEUED, "0"
    else:
        kept = first.new in TERMINAL or first.new is TaskInstanceState.UP_FOR_RETRY
        state = first.new if kept else TaskInstanceState.FAILED
        duration = script.dialect.seconds_since("start_date", at)
    by_reason: dict[str, list[MoveTask]] = {}
    for move in group:
        by_reason.setdefault(move.reason, []).append(move)
    for reason, same in by_reason.items():
        write_history(
            script,
            _where(same),
            state=f"'{state}'",
            end_date=at,
            duration=duration,
            ended_by=SCHEDULER,
            reason=reason,
            expect=len(same),
        )
    gone = id_list(move.old_no for move in group)
    table = "ready" if first.old is TaskInstanceState.QUEUED else "revocation"
    script.add(f"DELETE FROM {table} WHERE dispatch_no IN ({gone})")


def _move_group(script: Script, group: Sequence[MoveTask], now: datetime) -> None:
    """One UPDATE of all moves of a group, which have states and kinds of dispatch in common."""
    first, binds = group[0], script.dialect.binds
    fields: tuple[tuple[str, str], ...] = _ALWAYS
    if first.new_no != first.old_no:
        fields += _NEW_DISPATCH
    if first.new in (TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED, TaskInstanceState.DEFERRED):
        fields += _PLACE
    # Bound values keep the text the same. In a text, what is the same for all is written once; strings never are,
    # because the text must hold none.
    varying = [
        (column, attribute)
        for column, attribute in fields
        if binds or column == "`queue`" or not _is_common(group, attribute)
    ]
    at = "v.at" if binds else script.instant(now)
    assigned = [f"state = '{first.new}'", f"updated_at = {at}"]
    assigned += [
        f"{column} = {script.literal(getattr(first, name))}" for column, name in fields if (column, name) not in varying
    ]
    assigned += [f"{column} = v.c{number}" for number, (column, _) in enumerate(varying)]
    assigned += _dates(first, at, script)
    names = ["ti_id", "old_no", *(f"c{number}" for number in range(len(varying)))]
    values = attrgetter("ti_id", "old_no", *(attribute for _, attribute in varying))
    rows: list[tuple[Any, ...]] = [values(move) for move in group]
    if binds:
        names.append("at")
        rows = [(*row, now) for row in rows]
    script.update_rows(
        "task_instance",
        names,
        rows,
        ", ".join(assigned),
        f"t.dispatch_no = v.old_no AND t.state = '{first.old}'",
        what=f"moving task instances from {first.old} to {first.new}",
    )


def _is_common(group: Sequence[MoveTask], attribute: str) -> bool:
    value = getattr(group[0], attribute)
    return all(getattr(move, attribute) == value for move in group)


def _dates(move: MoveTask, at: str, script: Script) -> list[str]:
    """What a move to its state sets beside it."""
    new, old = move.new, move.old
    if new is TaskInstanceState.NONE:
        return [CLEARED]
    if new is TaskInstanceState.SCHEDULED:
        return [f"scheduled_at = {at}", "worker_id = NULL"]
    if new is TaskInstanceState.QUEUED:
        scheduled = "COALESCE(t.scheduled_at, " + at + ")" if old is TaskInstanceState.SCHEDULED else at
        ended = [f"{column} = NULL" for column in _OF_ONE_DISPATCH]
        return [f"queued_at = {at}", f"scheduled_at = {scheduled}", *ended]
    if new is TaskInstanceState.RESTARTING:
        return []
    if new is TaskInstanceState.DEFERRED:
        begins = ("scheduled_at", "queued_at", "start_date", "first_start_date", "end_date")
        gone = [f"{column} = NULL" for column in _OF_ONE_DISPATCH if column not in begins]
        return [*(f"{column} = {at}" for column in begins), "duration = 0", *gone]
    waited = old is TaskInstanceState.DEFERRED  # it has an end_date from when it began to
    dates = [f"end_date = {at}" if waited else f"end_date = COALESCE(t.end_date, {at})", "revoke_to = NULL"]
    if waited or old in (TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING):
        dates.append(f"duration = {script.dialect.seconds_since('t.start_date', at)}")
    if new in TERMINAL:
        dates.append(f"start_date = COALESCE(t.start_date, {at})")
        dates.append("first_start_date = NULL")
    return dates


def _follow_group(script: Script, group: Sequence[MoveTask], now: datetime) -> None:
    first = group[0]
    if first.new in (TaskInstanceState.NONE, TaskInstanceState.REMOVED):
        drop_results(script, [move.ti_id for move in group])
    elif first.old is TaskInstanceState.DEFERRED:
        end_deferrals(script, [move.ti_id for move in group])
    if first.old is TaskInstanceState.FAILED:
        ids = id_list(move.ti_id for move in group)
        script.add(f"DELETE FROM attention WHERE kind = '{FAILED_TASK}' AND subject_id IN ({ids})")
    if first.new is TaskInstanceState.FAILED:
        add_failures(script, [(move.ti_id, move.run_key) for move in group], now)


def write_transitions(script: Script, moves: Sequence[MoveTask], now: datetime, ids: IdMaker) -> None:
    """Append the transition rows of `moves`; each names the dispatch that lives after it, or lived before."""
    at, text = script.instant(now), script.text
    numbers = ids.take(len(moves))
    if script.dialect.binds:
        rows = [
            (
                number,
                move.run_key,
                move.ti_id,
                move.new_no,
                move.old.value,
                move.new.value,
                now,
                SCHEDULER,
                cut(move.reason),
                cut(move.cause, NAME),
            )
            for number, move in zip(numbers, moves, strict=True)
        ]
        script.insert_rows("transition", TRANSITION_COLUMNS, rows)
        return

    def render(pair: tuple[int, MoveTask]) -> str:
        number, move = pair
        return (
            f"({number},{move.run_key},{move.ti_id},{move.new_no},'{move.old}','{move.new}',{at},"
            f"'{SCHEDULER}',{text(cut(move.reason))},{text(cut(move.cause, NAME))})"
        )

    script.insert("transition", TRANSITION_COLUMNS, zip(numbers, moves, strict=True), render)


# ------------------------------------------------------------------ revoking


def _write_revocations(script: Script, revocations: Sequence[Revoke], now: datetime, ids: IdMaker) -> None:
    at, text = script.instant(now), script.text
    by_target: dict[TaskInstanceState, list[Revoke]] = {}
    for revocation in revocations:
        by_target.setdefault(revocation.target, []).append(revocation)
    for target, group in by_target.items():
        state = ""
        if target is TaskInstanceState.NONE:
            state = ", state = 'restarting'"
            for revocation in group:
                # Only for those that are running now; a second clear of a restarting one is no transition.
                script.add(
                    f"INSERT INTO transition ({TRANSITION_COLUMNS}) SELECT {ids.next()}, run_key, ti_id, dispatch_no, "
                    f"state, 'restarting', {at}, '{SCHEDULER}', 'its process is being ended', "
                    f"{text(cut(revocation.cause, NAME))} FROM task_instance WHERE ti_id = {revocation.ti_id} "
                    f"AND dispatch_no = {revocation.dispatch_no} AND state = 'running'"
                )
        script.add(
            f"UPDATE task_instance SET revoke_to = '{target}', updated_at = {at}{state} "
            f"WHERE ti_id IN ({id_list(r.ti_id for r in group)}) "
            f"AND dispatch_no IN ({id_list(r.dispatch_no for r in group)}) AND state IN ('running', 'restarting')",
            expect=len(group),
            what="revoking dispatches",
        )
    script.insert(
        "revocation",
        "dispatch_no, ti_id, worker_id, requested_at",
        revocations,
        lambda r: f"({r.dispatch_no},{r.ti_id},{r.worker_id},{at})",
        verb=REPLACE,
    )
