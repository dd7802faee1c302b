"""depends_on_past and wait_for_downstream in a first run, and intervals of a schedule."""

import pendulum

from airflow import DAG
from airflow.operators.python import PythonOperator


def check(data_interval_start, data_interval_end, prev_data_interval_end_success, **_):
    # Cron with schedule_interval: a run by hand covers the day before.
    assert (data_interval_end - data_interval_start).total_hours() == 24, (data_interval_start, data_interval_end)
    assert data_interval_end <= pendulum.datetime(2024, 2, 29, 12, 30, tz="UTC")
    assert not prev_data_interval_end_success


with DAG(
    "past_runs",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    schedule_interval="0 3 * * *",
    catchup=False,
    default_args={"depends_on_past": True, "wait_for_downstream": True},
) as dag:
    PythonOperator(task_id="check", python_callable=check) >> PythonOperator(
        task_id="after", python_callable=print, op_args=["after"]
    )
