"""A DAG that asks people: one task is approved or not, one takes its default when nobody answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck import DAG, Param, task
from dagdeck.operators.hitl import ApprovalOperator, HITLEntryOperator

with DAG("asking", start_date=datetime(2025, 1, 1, tzinfo=UTC), is_paused_upon_creation=False):
    name = HITLEntryOperator(task_id="name", subject="Who?", params={"who": Param("", type="string")})
    release = ApprovalOperator(
        task_id="release",
        subject="Release {{ run_id }}?",
        defaults="Approve",
        response_timeout=timedelta(seconds=2),
    )

    @task
    def use(answer: Any) -> str:
        """What the person has written."""
        return str(answer["params_input"]["who"])

    use(name.output)
    release >> ApprovalOperator(task_id="publish", subject="Publish?") >> task(task_id="published")(lambda: "out")()
