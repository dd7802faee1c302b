"""Setups and teardowns that share tasks, a failing teardown that counts, and decorated ones."""

from datetime import datetime

from airflow import DAG
from airflow.decorators import setup, task, teardown
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator

with DAG("several_teardowns", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    first = EmptyOperator(task_id="first").as_setup()
    second = BashOperator(task_id="second", bash_command="true").as_setup()
    work = BashOperator(task_id="work", bash_command="false")
    more = EmptyOperator(task_id="more")
    both = BashOperator(task_id="both", bash_command="true").as_teardown(setups=[first, second])
    first >> work >> more >> both
    second >> work

    third = EmptyOperator(task_id="third")
    with BashOperator(task_id="counts", bash_command="exit 1").as_teardown(setups=third, on_failure_fail_dagrun=True):
        EmptyOperator(task_id="inside_1") >> EmptyOperator(task_id="inside_2")

    @setup
    def make():
        return 1

    @task
    def use(x):
        return x

    @teardown
    def remove(x):
        assert x == 1

    made = make()
    use(made) >> remove(made)
