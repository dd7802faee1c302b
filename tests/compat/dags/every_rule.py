"""Every trigger rule over a success, a failure and a skip."""

from datetime import datetime

from airflow import DAG
from airflow.exceptions import AirflowSkipException
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import PythonOperator
from airflow.utils.trigger_rule import TriggerRule


def fail():
    raise ValueError


def skip():
    raise AirflowSkipException


with DAG("every_rule", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    good = PythonOperator(task_id="good", python_callable=lambda: None)
    bad = PythonOperator(task_id="bad", python_callable=fail)
    none = PythonOperator(task_id="none", python_callable=skip)
    # Ended by the last, so that no rule depends on which of the three was first.
    last = EmptyOperator(task_id="last", trigger_rule="all_done")
    for rule in (
        "all_success all_failed all_done all_skipped one_failed one_success one_done none_failed none_skipped "
        "none_failed_min_one_success all_done_min_one_success always"
    ).split():
        for name, upstream in {"good_bad": [good, bad], "good_none": [good, none], "only_none": [none]}.items():
            upstream >> EmptyOperator(task_id=f"{rule}.{name}", trigger_rule=TriggerRule(rule)) >> last
