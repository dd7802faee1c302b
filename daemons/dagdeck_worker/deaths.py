"""What the death of a runner means for the dispatch that it was executing and that told no outcome.

Decides whether the task failed or goes back without using up a try, and the sentence for people. Does not commit
anything (`execution`). Called by the main loop when nothing of the runner is alive any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagdeck_core.outcome import Result
from dagdeck_core.process_port import EndCause, RunnerEnded, describe_end
from dagdeck_worker.confinement import out_of_memory
from dagdeck_worker.dispatches import Dispatch, Ending

FAULT_PAUSE = 30.0
"""Seconds before a task that this machine could not start is dispatched anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of the dispatch."""

    message: str
    goes_back: bool = False
    """Others, or this worker after `pause` seconds, shall run it; it has not failed."""
    pause: float = 0.0
    result: Result = Result.FAILED
    kind: str = "TaskEnded"


def verdict_on(dispatch: Dispatch, event: RunnerEnded, *, start_timeout: float) -> Verdict | None:
    """The verdict; None when nobody is to be told, because the whole worker ends with its helper process."""
    if event.cause is EndCause.HOST_LOST:
        return None
    back = _why_back(dispatch, event)
    if back is not None:
        return back
    if event.cause is EndCause.REFUSED:
        return Verdict(message=event.reason, kind="RunAsUserError")
    if event.cause is EndCause.MEMORY and dispatch.ending is None and dispatch.limits is not None:
        return Verdict(message=out_of_memory(dispatch.spec, dispatch.limits, 0), kind="LimitExceeded")
    return _of_ending(dispatch, event, start_timeout)


_BROKEN = Verdict(message="its process wrote into DagDeck's own pipe and was ended")


def _why_back(dispatch: Dispatch, event: RunnerEnded) -> Verdict | None:
    """Whether the dispatch goes back: neither its author nor a person has anything to do with its end."""
    if event.cause is EndCause.DEADLINE:
        return Verdict(message="the worker could not renew its lease in time", goes_back=True)
    if event.cause is EndCause.NOT_STARTED:
        reason = event.reason or "the worker's machine gives no more processes"
        return Verdict(message=reason, goes_back=True, pause=FAULT_PAUSE)
    if dispatch.ending is Ending.RETURNED:
        return Verdict(message="the worker stops", goes_back=True)
    if event.cause is EndCause.TERMINATED and dispatch.ending is None:
        return Verdict(message="its process was ended for the sake of the task before it", goes_back=True)
    return None


def _of_ending(dispatch: Dispatch, event: RunnerEnded, start_timeout: float) -> Verdict:
    """Why the worker itself ended the runner, or else how that ended by itself."""
    match dispatch.ending:
        case Ending.REVOKED:
            return Verdict(message="it was ended because it was cleared, marked or cancelled")
        case Ending.TIMED_OUT:
            return Verdict(message="it did not stop at its execution_timeout and was ended", result=Result.TIMED_OUT)
        case Ending.OVER_LIMIT:
            return Verdict(message=dispatch.excess, kind="LimitExceeded")
        case Ending.NOT_STARTED:
            return Verdict(
                message=f"its code did not begin within {start_timeout:g} s; does loading the DAG file hang?"
            )
        case Ending.BROKEN:
            return _BROKEN
        case None if event.cause is EndCause.BROKEN:
            return _BROKEN
        case _:
            return Verdict(message=describe_end(event))
