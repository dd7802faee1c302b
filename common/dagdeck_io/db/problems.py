"""What a daemon cannot do now until somebody helps, such as making room on a disk: told where people look.

Decides how such a problem is kept, that it counts only while it is told again and again, and its words for anybody.
Does not decide what a problem is (the daemon that has it does). Told by the scheduler's housekeeping and by workers;
read by the control API's readiness and metrics, and by `dagdeckd doctor`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from dagdeck_core.errors import DagDeckError
from dagdeck_io.db.cluster_tables import problem
from dagdeck_io.db.dialects import REPLACE, HotConnection, with_retry

_log = logging.getLogger(__name__)
TOLD_AGAIN = 60.0
"""Seconds after which a problem that goes on is told again."""
COUNTS_FOR = timedelta(minutes=15)
"""A problem that was not told for so long is taken to be over, or its daemon to be gone."""


class Problem(StrEnum):
    """What may go wrong for long."""

    RETENTION = "retention"
    BUNDLES = "bundles"


WORDS = {
    Problem.RETENTION: "old rows cannot be archived or deleted",
    Problem.BUNDLES: "DAG code cannot be unpacked, so tasks are handed back",
}
"""For anybody, without names of folders and servers."""


@dataclass(slots=True, kw_only=True)
class Problems:
    """Tells of the problems of `owner`. Connects when there is a first one; used by one thread. Never raises."""

    connection: HotConnection
    owner: str
    monotonic: Callable[[], float] = time.monotonic
    _told: dict[Problem, tuple[str, float]] = field(default_factory=dict, init=False)

    def tell(self, name: Problem, message: str) -> None:
        """There is this problem, still or now."""
        now = self.monotonic()
        text, told_at = self._told.get(name, ("", 0.0))
        if text == message and now - told_at < TOLD_AGAIN:
            return
        script = self.connection.script()
        where = f"name = {script.text(name)} AND owner = {script.text(self.owner)}"
        clock = script.dialect.now
        if name in self._told:
            script.add(f"UPDATE problem SET told_at = {clock}, message = {script.text(message)} WHERE {where}")
        else:
            values = f"({script.text(name)},{script.text(self.owner)},{script.text(message)},{clock},{clock})"
            script.add(f"{REPLACE} problem (name, owner, message, since, told_at) VALUES {values}")
        if self._write(script):
            self._told[name] = (message, now)

    def over(self, name: Problem) -> None:
        """There is no such problem any more. Costs nothing unless there was one."""
        if name not in self._told:
            return
        script = self.connection.script()
        script.add(f"DELETE FROM problem WHERE name = {script.text(name)} AND owner = {script.text(self.owner)}")
        if self._write(script):
            del self._told[name]

    def _write(self, script: object) -> bool:
        try:
            with_retry(lambda: self.connection.run(script))  # type: ignore[arg-type]
        except DagDeckError as error:
            _log.debug("a problem could not be told: %s", error.message)
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldProblem:
    """One problem as it is now. `since` is by the database's clock."""

    name: str
    owner: str
    message: str
    since: datetime

    @property
    def words(self) -> str:
        """For anybody."""
        return f"{self.owner}: {WORDS[Problem(self.name)] if self.name in set(Problem) else self.name}"


def problems_now(connection: sa.Connection, now: datetime) -> list[ToldProblem]:
    """What is told at the moment `now` of the database's clock."""
    found = sa.select(problem).where(problem.c.told_at >= now - COUNTS_FOR).order_by(problem.c.name, problem.c.owner)
    return [
        ToldProblem(name=row.name, owner=row.owner, message=row.message, since=row.since)
        for row in connection.execute(found)
    ]
