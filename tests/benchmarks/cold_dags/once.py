"""One DAG that starts by itself as soon as it is known: the end of a cold start. Read by the DAG processor."""

from __future__ import annotations

from datetime import UTC, datetime

from dagdeck import DAG, task

with DAG(dag_id="once", schedule="@once", start_date=datetime(2025, 1, 1, tzinfo=UTC), catchup=False):

    @task
    def first() -> str:
        """The first task."""
        return "done"

    first()
