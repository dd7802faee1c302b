"""A cluster that is made, used and taken down; failures in between do not keep it from being taken down."""

from datetime import datetime

from airflow.decorators import dag, setup, task, teardown
from airflow.operators.bash import BashOperator


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False)
def setup_and_teardown():
    create = BashOperator(task_id="create", bash_command="echo made").as_setup()
    work = BashOperator(task_id="work", bash_command="true")
    more = BashOperator(task_id="more", bash_command="true")
    delete = BashOperator(task_id="delete", bash_command="exit 1").as_teardown(setups=create)
    # A failing teardown does not fail the run.
    create >> [work, more] >> delete


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False)
def teardown_after_failure():
    @setup
    def create():
        return "cluster-1"

    @task
    def work(name):
        raise RuntimeError(name)

    @task
    def more():
        pass

    @teardown
    def delete(name):
        assert name == "cluster-1"

    name = create()
    with delete(name):
        work(name) >> more()


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False)
def setup_fails():
    create = BashOperator(task_id="create", bash_command="exit 1")
    work = BashOperator(task_id="work", bash_command="true")
    delete = BashOperator(task_id="delete", bash_command="true")
    after = BashOperator(task_id="after", bash_command="true", trigger_rule="all_done")
    create >> work >> delete.as_teardown(setups=create)
    work >> after


setup_and_teardown()
teardown_after_failure()
setup_fails()
