"""When a time zone's offset from UTC changes, read from nothing but its tzinfo.

Decides where the stretches of constant offset begin and end. Does not load zones (dagdeck_io.zones
does) and knows no policy. Called by `dagdeck_core.cron`, which needs exact transitions, and by
anything that shows them. All instants are whole seconds since 1970-01-01T00:00Z.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = EPOCH.toordinal()

FIRST_INSTANT = (datetime(2, 1, 1, tzinfo=UTC) - EPOCH).days * DAY
"""Nothing is computed before this instant, so that local times stay within datetime's range."""

LAST_INSTANT = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH).days * DAY
"""Nothing is computed from this instant on, for the same reason."""

_PROBE = 2 * DAY
"""Distance of probes for a changed offset: far below the seven days that the tz database's closest
pair of transitions since 1970 lies apart, so that no pair can cancel out unseen."""

_QUIET = 3 * DAY
"""A known stretch ends only where no transition is this near, so that the effects of a transition
(a local date may be skipped or repeated, 24 hours) never reach across its end."""

_BLOCK = 3_653 * DAY
"""How far the known stretch grows at once: ten years."""


class OffsetSpan(NamedTuple):
    """A stretch [start, end) of instants with one UTC offset, and the offsets around it, in seconds."""

    start: int
    end: int
    offset: int
    offset_before: int
    offset_after: int


class _Known(NamedTuple):
    """The stretch [low, high) that was examined: its start and its transitions, each with the offset
    from there on."""

    low: int
    high: int
    starts: tuple[int, ...]
    offsets: tuple[int, ...]


def to_epoch_seconds(moment: datetime) -> int:
    """The whole seconds since 1970 of an aware moment, rounded down."""
    delta = moment - EPOCH
    return delta.days * DAY + delta.seconds


def from_epoch_seconds(second: int) -> datetime:
    """The aware UTC datetime of a second since 1970."""
    return EPOCH + timedelta(seconds=second)


class ZoneOffsets:
    """The offset spans of one zone, found by probing and bisecting, remembered as far as asked for."""

    __slots__ = ("_known", "_latest", "zone")

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._latest = OffsetSpan(0, 0, 0, 0, 0)
        # Replaced as a whole, never changed, so that readers in other threads need no lock.
        self._known = _Known(0, 0, (), ())
        if isinstance(zone, timezone):
            self._known = _Known(FIRST_INSTANT, LAST_INSTANT, (FIRST_INSTANT,), (self.offset_at(0),))

    def offset_at(self, second: int) -> int:
        """The zone's offset from UTC at an instant, in seconds."""
        offset = from_epoch_seconds(second).astimezone(self.zone).utcoffset()
        return 0 if offset is None else offset.days * DAY + offset.seconds

    def span_at(self, second: int) -> OffsetSpan:
        """The span that contains an instant.

        Its ends are transitions, or arbitrary points far from any, where both offsets are equal.
        """
        span = self._latest
        if span.start <= second < span.end:
            return span
        known = self._known
        if not known.low <= second < known.high:
            known = self._learn(second)
        at = bisect_right(known.starts, second) - 1
        offset = known.offsets[at]
        before = known.offsets[max(at - 1, 0)]
        if at == len(known.starts) - 1:
            span = OffsetSpan(known.starts[at], known.high, offset, before, offset)
        else:
            span = OffsetSpan(known.starts[at], known.starts[at + 1], offset, before, known.offsets[at + 1])
        self._latest = span
        return span

    def transitions(self, start: int, end: int) -> list[OffsetSpan]:
        """The spans that begin with a change of offset within [start, end), in order."""
        found: list[OffsetSpan] = []
        at = start
        while at < end:
            span = self.span_at(at)
            fresh = not found or found[-1].start != span.start
            if span.start >= start and span.offset != span.offset_before and fresh:
                found.append(span)
            at = span.end
        return found

    def _learn(self, second: int) -> _Known:
        """Grow the known stretch until it contains the instant."""
        low, high, starts, offsets = self._known
        if low == high:
            low = self._quiet_point(second - _BLOCK // 2, -_QUIET)
            high = self._quiet_point(second + _BLOCK // 2, _QUIET)
            changes = [(low, self.offset_at(low)), *self._changes(low, high)]
        elif second < low:
            low, known_from = self._quiet_point(second - _BLOCK, -_QUIET), low
            earlier = [(low, self.offset_at(low)), *self._changes(low, known_from)]
            changes = [*earlier, *zip(starts[1:], offsets[1:], strict=True)]
        else:
            high, known_to = self._quiet_point(second + _BLOCK, _QUIET), high
            changes = [*zip(starts, offsets, strict=True), *self._changes(known_to, high)]
        self._known = _Known(low, high, tuple(at for at, _ in changes), tuple(to for _, to in changes))
        return self._known

    def _quiet_point(self, second: int, step: int) -> int:
        """The nearest point in the step's direction around which the offset does not change."""
        while FIRST_INSTANT < second < LAST_INSTANT:
            around = range(second - _QUIET, second + _QUIET + 1, _QUIET // 3)
            if len({self.offset_at(point) for point in around}) == 1:
                return second
            second += step
        return min(max(second, FIRST_INSTANT), LAST_INSTANT)

    def _changes(self, low: int, high: int) -> list[tuple[int, int]]:
        """Each instant in (low, high) at which the offset changes, with the new offset."""
        changes = []
        before, offset_before = low, self.offset_at(low)
        while before < high - 1:
            point = min(before + _PROBE, high - 1)
            offset = self.offset_at(point)
            if offset != offset_before:
                changes.append((self._bisect(before, point, offset_before), offset))
            before, offset_before = point, offset
        return changes

    def _bisect(self, before: int, after: int, offset_before: int) -> int:
        """The first instant in (before, after] whose offset differs from that of `before`."""
        while after - before > 1:
            middle = (before + after) // 2
            if self.offset_at(middle) == offset_before:
                before = middle
            else:
                after = middle
        return after


@functools.lru_cache(maxsize=1024)
def zone_offsets(zone: tzinfo) -> ZoneOffsets:
    """The offsets of a zone, shared by all schedules that use the same tzinfo object."""
    return ZoneOffsets(zone)
