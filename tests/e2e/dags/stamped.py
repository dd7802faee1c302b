"""DAGs that record their own lives, for tests that break everything around them.

Decides nothing about the cluster. Each task appends a line when it begins, every 20 ms while it lives, and when it
ends, to the file named by STAMP_FILE. Read by the DAG processor.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta

from dagdeck import DAG, get_current_context, task

BEAT = 0.02
_START = datetime(2025, 1, 1, tzinfo=UTC)


def live(seconds: float) -> None:
    """Exist for so long, and leave proof of it."""
    ti = get_current_context()["ti"]
    run_id = get_current_context()["run_id"]
    fd = os.open(os.environ["STAMP_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def stamp(event: str) -> None:
        at = time.clock_gettime(time.CLOCK_BOOTTIME)
        record = [run_id, ti.task_id, ti.map_index, ti.dispatch_no, ti.try_number, os.getpid(), event, at]
        os.write(fd, json.dumps(record).encode() + b"\n")

    try:
        stamp("begin")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(BEAT, max(until - time.monotonic(), 0.0)))
            stamp("beat")
        stamp("end")
    finally:
        os.close(fd)


# Three layers of tasks of different lengths. No retries: whatever fails one of them for a fault fails the run.
with DAG(dag_id="layers", schedule=None, start_date=_START, max_active_tasks=64, catchup=False):

    @task
    def first(number: int) -> int:
        """Some work, and a value for the next layer."""
        live(0.2 + 0.25 * (number % 5))
        return number

    @task
    def second(number: int) -> int:
        """Work on what a first one returned."""
        live(0.4 if number % 2 else 1.2)
        return number * 10

    @task
    def gather(*values: int) -> int:
        """All came through, each once."""
        live(0.1)
        return sum(values)

    gather(*[second.override(task_id=f"second_{i}")(first.override(task_id=f"first_{i}")(i)) for i in range(8)])


# Tasks that are still at work when a test interferes.
with DAG(dag_id="long", schedule=None, start_date=_START, max_active_tasks=64, catchup=False):

    @task
    def work(number: int) -> int:
        """Live for as long as the run says."""
        live(float(get_current_context()["dag_run"].conf.get("seconds", 3.0)))
        return number

    @task
    def after(*numbers: int) -> int:
        """Runs when all have ended well."""
        live(0.05)
        return len(numbers)

    after(*[work.override(task_id=f"work_{i}")(i) for i in range(4)])


# One that may lose its process once: that is the task's own failure and uses a retry.
with DAG(dag_id="retried", schedule=None, start_date=_START, catchup=False):

    @task(retries=1, retry_delay=timedelta(seconds=0.2))
    def fragile() -> int:
        """Live for a while."""
        live(2.0)
        return 1

    fragile()


# A line of short tasks: something is always just being handed on.
with DAG(dag_id="line", schedule=None, start_date=_START, catchup=False):

    @task
    def step(number: int) -> int:
        """Hand the number on."""
        live(0.04)
        return number + 1

    value = step.override(task_id="step_0")(0)
    for _number in range(1, 25):
        value = step.override(task_id=f"step_{_number}")(value)
