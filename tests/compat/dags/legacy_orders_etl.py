"""A nightly job as it was written for Airflow 1.10: old module paths, days_ago, provide_context."""

from airflow import DAG
from airflow.operators.dummy_operator import DummyOperator
from airflow.operators.python_operator import PythonOperator
from airflow.utils.dates import days_ago

args = {
    "owner": "warehouse",
    "depends_on_past": False,
    "email": ["warehouse@example.com"],
    "email_on_failure": False,
    "email_on_retry": False,
    "retries": 1,
    "start_date": days_ago(2),
}

dag = DAG(
    dag_id="legacy_orders_etl",
    default_args=args,
    description="Nightly orders",
    schedule_interval="@daily",
    catchup=False,
    concurrency=4,
    default_view="graph",
    orientation="LR",
    tags=["legacy"],
)


def extract(**kwargs):
    orders = [{"id": 1, "amount": 10.5}, {"id": 2, "amount": 4.25}, {"id": 3, "amount": -1.0}]
    kwargs["ti"].xcom_push(key="orders", value=orders)
    return len(orders)


def transform(ds, execution_date, **kwargs):
    ti = kwargs["ti"]
    orders = ti.xcom_pull(key="orders", task_ids="extract")
    assert ti.xcom_pull(task_ids="extract") == 3
    assert execution_date.strftime("%Y-%m-%d") == ds
    return [order for order in orders if order["amount"] > 0]


def load(limit, **kwargs):
    rows = kwargs["task_instance"].xcom_pull(task_ids="transform")
    if sum(row["amount"] for row in rows) > limit:
        raise ValueError("too much")
    print("loaded", len(rows), "of", kwargs["dag"].dag_id)


start = DummyOperator(task_id="start", dag=dag)
extract_task = PythonOperator(task_id="extract", python_callable=extract, provide_context=True, dag=dag)
transform_task = PythonOperator(task_id="transform", python_callable=transform, provide_context=True, dag=dag)
load_task = PythonOperator(
    task_id="load", python_callable=load, op_kwargs={"limit": 100}, provide_context=True, dag=dag
)
end = DummyOperator(task_id="end", dag=dag)

start >> extract_task >> transform_task >> load_task >> end
