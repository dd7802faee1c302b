"""One dispatch on this worker, from its claim to the write that ends it.

Decides how an outcome, a death or a revocation becomes a `FinishWrite`. Retries are core's decision
(`dagdeck_core.outcome.decide`). Does not talk to processes or the database. Used by the main loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from dagdeck_core.limits import TaskLimits
from dagdeck_core.outcome import Result, decide
from dagdeck_core.ports import ClaimedTask, FinishWrite, LogChunk, XComWrite
from dagdeck_core.process_port import PLAIN_SETUP, RunnerSetup
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Effects, Outcome, TaskError
from dagdeck_core.work import Order, TaskFacts, UnheardEnd, time_limit
from dagdeck_worker.log_capture import LogCapture
from dagdeck_worker.preparation import Prepared

ERROR_LENGTH = 2000
LONGEST_DEFERRAL = 100 * 365 * 86_400.0
"""Seconds; beyond that a timeout means no timeout, and dates end somewhere."""


class Ending(StrEnum):
    """Why the worker itself is ending a dispatch."""

    REVOKED = "revoked"
    """A person cleared, marked or cancelled it."""
    TIMED_OUT = "timed_out"
    """It ran past its execution timeout and did not stop by itself."""
    NOT_STARTED = "not_started"
    """Its code did not begin in time."""
    BROKEN = "broken"
    """Its process sent what cannot be read."""
    OVER_LIMIT = "over_limit"
    """It used more memory or CPU time than it may."""
    RETURNED = "returned"
    """The worker stops; another one shall run it."""


class RunnerKey(NamedTuple):
    """Tasks with equal keys may share a runner: the same code under the same user and limits."""

    bundle_name: str
    bundle_version: str
    setup: RunnerSetup = PLAIN_SETUP


class Code(NamedTuple):
    """Tasks of equal code may be served by one runner one after another, once it has loaded `file`.

    With `own_process` none but a runner that has never served a task will do.
    """

    key: RunnerKey
    file: str
    own_process: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Dispatch:
    """A claimed dispatch. The main loop owns it."""

    claimed: ClaimedTask
    claimed_at: float
    """Monotonic seconds."""
    log: LogCapture
    dag_id: str = ""
    spec: TaskSpec | None = None
    code: Code | None = None
    limits: TaskLimits | None = None
    """What it may use, if there is a limit at all."""
    excess: str = ""
    """For people: what it used that was too much."""
    prepared: Prepared | None = None
    counted_short: bool = False
    """Whether its task is taken to be short: it was when it was prepared, and has not run for longer since."""
    runner_id: int | None = None
    sent_at: float = 0.0
    loads: bool = False
    """Whether its runner had to load the file for it."""
    started: datetime | None = None
    started_at: float = 0.0
    pid: int | None = None
    asked: bool = False
    """Whether it has sent a request."""
    outcome: Outcome | None = None
    ending: Ending | None = None
    xcoms: dict[str, str] = field(default_factory=dict)
    """What it has pushed, by key, as JSON text."""
    xcom_bytes: int = 0
    ended: bool = False
    """Its finish is with the committer; only its commit is awaited."""

    @property
    def order(self) -> Order | None:
        """What is to be done when this is other work than a task instance."""
        return self.claimed.order

    @property
    def time_limit(self) -> float | None:
        """Seconds that it may run."""
        if self.claimed.order is not None:
            return time_limit(self.claimed.order)
        return self.spec.execution_timeout if self.spec is not None else None

    @property
    def own_process(self) -> bool:
        """Whether the task asked for a process of its own."""
        return self.spec is not None and self.spec.own_process


def finish_of_outcome(dispatch: Dispatch, outcome: Outcome, log: LogChunk | None) -> FinishWrite:
    """What the runner's `outcome` makes of the dispatch."""
    result = Result.TIMED_OUT if dispatch.ending is Ending.TIMED_OUT else outcome.result
    return _finish(dispatch, result, outcome, log)


def finish_of_failure(
    dispatch: Dispatch, message: str, log: LogChunk | None, *, result: Result = Result.FAILED, kind: str = "TaskDied"
) -> FinishWrite:
    """The end of a dispatch whose process told nothing: `message` says why, for people."""
    now = datetime.now(UTC)
    outcome = Outcome(
        dispatch.claimed.dispatch_no, result, dispatch.started or now, now, error=TaskError(kind, message)
    )
    return _finish(dispatch, result, outcome, log)


def finish_returned(dispatch: Dispatch, reason: str, at: datetime, log: LogChunk | None) -> FinishWrite:
    """Hand the dispatch back: it may run again, here or elsewhere, from `at` on, and no try is used up."""
    now = datetime.now(UTC)
    started = dispatch.started or now
    return FinishWrite(
        run_key=dispatch.claimed.run_key,
        ti_id=dispatch.claimed.ti_id,
        dispatch_no=dispatch.claimed.dispatch_no,
        state=TaskInstanceState.UP_FOR_RESCHEDULE,
        start_date=started,
        end_date=now,
        duration=(now - started).total_seconds(),
        next_at=at,
        error=reason[:ERROR_LENGTH],
        log=log,
        pid=dispatch.pid,
    )


def _finish_work(dispatch: Dispatch, result: Result | str, outcome: Outcome, log: LogChunk | None) -> FinishWrite:
    """The end of other work than a task instance: it went well, or it failed; it is not tried again."""
    claimed, error = dispatch.claimed, outcome.error
    return FinishWrite(
        run_key=claimed.run_key,
        ti_id=claimed.ti_id,
        dispatch_no=claimed.dispatch_no,
        state=TaskInstanceState.SUCCESS if result == Result.SUCCESS else TaskInstanceState.FAILED,
        start_date=outcome.started_at,
        end_date=outcome.ended_at,
        duration=max(0.0, (outcome.ended_at - outcome.started_at).total_seconds()),
        error=None if error is None else f"{error.kind}: {error.message}"[:ERROR_LENGTH],
        log=log,
        answer=outcome.answer,
    )


def _unheard(dispatch: Dispatch, outcome: Outcome) -> UnheardEnd | None:
    """What must be called because the task's own process did not: it is dead, or was told to end."""
    spec, prepared, claimed = dispatch.spec, dispatch.prepared, dispatch.claimed
    if spec is None or prepared is None or dispatch.ending is Ending.RETURNED:
        return None
    if dispatch.outcome is not None and not outcome.callbacks_due:
        return None
    by_state: dict[str, tuple[str, ...]] = {}
    if spec.has_on_failure_callback or spec.email:
        by_state["failed"] = ("on_failure_callback",)
    if spec.has_on_retry_callback or spec.email:
        by_state["up_for_retry"] = ("on_retry_callback",)
    if spec.has_on_success_callback:
        by_state["success"] = ("on_success_callback",)
    if spec.has_on_skipped_callback:
        by_state["skipped"] = ("on_skipped_callback",)
    if not by_state:
        return None
    facts = TaskFacts(
        ti_id=claimed.ti_id,
        task_id=claimed.task_id,
        map_index=claimed.map_index,
        try_number=claimed.try_number,
        max_tries=claimed.max_tries,
        dispatch_no=claimed.dispatch_no,
        start_date=outcome.started_at,
        end_date=outcome.ended_at,
        error="" if outcome.error is None else outcome.error.message[:ERROR_LENGTH],
    )
    record = prepared.version.record
    return UnheardEnd(
        dag_id=record.dag_id, version_id=record.version_id, queue=spec.queue, task=facts, by_state=by_state
    )


def _without_events(effects: Effects) -> tuple[Effects | None, tuple[dict[str, Any], ...]]:
    """The effects on the task's own run, if any, and the asset events, which are stored apart and not reported."""
    events = effects.outlet_events
    rest = msgspec.structs.replace(effects, outlet_events=())
    return (None if rest == Effects() else rest), events


def xcom_of(log: LogCapture, key: str, value: str) -> XComWrite:
    """The value as it is stored; what holds secrets that the task has seen is not shown as it is."""
    hidden = log.hide(value)
    if hidden is None:
        return XComWrite(key=key, value=value)
    return XComWrite(key=key, value=value, shown=hidden[0], secrets=hidden[1])


def _finish(dispatch: Dispatch, result: Result | str, outcome: Outcome, log: LogChunk | None) -> FinishWrite:
    claimed = dispatch.claimed
    if claimed.order is not None:
        return _finish_work(dispatch, result, outcome, log)
    if dispatch.spec is None:
        # Without its spec nothing is known of retries; this happens only when the stored DAG version lacks the task.
        state, next_at = TaskInstanceState.FAILED, None
    else:
        verdict = decide(
            result,
            task=dispatch.spec,
            ti_id=claimed.ti_id,
            try_number=claimed.try_number,
            max_tries=claimed.max_tries,
            now=outcome.ended_at,
            reschedule_at=outcome.reschedule_at,
            retry_after=outcome.retry_after,
        )
        state, next_at = verdict.state, verdict.next_at
    error = outcome.error
    effects = outcome.effects
    outlet_events: tuple[dict[str, Any], ...] = ()
    if effects is not None and effects.outlet_events:
        effects, outlet_events = _without_events(effects)
    deferral = outcome.deferral if state is TaskInstanceState.DEFERRED else None
    if deferral is not None and deferral.timeout is not None:
        next_at = outcome.ended_at + timedelta(seconds=min(deferral.timeout, LONGEST_DEFERRAL))
    question = outcome.question if state is TaskInstanceState.AWAITING_INPUT else None
    if question is not None and question.timeout is not None:
        next_at = outcome.ended_at + timedelta(seconds=min(question.timeout, LONGEST_DEFERRAL))
    return FinishWrite(
        run_key=claimed.run_key,
        ti_id=claimed.ti_id,
        dispatch_no=claimed.dispatch_no,
        state=state,
        start_date=outcome.started_at,
        end_date=outcome.ended_at,
        duration=max(0.0, (outcome.ended_at - outcome.started_at).total_seconds()),
        next_at=next_at,
        effects=effects,
        outlet_events=outlet_events,
        error=None if error is None else f"{error.kind}: {error.message}"[:ERROR_LENGTH],
        xcoms=tuple([xcom_of(dispatch.log, key, value) for key, value in dispatch.xcoms.items()]),
        rendered_fields=outcome.rendered_fields,
        rendered_map_index=outcome.rendered_map_index,
        log=log,
        pid=dispatch.pid,
        revoked=dispatch.ending is Ending.REVOKED,
        unheard=None if result == Result.SUCCESS else _unheard(dispatch, outcome),
        question=question,
        deferral=deferral,
        log_end=dispatch.log.shipped,
        forgets_next_method=claimed.next_method is not None,
    )
