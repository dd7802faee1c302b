"""Ways to fail: retries that help, that run out, that do not count, time-outs, exits, a skip with retries."""

import time
from datetime import datetime, timedelta

from airflow import DAG
from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import PythonOperator


def needs(ti, tries):
    if ti.try_number < tries:
        raise AirflowException(f"try {ti.try_number}")


def hopeless():
    raise AirflowFailException("no retry helps")


def skips():
    raise AirflowSkipException("nothing to do")


def leaves():
    raise SystemExit(1)


with DAG("failure_kinds", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    PythonOperator(
        task_id="third_try",
        python_callable=needs,
        op_kwargs={"tries": 3},
        retries=4,
        retry_delay=timedelta(seconds=0.1),
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(seconds=0.3),
    )
    PythonOperator(task_id="runs_out", python_callable=needs, op_kwargs={"tries": 9}, retries=1, retry_delay=0.1)
    PythonOperator(task_id="hopeless", python_callable=hopeless, retries=5)
    PythonOperator(task_id="skips", python_callable=skips, retries=5) >> EmptyOperator(task_id="after_skips")
    PythonOperator(task_id="leaves", python_callable=leaves)
    PythonOperator(
        task_id="slow", python_callable=lambda: time.sleep(10), execution_timeout=timedelta(milliseconds=300)
    )
    BashOperator(task_id="slow_shell", bash_command="sleep 10", execution_timeout=timedelta(milliseconds=500))
