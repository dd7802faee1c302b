"""Timers of the machine: what becomes due when, in order.

Decides nothing; it is a heap with lazy removal. Whoever pops an entry checks that it still holds.
"""

from __future__ import annotations

import heapq
from datetime import datetime
from enum import StrEnum


class TimerKind(StrEnum):
    """What a timer wakes."""

    TASK = "task"
    """A task instance may run again (retry, reschedule); subject: run_key, ti_id."""
    OFFER = "offer"
    """A dispatch was offered and perhaps never heard of; subject: run_key, ti_id."""
    RUN_TIMEOUT = "run_timeout"
    """A run has been running for its dagrun_timeout; subject: run_key."""
    RUN_AFTER = "run_after"
    """A queued run's run_after has come; subject: run_key."""
    DAG = "dag"
    """A DAG's next run is due; subject: dag_id."""
    DEADLINE = "deadline"
    """A run should have ended; subject: run_key, deadline_id in the place of ti_id."""
    WORK = "work"
    """Other work was offered and perhaps never heard of; subject: work_id in the place of ti_id."""


Timer = tuple[datetime, TimerKind, int, int, str]
"""(moment, kind, run_key, ti_id, dag_id)."""


class Timers:
    """A heap of timers."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[Timer] = []

    def set(self, at: datetime, kind: TimerKind, run_key: int = 0, ti_id: int = 0, dag_id: str = "") -> None:
        """Wake `kind` of this subject at `at`. Setting the same twice wakes twice."""
        heapq.heappush(self._heap, (at, kind, run_key, ti_id, dag_id))

    def pop_due(self, now: datetime) -> Timer | None:
        """The earliest timer due at `now`, removed; None when there is none."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)
        return None

    @property
    def next_at(self) -> datetime | None:
        """When the next timer is due."""
        return self._heap[0][0] if self._heap else None
