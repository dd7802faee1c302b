"""The instants at which a cron expression fires in a zone, exact over every move of the clock.

Decides how wall times become instants under a DST policy. The set of fires is defined first and
searched second, so next and previous always agree: every instant whose local wall time matches,
less the occurrences that the overlap rule drops, plus what the gap rule makes of matching wall times
that do not exist. Two wall times that meet in one instant are one fire. Called by the timetables and
by previews.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from dagdeck_core.cron.parsing import CronExpression
from dagdeck_core.dst import DstGap, DstOverlap, DstPolicy
from dagdeck_core.zones import (
    FIRST_INSTANT,
    LAST_INSTANT,
    OffsetSpan,
    ZoneOffsets,
    from_epoch_seconds,
    to_epoch_seconds,
)


class CronFires:
    """All fires of one expression in one zone under one policy. Instants are aware; answers are UTC.

    Answers are None past the years 2 to 9998, where no calendar arithmetic is done.
    """

    __slots__ = ("_overlap", "_wall_times", "expression", "gap_rule", "policy", "zone")

    def __init__(self, expression: CronExpression, zone: ZoneOffsets, policy: DstPolicy) -> None:
        self.expression = expression
        self.policy = policy
        self._wall_times = expression.wall_times
        self.zone = zone
        elapsed = expression.follows_elapsed_time(policy.elapsed)
        # An expression that follows elapsed time has nothing to make up for.
        self.gap_rule = DstGap.SKIP if elapsed else policy.gap
        self._overlap = DstOverlap.BOTH if elapsed else policy.overlap

    def next_after(self, moment: datetime) -> datetime | None:
        """The first fire strictly after the moment."""
        return self._forward(to_epoch_seconds(moment) + 1)

    def at_or_after(self, moment: datetime) -> datetime | None:
        """The moment itself if it is a fire, else the next one."""
        return self._forward(to_epoch_seconds(moment) + (1 if moment.microsecond else 0))

    def previous_before(self, moment: datetime) -> datetime | None:
        """The last fire strictly before the moment."""
        return self._backward(to_epoch_seconds(moment) - (0 if moment.microsecond else 1))

    def at_or_before(self, moment: datetime) -> datetime | None:
        """The moment itself if it is a fire, else the previous one."""
        return self._backward(to_epoch_seconds(moment))

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The fires within [start, end), in order."""
        fire = self.at_or_after(start)
        while fire is not None and fire < end:
            yield fire
            fire = self.next_after(fire)

    def _forward(self, second: int) -> datetime | None:
        second = max(second, FIRST_INSTANT)
        while second < LAST_INSTANT:
            span = self.zone.span_at(second)
            found = self._first_in(span, second)
            if found is not None:
                return from_epoch_seconds(found)
            second = span.end
        return None

    def _backward(self, second: int) -> datetime | None:
        second = min(second, LAST_INSTANT - 1)
        while second >= FIRST_INSTANT:
            span = self.zone.span_at(second)
            found = self._last_in(span, second)
            if found is not None:
                return from_epoch_seconds(found)
            second = span.start - 1
        return None

    def _wall_range(self, span: OffsetSpan) -> tuple[int, int]:
        """The wall times [low, high) of a span that count in it, by the overlap rule."""
        low, high = span.start + span.offset, span.end + span.offset
        if span.offset_before > span.offset and self._overlap is DstOverlap.FIRST:
            low = span.start + span.offset_before
        if span.offset_after < span.offset and self._overlap is DstOverlap.SECOND:
            high = span.end + span.offset_after
        return low, high

    def _first_in(self, span: OffsetSpan, second: int) -> int | None:
        """The first fire of a span at or after one of its instants."""
        low, high = self._wall_range(span)
        wall = self._wall_times.next_from(max(low, second + span.offset))
        found = wall - span.offset if wall is not None and wall < high else None
        if span.offset_before < span.offset and self.gap_rule is not DstGap.SKIP:
            made_up = self._first_from_gap(span, second)
            if made_up is not None and (found is None or made_up < found):
                return made_up
        return found

    def _last_in(self, span: OffsetSpan, second: int) -> int | None:
        """The last fire of a span at or before one of its instants."""
        low, high = self._wall_range(span)
        wall = self._wall_times.previous_from(min(high - 1, second + span.offset))
        found = wall - span.offset if wall is not None and wall >= low else None
        if span.offset_before < span.offset and self.gap_rule is not DstGap.SKIP:
            made_up = self._last_from_gap(span, second)
            if made_up is not None and (found is None or made_up > found):
                return made_up
        return found

    def _first_from_gap(self, span: OffsetSpan, second: int) -> int | None:
        """The first fire at or after `second` made of the wall times that the span's start left out."""
        gap_start, gap_end = span.start + span.offset_before, span.start + span.offset
        if self.gap_rule is DstGap.AFTER:
            wall = self._wall_times.next_from(gap_start)
            due = wall is not None and wall < gap_end and second <= span.start
            return span.start if due else None
        wall = self._wall_times.next_from(max(second + span.offset_before, gap_start))
        return wall - span.offset_before if wall is not None and wall < gap_end else None

    def _last_from_gap(self, span: OffsetSpan, second: int) -> int | None:
        """The last fire at or before `second` made of the wall times that the span's start left out."""
        gap_start, gap_end = span.start + span.offset_before, span.start + span.offset
        if self.gap_rule is DstGap.AFTER:
            wall = self._wall_times.next_from(gap_start)
            return span.start if wall is not None and wall < gap_end else None
        wall = self._wall_times.previous_from(min(second + span.offset_before, gap_end - 1))
        return wall - span.offset_before if wall is not None and wall >= gap_start else None
