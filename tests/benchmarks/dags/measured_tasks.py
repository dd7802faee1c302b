"""What the measured DAGs have in common: their tasks, and limits that are never reached, so that only slots count.

Decides nothing about how they are measured. Imported by the DAG files beside it, one file a DAG, so that no DAG pays
for loading another.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagdeck import DAG, BaseOperator, Context, chain, task
from dagdeck.triggers.temporal import TimeDeltaTrigger


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


@task(task_id="cell", pool="closed")
def _cell(row: int, column: int) -> None:
    """One of a product's instances."""


def make_chain(length: int, n: int) -> None:
    """A DAG of `length` tasks of fibo(`n`), one after another."""
    with _unlimited(f"chain_{length}_{n}"):
        chain(*[fibo.override(task_id=f"fibo_{number}")(n) for number in range(length)])


def make_fan_out(size: int) -> None:
    """A DAG of `size` tasks that do nothing and wait for nothing."""
    with _unlimited(f"fanout_{size}"):
        for number in range(size):
            nothing.override(task_id=f"nothing_{number}")()


class Wait(BaseOperator):
    """A task that waits for longer than anybody looks."""

    def execute(self, context: Context) -> None:
        """Defer."""
        self.defer(trigger=TimeDeltaTrigger(timedelta(days=1)), method_name="go_on")

    def go_on(self, context: Context, event: object = None) -> None:
        """Nothing is left to do."""


def make_waiting(size: int) -> None:
    """A DAG of `size` tasks that wait in triggers."""
    with _unlimited(f"deferred_{size}"):
        for number in range(size):
            Wait(task_id=f"wait_{number}")


def make_expansion(rows: int, columns: int) -> None:
    """A DAG of one task expanded over a product, in a pool that lets none of its instances start."""
    with _unlimited(f"expand_{rows * columns}"):
        _cell.expand(row=list(range(rows)), column=list(range(columns)))


def _unlimited(dag_id: str) -> DAG:
    return DAG(
        dag_id=dag_id,
        schedule=None,
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_tasks=20_000,
        max_active_runs=1_000,
    )
