"""Wake-ups: APScheduler tells the loop that a DAG's next run may be due.

Decides nothing and holds no truth: its jobs only post, and after a restart they are made anew from the
rows. Called by the loop, which gives it moments that the machine decided.

A job that is late is not dropped (no misfire limit), and several missed firings are one (coalesce):
the machine looks at the time itself and creates what is due.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.debug import DebugExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger


class MomentTrigger(BaseTrigger):
    """Fires once, at the moment stored as a DAG's next_run_after."""

    __slots__ = ("at",)

    def __init__(self, at: datetime) -> None:
        self.at = at

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The moment, until it has fired; APScheduler fires at once when it has passed."""
        return self.at if previous_fire_time is None else None


class Wakeups:
    """One job per DAG with a next run. `post` is called in its thread."""

    def __init__(self, post: Callable[[str], None]) -> None:
        self._post = post
        # The jobs only append to a list, so they run in the timer's own thread: no pool, no hand-over.
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": DebugExecutor()},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        """Begin to fire."""
        self._scheduler.start()

    def set(self, dag_id: str, at: datetime | None) -> None:
        """Wake the loop for a DAG at `at` (aware UTC); None: not any more. Replaces the DAG's earlier wake-up."""
        job_id = f"dag:{dag_id}"
        if at is None:
            try:
                self._scheduler.remove_job(job_id)
            except JobLookupError:
                pass
            return
        arguments: dict[str, Any] = {"args": (dag_id,), "id": job_id, "replace_existing": True}
        self._scheduler.add_job(self._post, trigger=MomentTrigger(at), **arguments)

    def stop(self) -> None:
        """Fire no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
