"""Timetables that extend the built-in ones as people did for Airflow 2: later runs, other beats, run ids of their own."""

from __future__ import annotations

from datetime import timedelta

import pendulum

from airflow import DAG
from airflow.operators.python import PythonOperator
from airflow.timetables.base import DagRunInfo
from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable

BERLIN = pendulum.timezone("Europe/Berlin")
START = pendulum.datetime(2024, 1, 1, tz="UTC")


class LateNights(CronDataIntervalTimetable):
    """Each night's interval, an hour after it has ended."""

    def __init__(self, cron, timezone, wait=timedelta(hours=1)):
        super().__init__(cron, timezone)
        self._wait = wait
        self.description += ", an hour late"

    @property
    def summary(self):
        return f"{super().summary} late"

    def serialize(self):
        return {"cron": self._expression, "timezone": str(self._timezone), "wait": self._wait.total_seconds()}

    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if info is None:
            return None
        after = self._get_next(info.data_interval.end)
        assert self._get_prev(after) == info.data_interval.end
        return DagRunInfo(run_after=info.run_after + self._wait, data_interval=info.data_interval)

    def generate_run_id(self, *, run_type, run_after, data_interval, **extra):
        return f"{run_type.value}_night_{run_after.strftime('%Y%m%d%H%M%S%f')}"


class Shifts(DeltaDataIntervalTimetable):
    """Intervals of a delta that begin at six."""

    def __init__(self, delta):
        super().__init__(delta)
        self.description = f"Shifts of {self._delta}"

    def _align_to_next(self, current):
        return current.start_of("day").add(hours=6)


def interval_of(data_interval_start=None, data_interval_end=None, run_id=None, **_):
    print(run_id, data_interval_start, data_interval_end)
    return [str(data_interval_start), str(data_interval_end), run_id]


def check(expected, **context):
    start, end, _ = context["ti"].xcom_pull(task_ids="interval")
    assert [start, end] == expected, (start, end)


with DAG("late_nights", schedule=LateNights("0 6 * * *", BERLIN), start_date=START, catchup=False):
    PythonOperator(task_id="interval", python_callable=interval_of) >> PythonOperator(
        task_id="check",
        python_callable=check,
        op_kwargs={"expected": ["2024-02-28 05:00:00+00:00", "2024-02-29 05:00:00+00:00"]},
    )

with DAG("shifts", schedule=Shifts(timedelta(hours=8)), start_date=START, catchup=False):
    PythonOperator(task_id="interval", python_callable=interval_of) >> PythonOperator(
        task_id="check",
        python_callable=check,
        op_kwargs={"expected": ["2024-02-29 04:30:00+00:00", "2024-02-29 12:30:00+00:00"]},
    )
