"""States of task instances and dag runs, and the literal tables of the moves that are legal.

Decides which state may follow which, and which states are terminal. Does not decide when a move
happens (that is `dagdeck_core.scheduling`). Read by everything; docs/architecture.md's diagrams
are generated from the tables below.

The names and meanings are Airflow's. A task instance without a state is stored as "none", so that
a compare-and-set never has to compare with NULL; the API shows it as null, as Airflow does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum


class TaskInstanceState(StrEnum):
    """Where one task instance stands. Values are Airflow's words."""

    NONE = "none"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    REMOVED = "removed"
    RESTARTING = "restarting"


class DagRunState(StrEnum):
    """Where one dag run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class DagRunType(StrEnum):
    """What made a dag run."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKFILL = "backfill"
    ASSET_TRIGGERED = "asset_triggered"
    ASSET_MATERIALIZATION = "asset_materialization"
    OPERATOR_TRIGGERED = "operator_triggered"

    def generate_run_id(self, logical_date: datetime | None = None, *, suffix: str = "") -> str:
        """The type and what tells the run from others: what timetables' own `generate_run_id` begin with.

        `logical_date` is what Airflow 2 had instead of `suffix`.
        """
        return f"{self.value}__{suffix or (logical_date.isoformat() if logical_date is not None else '')}"


_T = TaskInstanceState

TERMINAL: frozenset[TaskInstanceState] = frozenset({_T.SUCCESS, _T.FAILED, _T.SKIPPED, _T.UPSTREAM_FAILED, _T.REMOVED})
"""States that end a task instance; only a person's clear or mark leads out of them."""

DISPATCHED: frozenset[TaskInstanceState] = frozenset({_T.QUEUED, _T.RUNNING, _T.RESTARTING})
"""States in which a dispatch is live: it holds a slot of its pool and its run."""

TASK_INSTANCE_MOVES: Mapping[TaskInstanceState, Mapping[TaskInstanceState, str]] = {
    _T.NONE: {
        _T.SCHEDULED: "its trigger rule holds; it waits for a slot",
        _T.QUEUED: "its trigger rule holds and a slot is free",
        _T.DEFERRED: "its trigger rule holds; it begins in its trigger",
        _T.SUCCESS: "it has nothing to execute, or a person marked it",
        _T.SKIPPED: "a branch did not take it, or its upstream was skipped",
        _T.UPSTREAM_FAILED: "its trigger rule can no longer hold",
        _T.FAILED: "a person marked it, or its expansion is invalid",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.SCHEDULED: {
        _T.QUEUED: "every limit has room",
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it, or its run ended",
        _T.SKIPPED: "a person marked it, or its run ended",
        _T.UPSTREAM_FAILED: "an upstream task was cleared or marked meanwhile",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.QUEUED: {
        _T.RUNNING: "a worker claimed this dispatch",
        _T.QUEUED: "dispatched anew under a new dispatch_no",
        _T.SCHEDULED: "recalled before any worker claimed it",
        _T.NONE: "cleared before any worker claimed it",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it, or its run ended",
        _T.SKIPPED: "a person marked it, or its run ended",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.RUNNING: {
        _T.SUCCESS: "it ended well",
        _T.FAILED: "it failed with no retry left",
        _T.UP_FOR_RETRY: "it failed with a retry left",
        _T.UP_FOR_RESCHEDULE: "a sensor asked to look again later",
        _T.DEFERRED: "it waits for a trigger",
        _T.AWAITING_INPUT: "it waits for a person's answer",
        _T.SKIPPED: "it asked to be skipped",
        _T.QUEUED: "its worker was lost; dispatched anew",
        _T.RESTARTING: "cleared; its process is being ended",
        _T.NONE: "cleared, and its process is known to be dead",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.RESTARTING: {
        _T.NONE: "its process is known to be dead",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it",
        _T.SKIPPED: "a person marked it",
    },
    _T.UP_FOR_RETRY: {
        _T.QUEUED: "its retry delay has passed and a slot is free",
        _T.SCHEDULED: "its retry delay has passed; it waits for a slot",
        _T.DEFERRED: "its retry delay has passed; it begins in its trigger again",
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it, or its run ended",
        _T.SKIPPED: "a person marked it, or its run ended",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.UP_FOR_RESCHEDULE: {
        _T.QUEUED: "the time it asked for has come and a slot is free",
        _T.SCHEDULED: "the time it asked for has come; it waits for a slot",
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it, or its run ended",
        _T.SKIPPED: "a person marked it, or its run ended",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.DEFERRED: {
        _T.QUEUED: "its trigger fired and a slot is free",
        _T.SCHEDULED: "its trigger fired; it waits for a slot",
        _T.NONE: "cleared",
        _T.SUCCESS: "its trigger ended it, or a person marked it",
        _T.FAILED: "its trigger failed or timed out, or a person marked it",
        _T.SKIPPED: "its trigger ended it so, or a person marked it",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.AWAITING_INPUT: {
        _T.QUEUED: "a person answered and a slot is free",
        _T.SCHEDULED: "a person answered; it waits for a slot",
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "nobody answered in time, or a person marked it",
        _T.SKIPPED: "a person marked it",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.SUCCESS: {
        _T.NONE: "cleared",
        _T.FAILED: "a person marked it",
        _T.SKIPPED: "a person marked it",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.FAILED: {
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.SKIPPED: "a person marked it",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.SKIPPED: {
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.UPSTREAM_FAILED: {
        _T.NONE: "cleared",
        _T.SUCCESS: "a person marked it",
        _T.FAILED: "a person marked it",
        _T.SKIPPED: "a person marked it",
        _T.REMOVED: "the dag version no longer has it",
    },
    _T.REMOVED: {_T.NONE: "a later dag version has it again and it was cleared"},
}
"""Every legal move of a task instance: from-state → to-state → why it happens."""

DAG_RUN_MOVES: Mapping[DagRunState, Mapping[DagRunState, str]] = {
    DagRunState.QUEUED: {
        DagRunState.RUNNING: "max_active_runs has room and the dag is not paused",
        DagRunState.SUCCESS: "a person marked it",
        DagRunState.FAILED: "a person marked it",
    },
    DagRunState.RUNNING: {
        DagRunState.SUCCESS: "all tasks ended and no leaf failed",
        DagRunState.FAILED: "a leaf failed, it timed out, or a person marked it",
        DagRunState.QUEUED: "cleared",
    },
    DagRunState.SUCCESS: {
        DagRunState.QUEUED: "cleared",
        DagRunState.FAILED: "a person marked it",
    },
    DagRunState.FAILED: {
        DagRunState.QUEUED: "cleared",
        DagRunState.SUCCESS: "a person marked it",
    },
}
"""Every legal move of a dag run."""


def is_terminal(state: TaskInstanceState) -> bool:
    """True when nothing but a person's clear or mark leads out of `state`."""
    return state in TERMINAL


def may_move(old: TaskInstanceState, new: TaskInstanceState) -> bool:
    """True when the table allows a task instance to go from `old` to `new`."""
    return new in TASK_INSTANCE_MOVES[old]


def run_may_move(old: DagRunState, new: DagRunState) -> bool:
    """True when the table allows a dag run to go from `old` to `new`."""
    return new in DAG_RUN_MOVES[old]
