"""The contract of both stores about questions to people, over every adapter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.human_input import Question
from dagdeck_core.ports import FinishWrite, GuardFailed
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import TaskInstanceState
from tests.contract.store_world import NOW, StoreWorld

S = TaskInstanceState
QUESTION = Question(
    subject="Is it *right*?",
    options=("yes", "it's ✗"),
    next_method="execute_complete",
    body="a\\b 'c'",
    defaults=("yes",),
    multiple=True,
    params={"why": {"value": None, "description": "d", "schema": {"type": "string"}}},
    assigned_users=({"id": "1", "name": "ann"},),
    timeout=60.0,
)
EVENT: dict[str, Any] = {"chosen_options": ["it's ✗"], "timed_out": False}


def asking(stores: StoreWorld) -> tuple[int, int, int]:
    """A task instance that has asked: run_key, ti_id, dispatch_no."""
    run_key, (ti_id,) = stores.run()
    (dispatch_no,) = stores.queue(ti_id)
    worker_id = stores.register()
    _, won = stores.worker.transact(worker_id, [], [(ti_id, dispatch_no)])
    assert [task.next_method for task in won] == [None]
    finish = FinishWrite(
        run_key=run_key,
        ti_id=ti_id,
        dispatch_no=dispatch_no,
        state=S.AWAITING_INPUT,
        start_date=NOW,
        end_date=NOW,
        duration=1.0,
        next_at=NOW + timedelta(seconds=60),
        question=QUESTION,
    )
    for _ in range(2):  # the same report twice is success
        ends, _ = stores.worker.transact(worker_id, [finish], [])
        assert ends == [(dispatch_no, S.AWAITING_INPUT)]
    return run_key, ti_id, dispatch_no


def answer(run_key: int, ti_id: int, dispatch_no: int, **fields: Any) -> d.AnswerInput:
    return d.AnswerInput(run_key=run_key, ti_id=ti_id, dispatch_no=dispatch_no, event=EVENT, **fields)


def test_a_question_is_stored_and_answered_once(stores: StoreWorld) -> None:
    run_key, ti_id, dispatch_no = asking(stores)
    (row,) = stores.rows("hitl_detail", ti_id=ti_id)
    assert (row["subject"], row["body"], row["options"], row["defaults"], bool(row["multiple"])) == (
        "Is it *right*?",
        "a\\b 'c'",
        ["yes", "it's ✗"],
        ["yes"],
        True,
    )
    assert row["params"] == QUESTION.params
    assert row["assigned_users"] == [{"id": "1", "name": "ann"}]
    assert row["responded_at"] is None
    given = answer(
        run_key,
        ti_id,
        dispatch_no,
        chosen_options=("it's ✗",),
        params_input={"why": "so"},
        user={"id": "1", "name": "ann"},
    )
    stores.commit(given)
    (row,) = stores.rows("hitl_detail", ti_id=ti_id)
    assert (row["chosen_options"], row["params_input"]) == (["it's ✗"], {"why": "so"})
    assert row["responded_by"] == {"id": "1", "name": "ann"}
    assert row["responded_at"] is not None
    with pytest.raises(GuardFailed):
        stores.commit(given)


def test_an_answer_needs_the_dispatch_that_asked(stores: StoreWorld) -> None:
    run_key, ti_id, dispatch_no = asking(stores)
    with pytest.raises(GuardFailed):
        stores.commit(answer(run_key, ti_id, dispatch_no + 1, chosen_options=("yes",)))


def test_the_task_goes_on_with_the_event(stores: StoreWorld) -> None:
    run_key, ti_id, dispatch_no = asking(stores)
    stores.commit(answer(run_key, ti_id, dispatch_no), stores.move(ti_id, S.SCHEDULED))
    again = stores.database.new_id()
    stores.commit(stores.move(ti_id, S.QUEUED, new_no=again))
    worker_id = stores.register("second")
    _, (task,) = stores.worker.transact(worker_id, [], [(ti_id, again)])
    assert task.next_method == "execute_complete"
    assert "timed_out" in str(task.next_kwargs)


def test_questions_of_earlier_tries_are_kept(stores: StoreWorld) -> None:
    run_key, ti_id, dispatch_no = asking(stores)
    given = answer(run_key, ti_id, dispatch_no, chosen_options=("yes",), params_input={}, user={"id": "1", "name": "a"})
    stores.commit(given)
    stores.commit(stores.move(ti_id, S.NONE))
    assert stores.rows("hitl_detail", ti_id=ti_id) == []
    (kept,) = stores.rows("hitl_detail_history", ti_id=ti_id)
    assert (kept["try_number"], kept["options"], kept["chosen_options"]) == (1, ["yes", "it's ✗"], ["yes"])
    # The second try asks, is retried without an answer, and the third one asks in its place.
    for expected in (2, 3):
        number = stores.running(ti_id, stores.register(f"w{expected}"))
        worker_id = stores.task(ti_id)["worker_id"]
        ends = stores.worker.transact(
            worker_id, [stores.finish(ti_id, number, S.AWAITING_INPUT, question=QUESTION)], []
        )[0]
        assert ends == [(number, S.AWAITING_INPUT)]
        assert stores.rows("hitl_detail", ti_id=ti_id)[0]["try_number"] == expected
        stores.commit(stores.move(ti_id, S.SCHEDULED))
    tries = {row["try_number"]: row["chosen_options"] for row in stores.rows("hitl_detail_history", ti_id=ti_id)}
    assert tries == {1: ["yes"], 2: None}
