"""Groups in groups, with and without prefix, edges between groups, defaults of a group."""

from datetime import datetime

from airflow import DAG
from airflow.decorators import task_group
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.utils.task_group import TaskGroup

with DAG("nested_groups", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    begin = EmptyOperator(task_id="begin")

    with TaskGroup("stage", tooltip="All of staging", default_args={"retries": 1}) as stage:
        one = BashOperator(task_id="one", bash_command="true")
        with TaskGroup("inner") as inner:
            two = BashOperator(task_id="two", bash_command="true")
            three = EmptyOperator(task_id="three")
            two >> three
        one >> inner

    with TaskGroup("plain", prefix_group_id=False) as plain:
        four = BashOperator(task_id="four", bash_command="true")
        five = BashOperator(task_id="five", bash_command="exit 99")

    @task_group(group_id="last")
    def last_group():
        EmptyOperator(task_id="six") >> EmptyOperator(task_id="seven")

    begin >> stage >> plain >> last_group()
