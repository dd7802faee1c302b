"""Sensors that see it at the third look, never, with an error, or not at all; values that they pass on."""

import os
import tempfile
from datetime import datetime, timedelta

from airflow import DAG
from airflow.decorators import task
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
from airflow.sensors.python import PythonSensor
from airflow.sensors.time_delta import TimeDeltaSensor


class ThirdLook(BaseSensorOperator):
    template_fields = ("looks",)

    def __init__(self, looks, **kwargs):
        super().__init__(**kwargs)
        self.looks = looks

    def poke(self, context):
        path = os.path.join(tempfile.gettempdir(), f"dagdeck_{context['run_id']}_{self.task_id}".replace(":", "_"))
        with open(path, "a+") as file:
            file.seek(0)
            seen = len(file.read())
            file.write("x")
        if seen < int(self.looks):
            return False
        os.unlink(path)
        return PokeReturnValue(is_done=True, xcom_value={"seen": seen})


def skips():
    raise AirflowSkipException("in vain")


def gives_up():
    raise AirflowFailException("for good")


quick = {"poke_interval": 0.1, "timeout": 0.3}

with DAG("sensor_kinds", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    third = ThirdLook(task_id="third", looks="{{ 1 + 1 }}", mode="reschedule", poke_interval=0.1, timeout=30)
    ThirdLook(task_id="slower", looks=2, poke_interval=timedelta(seconds=0.1), exponential_backoff=True, max_wait=1)
    PythonSensor(task_id="never", python_callable=lambda: False, retries=2, retry_delay=timedelta(0), **quick)
    PythonSensor(task_id="soft", python_callable=lambda: False, soft_fail=True, mode="reschedule", **quick)
    PythonSensor(task_id="soft_error", python_callable=lambda: 1 / 0, soft_fail=True, **quick)
    PythonSensor(task_id="skips", python_callable=skips)
    PythonSensor(task_id="gives_up", python_callable=gives_up, retries=3, retry_delay=timedelta(hours=1))
    PythonSensor(task_id="by_date", python_callable=lambda day, ds: day == ds, op_args=["{{ ds }}"])
    TimeDeltaSensor(task_id="long_ago", delta=timedelta(seconds=-10))

    @task.sensor(poke_interval=0.1, timeout=5)
    def at_once():
        return PokeReturnValue(is_done=True, xcom_value="found")

    @task
    def read(found, looks):
        assert (found, looks) == ("found", {"seen": 2}), (found, looks)

    read(at_once(), third.output)
