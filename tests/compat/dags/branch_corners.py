"""Branches that follow nothing, several tasks, a whole group, a task in a group, and one that does not exist."""

from datetime import datetime

from airflow import DAG
from airflow.decorators import task
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator
from airflow.utils.task_group import TaskGroup

with DAG("branch_corners", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    nothing = BranchPythonOperator(task_id="nothing", python_callable=lambda: None)
    nothing >> EmptyOperator(task_id="nothing_1") >> EmptyOperator(task_id="nothing_2")

    @task.branch
    def several():
        return ["several_1", "several_2"]

    several() >> [EmptyOperator(task_id=f"several_{number}") for number in (1, 2, 3)]

    @task.branch
    def to_group():
        return "followed"

    with TaskGroup("followed") as followed:
        EmptyOperator(task_id="first") >> EmptyOperator(task_id="second")
    to_group() >> [followed, EmptyOperator(task_id="not_followed")]

    @task.branch
    def into_group():
        return "inner.taken"

    with TaskGroup("inner") as inner:
        EmptyOperator(task_id="taken")
        EmptyOperator(task_id="left")
    into_group() >> inner

    @task.branch
    def lost():
        return "no_such_task"

    lost() >> EmptyOperator(task_id="after_lost")
