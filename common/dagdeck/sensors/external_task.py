"""ExternalTaskSensor waits for another DAG; ExternalTaskMarker says that another DAG waits for this one.

Decides which runs and states are waited for. What is asked, and how often by a trigger, is decided in
`dagdeck.triggers.external_task`. Used in DAG files; markers are followed by the control API when a task is cleared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from dagdeck import moments, other_runs
from dagdeck.async_operator import default_deferrable
from dagdeck.context import Context
from dagdeck.exceptions import (
    AirflowSkipException,
    DuplicateStateError,
    ExternalDagDeletedError,
    ExternalDagFailedError,
    ExternalDagNotFoundError,
    ExternalTaskError,
    ExternalTaskFailedError,
    ExternalTaskGroupFailedError,
    ExternalTaskGroupNotFoundError,
    ExternalTaskNotFoundError,
    invalid,
)
from dagdeck.operators.callable_arguments import keyword_arguments
from dagdeck.operators.empty import EmptyOperator
from dagdeck.other_runs import Selection
from dagdeck.runtime import NotFound
from dagdeck.sensors.base import BaseSensorOperator
from dagdeck_core.spec import MarkerSpec
from dagdeck_core.states import DagRunState, TaskInstanceState

SAME_DATE = "{{ logical_date.isoformat() }}"
"""A marker's usual date: the other DAG's run has the same logical date."""


class ExternalTaskSensor(BaseSensorOperator):
    """Waits for a run of another DAG, or for tasks or a task group in it, of the same logical date.

    `execution_delta` is subtracted from the logical date; `execution_date_fn(logical_date, …)` gives one date or
    several. It succeeds when all of them are in `allowed_states`, fails (with `soft_fail` is skipped) when one is in
    `failed_states`, and is skipped when one is in `skipped_states`. With `check_existence` it fails at once
    when there is no such DAG, task or group.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "external_dag_id",
        "external_task_id",
        "external_task_ids",
        "external_task_group_id",
    )
    ui_color = "#4db7db"

    def __init__(
        self,
        *,
        external_dag_id: str,
        external_task_id: str | None = None,
        external_task_ids: Collection[str] | None = None,
        external_task_group_id: str | None = None,
        allowed_states: Collection[str] | None = None,
        skipped_states: Collection[str] | None = None,
        failed_states: Collection[str] | None = None,
        execution_delta: timedelta | None = None,
        execution_date_fn: Callable[..., Any] | None = None,
        check_existence: bool = False,
        poll_interval: float = 2.0,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        subject = f"task {self.task_id!r}"
        self.allowed_states = _states(allowed_states) or [TaskInstanceState.SUCCESS.value]
        self.skipped_states = _states(skipped_states)
        self.failed_states = _states(failed_states)
        given = [name for name in (external_task_id, external_task_ids, external_task_group_id) if name]
        if len(given) > 1:
            raise invalid(
                "only one of external_task_id, external_task_ids and external_task_group_id can be given",
                subject=subject,
                field="external_task_id",
                value=external_task_id,
            )
        if execution_delta is not None and execution_date_fn is not None:
            raise invalid(
                "only one of execution_delta and execution_date_fn can be given",
                subject=subject,
                field="execution_delta",
                value=execution_delta,
            )
        self._check_states(subject, of_tasks=bool(given))
        self.execution_delta = execution_delta
        self.execution_date_fn = execution_date_fn
        self.external_dag_id = external_dag_id
        self.external_task_id = external_task_id
        self.external_task_ids: Any = [external_task_id] if external_task_id else external_task_ids or None
        self.external_task_group_id = external_task_group_id
        self.check_existence = check_existence
        self.poll_interval = poll_interval
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.external_dates_filter: str | None = None
        self._has_checked_existence = False

    def _check_states(self, subject: str, *, of_tasks: bool) -> None:
        every = [*self.allowed_states, *self.skipped_states, *self.failed_states]
        if len(set(every)) < len(every):
            raise invalid(
                "a state is named twice among allowed_states, skipped_states and failed_states",
                subject=subject,
                field="allowed_states",
                value=every,
                error=DuplicateStateError,
            )
        known = {state.value for state in (TaskInstanceState if of_tasks else DagRunState)}
        unknown = [state for state in every if state not in known]
        if unknown:
            raise invalid(
                f"this is no state of a {'task' if of_tasks else 'dag run'}",
                subject=subject,
                field="allowed_states, skipped_states, failed_states",
                value=unknown[0],
                remedy=f"Use {', '.join(sorted(known))}",
            )

    # ------------------------------------------------------------ waiting

    def poke(self, context: Context) -> bool:
        """Look once. Raises ExternalTaskError or AirflowSkipException when the waiting is in vain."""
        from dagdeck.triggers.external_task import Look

        selection = self._selection(context)
        self.log.info("Poking for %s of DAG %r on %s", self._what(), self.external_dag_id, self.external_dates_filter)
        if self.check_existence and not self._has_checked_existence:
            self._check_for_existence()
        try:
            status = Look(selection).status(self.allowed_states, self.skipped_states, self.failed_states)
        except NotFound as error:
            raise ExternalTaskGroupNotFoundError(str(error)) from error
        if status in (None, "success"):
            return status is not None
        self._end(str(status))
        return False

    def execute(self, context: Context) -> Any:
        """Wait, or hand the waiting over."""
        if not self.deferrable:
            return super().execute(context)
        from dagdeck.triggers.external_task import WorkflowTrigger

        selection = self._selection(context)
        if self.check_existence:
            self._check_for_existence()
        trigger = WorkflowTrigger(
            external_dag_id=selection.dag_id,
            logical_dates=selection.logical_dates,
            external_task_ids=selection.task_ids,
            external_task_group_id=selection.task_group_id,
            allowed_states=self.allowed_states,
            skipped_states=self.skipped_states,
            failed_states=self.failed_states,
            poke_interval=self.poll_interval,
            soft_fail=self.soft_fail,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.time_left(context))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Go on when the trigger has fired. Raises as `poke` does."""
        if event is None:
            raise ExternalTaskNotFoundError("the trigger fired without an event")
        self._selection(context)  # notes the dates
        if event["status"] == "success":
            self.log.info("%s of DAG %r has ended well", self._what(), self.external_dag_id)
        elif event["status"] == "not_found":
            raise ExternalTaskGroupNotFoundError(str(event.get("message")))
        else:
            self._end(str(event["status"]))

    def _selection(self, context: Context) -> Selection:
        task_ids = self.external_task_ids
        if isinstance(task_ids, str):
            task_ids = [task_ids]
        if task_ids and len(set(task_ids)) < len(task_ids):
            raise invalid(
                "a task is named twice", subject=f"task {self.task_id!r}", field="external_task_ids", value=task_ids
            )
        dates = [moments.aware(date, moments.zone_of(self)) for date in self._dates(context)]
        self.external_dates_filter = ",".join(date.isoformat() for date in dates)
        return Selection(
            dag_id=self.external_dag_id,
            logical_dates=[moments.plain(date) for date in dates],
            task_ids=task_ids or None,
            task_group_id=self.external_task_group_id or None,
        )

    def _dates(self, context: Context) -> Sequence[datetime]:
        date = moments.date_of_run(context)
        if self.execution_delta is not None:
            return [date - self.execution_delta]
        if self.execution_date_fn is None:
            return [date]
        known = {key: context[key] for key in context if key not in ("logical_date", "execution_date")}
        values = Context({**known, "context": context})
        found = self.execution_date_fn(date, **keyword_arguments(self.execution_date_fn, [date], {}, values))
        return list(found) if isinstance(found, (list, tuple, set)) else [found]

    def _what(self) -> str:
        if self.external_task_ids:
            return f"tasks {self.external_task_ids}"
        return f"task group {self.external_task_group_id!r}" if self.external_task_group_id else "the run"

    def _end(self, status: str) -> None:
        """Raise what a status other than success means."""
        what = f"{self._what()} of DAG {self.external_dag_id!r}"
        if status == "skipped":
            raise AirflowSkipException(f"{what} has come into one of skipped_states {self.skipped_states}")
        message = f"{what} has come into one of failed_states {self.failed_states}"
        if self.soft_fail:
            raise AirflowSkipException(f"{message}; skipped because of soft_fail")
        error: type[ExternalTaskError] = ExternalDagFailedError
        if self.external_task_ids:
            error = ExternalTaskFailedError
        elif self.external_task_group_id:
            error = ExternalTaskGroupFailedError
        raise error(message)

    def _check_for_existence(self) -> None:
        """Raise ExternalTaskError unless the DAG and what is waited for in it exist."""
        dag_id, group_id = self.external_dag_id, self.external_task_group_id or None
        try:
            facts = other_runs.dag_facts(dag_id, task_ids=self.external_task_ids, task_group_id=group_id)
        except NotFound as error:
            raise ExternalDagNotFoundError(f"The external DAG {dag_id} does not exist.") from error
        if facts["is_stale"]:
            raise ExternalDagDeletedError(f"The external DAG {dag_id} was deleted.")
        for task_id in facts["missing_task_ids"]:
            raise ExternalTaskNotFoundError(f"The external task {task_id} in DAG {dag_id} does not exist.")
        if not facts["has_task_group"]:
            raise ExternalTaskGroupNotFoundError(
                f"The external task group '{group_id}' in DAG '{dag_id}' does not exist."
            )
        self._has_checked_existence = True


class ExternalTaskMarker(EmptyOperator):
    """Says that task `external_task_id` of DAG `external_dag_id` depends on this task.

    When the marker is cleared with its downstream tasks, that task in the run of `logical_date` is cleared too with
    what comes after it, and so on for at most `recursion_depth` DAGs.
    """

    template_fields: ClassVar[Sequence[str]] = ("external_dag_id", "external_task_id", "logical_date")
    ui_color = "#4db7db"

    def __init__(
        self,
        *,
        external_dag_id: str,
        external_task_id: str,
        logical_date: str | datetime | None = SAME_DATE,
        recursion_depth: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        subject = f"task {self.task_id!r}"
        if not isinstance(logical_date, (str, datetime)):
            raise invalid("this must be a datetime or text", subject=subject, field="logical_date", value=logical_date)
        if not isinstance(recursion_depth, int) or recursion_depth <= 0:
            raise invalid("this must be 1 or more", subject=subject, field="recursion_depth", value=recursion_depth)
        self.external_dag_id = external_dag_id
        self.external_task_id = external_task_id
        self.logical_date = logical_date.isoformat() if isinstance(logical_date, datetime) else logical_date
        self.recursion_depth = recursion_depth

    @property
    def marker_spec(self) -> MarkerSpec:
        """What is stored of the marker for whoever clears it."""
        return MarkerSpec(
            dag_id=self.external_dag_id,
            task_id=self.external_task_id,
            logical_date=None if self.logical_date == SAME_DATE else self.logical_date,
            depth=self.recursion_depth,
        )

    @property
    def needs_rendering(self) -> bool:
        """Whether a worker has to render the marker's fields, because a template of the author's stands in them."""
        fields = (self.external_dag_id, self.external_task_id, self.logical_date)
        return any("{{" in str(field) for field in fields if field != SAME_DATE)


def _states(states: Collection[str] | None) -> list[str]:
    found = [states] if isinstance(states, str) else list(states or ())
    return [getattr(state, "value", state) for state in found]
