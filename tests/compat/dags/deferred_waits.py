"""Tasks that give their slot away while they wait."""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.models import BaseOperator
from airflow.operators.python import PythonOperator
from airflow.sensors.time_delta import TimeDeltaSensorAsync
from airflow.triggers.temporal import TimeDeltaTrigger
from lib.countdown import CountdownTrigger


class CountdownOperator(BaseOperator):
    def __init__(self, *, start, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def execute(self, context):
        self.defer(trigger=CountdownTrigger(self.start), method_name="resume", kwargs={"word": "after"})

    def resume(self, context, event=None, word=""):
        return f"{word} {event['counted']}"


class TwiceOperator(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=0.1)), method_name="once")

    def once(self, context, event):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=0.1)), method_name="twice")

    def twice(self, context, event):
        return "twice"


with DAG("deferred_waits", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    countdown = CountdownOperator(task_id="countdown", start=3)
    twice = TwiceOperator(task_id="twice")
    delta = TimeDeltaSensorAsync(task_id="delta", delta=timedelta(seconds=0.1))

    def check(ti):
        assert ti.xcom_pull(task_ids="countdown") == "after 3"
        assert ti.xcom_pull(task_ids="twice") == "twice"

    [countdown, twice, delta] >> PythonOperator(task_id="check", python_callable=check)
