"""One DAG per entry of a configuration file beside this one, put into globals()."""

import json
import os
from datetime import datetime

from airflow.models.dag import DAG
from airflow.operators.python import PythonOperator

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "config", "tables.json")) as config:
    TABLES = json.load(config)


def copy(table, columns, **_):
    print("select", ", ".join(columns), "from", table)
    return len(columns)


def create_dag(name, settings):
    with DAG(
        f"copy_{name}",
        schedule=settings["schedule"],
        start_date=datetime(2024, 3, 1),
        catchup=False,
        is_paused_upon_creation=True,
    ) as dag:
        before = None
        for part in settings["parts"]:
            current = PythonOperator(
                task_id=f"copy_{part}",
                python_callable=copy,
                op_kwargs={"table": f"{name}_{part}", "columns": settings["columns"]},
            )
            if before is not None:
                before >> current
            before = current
    return dag


for name, settings in TABLES.items():
    globals()[f"copy_{name}"] = create_dag(name, settings)
