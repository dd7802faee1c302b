"""`State`: all states in one class, as `airflow.utils.state` has them.

Decides nothing: they are those of `dagdeck.states`. Found by DAG files through the table.
"""

from __future__ import annotations

from dagdeck.states import DagRunState, TaskInstanceState


class State:
    """States of task instances and runs."""

    SUCCESS = TaskInstanceState.SUCCESS
    RUNNING = TaskInstanceState.RUNNING
    FAILED = TaskInstanceState.FAILED
    NONE = None
    REMOVED = TaskInstanceState.REMOVED
    SCHEDULED = TaskInstanceState.SCHEDULED
    QUEUED = TaskInstanceState.QUEUED
    RESTARTING = TaskInstanceState.RESTARTING
    UP_FOR_RETRY = TaskInstanceState.UP_FOR_RETRY
    UP_FOR_RESCHEDULE = TaskInstanceState.UP_FOR_RESCHEDULE
    UPSTREAM_FAILED = TaskInstanceState.UPSTREAM_FAILED
    SKIPPED = TaskInstanceState.SKIPPED
    DEFERRED = TaskInstanceState.DEFERRED

    finished = frozenset((SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED, REMOVED))
    success_states = frozenset((SUCCESS, SKIPPED))
    failed_states = frozenset((FAILED, UPSTREAM_FAILED))
    unfinished = frozenset((NONE, SCHEDULED, QUEUED, RUNNING, RESTARTING, UP_FOR_RETRY, UP_FOR_RESCHEDULE, DEFERRED))
    task_states = (None, *TaskInstanceState)
    dag_states = tuple(DagRunState)
