"""Chains and crosses of tasks, in old and new spelling."""

from datetime import datetime

from airflow import DAG
from airflow.models.baseoperator import chain, cross_downstream
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator

with DAG("chains", start_date=datetime(2024, 1, 1), schedule=None, catchup=False, tags=["structure"]) as dag:
    a, b, c, d, e, f, g, h = (EmptyOperator(task_id=letter) for letter in "abcdefgh")
    chain(a, [b, c], [d, e], f)
    cross_downstream([b, c], [g, h])
    fails = BashOperator(task_id="fails", bash_command="exit 1")
    h << fails
    g >> EmptyOperator(task_id="end", trigger_rule="none_failed")
