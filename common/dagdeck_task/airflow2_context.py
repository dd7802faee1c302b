"""Names of Airflow 2's context: `execution_date`, `next_ds`, `prev_ds` and their kin.

Decides what they mean: as in the last Airflow that had them. A run that a person started has itself before and after
it. Read by `run_context`; each is worked out only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from dagdeck.airflow2_attributes import with_intervals
from dagdeck.assets import Asset
from dagdeck.timetables import Timetable
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables import CronDataIntervalSpec, DataInterval, DeltaDataIntervalSpec, TimeRestriction
from dagdeck_task.dag_run import as_pendulum
from dagdeck_task.task_instance import TaskInstance

Provider = Callable[[TaskInstance], Any]


def _next_date(ti: TaskInstance) -> Any:
    run = ti._source.dag_run
    if run.run_type == DagRunType.MANUAL.value:
        return ti.dag_run.logical_date
    if run.data_interval_start is None or run.data_interval_end is None:
        return None
    info = _timetable(ti).compiled.next_dagrun_info(
        last_automated_data_interval=DataInterval(start=run.data_interval_start, end=run.data_interval_end),
        restriction=TimeRestriction(catchup=True),
        now=run.run_after,
    )
    return None if info is None else as_pendulum(info.logical_date)


def _previous_date(ti: TaskInstance) -> Any:
    run = ti._source.dag_run
    if run.run_type == DagRunType.MANUAL.value:
        return ti.dag_run.logical_date
    timetable = _timetable(ti)
    if run.logical_date is None or not isinstance(timetable.spec, (CronDataIntervalSpec, DeltaDataIntervalSpec)):
        return None
    return as_pendulum(timetable.compiled.infer_manual_data_interval(run_after=run.logical_date).start)


def _timetable(ti: TaskInstance) -> Timetable:
    """The DAG's timetable; with data intervals where the cluster's settings have given the run one."""
    timetable: Timetable = ti.task.dag.timetable
    run = ti._source.dag_run
    return with_intervals(timetable) if run.data_interval_start != run.data_interval_end else timetable


def _previous_success(ti: TaskInstance) -> Any:
    found = ti.get_previous_dagrun("success")
    return as_pendulum(found.get("logical_date")) if found else None


def _written(date: Provider, form: str) -> Provider:
    def get(ti: TaskInstance) -> str | None:
        moment = date(ti)
        return None if moment is None else moment.strftime(form)

    return get


def _days_from(days: int) -> Provider:
    return lambda ti: ti.dag_run.logical_date + timedelta(days=days)


def _conf(_: TaskInstance) -> Any:
    from dagdeck.configuration import conf

    return conf


def _events_by_uri(ti: TaskInstance) -> dict[str, Any]:
    """The datasets that started the run, under their URIs, with their events."""
    events = ti.get_template_context()["triggering_asset_events"]
    return {key.uri: found for key, found in events.items() if isinstance(key, Asset)}


_DAY, _NODASH = "%Y-%m-%d", "%Y%m%d"

DATELESS_PROVIDERS: Mapping[str, Provider] = {
    "conf": _conf,
    "triggering_dataset_events": _events_by_uri,
}
"""What a run without logical date has."""

PROVIDERS: Mapping[str, Provider] = {
    **DATELESS_PROVIDERS,
    "execution_date": lambda ti: ti.dag_run.logical_date,
    "next_ds": _written(_next_date, _DAY),
    "next_ds_nodash": _written(_next_date, _NODASH),
    "next_execution_date": _next_date,
    "prev_ds": _written(_previous_date, _DAY),
    "prev_ds_nodash": _written(_previous_date, _NODASH),
    "prev_execution_date": _previous_date,
    "prev_execution_date_success": _previous_success,
    "tomorrow_ds": _written(_days_from(1), _DAY),
    "tomorrow_ds_nodash": _written(_days_from(1), _NODASH),
    "yesterday_ds": _written(_days_from(-1), _DAY),
    "yesterday_ds_nodash": _written(_days_from(-1), _NODASH),
}
"""What a run with one has."""
