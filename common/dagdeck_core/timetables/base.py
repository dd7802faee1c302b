"""The vocabulary around timetables: intervals, restrictions, answers, and what every timetable can do.

Decides nothing; the modules beside it implement `Timetable`. The scheduler, the API and the authoring
package use these values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol, Self

from dagdeck_core.errors import Bug
from dagdeck_core.states import DagRunType

ZoneLoader = Callable[[str], tzinfo]
"""Gives the tzinfo of a zone name; raises UserError for a name it does not know."""

BY_INTERVAL = ("data_interval_end", "logical_date")
BY_LOGICAL_DATE = ("logical_date",)


def require_aware_utc(moment: datetime, what: str) -> datetime:
    """The moment in UTC; a naive one is a bug of the caller, since times are aware from the boundary on."""
    offset = moment.utcoffset()
    if offset is None:
        raise Bug(f"{what} is a naive datetime: {moment!r}")
    if moment.tzinfo is UTC:
        return moment
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInterval:
    """The stretch of time whose data a dag run works on: from `start` up to `end`, both aware UTC."""

    start: datetime
    end: datetime

    @classmethod
    def exact(cls, at: datetime) -> Self:
        """An interval without length, for schedules that mean points in time."""
        return cls(start=at, end=at)

    @property
    def length(self) -> timedelta:
        """How long the interval is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRestriction:
    """What a DAG allows: its start and end dates (both inclusive, either may be None) and catchup.

    Without catchup, missed runs are left out: only the latest one before now is still due.
    """

    earliest: datetime | None = None
    latest: datetime | None = None
    catchup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRunInfo:
    """A run that a timetable asks for: not before `run_after`, about `data_interval`.

    The rest is said by timetables of authors alone: a run id of their own, and the partition that the run is about. A
    run without dates has no logical date and no interval; `data_interval` is then where the next run is asked after.
    """

    run_after: datetime
    data_interval: DataInterval
    run_id: str = ""
    partition_key: str | None = None
    partition_date: datetime | None = None
    is_dateless: bool = False

    @classmethod
    def exact(cls, at: datetime) -> Self:
        """A run at a point in time, about that point."""
        return cls(run_after=at, data_interval=DataInterval.exact(at))

    @classmethod
    def interval(cls, start: datetime, end: datetime) -> Self:
        """A run at the end of the interval that it is about."""
        return cls(run_after=end, data_interval=DataInterval(start=start, end=end))

    @property
    def logical_date(self) -> datetime:
        """The date that names the run: where its data interval starts."""
        return self.data_interval.start


class Timetable(Protocol):
    """Answers when a DAG runs. Pure: `now` is an argument, and equal questions get equal answers."""

    @property
    def summary(self) -> str:
        """A few words for a table cell: the cron expression, `@once`, `None`."""
        ...

    @property
    def description(self) -> str:
        """One sentence for people: "At 07:30 on Monday"."""
        ...

    @property
    def periodic(self) -> bool:
        """Whether runs repeat in time by themselves."""
        ...

    @property
    def can_be_scheduled(self) -> bool:
        """Whether anything but a person or another DAG can start a run."""
        ...

    @property
    def run_ordering(self) -> tuple[str, ...]:
        """The dag run's fields by which people see runs sorted."""
        ...

    @property
    def active_runs_limit(self) -> int | None:
        """How many runs may be active at most, where the timetable itself demands a limit."""
        ...

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        """The next run to create after the last scheduled or backfilled one, or None if there is none.

        The answer may lie in the past (it is due) or in the future. None means "nothing as things
        stand"; asked at another time, the answer may differ. Arguments are aware datetimes, the
        answer is in UTC. CustomSpec's timetable raises UserError: user code is evaluated elsewhere.
        """
        ...

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """The data interval of a run that a person starts at `run_after`."""
        ...

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        """The id of such a run, unique within the DAG as long as run_type and run_after are."""
        ...


def run_id_for(run_type: DagRunType, run_after: datetime, suffix: str = "") -> str:
    """`scheduled__2026-11-24T00:00:00+00:00`: the run's type and the time it may start at, in UTC.

    `suffix` is appended after `_`; runs without a logical date need one that the caller made unique,
    since several of them may have one `run_after`.
    """
    run_id = f"{run_type.value}__{require_aware_utc(run_after, 'run_after').isoformat()}"
    return f"{run_id}_{suffix}" if suffix else run_id
