"""Questions to people: what an operator asks becomes data, and in a tested run somebody answers at once.

Decides how an operator's question is written down and bounded, and what stands for a person in `dag.test()`. Does not
decide what a cluster does with it. Called by `execution` and `in_process`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dagdeck.exceptions import AirflowException, TaskAwaitingInput
from dagdeck.operator import BaseOperator
from dagdeck_core.human_input import Question, answered_event, check_answer, timed_out_event

QUESTION_BYTES = 256 * 1024
"""Most bytes of a question, as JSON."""
Responder = Callable[[str, Question], Any]
"""Stands for a person in a tested run: called with task_id and question, it gives the chosen options, or a dict with
chosen_options and params_input, or None for no answer."""


def make_question(operator: BaseOperator, asking: TaskAwaitingInput) -> Question:
    """What is stored of a question. Raises AirflowException when the operator asks none, or too much."""
    ask = getattr(operator, "question", None)
    if not callable(ask):
        raise AirflowException(
            f"{operator.task_type} waits for a person's answer and asks nothing: it has no question()"
        )
    timeout = asking.timeout
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    question: Question = msgspec.structs.replace(ask(), next_method=asking.method_name, timeout=seconds)
    size = len(msgspec.json.encode(question))
    if size > QUESTION_BYTES:
        raise AirflowException(f"the question has {size:,} bytes as JSON; {QUESTION_BYTES:,} are the limit")
    return question


def answer_question(question: Question, task_id: str, responder: Responder | None) -> tuple[str, str]:
    """How a tested task goes on: (next method, its arguments as JSON). Without a responder nobody answers in time.

    Raises UserError for an answer that does not fit.
    """
    now = datetime.now(UTC)
    event = timed_out_event(now)
    answer = responder(task_id, question) if responder is not None else None
    if answer is not None:
        given = answer if isinstance(answer, Mapping) else {"chosen_options": answer}
        chosen = given["chosen_options"]
        options = [chosen] if isinstance(chosen, str) else list(chosen)
        check_answer(list(question.options), options, multiple=question.multiple)
        user = {"id": "test", "name": "test"}
        event = answered_event(options, dict(given.get("params_input") or {}), now, user)
    return question.next_method, msgspec.json.encode({"event": event}).decode()
