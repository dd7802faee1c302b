"""How long tasks waited for the scheduler: from when nothing held them back any more to when they began.

Decides which task instances count. Does not know where they come from (`run`, `shape`). Used by the DAG page's cards.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dagdeck_client.models import StructureEdge
from dagdeck_desktop.viewmodels.run import TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Seconds of each first start, in the order of the starts, and their median; None without any."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float | None:
        """The middle one."""
        return statistics.median(self.seconds) if self.seconds else None


def lag_of(
    instances: Mapping[str, Iterable[TaskRow]], edges: Sequence[StructureEdge], run_start: datetime | None
) -> Lag:
    """From the end of a task's last upstream task (for a first one: from the start of its run) to its start.

    Only first tries count: a retry waits on purpose. A task that began before its upstream tasks were done, as some
    trigger rules let it, tells nothing.
    """
    ends: dict[str, datetime | None] = {}
    for task_id, rows in instances.items():
        own = [row.end_date for row in rows]
        ends[task_id] = None if None in own else max((end for end in own if end is not None), default=None)
    upstream: dict[str, list[str]] = {}
    for edge in edges:
        upstream.setdefault(edge.target_id, []).append(edge.source_id)
    found: list[tuple[datetime, float]] = []
    for task_id, rows in instances.items():
        before = [ends.get(name) for name in upstream.get(task_id, ())]
        ready = max((end for end in before if end is not None), default=None) if before else run_start
        if ready is None or None in before:
            continue
        found += [
            (row.start_date, (row.start_date - ready).total_seconds())
            for row in rows
            if row.start_date is not None and row.try_number == 1 and row.start_date >= ready
        ]
    return Lag(seconds=tuple(seconds for _start, seconds in sorted(found)))
