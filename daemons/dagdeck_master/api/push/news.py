"""What may have changed: the hints that sources give and the rows read for them.

Decides nothing; these are the values that pass between `sources`, `reader` and the topics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from dagdeck_core.wire import LogTail, WorkerSample
from dagdeck_master.api.models.runs import DAGRunResponse


@dataclass(slots=True, kw_only=True)
class Hints:
    """Runs and task instances whose rows may have changed, and what only the queue carries."""

    runs: set[int] = field(default_factory=set)
    tasks: dict[int, set[int]] = field(default_factory=dict)
    """run_key → task instances."""
    logs: list[LogTail] = field(default_factory=list)
    samples: list[WorkerSample] = field(default_factory=list)
    is_gap: bool = False
    """Something was missed, nobody knows what: everything shown must be compared with the rows."""

    def add(self, other: Hints) -> None:
        """Take over what `other` says."""
        self.runs |= other.runs
        for run_key, ids in other.tasks.items():
            self.tasks.setdefault(run_key, set()).update(ids)
        self.logs += other.logs
        self.samples += other.samples
        self.is_gap = self.is_gap or other.is_gap

    def note(self, items: Iterable[tuple[int, int]]) -> None:
        """Note (run_key, ti_id) pairs; ti_id 0 is the run itself."""
        for run_key, ti_id in items:
            if ti_id:
                self.tasks.setdefault(run_key, set()).add(ti_id)
            else:
                self.runs.add(run_key)

    @property
    def has_rows(self) -> bool:
        """Whether rows or logs are to be looked at."""
        return bool(self.runs or self.tasks or self.logs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A run's row as it is shown, and how many task instances it had then."""

    shown: DAGRunResponse
    created_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What the topics look at: hints, with the rows of the runs already read (None: the run is gone)."""

    runs: Mapping[int, RunState | None]
    tasks: Mapping[int, set[int]]
    logs: Mapping[int, list[LogTail]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a topic has to tell: a new snapshot instead of all before, then frames as they are, then a diff."""

    is_reset: bool = False
    frames: tuple[bytes, ...] = ()
    diff: dict[str, Any] | None = None


class LiveTopic(Protocol):
    """A topic that somebody listens to: it knows what was told and finds out what is new.

    Used by the reader's thread only. Methods that read may raise EnvironmentFault; then `compare` is called later.
    """

    can_resume: bool
    """Whether a stream may go on with kept diffs instead of a snapshot."""
    poll_interval: float | None
    """Seconds between calls of `poll`, when there is something that no hint announces."""

    def load(self, connection: sa.Connection) -> None:
        """Read everything anew."""

    def snapshot(self) -> Any:
        """All of it, as it was told."""

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """What is new of what the news are about."""

    def poll(self, connection: sa.Connection) -> Update | None:
        """What is new of that which no hint announces."""

    def compare(self, connection: sa.Connection) -> Update | None:
        """What is new of everything."""


def changed(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[Any]:
    """The values of `new` that `old` does not have under the same key."""
    return [value for key, value in new.items() if old.get(key) != value]
