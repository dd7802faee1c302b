"""DAGs as people wrote them for Airflow 2: old imports, schedule_interval, dates of the interval before.

Decides what each task notes of its dates. Read by the DAG processor.
"""

from datetime import timedelta

import pendulum
from airflow import DAG
from airflow.decorators import task
from airflow.models import Variable
from airflow.operators.bash_operator import BashOperator
from airflow.operators.dummy_operator import DummyOperator
from airflow.operators.python_operator import BranchPythonOperator, PythonOperator
from airflow.triggers.base import BaseTrigger
from airflow.utils.dates import days_ago
from airflow.utils.trigger_rule import TriggerRule


def note_dates(ds, next_ds, prev_ds, execution_date, **context):
    """The dates that Airflow 2 gave a task."""
    assert isinstance(execution_date, pendulum.DateTime)
    start, end = context["data_interval_start"], context["data_interval_end"]
    return [ds, next_ds, prev_ds, context["yesterday_ds"], start.to_date_string(), end.to_date_string()]


with DAG(
    "daily_of_airflow_2",
    default_args={"owner": "data", "retries": 1, "retry_delay": timedelta(seconds=1)},
    start_date=days_ago(3),
    schedule_interval="@daily",
    concurrency=4,
) as daily:
    PythonOperator(task_id="dates", python_callable=note_dates, provide_context=True)


def choose(**kwargs):
    """The longer way when the word is long."""
    word = kwargs["ti"].xcom_pull(task_ids="word")
    return "long" if len(word) > Variable.get("shortest", default_var=3) else "short"


with DAG("branching_of_airflow_2", start_date=days_ago(1), schedule_interval=None) as branching:
    word = BashOperator(task_id="word", bash_command="echo {{ dag_run.conf.get('word', 'hi') }}", xcom_push=True)
    branch = BranchPythonOperator(task_id="branch", python_callable=choose)
    long, short = DummyOperator(task_id="long"), DummyOperator(task_id="short")

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def joined(params=None, **context):
        """Which classes the process has."""
        import airflow
        from airflow.exceptions import AirflowException

        return [airflow.__version__, AirflowException.__module__, BaseTrigger.__module__, context["ti"].task.dag.dag_id]

    word >> branch >> [long, short] >> joined()
