"""Callbacks out of default_args, retries that help, retries that do not."""

import os
import tempfile
import time
from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.python import PythonOperator

FOLDER = os.path.join(tempfile.gettempdir(), "dagdeck_callbacks")


def note(word):
    def write(context):
        ti = context["task_instance"]
        os.makedirs(FOLDER, exist_ok=True)
        with open(os.path.join(FOLDER, context["run_id"]), "a") as file:
            file.write(f"{word} {ti.task_id} {ti.try_number}\n")

    return write


def second_try(ti):
    if ti.try_number < 2:
        raise RuntimeError("not yet")


def always():
    raise KeyError("missing")


def read(run_id, **_):
    path = os.path.join(FOLDER, run_id)
    expected = ["failed never 2", "retry never 1", "retry second_try 1", "success second_try 2"]
    lines = []
    # A callback may still be running when the next task is.
    for _ in range(50):
        with open(path) as file:
            lines = sorted(file.read().splitlines())
        if len(lines) >= len(expected):
            break
        time.sleep(0.1)
    os.unlink(path)
    assert lines == expected, lines


default_args = {
    "retries": 1,
    "retry_delay": timedelta(seconds=0.2),
    "on_failure_callback": note("failed"),
    "on_retry_callback": note("retry"),
    "on_success_callback": note("success"),
}

with DAG("callbacks_and_retries", start_date=datetime(2024, 1, 1), schedule=None, default_args=default_args) as dag:
    flaky = PythonOperator(task_id="second_try", python_callable=second_try)
    never = PythonOperator(task_id="never", python_callable=always)
    check = PythonOperator(
        task_id="read",
        python_callable=read,
        trigger_rule="all_done",
        retries=0,
        on_success_callback=None,
        on_failure_callback=None,
    )
    [flaky, never] >> check
