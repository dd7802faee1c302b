"""A DAG that waits for a task of another run with the same logical date."""

from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.sensors.external_task import ExternalTaskMarker, ExternalTaskSensor

with DAG("awaited", start_date=datetime(2024, 1, 1), schedule="@daily", catchup=False):
    BashOperator(task_id="work", bash_command="true") >> ExternalTaskMarker(
        task_id="marker", external_dag_id="waits_for_another", external_task_id="wait"
    )

with DAG("waits_for_another", start_date=datetime(2024, 1, 1), schedule="@daily", catchup=False):
    ExternalTaskSensor(
        task_id="wait",
        external_dag_id="awaited",
        external_task_id="work",
        allowed_states=["success"],
        failed_states=["failed", "skipped"],
        timeout=60,
        poke_interval=1,
        mode="reschedule",
    ) >> BashOperator(task_id="go_on", bash_command="true")
