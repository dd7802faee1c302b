"""Task instances that wait for a person, in the machine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import RespondToInput
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver, dag, tasks

S = TaskInstanceState


def asking(timeout: float | None = None, **fields: Any) -> Driver:
    """A cluster in which r.a waits for a person."""
    driver = Driver(dag("d", "a", "b < a", **fields))
    driver.trigger()
    at = None if timeout is None else driver.now + timedelta(seconds=timeout)
    driver.end("r.a", S.AWAITING_INPUT, next_at=at)
    return driver


def respond(driver: Driver, *chosen: str) -> list[str]:
    """Ann answers r.a."""
    row = driver.row("r.a")
    return driver.act(
        RespondToInput(
            run_key=row.run_key,
            ti_id=row.ti_id,
            task_id="a",
            chosen_options=chosen,
            params_input={"n": 1},
            user_id="ann",
            user_name="Ann",
        )
    )


def answers(driver: Driver) -> list[d.AnswerInput]:
    """What was written as answers."""
    return [each for step in driver.steps for each in step if isinstance(each, d.AnswerInput)]


def test_an_answer_lets_the_task_go_on_in_the_same_try() -> None:
    driver = asking()
    assert driver.wait(10_000) == [], "without a timeout it waits for ever"
    told = respond(driver, "x")
    assert "r.a awaiting_input→scheduled try 1" in told
    assert "r.a scheduled→queued try 1" in told
    (answer,) = answers(driver)
    assert (answer.chosen_options, answer.user) == (("x",), {"id": "ann", "name": "Ann"})
    assert answer.event["params_input"] == {"n": 1}
    driver.end("r.a")
    driver.end("r.b")
    assert driver.run().state is DagRunState.SUCCESS


def test_nobody_in_time() -> None:
    driver = asking(timeout=60)
    assert driver.wait(59) == []
    assert "r.a awaiting_input→scheduled try 1" in driver.wait(1)
    (answer,) = answers(driver)
    assert answer.chosen_options is None
    assert answer.event["timed_out"] is True


def test_a_second_answer_and_one_to_nobody_s_question_are_refused() -> None:
    driver = asking()
    respond(driver, "x")
    assert respond(driver, "y") == ["refused: task instance 'a' is queued and waits for no answer"]


def test_waiting_survives_a_failover() -> None:
    driver = asking(timeout=60)
    driver.wait(30)
    driver.fail_over()
    assert "r.a awaiting_input→scheduled try 1" in driver.wait(31)


def test_it_holds_no_slot_but_its_answer_waits_for_one() -> None:
    specs = tasks("a", "b")
    driver = Driver(dag("d", specs=specs, max_active_tasks=1))
    driver.trigger()
    driver.end("r.a", S.AWAITING_INPUT)
    assert driver.states() == {"a": "awaiting_input", "b": "queued"}
    respond(driver, "x")
    assert driver.states()["a"] == "scheduled"
    driver.end("r.b")
    assert driver.states()["a"] == "queued"


@pytest.mark.parametrize(("state", "end"), [(S.SUCCESS, "success"), (S.FAILED, "failed"), (S.SKIPPED, "skipped")])
def test_it_can_be_marked(state: TaskInstanceState, end: str) -> None:
    driver = asking(timeout=5)
    driver.mark(state, "r.a")
    assert driver.states()["a"] == end
    driver.wait(10)
    assert answers(driver) == []


def test_a_cleared_one_asks_again() -> None:
    driver = asking(timeout=5)
    driver.clear("r.a")
    assert driver.states()["a"] == "queued"
    assert driver.row("r.a").try_number == 2


def test_its_run_can_be_ended_while_it_waits() -> None:
    driver = asking(timeout=5)
    driver.mark_run(DagRunState.FAILED)
    driver.wait(10)
    assert driver.states()["a"] == "skipped"
