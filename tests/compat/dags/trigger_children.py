"""A DAG that starts another one with a conf, and waits for it."""

from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

with DAG("trigger_parent", start_date=datetime(2024, 1, 1), schedule="@once", catchup=False):
    start = TriggerDagRunOperator(
        task_id="start_child",
        trigger_dag_id="trigger_child",
        conf={"message": "from {{ dag.dag_id }}", "numbers": [1, 2]},
        wait_for_completion=True,
        poke_interval=1,
    )
    start >> BashOperator(task_id="after", bash_command="echo done")


def check(dag_run, **_):
    # Triggered by the parent it has a conf, by hand it has none.
    if dag_run.conf:
        assert dag_run.conf == {"message": "from trigger_parent", "numbers": [1, 2]}


with DAG("trigger_child", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    PythonOperator(task_id="check", python_callable=check) >> BashOperator(
        task_id="say",
        bash_command='echo "$message"',
        env={"message": '{{ dag_run.conf.get("message", "nothing") }}'},
    )
