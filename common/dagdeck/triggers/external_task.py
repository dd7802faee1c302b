"""Triggers that wait for other DAGs: for their runs, tasks and task groups.

Decides how often they look and which event what they see means. What is asked is in `dagdeck.other_runs`. Used by
ExternalTaskSensor and TriggerDagRunOperator, and in DAG files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any

from dagdeck import other_runs
from dagdeck.other_runs import Selection
from dagdeck.triggers.base import BaseTrigger, TriggerEvent


class WorkflowTrigger(BaseTrigger):
    """Fires when a run, some tasks or a task group of another DAG have come into the states that count.

    The event is {"status": "success"}, "skipped" or "failed"; "not_found" when the task group does not exist.
    `execution_dates` is an older name of `logical_dates`.
    """

    def __init__(
        self,
        external_dag_id: str,
        run_ids: Sequence[str] | None = None,
        execution_dates: Sequence[datetime] | None = None,
        logical_dates: Sequence[datetime] | None = None,
        external_task_ids: Collection[str] | None = None,
        external_task_group_id: str | None = None,
        failed_states: Collection[str] | None = None,
        skipped_states: Collection[str] | None = None,
        allowed_states: Collection[str] | None = None,
        poke_interval: float = 2.0,
        soft_fail: bool = False,
    ) -> None:
        super().__init__()
        self.external_dag_id = external_dag_id
        self.run_ids = None if run_ids is None else list(run_ids)
        dates = logical_dates if logical_dates is not None else execution_dates
        self.logical_dates = None if dates is None else list(dates)
        self.external_task_ids = None if external_task_ids is None else list(external_task_ids)
        self.external_task_group_id = external_task_group_id
        self.failed_states = [str(state) for state in failed_states or ()]
        self.skipped_states = [str(state) for state in skipped_states or ()]
        self.allowed_states = [str(state) for state in allowed_states or ("success",)]
        self.poke_interval = poke_interval
        self.soft_fail = soft_fail

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        names = (
            "external_dag_id",
            "run_ids",
            "logical_dates",
            "external_task_ids",
            "external_task_group_id",
            "failed_states",
            "skipped_states",
            "allowed_states",
            "poke_interval",
            "soft_fail",
        )
        arguments = {name: getattr(self, name) for name in names}
        return "dagdeck.triggers.external_task.WorkflowTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again."""
        from dagdeck.runtime import NotFound

        look = Look(
            Selection(
                dag_id=self.external_dag_id,
                run_ids=self.run_ids,
                logical_dates=self.logical_dates,
                task_ids=self.external_task_ids,
                task_group_id=self.external_task_group_id,
            )
        )
        while True:
            try:
                status = await asyncio.to_thread(
                    look.status, self.allowed_states, self.skipped_states, self.failed_states
                )
            except NotFound as error:
                yield TriggerEvent({"status": "not_found", "message": str(error)})
                return
            if status is not None:
                yield TriggerEvent({"status": status})
                return
            await asyncio.sleep(self.poke_interval)


class DagStateTrigger(BaseTrigger):
    """Fires when all runs of `run_ids`, or of `execution_dates`, are in one of `states`.

    The event is the class path and the trigger's arguments, with the state of each run under its id.
    """

    def __init__(
        self,
        dag_id: str,
        states: Sequence[str],
        run_ids: Sequence[str] | None = None,
        execution_dates: Sequence[datetime] | None = None,
        poll_interval: float = 5.0,
    ) -> None:
        super().__init__()
        self.dag_id = dag_id
        self.states = [str(state) for state in states]
        self.run_ids = None if run_ids is None else list(run_ids)
        self.execution_dates = None if execution_dates is None else list(execution_dates)
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        names = ("dag_id", "states", "run_ids", "execution_dates", "poll_interval")
        return "dagdeck.triggers.external_task.DagStateTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again."""
        selection = Selection(dag_id=self.dag_id, run_ids=self.run_ids, logical_dates=self.execution_dates)
        wanted = len(self.run_ids if self.run_ids is not None else self.execution_dates or ())
        while await asyncio.to_thread(other_runs.count_runs, selection, self.states) < wanted:
            await asyncio.sleep(self.poll_interval)
        class_path, arguments = self.serialize()
        for run_id in self.run_ids or ():
            arguments[run_id] = await asyncio.to_thread(other_runs.run_state, self.dag_id, run_id)
        yield TriggerEvent([class_path, arguments])


class Look:
    """What one look at another DAG says, for sensor and trigger alike."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def status(self, allowed: Collection[str], skipped: Collection[str], failed: Collection[str]) -> str | None:
        """ "failed" when a run or a task is in a failed state, "skipped" likewise, "success" when all runs that are
        waited for have all their tasks in an allowed state; None otherwise. A task group is failed or skipped when
        all its tasks in a run are in such states. Raises NotFound for an unknown task group.
        """
        if failed and self._any(failed):
            return "failed"
        if skipped and self._any(skipped):
            return "skipped"
        return "success" if self._all(allowed) else None

    def _any(self, states: Collection[str]) -> bool:
        selection = self._selection
        if selection.task_group_id:
            return self._groups_within(states) > 0
        if selection.task_ids:
            return other_runs.count_tasks(selection, states) > 0
        return other_runs.count_runs(selection, states) > 0

    def _all(self, states: Collection[str]) -> bool:
        selection = self._selection
        wanted = len(selection.run_ids if selection.run_ids is not None else selection.logical_dates or ())
        if selection.task_group_id:
            return self._groups_within(states) >= wanted
        if selection.task_ids:
            return other_runs.count_tasks(selection, states) >= wanted * len(selection.task_ids)
        return other_runs.count_runs(selection, states) >= wanted

    def _groups_within(self, states: Collection[str]) -> int:
        """In how many runs all tasks of the group are in one of `states`."""
        found = other_runs.task_states(self._selection)
        return sum(bool(tasks) and all(state in states for state in tasks.values()) for tasks in found.values())
