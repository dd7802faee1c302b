"""Operators and hooks out of a package in the DAG folder, with a connection out of the environment."""

import os
from datetime import datetime

from airflow import DAG
from airflow.operators.python import PythonOperator
from lib.warehouse import CountRowsOperator

os.environ.setdefault("AIRFLOW_CONN_WAREHOUSE_TEST", "postgres://reader:secret@warehouse.example:5433/sales")

with DAG("own_operators", start_date=datetime(2024, 1, 1), schedule=None, default_args={"warehouse_conn_id": "warehouse_test"}) as dag:
    count = CountRowsOperator(task_id="count", table="orders_{{ ds_nodash }}", where="day = '{{ ds }}'")

    def check(ti, ds_nodash, ds):
        assert ti.xcom_pull(task_ids="count", key="place") == "reader@warehouse.example:5433/sales"
        assert ti.xcom_pull(task_ids="count") == {"table": f"orders_{ds_nodash}", "where": f"day = '{ds}'", "rows": 42}

    count >> PythonOperator(task_id="check", python_callable=check)
