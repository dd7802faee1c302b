"""Short circuits: everything below, or only what comes next."""

from datetime import datetime

from airflow import DAG
from airflow.decorators import task
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import ShortCircuitOperator

with DAG("short_circuits", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    hard = ShortCircuitOperator(task_id="hard", python_callable=lambda: False)
    hard >> EmptyOperator(task_id="hard_1") >> EmptyOperator(task_id="hard_2", trigger_rule="all_done")

    soft = ShortCircuitOperator(
        task_id="soft", python_callable=lambda: [], ignore_downstream_trigger_rules=False
    )
    soft >> EmptyOperator(task_id="soft_1") >> EmptyOperator(task_id="soft_2", trigger_rule="all_done")

    through = ShortCircuitOperator(task_id="through", python_callable=lambda: "go on")
    through >> EmptyOperator(task_id="through_1")

    @task.short_circuit()
    def decorated():
        return None

    decorated() >> EmptyOperator(task_id="decorated_1")
