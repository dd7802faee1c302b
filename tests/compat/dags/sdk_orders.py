"""The same style with airflow.sdk of Airflow 3."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Param, TaskGroup, chain, task

with DAG(
    dag_id="sdk_orders",
    start_date=datetime(2025, 1, 1),
    schedule="0 6 * * 1-5",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    params={"country": Param("de", type="string", enum=["de", "fr"]), "limit": Param(10, type="integer", minimum=1)},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
) as dag:

    @task
    def fetch(params=None, **context):
        assert params["country"] == "de"
        assert context["dag"].params["limit"] == 10
        return [{"order": number, "price": number * 1.5} for number in range(params["limit"])]

    with TaskGroup("checks", tooltip="What must hold") as checks:

        @task
        def count(orders):
            assert len(orders) == 10

        @task
        def prices(orders):
            assert all(order["price"] >= 0 for order in orders)
            return "fine"

        orders = fetch()
        counted = count(orders)
        priced = prices(orders)

    say = BashOperator(task_id="say", bash_command="echo {{ params.country }} {{ ti.xcom_pull(task_ids='checks.prices') }}")
    archive = PythonOperator(
        task_id="archive",
        python_callable=lambda verdict, said: print(verdict, said),
        op_kwargs={"verdict": priced, "said": say.output},
    )
    chain(checks, say, archive, EmptyOperator(task_id="done"))
