"""Airflow 3: coroutines, sensors that wait for a moment, deferral with a time limit, groups over a result."""

from datetime import timedelta

import pendulum

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.providers.standard.sensors.date_time import DateTimeSensor, DateTimeSensorAsync
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, Context, Variable, task, task_group
from airflow.sdk.exceptions import AirflowSkipException


class Repeat(BaseOperator):
    template_fields = ("value",)

    def __init__(self, *, value: str, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def execute(self, context: Context):
        assert context["ti"].task_id == self.task_id
        return self.value


class WaitABit(BaseOperator):
    def __init__(self, *, seconds: float, limit: float, **kwargs):
        super().__init__(**kwargs)
        self.seconds = seconds
        self.limit = limit

    def execute(self, context: Context):
        self.defer(
            trigger=TimeDeltaTrigger(timedelta(seconds=self.seconds)),
            method_name="resume",
            kwargs={"answer": 42},
            timeout=timedelta(seconds=self.limit),
        )

    def resume(self, context: Context, event, answer):
        return answer


with DAG("sdk_corners", start_date=pendulum.datetime(2024, 1, 1, tz="UTC"), schedule=None):

    @task(retries=1)
    async def awaited():
        return {"a": 1}

    @task
    def check(found, expected):
        assert found == expected, found

    check(awaited(), {"a": 1})
    FileSensor(task_id="file", filepath="/etc/passwd", poke_interval=1, timeout=3)
    BashSensor(task_id="shell", bash_command="true", poke_interval=1, timeout=3)
    DateTimeSensor(task_id="past", target_time="{{ logical_date.subtract(days=1).isoformat() }}", poke_interval=1)
    DateTimeSensorAsync(task_id="past_async", target_time=pendulum.datetime(2024, 1, 1, tz="UTC"))
    TimeDeltaSensor(task_id="delta", delta=timedelta(seconds=0.2), poke_interval=0.2, timeout=5)
    TimeDeltaSensor(task_id="delta_deferred", delta=timedelta(seconds=0.2), deferrable=True)
    repeat = Repeat(task_id="repeat", value="{{ run_id }}-{{ params.q }}", params={"q": 1})
    check(repeat.output, "compat__sdk_corners-1")
    check(WaitABit(task_id="waits", seconds=0.1, limit=20).output, 42)
    WaitABit(task_id="waits_too_long", seconds=60, limit=0.3)
    LatestOnlyOperator(task_id="latest") >> EmptyOperator(task_id="after_latest")

    @task
    def skipped():
        raise AirflowSkipException("no")

    @task(trigger_rule="none_failed")
    def after_skipped(found):
        assert found is None

    after_skipped(skipped())

    @task
    def numbers():
        return [0, 1, 2]

    @task_group
    def twice_and_one(number, factor):
        @task
        def times(number, factor):
            return number * factor

        @task
        def plus_one(number):
            return number + 1

        return plus_one(times(number, factor))

    check(twice_and_one.partial(factor=10).expand(number=numbers()), [1, 11, 21])

    @task
    def variables():
        Variable.set("compat_sdk", "1")
        assert Variable.get("compat_sdk") == "1"
        Variable.delete("compat_sdk")
        assert Variable.get("compat_sdk", default=7) == 7

    variables()
