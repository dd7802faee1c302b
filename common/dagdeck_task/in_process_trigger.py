"""The waiting of a deferred task in `dag.test()`: its trigger runs in this process, in an event loop of its own.

Decides what the task then goes on with. The trigger is made of what a cluster would have stored, so that one that could
not be made there fails here too. Called by `in_process`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from dagdeck import xcom_codec
from dagdeck_core.deferral import FAILED_DEFERRAL, TriggerFailure, TriggerOutcome, failure_kwargs
from dagdeck_core.wire import Deferral, RunTask
from dagdeck_task import triggering

_log = logging.getLogger("dagdeck.test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """How the waiting ended. `next_kwargs` and the values of `xcoms` are JSON text."""

    outcome: TriggerOutcome
    next_method: str
    next_kwargs: str
    xcoms: tuple[tuple[str, str], ...] = ()


def wait(task: RunTask, deferral: Deferral) -> Waited:
    """Run the trigger until its first event, its failure or its timeout."""
    import asyncio

    try:
        event = asyncio.run(_event(task, deferral))
    except TimeoutError:
        return _failed(TriggerFailure.TIMEOUT)
    except Exception as error:  # noqa: BLE001 - a trigger may raise anything
        _log.error("the trigger failed: %s", error)
        return _failed(TriggerFailure.FAILURE, triggering.trace_of(error))
    kwargs = {**triggering.next_kwargs(deferral.next_kwargs), "event": xcom_codec.decode(event.payload)}
    return Waited(
        outcome=event.outcome,
        next_method=deferral.next_method,
        next_kwargs=xcom_codec.encode(kwargs),
        xcoms=event.xcoms,
    )


async def _event(task: RunTask, deferral: Deferral) -> triggering.Event:
    import asyncio

    instance = triggering.WaitingTaskInstance(
        dag_id=task.dag_run.dag_id,
        run_id=task.dag_run.run_id,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=task.try_number,
    )
    place = triggering.TriggerPlace(root=task.bundle_root, version=task.bundle_version, fileloc=task.fileloc)
    cls = triggering.TriggerClasses().find(deferral.classpath, place)
    trigger = triggering.make_trigger(cls, deferral.kwargs, task.dispatch_no, instance)
    _log.info("Waiting for %r", trigger)
    failure: Any = None
    try:
        async with asyncio.timeout(deferral.timeout) as limit:
            try:
                return await triggering.first_event(trigger.run())
            except TimeoutError as error:
                failure = error
                raise
    except TimeoutError as error:
        if limit.expired():
            raise
        # The trigger's own timeout is its failure, not ours.
        raise triggering.TriggerError(f"the trigger raised {failure or error!r}") from error
    finally:
        await trigger.cleanup()


def _failed(why: TriggerFailure, trace: str = "") -> Waited:
    return Waited(
        outcome=TriggerOutcome.RESUME,
        next_method=FAILED_DEFERRAL,
        next_kwargs=xcom_codec.encode(failure_kwargs(why, trace)),
    )
