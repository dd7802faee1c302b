"""What classes that extend the built-in timetables find in them: the expression, the zone, the beats before and after.

Decides the names, which are those of Airflow's own classes, and which runs follow from beats that such a class has
changed. Does not compute beats of its own (`dagdeck_core.timetables` does). Mixed into the timetables of
`dagdeck.timetables` that have a rhythm.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dagdeck.timetable_values import DagRunInfo, DataInterval, TimeRestriction
from dagdeck_core.timetables.rhythms import Rhythm

BEATS = ("_get_next", "_get_prev", "_align_to_next", "_align_to_prev", "_skip_to_latest")
"""Methods that a class of an author's may override instead of `next_dagrun_info`."""


def plain_utc(moment: datetime) -> datetime:
    """The same instant as a datetime of the standard library, in UTC; pendulum's calculate in other ways."""
    plain = datetime(*moment.timetuple()[:6], moment.microsecond, tzinfo=moment.tzinfo, fold=moment.fold)
    return plain.astimezone(UTC)


def as_pendulum(moment: datetime) -> Any:
    """The same instant as pendulum's, in UTC."""
    import pendulum

    return pendulum.instance(moment, tz="UTC")


class WithBeats:
    """For timetables with a cron expression or a delta, whose spec holds it."""

    _spec: Any
    rhythm: Rhythm
    makes_intervals: ClassVar[bool] = False

    @property
    def _expression(self) -> str:
        return str(self._spec.cron)

    @property
    def _timezone(self) -> Any:
        import pendulum

        return pendulum.timezone(self._spec.timezone)

    @property
    def _delta(self) -> Any:
        delta = self._spec.delta
        if not delta.months:
            return delta.duration
        from dateutil.relativedelta import relativedelta

        return relativedelta(months=delta.months) + delta.duration

    @property
    def _interval(self) -> timedelta:
        return self._spec.interval.duration

    def _get_next(self, current: Any) -> Any:
        """The first beat after a moment."""
        return as_pendulum(self.rhythm.next_after(plain_utc(current)))

    def _get_prev(self, current: Any) -> Any:
        """The last beat before a moment."""
        return as_pendulum(self.rhythm.previous_before(plain_utc(current)))

    def _align_to_next(self, current: Any) -> Any:
        """The moment if it is a beat, else the next one."""
        return as_pendulum(self.rhythm.at_or_after(plain_utc(current)))

    def _align_to_prev(self, current: Any) -> Any:
        """The moment if it is a beat, else the one before."""
        return as_pendulum(self.rhythm.at_or_before(plain_utc(current)))

    def _skip_to_latest(self, earliest: Any) -> Any:
        """Without catchup: where the first run that may still be made starts."""
        latest = as_pendulum(self.rhythm.start_of_latest_interval(datetime.now(UTC)))
        return latest if earliest is None else max(latest, self._align_to_next(earliest))

    @property
    def has_own_beats(self) -> bool:
        """Whether its class changes what the beats are, and its runs are about the intervals between them."""
        return self.makes_intervals and any(getattr(type(self), name) is not getattr(WithBeats, name) for name in BEATS)

    def next_by_beats(self, last: DataInterval | None, restriction: TimeRestriction) -> DagRunInfo | None:
        """The next interval between beats, for a class that changes them."""
        earliest = restriction.earliest
        if not restriction.catchup:
            earliest = self._skip_to_latest(earliest)
        elif earliest is not None:
            earliest = self._align_to_next(earliest)
        if last is None:
            start = earliest
        else:
            start = self._align_to_prev(last.end)
            if earliest is not None:
                start = max(start, earliest)
            if start <= last.start:
                start = self._get_next(start)
        if start is None or (restriction.latest is not None and start > restriction.latest):
            return None
        return DagRunInfo.interval(start, self._get_next(start))
