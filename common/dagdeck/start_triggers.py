"""Tasks that begin in a trigger: what can be said of that trigger when the DAG file is loaded.

Decides whether the trigger's arguments are data already, so that the scheduler itself can store the trigger. Where they
are not (templates, results of other tasks, mapped tasks), a worker begins the task (`dagdeck_task.triggering`). Called
by `serialize` for tasks with `start_from_trigger`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dagdeck import templating, xcom_codec
from dagdeck.operator import BaseOperator
from dagdeck.triggers.base import StartTriggerArgs
from dagdeck.xcom_codec import XComError
from dagdeck_core.spec import StartTriggerSpec


def start_trigger_spec(task: BaseOperator) -> StartTriggerSpec | None:
    """The trigger in which the task begins; None where that is known only in a run."""
    given = task.start_trigger_args
    group = task.task_group
    if not isinstance(given, StartTriggerArgs) or task.is_mapped or (group is not None and group.is_mapped_inside):
        return None
    if given.timeout is not None and not isinstance(given.timeout, timedelta):
        return None
    kwargs, next_kwargs = _data(given.trigger_kwargs), _data(given.next_kwargs)
    if kwargs is None or next_kwargs is None:
        return None
    return StartTriggerSpec(
        classpath=given.trigger_cls,
        kwargs=kwargs,
        next_method=given.next_method,
        next_kwargs=next_kwargs,
        timeout=None if given.timeout is None else given.timeout.total_seconds(),
    )


def _data(values: dict[str, Any] | None) -> str | None:
    """`values` as JSON text; None where something in them is no data, or may be a template."""
    try:
        text = xcom_codec.encode(dict(values or {}), what="the trigger's arguments")
    except XComError:
        return None
    return None if templating.may_be_template(text) else text
