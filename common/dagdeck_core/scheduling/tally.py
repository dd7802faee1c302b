"""What the machine counts of its own work.

Decides what is counted; the modules beside it say when. Costs an addition per event and keeps nothing per task.
Read by the scheduler's loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from dagdeck_core.ids import id_time_ms
from dagdeck_core.measures import LONG, SHORT, Histogram, MachineFigures
from dagdeck_core.records import RunRecord, TaskRecord
from dagdeck_core.scheduling.run_state import RunState
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState

_ENDED = (DagRunState.SUCCESS, DagRunState.FAILED)


class Tally:
    """Counts since the machine was made."""

    __slots__ = ("_dispatch_latency", "_run_durations", "_run_moves", "_schedule_delay", "task_moves", "workers_lost")

    def __init__(self) -> None:
        self.task_moves: dict[TaskInstanceState, int] = dict.fromkeys(TaskInstanceState, 0)
        """Raised by `World.shift` itself: it is the one way of every task instance."""
        self.workers_lost = 0
        self._run_moves: dict[DagRunState, int] = dict.fromkeys(DagRunState, 0)
        self._run_durations = {state: Histogram.over(LONG) for state in _ENDED}
        self._schedule_delay = Histogram.over(LONG)
        self._dispatch_latency = Histogram.over(SHORT)

    def run_created(self, record: RunRecord) -> None:
        """A run was made, queued."""
        self._run_moves[DagRunState.QUEUED] += 1
        if record.run_type is DagRunType.SCHEDULED:
            self._schedule_delay.observe((record.queued_at - record.run_after).total_seconds())

    def run_moved(self, record: RunRecord, now: datetime) -> None:
        """A run took the state that it has now."""
        self._run_moves[record.state] += 1
        if record.state in self._run_durations and record.start_date is not None:
            self._run_durations[record.state].observe((now - record.start_date).total_seconds())

    def heard_running(self, dispatch_no: int, now_ms: int, ran_for: float = 0.0) -> None:
        """A worker was heard to have run the dispatch for so many seconds."""
        self._dispatch_latency.observe((now_ms - id_time_ms(dispatch_no)) / 1000 - ran_for)

    def reloaded(self, known: RunState | None, rows: Iterable[TaskRecord]) -> None:
        """A run that may be `known` was read: what its workers did meanwhile, and nobody reported, counts too."""
        if known is None:
            return
        for row in rows:
            task = known.by_id.get(row.ti_id)
            if task is not None and task.state is not row.state:
                self.task_moves[row.state] += 1

    def figures(self) -> MachineFigures:
        """All of it, to be published."""
        return MachineFigures(
            task_moves={state.value: number for state, number in self.task_moves.items()},
            run_moves={state.value: number for state, number in self._run_moves.items()},
            run_durations={state.value: each for state, each in self._run_durations.items()},
            schedule_delay=self._schedule_delay,
            dispatch_latency=self._dispatch_latency,
            workers_lost=self.workers_lost,
        )
