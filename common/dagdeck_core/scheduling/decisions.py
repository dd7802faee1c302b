"""Decisions: what is to be written, in one transaction, and what is to be sent after its commit.

Decides the vocabulary of effects. Made only by the scheduling machine; carried out by
`dagdeck_io.db`'s scheduler store (rows) and the master's dispatcher (hints). A decision that moves a
row names the state it must find there: if any guard fails, nothing of the transaction happens.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.records import AskedRuns, DeadlineRecord, RunRecord
from dagdeck_core.scheduling.asset_decisions import AssetDecision
from dagdeck_core.spec import StartTriggerSpec, TaskSpec
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.work import WorkRecord, WorkState


class _Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all decisions: values that compare by content."""


class CreateRun(_Decision, frozen=True, kw_only=True):
    """Insert one dag_run row. The unique keys (dag_id, run_id) and (dag_id, logical_date) guard it."""

    run: RunRecord
    cause: str = ""


class TaskSeed(_Decision, frozen=True, kw_only=True):
    """One task_instance row to insert, in state none (or `state`, for what ends at once)."""

    ti_id: int
    task: TaskSpec
    map_index: int
    priority: int
    """Effective priority weight."""


class CreateTasks(_Decision, frozen=True, kw_only=True):
    """Insert task_instance rows of a run and raise its created_tasks from `old_count` (guard) to `new_count`."""

    run_key: int
    dag_id: str
    run_id: str
    version_id: int
    seeds: tuple[TaskSeed, ...]
    old_count: int
    new_count: int


class ExpandTask(_Decision, frozen=True, kw_only=True):
    """Insert further instances of an expanded task, in state none: `ti_ids` from map index `first_index` on.

    The unique key (run, task, map index) guards them. `summary_id` is the summary instance while there is one; guard:
    its map index is -1. With the last chunk (`is_last`) it becomes instance 0.
    """

    run_key: int
    dag_id: str
    run_id: str
    version_id: int
    task: TaskSpec
    priority: int
    first_index: int
    ti_ids: tuple[int, ...]
    summary_id: int | None = None
    is_last: bool = False


class MoveTask(_Decision, frozen=True, kw_only=True):
    """Move one task instance from `old` to `new`; guard: state = old AND dispatch_no = old_no.

    `new_no` differs from `old_no` only when this is a new dispatch (state queued). `try_number`,
    `max_tries`, `lost_count` are the values after the move. Going to queued sets queued_at, scheduled sets
    scheduled_at, a terminal state sets end_date when it has none; going to none clears the dates, the
    worker, effects, next_method and XComs of the task instance. Moves out of queued or running that
    end a dispatch write its history row. `next_at` is when it may run again.
    """

    run_key: int
    ti_id: int
    old: TaskInstanceState
    new: TaskInstanceState
    old_no: int
    new_no: int
    try_number: int
    max_tries: int
    lost_count: int = 0
    priority: int = 1
    queue: str = "default"
    next_at: datetime | None = None
    reason: str = ""
    cause: str = ""


class StartDeferral(_Decision, frozen=True, kw_only=True):
    """Store the trigger in which a task instance begins. Comes after its MoveTask to deferred."""

    run_key: int
    ti_id: int
    dispatch_no: int
    version_id: int
    start: StartTriggerSpec


class FailDeferral(_Decision, frozen=True, kw_only=True):
    """Have a deferred task instance find, when it goes on, that its trigger did not fire in time.

    Without effect when the trigger has fired after all. Comes before its MoveTask out of deferred, which removes the
    trigger and its events, as every such move does.
    """

    run_key: int
    ti_id: int
    dispatch_no: int


class AnswerInput(_Decision, frozen=True, kw_only=True):
    """Store the answer to a task instance's question, or that its defaults count, and the event it goes on with.

    Guard: state awaiting_input, dispatch_no, and no answer yet. Comes before its MoveTask out of that state.
    """

    run_key: int
    ti_id: int
    dispatch_no: int
    event: dict[str, Any]
    chosen_options: tuple[str, ...] | None = None
    """None: nobody answered in time."""
    params_input: dict[str, Any] = {}
    user: dict[str, str] | None = None


class DropTriggerEvents(_Decision, frozen=True, kw_only=True):
    """Delete stored events that can have no effect any more."""

    event_ids: tuple[int, ...]


class MoveRun(_Decision, frozen=True, kw_only=True):
    """Move one run; guard: state = old. Running sets start_date, terminal end_date, queued clears both."""

    run_key: int
    dag_id: str
    old: DagRunState
    new: DagRunState
    reason: str = ""
    cause: str = ""
    clear_number_up: bool = False


class RepinRun(_Decision, frozen=True, kw_only=True):
    """Pin a run to another version of its DAG (a clear that asked for the newest code)."""

    run_key: int
    version_id: int


class Revoke(_Decision, frozen=True, kw_only=True):
    """Ask a worker to end a live dispatch; guard: dispatch_no, state running or restarting.

    When the worker knows the process to be dead, the row takes state `target`. Sent by stream after
    commit, and with each renewal's answer.
    """

    run_key: int
    ti_id: int
    dispatch_no: int
    worker_id: int
    target: TaskInstanceState
    cause: str = ""


class ScheduleNext(_Decision, frozen=True, kw_only=True):
    """Store when a DAG runs next, and the last automated data interval; a wake-up is set for `run_after`."""

    dag_id: str
    run_after: datetime | None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    last_interval_start: datetime | None = None
    last_interval_end: datetime | None = None
    asked: AskedRuns | None = None


class PauseDag(_Decision, frozen=True, kw_only=True):
    """Set a DAG's is_paused."""

    dag_id: str
    is_paused: bool
    reason: str = ""
    cause: str = ""


class CountFailures(_Decision, frozen=True, kw_only=True):
    """Store how many runs of a DAG failed in a row."""

    dag_id: str
    consecutive_failures: int


class DeclareWorkerLost(_Decision, frozen=True, kw_only=True):
    """Call a worker lost; guard: its state is not lost or stopped and its lease counter is still `counter`."""

    worker_id: int
    counter: int
    reason: str


class SetWorkerState(_Decision, frozen=True, kw_only=True):
    """Set a worker draining or active; guard: it is not lost or stopped."""

    worker_id: int
    state: str


class WritePool(_Decision, frozen=True, kw_only=True):
    """Insert or change a pool (`slots` None: delete it)."""

    name: str
    slots: int | None
    description: str | None = None
    include_deferred: bool = False


class WriteNote(_Decision, frozen=True, kw_only=True):
    """Set or remove the note of a run or of one of its task instances."""

    run_key: int
    ti_id: int | None
    note: str | None


class DeleteRun(_Decision, frozen=True, kw_only=True):
    """Delete a run and all rows that belong to it."""

    run_key: int
    dag_id: str


class DeleteDagRows(_Decision, frozen=True, kw_only=True):
    """Delete a DAG, its versions and finished runs."""

    dag_id: str


class EndAction(_Decision, frozen=True, kw_only=True):
    """Store an action's result; guard: it is pending. Writes the audit record too."""

    action_id: int
    refused: str | None = None
    """Why it has no effect, for people; None when it took effect."""
    result: dict[str, Any] = {}


class Offer(_Decision, frozen=True, kw_only=True):
    """Dispatches to make known to workers: a hint on the queue, or rows in the `ready` table when it is off.

    Follows the MoveTask to queued of the same dispatch, or repeats it when a hint may have been
    lost. (ti_id, dispatch_no, priority) triples; `as_rows` asks for the table.
    """

    queue: str
    dispatches: tuple[tuple[int, int, int], ...]
    as_rows: bool = False


class EmptyReady(_Decision, frozen=True, kw_only=True):
    """Delete all rows of `ready`: the queue carries hints again, and each was offered there anew."""


class CreateDeadline(_Decision, frozen=True, kw_only=True):
    """Insert one deadline row."""

    deadline: DeadlineRecord


class MissDeadline(_Decision, frozen=True, kw_only=True):
    """A deadline has passed; guard: it was neither missed nor met. `work_id` is the work that calls its callback."""

    deadline_id: int
    work_id: int


class DropDeadlines(_Decision, frozen=True, kw_only=True):
    """Delete deadlines that were met, or are counted anew."""

    deadline_ids: tuple[int, ...]


class WarnDag(_Decision, frozen=True, kw_only=True):
    """Show people a warning at a DAG, in the place of the last one of this type; without a message take it away."""

    dag_id: str
    warning_type: str
    message: str = ""


class CreateWork(_Decision, frozen=True, kw_only=True):
    """Insert one row of `work`, queued under its dispatch_no."""

    work: WorkRecord


class MoveWork(_Decision, frozen=True, kw_only=True):
    """Move a piece of work; guard: state = old AND dispatch_no = old_no. A new dispatch has another `new_no`."""

    work_id: int
    old: WorkState
    new: WorkState
    old_no: int
    new_no: int
    lost_count: int = 0
    error: str | None = None


class SettleWork(_Decision, frozen=True, kw_only=True):
    """What an ended piece of work led to is decided; guard: dispatch_no, and not settled yet."""

    work_id: int
    dispatch_no: int


Decision = (
    CreateRun
    | CreateTasks
    | ExpandTask
    | MoveTask
    | StartDeferral
    | FailDeferral
    | AnswerInput
    | DropTriggerEvents
    | MoveRun
    | RepinRun
    | Revoke
    | ScheduleNext
    | PauseDag
    | CountFailures
    | DeclareWorkerLost
    | SetWorkerState
    | WritePool
    | WriteNote
    | DeleteRun
    | DeleteDagRows
    | EndAction
    | Offer
    | EmptyReady
    | CreateDeadline
    | MissDeadline
    | DropDeadlines
    | WarnDag
    | CreateWork
    | MoveWork
    | SettleWork
    | AssetDecision
)
