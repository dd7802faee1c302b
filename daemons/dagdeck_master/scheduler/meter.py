"""The loop's own figures, and when all of the scheduler's figures are published.

Decides what counts as a round and that publishing is rare and bounded. Does not decide what the machine counts
(`dagdeck_core.scheduling.tally`). Called by `loop` around each round.
"""

from __future__ import annotations

from collections.abc import Callable

from dagdeck_core.measures import SHORT, Histogram, SchedulerFigures
from dagdeck_core.scheduling.machine import Machine

Publish = Callable[[SchedulerFigures], None]


class Meter:
    """Counts of one scheduler process. `publish` gets all figures every `interval` seconds; None: nobody wants them."""

    def __init__(self, publish: Publish | None, interval: float) -> None:
        self._publish = publish
        self._interval = interval
        self._due_at = 0.0
        self._rounds = Histogram.over(SHORT)
        self._failed_commits = 0
        self._database_faults = 0
        self._queue_faults = 0

    def round_done(self, seconds: float, *, guard_failed: bool) -> None:
        """A round came to its end after so many seconds."""
        self._rounds.observe(seconds)
        self._failed_commits += guard_failed

    def database_failed(self) -> None:
        """The database did not answer."""
        self._database_faults += 1

    def queue_failed(self) -> None:
        """The queue did not answer."""
        self._queue_faults += 1

    def publish(self, mono: float, machine: Machine, *, queue_is_up: bool) -> None:
        """Publish when it is time to. `mono`: monotonic seconds."""
        if self._publish is None or mono < self._due_at:
            return
        self._due_at = mono + self._interval
        self._publish(
            SchedulerFigures(
                machine=machine.figures(),
                rounds=self._rounds,
                failed_commits=self._failed_commits,
                database_faults=self._database_faults,
                queue_faults=self._queue_faults,
                queue_is_up=queue_is_up,
                runs_in_memory=machine.runs_held,
            )
        )
