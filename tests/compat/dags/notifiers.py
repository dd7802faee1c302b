"""A notifier of one's own, for a task and for the DAG, and a task that notifies when it is skipped."""

import os
import tempfile
import time
from datetime import datetime

from airflow import DAG
from airflow.exceptions import AirflowSkipException
from airflow.notifications.basenotifier import BaseNotifier
from airflow.operators.python import PythonOperator

PATH = os.path.join(tempfile.gettempdir(), "dagdeck_notified_{{ run_id }}")


class FileNotifier(BaseNotifier):
    template_fields = ("message", "path")

    def __init__(self, message, path=PATH):
        super().__init__()
        self.message = message
        self.path = path

    def notify(self, context):
        with open(self.path, "a") as file:
            file.write(self.message + "\n")


def skip():
    raise AirflowSkipException("nothing to do")


def check(run_id):
    path = os.path.join(tempfile.gettempdir(), f"dagdeck_notified_{run_id}")
    lines = []
    # A notifier may still be running when the next task is.
    for _ in range(50):
        with open(path) as file:
            lines = sorted(file.read().splitlines())
        if len(lines) == 2:
            break
        time.sleep(0.1)
    os.unlink(path)
    assert lines == ["good ended in notifiers", "none was skipped"], lines


with DAG(
    "notifiers",
    start_date=datetime(2024, 1, 1),
    schedule=None,
    on_success_callback=FileNotifier("the run ended", PATH + "_end"),
    on_failure_callback=[FileNotifier("the run failed", PATH + "_end")],
) as dag:
    good = PythonOperator(
        task_id="good",
        python_callable=lambda: None,
        on_success_callback=[FileNotifier("{{ ti.task_id }} ended in {{ dag.dag_id }}")],
    )
    none = PythonOperator(
        task_id="none", python_callable=skip, on_skipped_callback=FileNotifier("{{ task.task_id }} was skipped")
    )
    [good, none] >> PythonOperator(task_id="check", python_callable=check, trigger_rule="none_failed")
