"""DAGs that want to be told how things ended, each in a way of its own.

Decides nothing about when; every callback notes in a file what it was told. Read by the DAG processor.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck import DAG, BaseNotifier, DeadlineAlert, DeadlineReference, SyncCallback, Variable, task

_START = datetime(2025, 1, 1, tzinfo=UTC)


def note(line: str) -> None:
    """Append a line to the notes of this cluster."""
    with open(os.environ["STAMP_FILE"] + ".notes", "a") as notes:
        notes.write(line + "\n")


def told(name: str) -> Any:
    """A callback that notes what its context says."""

    def callback(context: Any) -> None:
        ti = context["ti"]
        print(f"the callback {name} speaks")
        note(f"{name} {context['run_id']} {ti.task_id} {ti.state} {ti.try_number} {context.get('exception')}")

    return callback


class Pager(BaseNotifier):
    """Notes a templated message and what a Variable says."""

    template_fields = ("message",)

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def notify(self, context: Any) -> None:
        """Note it."""
        note(f"pager {self.message} {Variable.get('pager', default='nobody')}")


def run_told(context: Any) -> None:
    """Note how the run ended."""
    note(f"run {context['run_id']} {context['reason']} {context['dag_run'].state} {context['ti'].task_id}")


def single(dag_id: str, **arguments: Any) -> DAG:
    """A DAG that is started by hand."""
    return DAG(dag_id=dag_id, schedule=None, start_date=_START, catchup=False, **arguments)


with single("killed", on_failure_callback=[run_told, Pager("{{ dag.dag_id }} of {{ run_id }} failed:")]):

    @task(on_failure_callback=told("failure"), on_retry_callback=told("retry"), retries=1, retry_delay=0)
    def dies() -> None:
        """Be gone, as by the kernel's hand."""
        print("about to be killed")
        os.kill(os.getpid(), signal.SIGKILL)

    dies()


with single("well", on_success_callback=run_told):

    @task
    def works() -> None:
        """Do nothing."""

    works()


def is_late(whom: str, context: Any) -> None:
    """Note that a deadline was missed."""
    note(f"late {context['run_id']} {whom} {context['deadline']['alert_name']}")


with single(
    "late",
    deadline=DeadlineAlert(
        DeadlineReference.DAGRUN_QUEUED_AT, timedelta(seconds=1), SyncCallback(is_late, {"whom": "ann"}), name="slow"
    ),
):

    @task
    def dawdles() -> None:
        """Take longer than it should."""
        time.sleep(3)

    dawdles()


with single("marked"):

    @task(on_failure_callback=told("failure"))
    def sleeps() -> None:
        """Run until somebody ends it."""
        note(f"sleeping {os.getpid()}")
        time.sleep(120)

    sleeps()
