"""Branches, joins and what comes after skipped tasks, with operators of Airflow 2."""

import pendulum

from airflow import DAG
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator, PythonOperator
from airflow.utils.edgemodifier import Label
from airflow.utils.trigger_rule import TriggerRule


def choose(**context):
    stock = context["params"]["stock"]
    return "restock" if stock < 10 else ["sell", "advertise"]


with DAG(
    "branching_shop",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    params={"stock": 25},
) as dag:
    decide = BranchPythonOperator(task_id="decide", python_callable=choose)
    restock = EmptyOperator(task_id="restock")
    order = PythonOperator(task_id="order", python_callable=lambda: print("ordered"))
    sell = EmptyOperator(task_id="sell")
    advertise = PythonOperator(task_id="advertise", python_callable=lambda: "seen")
    strict_join = EmptyOperator(task_id="strict_join")
    join = EmptyOperator(task_id="join", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    any_of = EmptyOperator(task_id="any_of", trigger_rule="one_success")
    close = EmptyOperator(task_id="close", trigger_rule="all_done")
    audit = EmptyOperator(task_id="audit", trigger_rule="none_skipped")

    decide >> Label("empty shelves") >> restock >> order
    decide >> Label("full shelves") >> [sell, advertise]
    [order, sell, advertise] >> strict_join
    [order, sell, advertise] >> join >> close
    [order, sell] >> any_of
    strict_join >> close
    [order, sell] >> audit
    # Directly below the branch, but below what was chosen as well: not skipped.
    decide >> join
