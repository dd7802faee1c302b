"""Tasks that ask a person: what they ask, and what they make of an answer, through the entry that a runner calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, EmptyOperator, Param
from dagdeck.operators.hitl import ApprovalOperator, HITLBranchOperator, HITLEntryOperator, HITLOperator
from dagdeck_core.errors import UserError
from dagdeck_core.human_input import Question, answered_event, timed_out_event
from dagdeck_core.wire import Outcome
from dagdeck_task import task_log
from tests.integration.test_dagdeck_task_execution import Bench

AT = datetime(2026, 2, 1, 8, tzinfo=UTC)
ANN = {"id": "ann", "name": "Ann"}
HEAD = "from dagdeck.operators.hitl import *\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A DAG file to be written."""
    yield Bench(tmp_path)
    task_log.remove()


def answer(bench: Bench, body: str, event: dict[str, Any], **changes: Any) -> Outcome:
    """The task goes on with this event."""
    text = json.dumps({"event": event})
    return bench.run(HEAD + body, next_method="execute_complete", next_kwargs=text, **changes)


def said(*options: str, **given: Any) -> dict[str, Any]:
    """A person's answer."""
    return answered_event(list(options), given, AT, ANN)


def test_what_is_asked(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = bench.run(
        HEAD
        + """
def tell(context):
    print("TOLD", HITLOperator.generate_link_to_ui_from_context(context=context, base_url="http://x:1", options=["b"]))
HITLOperator(
    task_id="t", subject="About {{ ds }}", body="_{{ run_id }}_", options=["a", "b"], defaults="a", multiple=True,
    params={"reason": Param("", type="string"), "count": Param(type="integer")},
    response_timeout=timedelta(minutes=5), assigned_users={"id": "1", "name": "Ann"}, notifiers=[tell],
)
"""
    )
    assert outcome.result == "awaiting_input", outcome.error
    assert outcome.question == Question(
        subject="About 2026-01-31",
        options=("a", "b"),
        next_method="execute_complete",
        body="_run_1_",
        defaults=("a",),
        multiple=True,
        params={
            "reason": {"value": "", "description": None, "schema": {"type": "string"}},
            "count": {"value": None, "description": None, "schema": {"type": "integer"}},
        },
        assigned_users=({"id": "1", "name": "Ann"},),
        timeout=300.0,
    )
    shown = capsys.readouterr().out
    assert "TOLD http://x:1/dags/d/runs/run_1/tasks/t/required_actions?_options=" in shown
    assert "CALLED" not in shown


def test_an_answer_becomes_the_result(bench: Bench) -> None:
    body = "HITLOperator(task_id='t', subject='s', options=['a', 'b'], params={'why': Param('', type='string')}, **ALL)"
    outcome = answer(bench, body, said("b", why="because"))
    assert outcome.result == "success", outcome.error
    result = bench.channel.xcom()
    assert (result["chosen_options"], result["params_input"]) == (["b"], {"why": "because"})
    assert result["responded_by_user"] == ANN


@pytest.mark.parametrize(
    ("options", "event", "message"),
    [
        ("['a', 'b']", said("c"), "Invalid options"),
        ("['a', 'b']", said("a", "b"), "only a single option"),
        ("['a', 'b'], params={'n': Param(1, type='integer')}", said("a", n="many"), "param 'n'"),
        ("['a', 'b'], params={'n': 1}", said("a", m=1), "the form has the fields"),
    ],
)
def test_an_answer_that_does_not_fit_fails_the_task(
    bench: Bench, options: str, event: dict[str, Any], message: str
) -> None:
    outcome = answer(bench, f"HITLOperator(task_id='t', subject='s', options={options})", event)
    assert outcome.error is not None
    assert message in outcome.error.message


def test_nobody_in_time_means_the_defaults_or_a_failure(bench: Bench) -> None:
    with_defaults = "HITLOperator(task_id='t', subject='s', options=['a', 'b'], defaults=['b'], params={'n': 3})"
    assert answer(bench, with_defaults, timed_out_event(AT)).result == "success"
    assert bench.channel.xcom()["chosen_options"] == ["b"]
    assert bench.channel.xcom()["params_input"] == {"n": 3}
    outcome = answer(bench, "HITLOperator(task_id='t', subject='s', options=['a'])", timed_out_event(AT))
    assert outcome.error is not None
    assert outcome.error.kind == "HITLTimeoutError"


APPROVAL = "ApprovalOperator(task_id='t', subject='s'{}) >> EmptyOperator(task_id='x') >> EmptyOperator(task_id='y')"


@pytest.mark.parametrize(
    ("more", "choice", "result", "skipped"),
    [
        ("", "Approve", "success", ()),
        ("", "Reject", "success", ("x",)),
        (", ignore_downstream_trigger_rules=True", "Reject", "success", ("x", "y")),
        (", fail_on_reject=True", "Reject", "failed", ()),
    ],
)
def test_an_approval(bench: Bench, more: str, choice: str, result: str, skipped: tuple[str, ...]) -> None:
    outcome = answer(bench, APPROVAL.format(more), said(choice))
    assert outcome.result == result, outcome.error
    assert (outcome.effects.skip if outcome.effects else ()) == skipped


def test_a_branch(bench: Bench) -> None:
    body = """
HITLBranchOperator(task_id="t", subject="s", options=["x", "other"], options_mapping={"other": "y"}) >> [
    EmptyOperator(task_id="x"), EmptyOperator(task_id="y"), EmptyOperator(task_id="z")]
"""
    outcome = answer(bench, body, said("other"))
    assert outcome.effects is not None
    assert (outcome.effects.skip, outcome.effects.followed) == (("x", "z"), ("y",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HITLOperator(task_id="t", subject="s", options=[]), "an option to choose"),
        (lambda: HITLOperator(task_id="t", subject="s", options=["a"], defaults="b"), "a default must be an option"),
        (lambda: HITLOperator(task_id="t", subject="s", options=["a", "b"], defaults=["a", "b"]), "only one default"),
        (lambda: HITLOperator(task_id="t", subject="s", options=["a"], params={"_options": 1}), "name is taken"),
        (lambda: ApprovalOperator(task_id="t", subject="s", options=["x"]), "has its own"),
        (
            lambda: HITLBranchOperator(task_id="t", subject="s", options=["a"], options_mapping={"b": "x"}),
            "this is no option",
        ),
    ],
)
def test_what_cannot_be_asked(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_a_tested_run_is_answered_by_a_responder_or_by_defaults() -> None:
    asked: list[tuple[str, str]] = []

    def responder(task_id: str, question: Question) -> Any:
        asked.append((task_id, question.subject))
        return {"entry": {"chosen_options": "OK", "params_input": {"n": 4}}, "choose": "two"}.get(task_id)

    with DAG("d") as dag:
        entry = HITLEntryOperator(task_id="entry", subject="fill in", params={"n": Param(1, type="integer")})
        choose = HITLBranchOperator(
            task_id="choose", subject="{{ ti.xcom_pull('entry')['params_input']['n'] }}", options=["one", "two"]
        )
        late = HITLOperator(task_id="two", subject="late", options=["a", "b"], defaults="b")
        entry >> choose >> [EmptyOperator(task_id="one"), late]
    run = dag.test(responder=responder)
    assert run.states == {"entry": "success", "choose": "success", "one": "skipped", "two": "success"}
    assert asked == [("entry", "fill in"), ("choose", "4"), ("two", "late")]
    assert run.xcom("two")["chosen_options"] == ["b"]
