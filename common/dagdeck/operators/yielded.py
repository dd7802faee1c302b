"""What a task's code yields: Metadata goes to the events of its outlets.

Decides that anything else that a generator yields is left out, with a warning, and that its return value is the
task's. Called by the operators that call functions, and by `dagdeck_task.execution` for an `execute` that yields.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

from dagdeck.assets import Metadata
from dagdeck.runtime import get_current_context

_log = logging.getLogger("dagdeck.task")


def take_metadata(item: Any) -> bool:
    """Add yielded Metadata to the event of its asset; False for anything else."""
    if not isinstance(item, Metadata):
        return False
    outlet_events = get_current_context()["outlet_events"]
    outlet_events[item.asset].extra.update(item.extra)
    if item.alias is not None:
        outlet_events[item.alias].add(item.asset, extra=item.extra)
    return True


def exhausted(generator: Generator[Any, Any, Any]) -> Any:
    """Run a generator to its end; returns what it returns."""
    while True:
        try:
            item = next(generator)
        except StopIteration as stop:
            return stop.value
        if not take_metadata(item):
            _log.warning("Ignoring a yielded %s: a task may yield Metadata only", type(item).__name__)
