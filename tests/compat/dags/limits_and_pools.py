"""Limits, weights, time-outs and executor settings that must not get in the way."""

import time
from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator

with DAG(
    "limits_and_pools",
    start_date=datetime(2024, 1, 1),
    schedule=None,
    max_active_tasks=2,
    default_args={"weight_rule": "upstream", "sla": timedelta(hours=1), "wait_for_downstream": False},
) as dag:
    many = [
        BashOperator(
            task_id=f"one_at_a_time_{number}",
            bash_command="true",
            max_active_tis_per_dag=1,
            priority_weight=number,
            pool_slots=2,
            executor_config={"KubernetesExecutor": {"image": "nothing"}},
        )
        for number in range(3)
    ]
    late = PythonOperator(
        task_id="late", python_callable=lambda: time.sleep(30), execution_timeout=timedelta(seconds=0.5), retries=0
    )
    after = BashOperator(task_id="after", bash_command="true", trigger_rule="all_done", weight_rule="absolute")
    many >> late >> after
