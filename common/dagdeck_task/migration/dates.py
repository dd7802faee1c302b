"""Runs and dates of a DAG, compared with what Airflow 2 made of the same definition.

Decides what counts as a change and which setting or argument undoes it. Used by `files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from dagdeck.airflow2_attributes import with_intervals
from dagdeck.dags import DAG
from dagdeck.serialize import first_date, last_date
from dagdeck.timetables import Timetable
from dagdeck_core.timetables import DagRunInfo, DataInterval, TimeRestriction
from dagdeck_task.migration.findings import Change, DagFinding

COUNTED_AT_MOST = 1_000
"""So many missed runs are counted one by one."""


def compare(dag: DAG, *, written_for: str, now: datetime) -> DagFinding:
    """What the DAG does, and how that differs from Airflow 2 when it was written for it."""
    here = _next(dag, dag.timetable, now)
    changes = tuple(_changes(dag, here, now)) if written_for == "Airflow 2" else ()
    return DagFinding(
        dag_id=dag.dag_id,
        schedule=dag.timetable.summary,
        catchup=_catches_up(dag),
        next_run=here.run_after.isoformat() if here else None,
        next_ds=here.logical_date.date().isoformat() if here else None,
        changes=changes,
    )


def _changes(dag: DAG, here: DagRunInfo | None, now: datetime) -> Iterator[Change]:
    if not dag.schedule_is_given:
        yield Change(
            what="it has no schedule: Airflow 2 ran it every day, here it runs only when it is triggered",
            remedy='Write schedule="@daily" or schedule=None',
        )
        return
    before = _as_in_airflow_2(dag)
    if before is not None and here is not None:
        yield _of_dates(dag, before, here)
    if _starts_by_itself(dag) and not dag.catchup_is_given and not _catches_up(dag):
        yield from _of_missed_runs(dag, before or dag.timetable, now)


def _as_in_airflow_2(dag: DAG) -> Timetable | None:
    """The timetable that Airflow 2 made of a plain schedule=; None when it is the one that it has."""
    if not isinstance(dag.schedule, str | timedelta) and not hasattr(dag.schedule, "leapdays"):
        return None
    before = with_intervals(dag.timetable)
    return None if before is dag.timetable else before


def _of_dates(dag: DAG, before: Timetable, here: DagRunInfo) -> Change:
    there = before.compiled.infer_manual_data_interval(run_after=here.run_after)
    setting = "create_cron_data_intervals" if isinstance(dag.schedule, str) else "create_delta_data_intervals"
    moment = f"{here.run_after:%Y-%m-%d %H:%M}"
    return Change(
        what=f"the run of {moment} had the logical date {there.start:%Y-%m-%d %H:%M} and was about the time from then "
        f"until {moment} in Airflow 2; here its logical date, and with it ds, is {here.logical_date:%Y-%m-%d %H:%M}",
        remedy=f"Set scheduler.{setting} = true, or give the DAG a "
        f"{'Cron' if isinstance(dag.schedule, str) else 'Delta'}DataIntervalTimetable",
    )


def _of_missed_runs(dag: DAG, timetable: Timetable, now: datetime) -> Iterator[Change]:
    missed = _missed(dag, timetable, now)
    if not missed:
        return
    count = f"{missed} runs" if missed < COUNTED_AT_MOST else f"more than {COUNTED_AT_MOST} runs"
    yield Change(
        what=f"it does not say catchup: Airflow 2 made up for the {count} since its start date, here it starts now",
        remedy="Write catchup=True or catchup=False, or set scheduler.catchup_by_default = true",
    )


def _missed(dag: DAG, timetable: Timetable, now: datetime) -> int:
    if first_date(dag) is None:
        return 0
    found, last = 0, None
    while found < COUNTED_AT_MOST:
        info = _info(timetable, dag, last, now, catchup=True)
        if info is None or info.run_after > now:
            break
        found, last = found + 1, info.data_interval
    return found


def _next(dag: DAG, timetable: Timetable, now: datetime) -> DagRunInfo | None:
    if not _starts_by_itself(dag):
        return None
    info = _info(timetable, dag, None, now, catchup=False)
    if info is not None and info.run_after <= now:
        info = _info(timetable, dag, info.data_interval, now, catchup=False)
    return info


def _info(timetable: Timetable, dag: DAG, last: DataInterval | None, now: datetime, *, catchup: bool) -> Any:
    restriction = TimeRestriction(
        earliest=first_date(dag),
        latest=last_date(dag),
        catchup=catchup,
    )
    return timetable.compiled.next_dagrun_info(last_automated_data_interval=last, restriction=restriction, now=now)


def _starts_by_itself(dag: DAG) -> bool:
    return dag.timetable.periodic


def _catches_up(dag: DAG) -> bool:
    return dag.catchup if dag.catchup_is_given else dag.has_airflow2_dates
