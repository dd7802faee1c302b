"""The DAGs that are measured. Limits are out of the way, so that only the worker's slots count.

Decides nothing about how they are measured. Read by the DAG processor; FANOUT_SIZES, a list of numbers with commas
between, says which fan-outs exist, because a large one takes its time to load.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from dagdeck import DAG, chain, task


def unlimited(dag_id: str) -> DAG:
    """A DAG whose own limits are never reached."""
    return DAG(
        dag_id=dag_id,
        schedule=None,
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_tasks=20_000,
        max_active_runs=1_000,
    )


def fibonacci(n: int) -> int:
    """The naive recursion: real work without waiting."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@task
def fibo(n: int) -> int:
    """A task that computes."""
    return fibonacci(n)


@task
def nothing() -> None:
    """A task that does nothing."""


for _length, _n in ((40, 10), (10, 33), (10, 10)):
    with unlimited(f"chain_{_length}_{_n}"):
        chain(*[fibo.override(task_id=f"fibo_{_i}")(_n) for _i in range(_length)])

for _size in map(int, filter(None, os.environ.get("FANOUT_SIZES", "").split(","))):
    with unlimited(f"fanout_{_size}"):
        for _i in range(_size):
            nothing.override(task_id=f"nothing_{_i}")()

with unlimited("single"):
    nothing()
