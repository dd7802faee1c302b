"""What a cron schedule does at each move of its zone's clock, for people to read before they save it.

Decides nothing: it reports what fires.py does, for the wall times that a move leaves out or repeats.
Called by the API's and the desktop's schedule previews through `dagdeck_core.timetables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from dagdeck_core.cron.fires import CronFires
from dagdeck_core.dst import DstGap
from dagdeck_core.zones import OffsetSpan, from_epoch_seconds, to_epoch_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """One move of the clock that touches a schedule.

    `wall_times` are the schedule's local times (ISO text without offset) that do not exist
    (`missing`) or occur twice; `runs` are the instants at which it runs for them, aware UTC. Both
    are cut to the number that was asked for; `more` says whether wall times were left away.
    """

    at: datetime
    offset_before: timedelta
    offset_after: timedelta
    missing: bool
    wall_times: tuple[str, ...]
    runs: tuple[datetime, ...]
    more: bool


def clock_changes(fires: CronFires, start: datetime, end: datetime, most: int = 10) -> list[ClockChange]:
    """The moves of the clock within [start, end) that touch a schedule, in order.

    `most` bounds the wall times and runs that each of them lists.
    """
    changes = []
    for span in fires.zone.transitions(to_epoch_seconds(start), to_epoch_seconds(end)):
        walls = list(islice(_walls_touched(fires, span), most + 1))
        if not walls:
            continue
        missing = span.offset > span.offset_before
        runs = _runs_for_missing(fires, span, walls) if missing else _runs_around(fires, span, most)
        changes.append(
            ClockChange(
                at=from_epoch_seconds(span.start),
                offset_before=timedelta(seconds=span.offset_before),
                offset_after=timedelta(seconds=span.offset),
                missing=missing,
                wall_times=tuple(from_epoch_seconds(wall).replace(tzinfo=None).isoformat() for wall in walls[:most]),
                runs=tuple(runs[:most]),
                more=len(walls) > most,
            )
        )
    return changes


def _walls_touched(fires: CronFires, span: OffsetSpan) -> Iterator[int]:
    """The matching wall times that the move at the span's start leaves out or repeats."""
    low, high = sorted((span.start + span.offset_before, span.start + span.offset))
    wall = fires.expression.wall_times.next_from(low)
    while wall is not None and wall < high:
        yield wall
        wall = fires.expression.wall_times.next_from(wall + 1)


def _runs_for_missing(fires: CronFires, span: OffsetSpan, walls: list[int]) -> list[datetime]:
    """The instants at which the schedule runs in place of missing wall times."""
    if fires.gap_rule is DstGap.SKIP:
        return []
    if fires.gap_rule is DstGap.AFTER:
        return [from_epoch_seconds(span.start)]
    return [from_epoch_seconds(wall - span.offset_before) for wall in walls]


def _runs_around(fires: CronFires, span: OffsetSpan, most: int) -> list[datetime]:
    """The runs within both passes of a repeated stretch."""
    length = span.offset_before - span.offset
    first_pass, second_pass_end = (
        from_epoch_seconds(span.start - length),
        from_epoch_seconds(span.start + length),
    )
    return list(islice(fires.between(first_pass, second_pass_end), most))
