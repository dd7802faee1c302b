"""Words that scheduler, workers, API and tasks share about tasks that wait for a person's answer.

Decides what a question holds, which answers fit it, and what the task finds when it goes on. Does not decide when
that is (`scheduling.human_input`). Nothing here is code of the author's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.errors import UserError

TIMED_OUT = "timed_out"
"""Key of the event that says that nobody answered in time."""


class Question(msgspec.Struct, frozen=True, array_like=True):
    """What a task asks when it ends as awaiting_input. `timeout` are seconds (None: for ever).

    `params` are form fields by name, each a dict with value, description and schema; `assigned_users` dicts with id
    and name, and nobody else may answer; `next_method` is the operator's method that goes on.
    """

    subject: str
    options: tuple[str, ...]
    next_method: str
    body: str | None = None
    defaults: tuple[str, ...] | None = None
    multiple: bool = False
    params: dict[str, Any] = {}
    assigned_users: tuple[dict[str, str], ...] = ()
    timeout: float | None = None


def check_answer(options: list[str], chosen: list[str], *, multiple: bool) -> None:
    """Raise UserError when `chosen` is no answer to a question with these options."""
    wrong = sorted(dict.fromkeys(option for option in chosen if option not in options))
    if wrong:
        raise UserError(
            f"Invalid options {wrong}; allowed options are {sorted(options)}.", field="chosen_options", value=wrong
        )
    if not chosen:
        raise UserError("an answer chooses at least one option", field="chosen_options", value=chosen)
    if not multiple and len(chosen) > 1:
        raise UserError(
            "Multiple options chosen but this Human-in-the-loop task accepts only a single option.",
            field="chosen_options",
            value=chosen,
        )


def answered_event(
    chosen: list[str], params_input: dict[str, Any], at: datetime, user: dict[str, str] | None
) -> dict[str, Any]:
    """The event with which a task goes on after an answer; times are ISO text."""
    return {
        "chosen_options": chosen,
        "params_input": params_input,
        "responded_at": at.isoformat(),
        "responded_by_user": user,
        TIMED_OUT: False,
    }


def timed_out_event(at: datetime) -> dict[str, Any]:
    """The event with which a task goes on when nobody has answered in time: it knows its own defaults."""
    return {"responded_at": at.isoformat(), "responded_by_user": None, TIMED_OUT: True}
