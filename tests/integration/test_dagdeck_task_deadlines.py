"""Deadlines as DAG files write them, and in a runner: what a missed one calls, and when one of one's own is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, EmptyOperator, SyncCallback
from dagdeck.deadlines import BaseDeadlineReference, VariableInterval, deadline_reference
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.spec import DagSpec, DeadlineSpec, ReferencePoint, decode_spec, encode_spec
from dagdeck_core.wire import Outcome
from dagdeck_core.work import DeadlineCallback, DeadlineMoment
from dagdeck_task import runner_main, task_log
from tests.integration.test_dagdeck_task_execution import DATE, Bench

HOUR = timedelta(hours=1)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - as people write it
HEAD = """
from dagdeck import AsyncCallback, BaseNotifier, DeadlineAlert, DeadlineReference, SyncCallback
from dagdeck.deadlines import BaseDeadlineReference, VariableInterval, deadline_reference
def page(whom, context):
    print("PAGED", whom, context["dag_run"].run_id, context["deadline"]["alert_name"], context["ds"])
async def later(whom):
    print("LATER", whom)
def breaks():
    raise RuntimeError("no pager")
class Pager(BaseNotifier):
    template_fields = ("text",)
    def __init__(self, text):
        super().__init__()
        self.text = text
    def notify(self, context):
        print("NOTIFIED", self.text)
@deadline_reference
class Noon(BaseDeadlineReference):
    def _evaluate_with(self, *, session=None, **facts):
        return facts["logical_date"].replace(hour=12)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A DAG file to be written."""
    yield Bench(tmp_path)
    task_log.remove()


def write(bench: Bench, dag: str = "") -> str:
    """A DAG file with functions beside its DAG; the module's name."""
    from dagdeck.collect import module_name

    bench.write("EmptyOperator(task_id='t')", dag)
    path = bench.root / "dags.py"
    path.write_text(path.read_text().replace("\nwith DAG", f"{HEAD}\nwith DAG"))
    return module_name("dags.py")


def call(bench: Bench, name: str, kwargs: dict[str, Any], *, is_async: bool = False) -> Outcome:
    """What becomes of a missed deadline whose callback is this function of the DAG file."""
    module = write(bench)
    order = DeadlineCallback(
        deadline_id=5, path=f"{module}.{name}", kwargs=kwargs, is_async=is_async, deadline_time=DATE, name="slow"
    )
    return runner_main.execute(bench.message(task_id="", kind="callback", order=order), bench.channel)


@pytest.mark.parametrize(
    ("name", "kwargs", "shown"),
    [
        ("page", {"whom": "ann"}, "PAGED ann run_1 slow 2026-01-31"),
        ("later", {"whom": "bob"}, "LATER bob"),
        ("Pager", {"text": "{{ run_id }} is late"}, "NOTIFIED run_1 is late"),
    ],
)
def test_what_is_called(
    bench: Bench, capsys: pytest.CaptureFixture[str], name: str, kwargs: dict[str, Any], shown: str
) -> None:
    assert call(bench, name, kwargs).result == "success"
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(("name", "message"), [("breaks", "no pager"), ("gone", "no attribute 'gone'")])
def test_a_callback_that_cannot_be_called_is_an_error(bench: Bench, name: str, message: str) -> None:
    outcome = call(bench, name, {})
    assert outcome.error is not None
    assert message in outcome.error.message


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        ("DeadlineReference.Noon, timedelta(hours=2)", "2026-01-31T14:00:00+00:00"),
        ("DeadlineReference.DAGRUN_LOGICAL_DATE, VariableInterval('grace')", "2026-01-31T06:01:30+00:00"),
        ("DeadlineReference.DAGRUN_QUEUED_AT, VariableInterval('grace')", "2026-01-31T07:01:30+00:00"),
    ],
)
def test_moments_that_only_user_code_knows(bench: Bench, alert: str, expected: str) -> None:
    bench.channel.memory.variables["grace"] = "90"
    write(bench, f"deadline=DeadlineAlert({alert}, SyncCallback(breaks))")
    order = DeadlineMoment(number=0, queued_at=DATE + HOUR)
    outcome = runner_main.execute(bench.message(task_id="", kind="evaluate", order=order), bench.channel)
    assert outcome.error is None, outcome.error
    assert outcome.answer == expected


# ---------------------------------------------------------------- as they are written


def page() -> None:
    """Something to call."""


async def wait() -> None:
    """Something to await."""


class OwnReference(BaseDeadlineReference):
    """One of one's own."""


def spec_of(deadline: Any) -> DagSpec:
    """A DAG with it, there and back."""
    with DAG("d", deadline=deadline) as dag:
        EmptyOperator(task_id="t")
    return decode_spec(encode_spec(serialize_dag(dag)))


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (
            DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, HOUR, SyncCallback(page, {"a": 1}), name="n"),
            {"reference": ReferencePoint.QUEUED_AT, "interval": 3600.0, "kwargs": {"a": 1}, "name": "n"},
        ),
        (
            DeadlineAlert(DeadlineReference.FIXED_DATETIME(NAIVE), -HOUR, SyncCallback(page)),
            {"reference": ReferencePoint.FIXED, "interval": -3600.0, "at": datetime(2026, 1, 1, tzinfo=UTC)},
        ),
        (
            DeadlineAlert(DeadlineReference.AVERAGE_RUNTIME(min_runs=3), HOUR, SyncCallback(page)),
            {"reference": ReferencePoint.AVERAGE_RUNTIME, "interval": 3600.0, "max_runs": 10, "min_runs": 3},
        ),
        (
            DeadlineAlert(OwnReference(), VariableInterval("v"), SyncCallback(page)),
            {"reference": ReferencePoint.CUSTOM},
        ),
    ],
)
def test_an_alert_becomes_data(alert: DeadlineAlert, expected: dict[str, Any]) -> None:
    assert spec_of([alert]).deadlines == (DeadlineSpec(callback=f"{__name__}.page", **expected),)


def test_an_awaited_callback_is_told_apart() -> None:
    alert = DeadlineAlert(DeadlineReference.DAGRUN_LOGICAL_DATE, HOUR, AsyncCallback(wait))
    assert spec_of(alert).deadlines[0].is_async
    assert alert == DeadlineAlert(DeadlineReference.DAGRUN_LOGICAL_DATE, HOUR, AsyncCallback(wait))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AsyncCallback(page), "can be awaited"),
        (lambda: SyncCallback(lambda: None), "top level"),
        (lambda: SyncCallback("nodots"), "no import path"),
        (lambda: SyncCallback(page, {"context": 1}), "given by DagDeck"),
        (lambda: DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, 5, SyncCallback(page)), "timedelta"),  # type: ignore[arg-type]
        (lambda: DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, HOUR, page), "AsyncCallback or"),  # type: ignore[arg-type]
        (lambda: DeadlineReference.AVERAGE_RUNTIME(2, 0), "at least one run"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_a_reference_that_needs_arguments_is_refused() -> None:
    with pytest.raises(UserError, match="without arguments"):

        @deadline_reference()
        class Needy(BaseDeadlineReference):
            def __init__(self, what: str) -> None:
                self.what = what
