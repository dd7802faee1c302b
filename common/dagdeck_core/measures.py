"""Figures that daemons keep of their own work: counts and histograms, and how they travel to where they are shown.

Decides their shape and the bounds of histograms. Does not decide where they are kept or how monitoring systems read
them (the control API's `metrics`). Raised by the scheduling machine, the scheduler's loop and the DAG processor; a
figure costs an addition, and nothing is stored on a task's way.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: bounds for what takes a moment, such as a round of a loop or the way of a task to its worker."""
LONG = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)
"""Seconds: bounds for what people wait for, such as a run."""


class Histogram(msgspec.Struct, kw_only=True):
    """How many values lie up to each bound. `counts` has one place more than `bounds`: for what is beyond."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0
    """The sum of all values."""

    @classmethod
    def over(cls, bounds: tuple[float, ...]) -> Histogram:
        """An empty one with these bounds, in ascending order."""
        return cls(bounds=bounds, counts=[0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Take in one value; below zero counts as zero (clocks of two machines were compared)."""
        value = max(value, 0.0)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class MachineFigures(msgspec.Struct, kw_only=True):
    """What the scheduling machine decided or heard since it was made. Keys are states."""

    task_moves: dict[str, int]
    """How often a task instance took the state."""
    run_moves: dict[str, int]
    """How often a dag run took the state."""
    run_durations: dict[str, Histogram]
    """Seconds from a run's start to its end, by the state in which it ended."""
    schedule_delay: Histogram
    """Seconds from the moment for which a timetable asked for a run to its creation."""
    dispatch_latency: Histogram
    """Seconds from the decision to queue a task instance until a worker was heard to run it."""
    workers_lost: int = 0


class SchedulerFigures(msgspec.Struct, kw_only=True):
    """What the leading scheduler publishes. `machine` begins anew whenever the lead is taken."""

    machine: MachineFigures
    rounds: Histogram
    """Seconds of the loop's rounds, without waiting."""
    failed_commits: int = 0
    """Rounds whose rows had changed under them; they are decided again."""
    database_faults: int = 0
    queue_faults: int = 0
    queue_is_up: bool = False
    runs_in_memory: int = 0


class ProcessorFigures(msgspec.Struct, kw_only=True):
    """What the DAG processor publishes."""

    rounds: dict[str, int]
    """How many rounds came to which result."""
    parses: Histogram
    """Seconds that files took to be parsed."""
    failed_parses: int = 0
    files: int = 0
    """DAG files in the folder now."""
    files_with_errors: int = 0
    publishing: Histogram
    """Seconds of storing what was parsed."""
    last_published: float | None = None
    """Unix time."""


class ProcessFigures(msgspec.Struct, kw_only=True):
    """What the system says of one process; None where it does not tell."""

    started_at: float
    """Unix time."""
    cpu_seconds: float
    resident_bytes: int | None = None
    open_files: int | None = None
