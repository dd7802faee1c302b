"""Branches by date and weekday, and the latest run only, in a run triggered by hand."""

import pendulum

from airflow import DAG
from airflow.operators.datetime import BranchDateTimeOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.latest_only import LatestOnlyOperator
from airflow.operators.weekday import BranchDayOfWeekOperator
from airflow.utils.weekday import WeekDay

with DAG(
    "days_and_dates", start_date=pendulum.datetime(2024, 1, 1, tz="UTC"), schedule="@daily", catchup=False
) as dag:
    latest = LatestOnlyOperator(task_id="latest")
    leap_day = BranchDateTimeOperator(
        task_id="leap_day",
        use_task_logical_date=True,
        follow_task_ids_if_true=["is_leap_day"],
        follow_task_ids_if_false=["is_other_day"],
        target_lower=pendulum.datetime(2024, 2, 29, 0, 0, 0),
        target_upper=pendulum.datetime(2024, 2, 29, 23, 59, 59),
    )
    weekday = BranchDayOfWeekOperator(
        task_id="weekday",
        use_task_logical_date=True,
        follow_task_ids_if_true="works",
        follow_task_ids_if_false="rests",
        week_day={WeekDay.THURSDAY, WeekDay.FRIDAY},
    )
    latest >> [leap_day, weekday]
    leap_day >> [EmptyOperator(task_id="is_leap_day"), EmptyOperator(task_id="is_other_day")]
    weekday >> [EmptyOperator(task_id="works"), EmptyOperator(task_id="rests")]
