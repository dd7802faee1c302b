"""Attributes and methods of DAGs and operators that only files for earlier Airflow versions use.

Decides what they mean today; each warns once per file. Mixed into `DAG` and `BaseOperator`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dagdeck.deprecation import warn_deprecated
from dagdeck_core.timetables import (
    CalendarDelta,
    CronDataIntervalSpec,
    CronTriggerSpec,
    DataInterval,
    DeltaDataIntervalSpec,
    DeltaTriggerSpec,
    TimeRestriction,
)

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator
    from dagdeck.timetables import Timetable


class DagAttributes:
    """For DAG."""

    schedule: Any
    max_active_tasks: int
    fileloc: str
    timetable: Timetable

    @property
    def schedule_interval(self) -> Any:
        """What schedule= was given."""
        warn_deprecated("schedule_interval of a DAG", "Write timetable")
        return self.schedule

    @property
    def normalized_schedule_interval(self) -> Any:
        """What schedule= was given, presets as cron expressions."""
        from dagdeck_core.cron import PRESETS

        warn_deprecated("normalized_schedule_interval of a DAG", "Write timetable")
        return PRESETS.get(self.schedule, self.schedule) if isinstance(self.schedule, str) else self.schedule

    @property
    def concurrency(self) -> int:
        """max_active_tasks."""
        warn_deprecated("concurrency of a DAG", "Write max_active_tasks")
        return self.max_active_tasks

    @property
    def full_filepath(self) -> str:
        """The DAG file."""
        warn_deprecated("full_filepath of a DAG", "Write fileloc")
        return self.fileloc

    def following_schedule(self, dttm: datetime) -> Any:
        """The time of the schedule after `dttm`; None when there is none."""
        from dagdeck import timezone

        warn_deprecated("following_schedule() of a DAG", "Ask the timetable")
        at = _utc(dttm)
        info = with_intervals(self.timetable).compiled.next_dagrun_info(
            # One that began before it: a schedule makes no second run for an interval of the same beginning.
            last_automated_data_interval=DataInterval(start=at - timedelta(microseconds=1), end=at),
            restriction=TimeRestriction(catchup=True),
            now=at,
        )
        return None if info is None else timezone.coerce_datetime(info.run_after)

    def previous_schedule(self, dttm: datetime) -> Any:
        """The time of the schedule before `dttm`."""
        from dagdeck import timezone

        warn_deprecated("previous_schedule() of a DAG", "Ask the timetable")
        before = with_intervals(self.timetable).compiled.infer_manual_data_interval(run_after=_utc(dttm))
        return timezone.coerce_datetime(before.start)

    def add_tasks(self, tasks: Iterable[BaseOperator]) -> None:
        """Take in several tasks."""
        for task in tasks:
            self.add_task(task)

    def set_dependency(self, upstream_task_id: str, downstream_task_id: str) -> None:
        """Make one task depend on another, both named by their ids. Raises TaskNotFound."""
        self.get_task(upstream_task_id).set_downstream(self.get_task(downstream_task_id))

    if TYPE_CHECKING:

        def add_task(self, task: BaseOperator) -> None: ...
        def get_task(self, task_id: str) -> BaseOperator: ...


class OperatorMethods:
    """For BaseOperator."""

    @staticmethod
    def xcom_push(context: Mapping[str, Any], key: str, value: Any, execution_date: datetime | None = None) -> None:
        """Push an XCom of the running task."""
        warn_deprecated("xcom_push() of an operator", 'Write context["ti"].xcom_push(…)')
        context["ti"].xcom_push(key=key, value=value)

    @staticmethod
    def xcom_pull(context: Mapping[str, Any], task_ids: Any = None, **arguments: Any) -> Any:
        """Pull another task's XCom."""
        warn_deprecated("xcom_pull() of an operator", 'Write context["ti"].xcom_pull(…)')
        return context["ti"].xcom_pull(task_ids=task_ids, **arguments)


def with_intervals(timetable: Timetable) -> Timetable:
    """The timetable that Airflow 2 made of the same cron expression or delta; other timetables as they are."""
    from dagdeck.timetables import Timetable as Plain

    spec = timetable.spec
    if isinstance(spec, CronTriggerSpec) and spec.interval == CalendarDelta():
        return Plain(CronDataIntervalSpec(cron=spec.cron, timezone=spec.timezone, dst=spec.dst))
    if isinstance(spec, DeltaTriggerSpec) and spec.interval == CalendarDelta():
        return Plain(DeltaDataIntervalSpec(delta=spec.delta))
    return timetable


def _utc(moment: datetime) -> datetime:
    aware = moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(aware.timestamp(), UTC)
