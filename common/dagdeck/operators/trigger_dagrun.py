"""TriggerDagRunOperator: starts a run of another DAG, and may wait for its end.

Decides what a run that exists already means and which end is a good one. The run is created by the scheduler, as when
a person triggers it (`dagdeck.other_runs`). Used in DAG files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from dagdeck import argument_types as types
from dagdeck import moments, other_runs
from dagdeck.async_operator import default_deferrable
from dagdeck.context import Context
from dagdeck.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DagIsPaused,
    DagNotFound,
    DagRunAlreadyExists,
    InvalidArguments,
    invalid,
)
from dagdeck.operator import BaseOperator
from dagdeck.runtime import NotFound
from dagdeck.xcom_arg import NOTSET, ArgNotSet
from dagdeck_core.states import DagRunState, DagRunType
from dagdeck_core.timetables import run_id_for

XCOM_RUN_ID = "trigger_run_id"
XCOM_DAG_ID = "trigger_dag_id"


class TriggerDagRunOperator(BaseOperator):
    """Triggers a run of `trigger_dag_id` with `conf` and pushes its id under the key `trigger_run_id`.

    Without `logical_date` the run's date is now; None gives it none. If the run exists already the task fails for
    good, is skipped with `skip_when_already_exists`, or clears that run with `reset_dag_run`. With
    `wait_for_completion` it looks every `poke_interval` (seconds or a timedelta) until the run is in one of
    `allowed_states` or, then failing, of `failed_states`; `deferrable` frees its slot meanwhile.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "trigger_dag_id",
        "trigger_run_id",
        "logical_date",
        "conf",
        "wait_for_completion",
        "skip_when_already_exists",
    )
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"conf": "py"}
    ui_color = "#ffefeb"

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        trigger_run_id: str | None = None,
        conf: dict[str, Any] | None = None,
        logical_date: str | datetime | ArgNotSet | None = NOTSET,
        reset_dag_run: bool = False,
        wait_for_completion: bool = False,
        poke_interval: float = 60,
        allowed_states: Collection[str | DagRunState] | None = None,
        failed_states: Collection[str | DagRunState] | None = None,
        skip_when_already_exists: bool = False,
        fail_when_dag_is_paused: bool = False,
        openlineage_inject_parent_info: bool = True,
        deferrable: bool | None = None,
        note: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        subject = f"task {self.task_id!r}"
        self.trigger_dag_id = trigger_dag_id
        self.trigger_run_id = trigger_run_id
        self.conf: Any = conf
        self.reset_dag_run = reset_dag_run
        self.wait_for_completion = wait_for_completion
        self.poke_interval = types.duration(poke_interval, subject=subject, field="poke_interval").total_seconds()
        self.allowed_states = _run_states(allowed_states, subject, "allowed_states") or [DagRunState.SUCCESS]
        self.failed_states = [DagRunState.FAILED]
        if failed_states is not None:
            self.failed_states = _run_states(failed_states, subject, "failed_states")
        self.skip_when_already_exists = skip_when_already_exists
        self.fail_when_dag_is_paused = fail_when_dag_is_paused
        self.openlineage_inject_parent_info = openlineage_inject_parent_info
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.note = note
        if not (logical_date is None or logical_date is NOTSET or isinstance(logical_date, (str, datetime))):
            raise invalid(
                "this must be a datetime, text or None",
                subject=subject,
                field="logical_date",
                value=logical_date,
                error=InvalidArguments,
            )
        self.logical_date = logical_date

    def execute(self, context: Context) -> None:
        """Trigger the run, and wait for it if asked."""
        date = self._date()
        conf = self._json_conf()
        if self.fail_when_dag_is_paused:
            self._refuse_paused()
        run_id = str(self.trigger_run_id) if self.trigger_run_id else None
        if run_id is None and date is not None:
            run_id = run_id_for(DagRunType.MANUAL, date)
        ti = context["ti"]
        ti.xcom_push(XCOM_DAG_ID, self.trigger_dag_id)
        self.trigger_run_id = run_id = self._trigger(ti.dispatch_no, run_id, date, conf)
        ti.xcom_push(XCOM_RUN_ID, run_id)
        if not self.wait_for_completion:
            return
        if self.deferrable:
            self._defer_to_trigger(run_id)
        self._wait(run_id)

    def execute_complete(self, context: Context, event: Sequence[Any]) -> None:
        """Go on when the run has ended. Raises AirflowException when it ended badly."""
        found: Mapping[str, Any] = event[1]
        for run_id in found["run_ids"] or ():
            self.trigger_run_id = run_id
            state = str(found.get(run_id))
            if state in self.failed_states:
                raise AirflowException(f"run {run_id} of DAG {self.trigger_dag_id} has come into the state {state}")

    # ------------------------------------------------------------ triggering

    def _trigger(self, dispatch_no: int, run_id: str | None, date: datetime | None, conf: Any) -> str:
        dag_id = self.trigger_dag_id
        key = f"{dispatch_no}:{self.task_id}"[-180:]
        try:
            found = other_runs.trigger(
                f"trigger:{key}", dag_id, run_id=run_id, logical_date=date, conf=conf, note=self.note
            )
        except NotFound as error:
            raise DagNotFound(f"Dag id {dag_id} not found") from error
        except DagRunAlreadyExists as error:
            if self.reset_dag_run:
                self.log.info("The run exists; it is cleared: %s", error)
                return other_runs.clear(f"clear:{key}", dag_id, run_id=run_id, logical_date=date)
            if self.skip_when_already_exists:
                raise AirflowSkipException(f"{error}; skipped because of skip_when_already_exists") from error
            raise AirflowFailException(f"{error}; set reset_dag_run or skip_when_already_exists") from error
        self.log.info("Triggered run %s of DAG %s", found, dag_id)
        return found

    def _date(self) -> datetime | None:
        if self.logical_date is None:
            return None
        if isinstance(self.logical_date, ArgNotSet):
            return moments.now()
        found = moments.parse_moment(self.logical_date, "UTC", subject=f"task {self.task_id!r}", field="logical_date")
        return moments.plain(found)

    def _json_conf(self) -> Any:
        """The conf as data. Raises AirflowException when it is not JSON."""
        try:
            conf = json.loads(self.conf) if isinstance(self.conf, str) and self.conf else self.conf
            conf = json.loads(json.dumps(conf))
        except (TypeError, ValueError) as error:
            raise AirflowException(f"conf must be data that JSON can hold: {error}") from error
        if conf is not None and not isinstance(conf, dict):
            raise AirflowException(f"conf must be a dict, not {type(conf).__name__}")
        return conf

    def _refuse_paused(self) -> None:
        try:
            paused = other_runs.dag_facts(self.trigger_dag_id)["is_paused"]
        except NotFound as error:
            raise DagNotFound(f"Dag id {self.trigger_dag_id} not found") from error
        if paused:
            raise DagIsPaused(self.trigger_dag_id)

    # ------------------------------------------------------------ waiting

    def _defer_to_trigger(self, run_id: str) -> None:
        from dagdeck.triggers.external_task import DagStateTrigger

        trigger = DagStateTrigger(
            dag_id=self.trigger_dag_id,
            states=[*self.allowed_states, *self.failed_states],
            run_ids=[run_id],
            poll_interval=self.poke_interval,
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    def _wait(self, run_id: str) -> None:
        states = ", ".join(self.allowed_states)
        while True:
            self.log.info("Waiting for run %s of DAG %s to be %s", run_id, self.trigger_dag_id, states)
            time.sleep(self.poke_interval)
            if self._judge(run_id, other_runs.run_state(self.trigger_dag_id, run_id)):
                return

    def _judge(self, run_id: str, state: str) -> bool:
        """Whether the waiting is over. Raises AirflowException for a failed state, which ends the task for good."""
        if state in self.failed_states:
            raise AirflowFailException(f"run {run_id} of DAG {self.trigger_dag_id} has come into the state {state}")
        if state in self.allowed_states:
            self.log.info("Run %s of DAG %s is %s", run_id, self.trigger_dag_id, state)
            return True
        return False


def _run_states(states: Collection[str | DagRunState] | None, subject: str, field: str) -> list[DagRunState]:
    found = []
    for state in states or ():
        try:
            found.append(DagRunState(state))
        except ValueError:
            known = ", ".join(DagRunState)
            raise invalid(
                "there is no such run state", subject=subject, field=field, value=state, remedy=f"Use {known}"
            ) from None
    return found
