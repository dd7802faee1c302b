"""A sample of failing: one task fails twice and succeeds at its third try, another fails for good if it is asked to.

Shows retries with a delay, what a failure leaves in the log, and what a failed task does to those after it. Read by
the DAG processor.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagdeck import DAG, Param, get_current_context, task

TRIES_NEEDED = 3


@task(retries=TRIES_NEEDED - 1, retry_delay=timedelta(seconds=1))
def succeed_at_last() -> int:
    """Fail until the last try, as a service does that is just being restarted."""
    try_number = get_current_context()["ti"].try_number
    if try_number < TRIES_NEEDED:
        raise ConnectionError(f"on purpose: try {try_number} of {TRIES_NEEDED} fails")
    print(f"try {try_number} of {TRIES_NEEDED} succeeds")
    return try_number


@task
def tell_tries(tries: int) -> str:
    """Go on with what the third try returned."""
    sentence = f"It took {tries} tries."
    print(sentence)
    return sentence


@task
def fail_if_asked() -> str:
    """Fail for good, without a retry, when the run's parameter says so."""
    if get_current_context()["params"]["fail_finally"]:
        raise RuntimeError("on purpose: this run was started with fail_finally")
    return "not asked to fail"


@task
def finish(outcome: str) -> None:
    """Run only if nothing before has failed."""
    print(outcome)


with DAG(
    dag_id="retry_on_purpose",
    description="Fails twice, then succeeds; fails for good if asked to",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["sample"],
    params={
        "fail_finally": Param(
            False,
            type="boolean",
            title="Fail for good",
            description="Let a task fail without a retry, so that the run fails.",
        )
    },
) as dag:
    told = tell_tries(succeed_at_last())
    outcome = fail_if_asked()
    told >> outcome
    finish(outcome)
