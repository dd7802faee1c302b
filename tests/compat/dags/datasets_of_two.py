"""Datasets of Airflow 2.4 to 2.11: producers, a consumer of both and a consumer of either."""

import pendulum

from airflow import DAG, Dataset
from airflow.datasets import Dataset as SameDataset
from airflow.decorators import task
from airflow.operators.bash import BashOperator

RAW = Dataset("s3://lake/raw/orders.csv")
PRICES = SameDataset("s3://lake/raw/prices.csv", extra={"team": "pricing"})
START = pendulum.datetime(2024, 1, 1, tz="UTC")

with DAG("datasets_raw", schedule=None, start_date=START, catchup=False):
    BashOperator(task_id="write_orders", bash_command="echo written", outlets=[RAW])

with DAG("datasets_prices", schedule=None, start_date=START, catchup=False):

    @task(outlets=[PRICES])
    def write_prices():
        return 3

    write_prices()

with DAG("datasets_both", schedule=[RAW, PRICES], start_date=START, catchup=False):

    @task
    def join(triggering_dataset_events=None):
        assert sorted(triggering_dataset_events) == ["s3://lake/raw/orders.csv", "s3://lake/raw/prices.csv"]

    join()

with DAG("datasets_either", schedule=(RAW | PRICES), start_date=START, catchup=False):
    BashOperator(task_id="look", bash_command="echo {{ triggering_dataset_events | length }}")
