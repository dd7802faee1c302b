"""Words that scheduler, workers and tasks share about deferred tasks.

Decides how a task is told that its waiting failed. Does not decide when that happens (`scheduling`, the triggerer).
Read by whoever writes a task instance's next method and by operators that go on from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

FAILED_DEFERRAL = "__fail__"
"""The next method of a task whose trigger failed or did not fire in time."""


class TriggerFailure(StrEnum):
    """Why a deferred task goes on without an event. Values are Airflow's: operators compare with them."""

    TIMEOUT = "Trigger timeout"
    FAILURE = "Trigger failure"


class TriggerOutcome(StrEnum):
    """What an event of a trigger means for the task instance that waits for it."""

    RESUME = "resume"
    """It goes on in its next method."""
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"


def failure_kwargs(why: TriggerFailure, trace: str = "") -> dict[str, Any]:
    """The next kwargs that go with FAILED_DEFERRAL; `trace` is the trigger's traceback, if it raised."""
    kwargs: dict[str, Any] = {"error": why.value}
    if trace:
        kwargs["traceback"] = trace.splitlines()
    return kwargs
