"""TaskFlow of Airflow 2: several outputs, nested arguments, a classic operator among functions."""

from __future__ import annotations

from typing import Any

import pendulum

from airflow.decorators import dag, task
from airflow.operators.python import PythonOperator, get_current_context


@dag(
    schedule="@hourly",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    tags=["weather"],
    default_args={"retries": 0, "owner": "weather"},
    doc_md=__doc__,
)
def taskflow_weather(station: str = "Potsdam"):
    @task
    def observe(name: str) -> dict[str, Any]:
        assert get_current_context()["task"].task_id.startswith("observe")
        return {"station": name, "celsius": [11.5, 12.0, 9.5], "wet": False}

    @task(multiple_outputs=True)
    def summarise(observed: dict) -> dict:
        celsius = observed["celsius"]
        return {"mean": sum(celsius) / len(celsius), "highest": max(celsius), "station": observed["station"]}

    @task()
    def warn(mean: float, *, limits: dict, ti=None, ds=None) -> str:
        assert ti.task_id == "warn"
        assert len(ds) == 10
        return "hot" if mean > limits["hot"] else "mild"

    @task(task_id="publish", trigger_rule="all_success")
    def publish_all(parts: list, report: dict[str, Any]) -> int:
        assert parts == ["Potsdam", 12.0, "mild"]
        assert report == {"text": "mild", "fixed": [1, 2]}
        return len(parts)

    observed = observe(station)
    summary = summarise(observed)
    text = warn(summary["mean"], limits={"hot": 30})
    count = publish_all([summary["station"], summary["highest"], text], {"text": text, "fixed": [1, 2]})

    def check(expected, found):
        assert expected == found, (expected, found)

    check_count = PythonOperator(task_id="check", python_callable=check, op_args=[3, count])
    again = observe.override(task_id="observe_again", retries=2)("Berlin")
    twice = observe("Hamburg")
    check_count >> again
    again >> twice


taskflow_weather()
