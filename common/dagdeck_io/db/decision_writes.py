"""What the scheduler's decisions write, in the order in which one transaction writes it.

Decides the statements for everything but task instances (task_writes.py): runs and their counts, DAG rows, workers,
pools, notes, ready rows, removals, and the end of actions. Decisions about one row keep their order. Does not lock
the lease or commit. Called by scheduler_store.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from dagdeck_core.actions import ActionState
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.scheduling.asset_decisions import OfAssets
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import DagRunState
from dagdeck_io.db.asset_writes import write_assets
from dagdeck_io.db.audit import AuditEntry
from dagdeck_io.db.dialects import REPLACE, Script, id_list
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.removal import delete_dag, delete_run
from dagdeck_io.db.tables import NAME
from dagdeck_io.db.task_writes import (
    SCHEDULER,
    TRANSITION_COLUMNS,
    UNFINISHED_RUN,
    create_tasks,
    cut,
    expand_task,
    fail_deferrals,
    free_triggers,
    start_deferrals,
    write_answers,
    write_moves,
)
from dagdeck_io.db.types import to_json
from dagdeck_io.db.work_writes import write_deadlines
from dagdeck_io.db.work_writes import write_decisions as write_works
from dagdeck_io.secrets import Vault

UNFINISHED = (DagRunState.QUEUED, DagRunState.RUNNING)
_RUN_INSERT = (
    "run_key, dag_id, run_id, version_id, state, run_type, run_after, queued_at, logical_date, data_interval_start, "
    "data_interval_end, start_date, end_date, conf, note, triggered_by, triggering_user, partition_key, backfill_id, "
    "created_tasks, partition_date, clear_number, updated_at"
)
_AUDIT_INSERT = (
    "event_log_id, `when`, event, owner, source, address, token_id, dag_id, run_id, task_id, map_index, logical_date, "
    "action_id, refused, extra"
)


class RunName(NamedTuple):
    """The subject of the statement that inserts a run."""

    dag_id: str
    run_id: str


@dataclass(slots=True, kw_only=True)
class DecisionWriter:
    """Builds one transaction. `specs` holds the specs of RepinRun's versions, `audits` the actions that end."""

    script: Script
    now: datetime
    ids: IdMaker
    specs: Mapping[int, DagSpec]
    audits: Mapping[int, AuditEntry]
    vault: Vault | None = None
    """Encrypts the arguments of triggers in which tasks begin."""
    _stats: dict[tuple[str, DagRunState], int] = field(default_factory=dict)

    def write(self, decisions: Sequence[d.Decision]) -> None:
        """Append everything that `decisions` ask for."""
        # Most are moves of task instances: only the few others are looked through once for each kind.
        moves: list[d.MoveTask | d.Revoke] = []
        others: list[d.Decision] = []
        for decision in decisions:
            if isinstance(decision, d.MoveTask):
                moves.append(decision)
            else:
                others.append(decision)
                if isinstance(decision, d.Revoke):
                    moves.append(decision)
        self._workers([x for x in others if isinstance(x, d.DeclareWorkerLost | d.SetWorkerState)])
        self._create_runs([x for x in others if isinstance(x, d.CreateRun)])
        for created in (x for x in others if isinstance(x, d.CreateTasks)):
            create_tasks(self.script, created, self.now)
        for expanded in (x for x in others if isinstance(x, d.ExpandTask)):
            expand_task(self.script, expanded, self.now)
        answers = [x for x in others if isinstance(x, d.AnswerInput)]
        if answers:
            write_answers(self.script, answers, self.now)
        late = [x for x in others if isinstance(x, d.FailDeferral)]
        if late:
            fail_deferrals(self.script, late)
        write_moves(self.script, moves, self.now, self.ids)
        started = [x for x in others if isinstance(x, d.StartDeferral)]
        if started:
            start_deferrals(self.script, started, self.now, self.ids, self.vault)
        self._move_runs([x for x in others if isinstance(x, d.MoveRun)])
        for decision in others:
            self._single(decision)
        write_works(self.script, others, self.now)
        write_deadlines(self.script, others, self.now)
        write_assets(self.script, [x for x in others if isinstance(x, OfAssets)], self.now, self.ids)
        self._removals(others)
        self._count_runs()
        self._ready_rows([x for x in others if isinstance(x, d.Offer | d.EmptyReady)])
        self._end_actions([x for x in others if isinstance(x, d.EndAction)])

    # -------------------------------------------------------------- runs

    def _create_runs(self, created: Sequence[d.CreateRun]) -> None:
        text, instant, json = self.script.text, self.script.instant, self.script.json
        at = instant(self.now)

        def render(decision: d.CreateRun) -> str:
            run = decision.run
            return (
                f"({run.run_key},{text(run.dag_id)},{text(run.run_id)},{run.version_id},'{run.state}',"
                f"'{run.run_type}',{instant(run.run_after)},{instant(run.queued_at)},{instant(run.logical_date)},"
                f"{instant(run.data_interval_start)},{instant(run.data_interval_end)},{instant(run.start_date)},"
                f"{instant(run.end_date)},{json(run.conf)},{text(run.note)},{text(run.triggered_by)},"
                f"{text(run.triggering_user)},{text(run.partition_key)},{_number(run.backfill_id)},"
                f"{run.created_tasks},{instant(run.partition_date)},0,{at})"
            )

        for decision in created:
            # One statement each, so that a failure names the run whose id or date is taken.
            name = RunName(decision.run.dag_id, decision.run.run_id)
            self.script.insert("dag_run", _RUN_INSERT, [decision], render, subject=name)
            self._stats_add(decision.run.dag_id, decision.run.state, 1)
        self._attend([x.run.run_key for x in created if x.run.state in UNFINISHED])
        numbers = iter(self.ids.take(len(created)))
        self.script.insert(
            "transition",
            TRANSITION_COLUMNS,
            created,
            lambda x: self._run_transition(next(numbers), x.run.run_key, "none", x.run.state, "created", x.cause),
        )

    def _move_runs(self, moves: Sequence[d.MoveRun]) -> None:
        for move in moves:
            self.script.add(
                f"UPDATE dag_run SET {', '.join(self._run_assignments(move))} "
                f"WHERE run_key = {move.run_key} AND state = '{move.old}'",
                expect=1,
                what=f"moving a run of {move.dag_id} from {move.old} to {move.new}",
            )
            self._stats_add(move.dag_id, move.old, -1)
            self._stats_add(move.dag_id, move.new, 1)
            if move.new not in UNFINISHED:
                self.script.add(
                    f"DELETE FROM attention WHERE kind = '{UNFINISHED_RUN}' AND subject_id = {move.run_key}"
                )
            elif move.old not in UNFINISHED:
                self._attend([move.run_key])
        numbers = iter(self.ids.take(len(moves)))
        self.script.insert(
            "transition",
            TRANSITION_COLUMNS,
            moves,
            lambda x: self._run_transition(next(numbers), x.run_key, x.old, x.new, x.reason, x.cause),
        )

    def _run_assignments(self, move: d.MoveRun) -> list[str]:
        at = self.script.instant(self.now)
        assigned = [f"state = '{move.new}'", f"updated_at = {at}", f"last_scheduling_decision = {at}"]
        if move.new is DagRunState.RUNNING:
            assigned.append(f"start_date = {at}")
        elif move.new is DagRunState.QUEUED:
            assigned += ["start_date = NULL", "end_date = NULL", f"queued_at = {at}"]
        else:
            assigned.append(f"end_date = {at}")
        if move.clear_number_up:
            assigned.append("clear_number = clear_number + 1")
        return assigned

    def _run_transition(self, number: int, run_key: int, old: str, new: str, reason: str, cause: str) -> str:
        text = self.script.text
        return (
            f"({number},{run_key},NULL,0,'{old}','{new}',{self.script.instant(self.now)},'{SCHEDULER}',"
            f"{text(cut(reason))},{text(cut(cause, NAME))})"
        )

    def _attend(self, run_keys: Sequence[int]) -> None:
        since = self.script.instant(self.now)
        self.script.insert(
            "attention",
            "kind, subject_id, run_key, since",
            run_keys,
            lambda key: f"('{UNFINISHED_RUN}',{key},{key},{since})",
            verb=REPLACE,
        )

    def _repin(self, decision: d.RepinRun) -> None:
        """Pin the run, and those of its tasks that are yet to run, to a version; they show what it says of them."""
        script, at = self.script, self.script.instant(self.now)
        script.add(
            f"UPDATE dag_run SET version_id = {decision.version_id}, updated_at = {at} "
            f"WHERE run_key = {decision.run_key}",
            expect=1,
            what="pinning a run to another version",
        )
        spec = self.specs.get(decision.version_id)
        for task in spec.tasks if spec else ():
            script.add(
                f"UPDATE task_instance SET version_id = {decision.version_id}, pool = {script.text(task.pool)}, "
                f"pool_slots = {task.pool_slots}, `queue` = {script.text(task.queue)}, "
                f"operator = {script.text(cut(task.task_type, NAME))}, "
                f"custom_operator_name = {script.text(task.operator_name)}, updated_at = {at} "
                f"WHERE run_key = {decision.run_key} AND task_id = {script.text(task.task_id)} "
                "AND state IN ('none', 'scheduled', 'queued', 'up_for_retry', 'up_for_reschedule')"
            )

    # -------------------------------------------------------------- counts

    def _stats_add(self, dag_id: str, state: DagRunState, count: int) -> None:
        self._stats[dag_id, state] = self._stats.get((dag_id, state), 0) + count

    def _count_runs(self) -> None:
        changed = sorted((key, count) for key, count in self._stats.items() if count)
        rows = [f"({self.script.text(dag_id)},'{state}',{count})" for (dag_id, state), count in changed]
        if rows:
            self.script.add(self.script.dialect.add_counts("dag_stats", ("dag_id", "state"), "run_count", rows))

    # -------------------------------------------------------------- DAGs, pools, notes

    def _single(self, decision: d.Decision) -> None:
        match decision:
            case d.RepinRun():
                self._repin(decision)
            case d.ScheduleNext():
                self._schedule_next(decision)
            case d.PauseDag():
                self._update_dag(decision.dag_id, f"is_paused = {int(decision.is_paused)}, revision = revision + 1")
            case d.DropTriggerEvents(event_ids=ids):
                self.script.add(f"DELETE FROM trigger_event WHERE event_id IN ({id_list(ids)})")
            case d.CountFailures():
                self._update_dag(decision.dag_id, f"consecutive_failures = {decision.consecutive_failures}")
            case d.WritePool():
                self._write_pool(decision)
            case d.WarnDag():
                self._warn(decision)
            case d.WriteNote():
                key = f"run_key = {decision.run_key}" if decision.ti_id is None else f"ti_id = {decision.ti_id}"
                table = "dag_run" if decision.ti_id is None else "task_instance"
                self.script.add(
                    f"UPDATE {table} SET note = {self.script.text(decision.note)}, "
                    f"updated_at = {self.script.instant(self.now)} WHERE {key}",
                    expect=1,
                    what="writing a note",
                )
            case _:
                pass

    def _warn(self, decision: d.WarnDag) -> None:
        text = self.script.text
        self.script.add(
            f"DELETE FROM dag_warning WHERE dag_id = {text(decision.dag_id)} "
            f"AND warning_type = {text(decision.warning_type)}"
        )
        if decision.message:
            self.script.add(
                f"INSERT INTO dag_warning (dag_id, warning_type, message, timestamp) VALUES ({text(decision.dag_id)},"
                f"{text(decision.warning_type)},{text(decision.message)},{self.script.instant(self.now)})"
            )

    def _schedule_next(self, decision: d.ScheduleNext) -> None:
        instant = self.script.instant
        assigned = (
            f"next_run_after = {instant(decision.run_after)}, "
            f"next_interval_start = {instant(decision.interval_start)}, "
            f"next_interval_end = {instant(decision.interval_end)}, "
            f"last_interval_start = {instant(decision.last_interval_start)}, "
            f"last_interval_end = {instant(decision.last_interval_end)}, "
            f"asked_runs = {self.script.text(None if decision.asked is None else to_json(decision.asked))}"
        )
        self._update_dag(decision.dag_id, assigned)

    def _update_dag(self, dag_id: str, assigned: str) -> None:
        self.script.add(f"UPDATE dag SET {assigned} WHERE dag_id = {self.script.text(dag_id)}")

    def _write_pool(self, decision: d.WritePool) -> None:
        text = self.script.text
        if decision.slots is None:
            self.script.add(f"DELETE FROM pool WHERE name = {text(decision.name)}")
            return
        self.script.insert(
            "pool",
            "name, slots, description, include_deferred, updated_at",
            [decision],
            lambda x: (
                f"({text(x.name)},{x.slots},{text(x.description)},{int(x.include_deferred)},"
                f"{self.script.instant(self.now)})"
            ),
            verb=REPLACE,
        )

    # -------------------------------------------------------------- workers, queue

    def _workers(self, decisions: Sequence[d.DeclareWorkerLost | d.SetWorkerState]) -> None:
        alive = "state NOT IN ('lost', 'stopped')"
        for decision in decisions:
            if isinstance(decision, d.DeclareWorkerLost):
                self.script.add(
                    f"UPDATE worker SET state = 'lost', ended_at = {self.script.instant(self.now)}, "
                    f"reason = {self.script.text(cut(decision.reason))} "
                    f"WHERE worker_id = {decision.worker_id} AND {alive} AND counter = {decision.counter}",
                    expect=1,
                    what=f"declaring worker {decision.worker_id} lost",
                )
                free_triggers(self.script, str(decision.worker_id))
            else:
                self.script.add(
                    f"UPDATE worker SET state = {self.script.text(decision.state)} "
                    f"WHERE worker_id = {decision.worker_id} AND {alive}",
                    expect=1,
                    what=f"setting worker {decision.worker_id} {decision.state}",
                )

    def _ready_rows(self, decisions: Sequence[d.Offer | d.EmptyReady]) -> None:
        for decision in decisions:
            if isinstance(decision, d.EmptyReady):
                self.script.add("DELETE FROM ready")
            elif decision.as_rows:
                self._offer(decision)

    def _offer(self, offer: d.Offer) -> None:
        rows = [(offer.queue, *dispatch) for dispatch in offer.dispatches]
        self.script.insert(
            "ready",
            "`queue`, ti_id, dispatch_no, priority",
            rows,
            lambda row: f"({self.script.text(row[0])},{row[1]},{row[2]},{row[3]})",
            verb=self.script.dialect.insert_ignore,
        )

    # -------------------------------------------------------------- removals, actions

    def _removals(self, decisions: Sequence[d.Decision]) -> None:
        # What this batch counted must be on the rows before the removal takes it away.
        if any(isinstance(x, d.DeleteRun | d.DeleteDagRows) for x in decisions):
            self._count_runs()
            self._stats.clear()
        for decision in decisions:
            if isinstance(decision, d.DeleteRun):
                delete_run(self.script, decision.run_key, decision.dag_id)
            elif isinstance(decision, d.DeleteDagRows):
                delete_dag(self.script, decision.dag_id)

    def _end_actions(self, ended: Sequence[d.EndAction]) -> None:
        script, at = self.script, self.script.instant(self.now)
        for decision in ended:
            state = ActionState.DONE if decision.refused is None else ActionState.REFUSED
            script.add(
                f"UPDATE action SET state = '{state}', ended_at = {at}, refused = {script.text(decision.refused)}, "
                f"result = {script.json(decision.result)} "
                f"WHERE action_id = {decision.action_id} AND state = '{ActionState.PENDING}'",
                expect=1,
                what=f"ending action {decision.action_id}",
            )
        audited = [(x, self.audits[x.action_id]) for x in ended if x.action_id in self.audits]
        numbers = iter(self.ids.take(len(audited)))
        script.insert("audit_log", _AUDIT_INSERT, audited, lambda pair: self._audit(next(numbers), *pair))

    def _audit(self, number: int, decision: d.EndAction, entry: AuditEntry) -> str:
        script = self.script
        extra: dict[str, Any] = {"request": entry.request, "before": entry.before, "after": entry.after}
        if decision.refused is not None:
            extra["after"] = entry.before
        if decision.result:
            extra["result"] = decision.result
        return (
            f"({number},{script.instant(self.now)},{script.text(entry.event)},{script.text(entry.actor)},"
            f"{script.text(entry.source)},{script.text(entry.address)},{_number(entry.token_id)},"
            f"{script.text(entry.dag_id)},{script.text(entry.run_id)},"
            f"{script.text(entry.task_id)},{_number(entry.map_index)},{script.instant(entry.logical_date)},"
            f"{decision.action_id},{script.text(decision.refused)},{script.json(extra)})"
        )


def _number(value: int | None) -> str:
    return "NULL" if value is None else str(value)
