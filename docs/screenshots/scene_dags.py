"""The DAGs of the screenshots: one that stands in many states at once, and some others beside it.

Decides what the pictures show. Copied into the DAG folder of a cluster of its own by `take`; `conf` makes a run quick,
so that there is a history.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from dagdeck import DAG, Param, get_current_context, task
from dagdeck.exceptions import AirflowSkipException

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
JOIN_LOG = (
    "Stage 0: 200/200 partitions read",
    "Stage 1: 148/200 partitions joined",
    "WARNING executor 7 answers late (12.4 s)",
    "WARNING lost executor 7: out of memory (exit 137)",
    "Repeating stage 1 (attempt 2 of 4)",
    "WARNING lost executor 9: out of memory (exit 137)",
)


def is_quick() -> bool:
    """True for the runs of the history."""
    return bool(get_current_context()["params"]["quick"])


@task
def work(seconds: float = 0.2) -> int:
    """Something that takes a moment."""
    time.sleep(0.05 if is_quick() else seconds)
    print("read 48,211 rows")
    return 48_211


@task
def skip_unless_quick() -> None:
    """Nothing to do today."""
    if not is_quick():
        raise AirflowSkipException("no refunds today")


@task
def join_tables() -> None:
    """Fails as large joins do."""
    fails = get_current_context()["params"]["fails"]
    for text in JOIN_LOG:
        print(text)
    if fails or not is_quick():
        raise MemoryError("stage 1 failed 4 times: java.lang.OutOfMemoryError: Java heap space")


@task
def wait_for_service() -> None:
    """A service that is down; it is tried again in a while."""
    if not is_quick():
        raise ConnectionError("events.example.com did not answer within 30 s")


@task
def train() -> None:
    """Takes long, and says how far it is."""
    if is_quick():
        time.sleep(0.3)
        return
    for epoch in range(1, 2_000):
        print(f"epoch {epoch}: loss {1.9 / (epoch + 3):.4f}")
        time.sleep(1.0)


with DAG(
    dag_id="customer_churn_daily",
    description="Who is about to leave, from orders, refunds and visits",
    schedule="0 6 * * *",
    start_date=BEGIN,
    catchup=False,
    tags=["ml", "daily", "customers"],
    params={
        "day": Param(None, type=["null", "string"], format="date", title="Day", description="Empty: yesterday."),
        "model": Param("gradient boosting", enum=["gradient boosting", "logistic", "baseline"], title="Model"),
        "threshold": Param(
            0.35, type="number", minimum=0, maximum=1, title="Threshold", description="Above it a customer is at risk."
        ),
        "regions": Param(["emea", "apac"], type="array", title="Regions", description="Which regions to look at."),
        "quick": Param(True, type="boolean", title="Quick", description="Use a sample of the data."),
        "fails": Param(False, type="boolean", title="Fail", description="Let the join fail."),
    },
):
    extract_orders = work.override(task_id="extract_orders")()
    extract_customers = work.override(task_id="extract_customers")()
    extract_refunds = skip_unless_quick.override(task_id="extract_refunds")()
    extract_events = work.override(task_id="extract_events")(0.4)
    validate_orders = work.override(task_id="validate_orders")()
    validate_customers = work.override(task_id="validate_customers")()
    dedupe_refunds = work.override(task_id="dedupe_refunds")()
    sessionize_events = wait_for_service.override(
        task_id="sessionize_events", retries=3, retry_delay=timedelta(minutes=5)
    )()
    join = join_tables.override(task_id="join_orders_customers", retries=1, retry_delay=timedelta(seconds=1))()
    train_model = train.override(task_id="train_churn_model", pool="gpu", trigger_rule="none_failed")()
    aggregate = work.override(task_id="aggregate_daily")()
    tune = work.override(task_id="tune_threshold", pool="gpu")()
    score = work.override(task_id="score_customers")()
    export = work.override(task_id="export_s3")()
    refresh = work.override(task_id="refresh_dashboards")()
    notify = work.override(task_id="notify_sales")()
    extract_orders >> validate_orders >> join >> aggregate >> refresh
    extract_customers >> validate_customers >> [join, train_model]
    extract_refunds >> dedupe_refunds >> train_model
    validate_customers >> tune
    extract_events >> sessionize_events
    train_model >> [score, export]
    sessionize_events >> score >> [refresh, notify]

OTHERS = (
    ("warehouse_refresh", "", "0 * * * *", ["warehouse"], "Copies the shop's tables into the warehouse"),
    ("billing_export", "", "30 5 * * 1-5", ["finance", "daily"], "Invoices of the day for the accountants"),
    ("ml_features", "", "*/15 * * * *", ["ml"], "Features for all models"),
    ("umsatz_bericht", "Umsatzbericht 日本語", "0 7 * * 1", ["finance"], "Names may be written in any script"),
    (
        "a_name_that_somebody_gave_without_thinking_of_those_who_have_to_read_it_in_a_narrow_column_every_day",
        "",
        None,
        ["legacy"],
        "Started by hand",
    ),
    ("gdpr_erasure", "", "@weekly", ["legal", "customers"], "Erases what has to be erased"),
)
for dag_id, display_name, schedule, tags, description in OTHERS:
    with DAG(
        dag_id=dag_id,
        dag_display_name=display_name or dag_id,
        description=description,
        schedule=schedule,
        start_date=BEGIN,
        catchup=False,
        tags=tags,
        params={"quick": True, "fails": False},
    ):
        work.override(task_id="read")() >> join_tables.override(task_id="check")() >> work.override(task_id="write")()
