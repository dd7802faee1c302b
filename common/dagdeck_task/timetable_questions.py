"""Asking an author's timetable, in a runner.

Decides how questions and answers are turned into the objects that such code expects (pendulum's datetimes) and back.
Does not decide when it is asked (`dagdeck_core.scheduling.timetable_answers`). Carried out for `side_work`, and called
by `in_process` for the interval of a tested run.
"""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any

from dagdeck.dags import DAG
from dagdeck.exceptions import AirflowException
from dagdeck.timetable_values import DagRunInfo, DataInterval, TimeRestriction
from dagdeck.timetables import AssetOrTimeSchedule, Timetable, plain_utc
from dagdeck_core.partitions.mappers import KEY_LENGTH
from dagdeck_core.states import DagRunType
from dagdeck_core.work import ManualInterval, NextRuns
from dagdeck_task.dag_run import as_pendulum
from dagdeck_task.side_work import Desk, carries

NAME_LENGTH = 250
"""Most characters of a run id."""


def _timetable_of(dag: DAG) -> Timetable:
    """The timetable that is asked about time."""
    timetable = dag.timetable
    return timetable.timetable if isinstance(timetable, AssetOrTimeSchedule) else timetable


@carries(NextRuns)
def next_run(desk: Desk, order: NextRuns) -> dict[str, Any]:
    """The next run after the last one, as data; nothing when there is none."""
    dag, timetable = desk.dag, _timetable_of(desk.dag)
    restriction = TimeRestriction(
        as_pendulum(dag.start_date or dag.default_args.get("start_date")),
        as_pendulum(dag.end_date or dag.default_args.get("end_date")),
        dag.catchup,
    )
    info = timetable.next_dagrun_info_v2(last_dagrun_info=_last_run(order), restriction=restriction)
    if info is None:
        return {}
    interval = getattr(info, "data_interval", None)
    key = getattr(info, "partition_key", None)
    answer: dict[str, Any] = {"run_after": _instant(info.run_after, "run_after")}
    if interval is not None:
        answer["start"] = _instant(interval.start, "data_interval.start")
        answer["end"] = _instant(interval.end, "data_interval.end")
    if key is not None:
        answer["partition_key"] = _text(key, "partition_key", KEY_LENGTH)
        date = getattr(info, "partition_date", None)
        answer["partition_date"] = None if date is None else _instant(date, "partition_date")
    if _names_runs(timetable):
        answer["run_id"] = _run_id(
            timetable, DagRunType.SCHEDULED, info.run_after, interval, info.logical_date, partition_key=key
        )
    return answer


def _last_run(order: NextRuns) -> DagRunInfo | None:
    """The last automated run, as timetables know it."""
    if order.last_start is None or order.last_end is None:
        return None
    interval = None
    if not order.last_is_dateless:
        interval = DataInterval(as_pendulum(order.last_start), as_pendulum(order.last_end))
    return DagRunInfo(
        run_after=as_pendulum(order.last_run_after or order.last_end),
        data_interval=interval,
        partition_date=as_pendulum(order.last_partition_date),
        partition_key=order.last_partition_key,
    )


@carries(ManualInterval)
def manual_interval(desk: Desk, order: ManualInterval) -> dict[str, Any]:
    """The interval of a run that a person starts, its id and its partition's date, as far as asked, as data."""
    timetable = _timetable_of(desk.dag)
    answer: dict[str, Any] = {}
    interval = None
    if order.start is not None and order.end is not None:
        interval = DataInterval(as_pendulum(order.start), as_pendulum(order.end))
    elif order.has_date:
        start, end = interval_of_manual_run(desk.dag, order.run_after)
        interval = DataInterval(as_pendulum(start), as_pendulum(end))
        answer = {"start": start.isoformat(), "end": end.isoformat()}
    if order.names:
        date = as_pendulum(order.run_after) if order.has_date else None
        due = as_pendulum(order.due or order.run_after)
        answer["run_id"] = _run_id(timetable, DagRunType(order.run_type), due, interval, date)
    if order.partition_key is not None:
        found = timetable.resolve_partition_date(order.partition_key)
        answer["partition_date"] = None if found is None else _instant(found, "the date of a partition")
    return answer


def interval_of_manual_run(dag: DAG, run_after: datetime) -> tuple[datetime, datetime]:
    """Start and end of the data interval of a run that is started by hand, in UTC."""
    interval = _timetable_of(dag).infer_manual_data_interval(run_after=as_pendulum(run_after))
    return _aware(interval.start, "data_interval.start"), _aware(interval.end, "data_interval.end")


def _names_runs(timetable: Timetable) -> bool:
    return type(timetable).generate_run_id is not Timetable.generate_run_id


def _run_id(
    timetable: Timetable, run_type: DagRunType, run_after: Any, interval: Any, logical_date: Any, **extra: Any
) -> str:
    """The author's id of a run. Classes written for Airflow 2 are given the logical date instead of `run_after`."""
    given = {"run_type": run_type, "run_after": run_after, "data_interval": interval, **extra}
    parameters = inspect.signature(timetable.generate_run_id).parameters
    if "logical_date" in parameters:
        given["logical_date"] = logical_date or run_after
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        given = {name: value for name, value in given.items() if name in parameters}
    return _text(timetable.generate_run_id(**given), "run_id", NAME_LENGTH)


def _text(value: Any, what: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        raise AirflowException(f"the timetable answered {value!r} as {what}, which is text of 1 to {limit} characters")
    return value


def _instant(value: Any, what: str) -> str:
    return _aware(value, what).isoformat()


def _aware(value: Any, what: str) -> datetime:
    if not isinstance(value, datetime):
        raise AirflowException(f"the timetable answered {value!r} as {what}, which is no datetime")
    if value.utcoffset() is None:
        raise AirflowException(f"the timetable answered {value!r} as {what}: a datetime without a time zone")
    return plain_utc(value)
