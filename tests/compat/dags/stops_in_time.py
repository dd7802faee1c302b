"""A run that is stopped by dagrun_timeout, and one that stops at its first failure."""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator

with DAG("stops_late", start_date=datetime(2024, 1, 1), schedule=None, dagrun_timeout=timedelta(seconds=1)):
    BashOperator(task_id="endless", bash_command="sleep 60") >> EmptyOperator(task_id="after")

with DAG("stops_at_failure", start_date=datetime(2024, 1, 1), schedule=None, fail_stop=True):
    BashOperator(task_id="fails", bash_command="sleep 0.3; exit 1")
    BashOperator(task_id="endless", bash_command="sleep 60") >> EmptyOperator(task_id="after")
