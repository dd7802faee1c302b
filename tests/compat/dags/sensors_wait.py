"""Sensors: at once, after some looks, given up softly, given up hard, waiting for a file and for a moment."""

import os
import tempfile
from datetime import datetime, timedelta

from airflow import DAG
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
from airflow.sensors.python import PythonSensor

MARK = os.path.join(tempfile.gettempdir(), "dagdeck_sensors_wait_{{ ts_nodash }}")


class CountingSensor(BaseSensorOperator):
    """Is content at its second look."""

    template_fields = ("path",)

    def __init__(self, *, path, **kwargs):
        super().__init__(**kwargs)
        self.path = path

    def poke(self, context):
        with open(self.path, "a") as file:
            file.write("x")
        return os.path.getsize(self.path) >= 2


with DAG("sensors_wait", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    ready = PythonSensor(task_id="ready", python_callable=lambda: True, poke_interval=1, timeout=10)
    counting = CountingSensor(task_id="counting", path=MARK + "_poke", poke_interval=0.2, timeout=30, mode="poke")
    again = CountingSensor(
        task_id="again", path=MARK + "_reschedule", poke_interval=timedelta(seconds=1), timeout=60, mode="reschedule"
    )
    soft = PythonSensor(
        task_id="soft", python_callable=lambda: False, poke_interval=0.1, timeout=0.3, soft_fail=True, mode="poke"
    )
    after_soft = EmptyOperator(task_id="after_soft")
    collected = EmptyOperator(task_id="collected", trigger_rule="none_failed")

    @task.sensor(poke_interval=0.2, timeout=20, mode="poke")
    def told() -> PokeReturnValue:
        return PokeReturnValue(is_done=True, xcom_value={"rows": 4})

    @task
    def use(found):
        assert found == {"rows": 4}

    tidy = BashOperator(task_id="tidy", bash_command=f"rm -f {MARK}_poke {MARK}_reschedule", trigger_rule="all_done")

    soft >> after_soft
    [ready, counting, again, after_soft, use(told())] >> collected >> tidy

with DAG("sensor_gives_up", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    PythonSensor(
        task_id="hard", python_callable=lambda: False, poke_interval=0.1, timeout=0.3, retries=3
    ) >> EmptyOperator(task_id="after_hard")
