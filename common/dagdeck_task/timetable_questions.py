"""Asking an author's timetable, in a runner.

Decides how questions and answers are turned into the objects that such code expects (pendulum's datetimes) and back.
Does not decide when it is asked (`dagdeck_core.scheduling.timetable_answers`). Carried out for `side_work`, and called
by `in_process` for the interval of a tested run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dagdeck.dags import DAG
from dagdeck.exceptions import AirflowException
from dagdeck.timetable_values import DataInterval, TimeRestriction
from dagdeck.timetables import AssetOrTimeSchedule, Timetable, plain_utc
from dagdeck_core.work import ManualInterval, NextRuns
from dagdeck_task.dag_run import as_pendulum
from dagdeck_task.side_work import Desk, carries


def _timetable_of(dag: DAG) -> Timetable:
    """The timetable that is asked about time."""
    timetable = dag.timetable
    return timetable.timetable if isinstance(timetable, AssetOrTimeSchedule) else timetable


@carries(NextRuns)
def next_run(desk: Desk, order: NextRuns) -> dict[str, Any]:
    """The next run after the last one, as data; nothing when there is none."""
    dag = desk.dag
    last = None
    if order.last_start is not None and order.last_end is not None:
        last = DataInterval(as_pendulum(order.last_start), as_pendulum(order.last_end))
    restriction = TimeRestriction(
        as_pendulum(dag.start_date or dag.default_args.get("start_date")),
        as_pendulum(dag.end_date or dag.default_args.get("end_date")),
        dag.catchup,
    )
    info = _timetable_of(dag).next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
    if info is None:
        return {}
    interval = getattr(info, "data_interval", None)
    answer = {"run_after": _instant(info.run_after, "run_after")}
    if interval is not None:
        answer["start"] = _instant(interval.start, "data_interval.start")
        answer["end"] = _instant(interval.end, "data_interval.end")
    return answer


@carries(ManualInterval)
def manual_interval(desk: Desk, order: ManualInterval) -> dict[str, Any]:
    """The interval of a run that a person starts, as data."""
    interval = interval_of_manual_run(desk.dag, order.run_after)
    return {"start": interval[0].isoformat(), "end": interval[1].isoformat()}


def interval_of_manual_run(dag: DAG, run_after: datetime) -> tuple[datetime, datetime]:
    """Start and end of the data interval of a run that is started by hand, in UTC."""
    interval = _timetable_of(dag).infer_manual_data_interval(run_after=as_pendulum(run_after))
    return _aware(interval.start, "data_interval.start"), _aware(interval.end, "data_interval.end")


def _instant(value: Any, what: str) -> str:
    return _aware(value, what).isoformat()


def _aware(value: Any, what: str) -> datetime:
    if not isinstance(value, datetime):
        raise AirflowException(f"the timetable answered {value!r} as {what}, which is no datetime")
    if value.utcoffset() is None:
        raise AirflowException(f"the timetable answered {value!r} as {what}: a datetime without a time zone")
    return plain_utc(value)
