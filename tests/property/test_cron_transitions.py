"""Fires around the transitions of the tz database, against a second definition made from PEP 495.

The oracle shares nothing with the code under test: transitions are read from the zone files' bytes,
wall times come from cronsim on naive datetimes, and `fold` decides what each wall time becomes.
"""

from __future__ import annotations

import calendar
import importlib.resources
import itertools
import re
import struct
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from cronsim import CronSim

from dagdeck_core.cron import CronFires, parse_cron
from dagdeck_core.dst import DstElapsed, DstGap, DstOverlap, DstPolicy
from dagdeck_core.zones import ZoneOffsets, from_epoch_seconds, to_epoch_seconds
from dagdeck_io.zones import load_zone, zone_names

FIRST = to_epoch_seconds(datetime(1970, 1, 1, tzinfo=UTC))
LAST = to_epoch_seconds(datetime(2038, 1, 1, tzinfo=UTC))
EXPRESSIONS = (
    "*/10 * * * *",
    "7 * * * *",
    "*/20 0-3 * * *",
    "30 2 * * *",
    "0 0 * * *",
    "15,45 1,23 * * *",
    "30 */3 * * *",
)
POLICIES = [
    DstPolicy(gap=gap, overlap=overlap, elapsed=elapsed)
    for gap, overlap, elapsed in itertools.product(DstGap, DstOverlap, DstElapsed)
]
HARD_ZONES = (
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/Danmarkshavn",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
)


def zone_bytes(name: str) -> bytes:
    """A zone's file."""
    return importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def distinct_zones() -> list[str]:
    """One name for each different zone file, in order."""
    by_content: dict[bytes, str] = {}
    for name in sorted(zone_names()):
        by_content.setdefault(zone_bytes(name), name)
    return sorted(by_content.values())


def zone_transitions(name: str) -> list[tuple[int, int]]:
    """The (instant, new offset) pairs of a zone file within 1970 to 2037 that change the offset."""
    data = zone_bytes(name)

    def header(at: int) -> tuple[int, ...]:
        return struct.unpack(">6l", data[at + 20 : at + 44])

    is_ut, is_std, leaps, times, types, chars = header(0)
    at = 44 + times * 5 + types * 6 + chars + leaps * 8 + is_std + is_ut
    is_ut, is_std, leaps, times, types, chars = header(at)
    at += 44
    instants = struct.unpack(f">{times}q", data[at : at + 8 * times])
    at += 8 * times
    kinds = data[at : at + times]
    at += times
    offsets = [struct.unpack(">l", data[at + 6 * kind : at + 6 * kind + 4])[0] for kind in range(types)]
    at += 6 * types + chars + 12 * leaps + is_std + is_ut
    moves = [(instant, offsets[kind]) for instant, kind in zip(instants, kinds, strict=True)]
    last = moves[-1][0] if moves else FIRST
    moves += [move for move in rule_transitions(data[at:].decode().strip()) if move[0] > last]
    found = []
    before = offsets[0]
    for instant, offset in moves:
        if offset != before and FIRST <= instant < LAST:
            found.append((instant, offset))
        before = offset
    return found


def rule_transitions(rule: str) -> list[tuple[int, int]]:
    """The (instant, new offset) pairs of 1970 to 2037 by the rule that ends a zone file."""
    standard, _, rest = rule.partition(",")
    if not rest:
        return []
    clock = r"([+-]?)(\d+)(?::(\d+))?"
    match = re.fullmatch(rf"(?:<[^>]*>|[A-Z]+){clock}(?:<[^>]*>|[A-Z]+)(?:{clock})?", standard)
    assert match is not None, rule
    # The rule counts offsets to the west.
    winter = -clock_seconds(*match.groups()[:3])
    summer = -clock_seconds(*match.groups()[3:]) if match.group(5) else winter + 3600
    found = []
    for text, before, after in zip(rest.split(","), (winter, summer), (summer, winter), strict=True):
        day = re.fullmatch(rf"M(\d+)\.(\d)\.(\d)(?:/{clock})?", text)
        assert day is not None, rule
        month, week, weekday = (int(part) for part in day.groups()[:3])
        wall = clock_seconds(*day.groups()[3:]) if day.group(5) else 7200
        for year in range(1970, 2038):
            days = [
                number
                for number in range(1, calendar.monthrange(year, month)[1] + 1)
                if datetime(year, month, number, tzinfo=UTC).isoweekday() % 7 == weekday
            ]
            midnight = datetime(year, month, days[min(week, len(days)) - 1], tzinfo=UTC)
            found.append((to_epoch_seconds(midnight) + wall - before, after))
    return sorted(found)


def clock_seconds(sign: str, hours: str, minutes: str | None) -> int:
    """Seconds of `-2:30`, given in its parts."""
    seconds = int(hours) * 3600 + int(minutes or 0) * 60
    return -seconds if sign == "-" else seconds


def oracle(expression: str, tz: tzinfo, policy: DstPolicy, start: datetime, end: datetime) -> list[datetime]:
    """The fires within [start, end), from naive wall times and PEP 495 alone."""
    minute, hour = expression.split()[:2]
    elapsed = {
        DstElapsed.EVERY_HOUR: hour == "*",
        DstElapsed.WILDCARD: minute.startswith("*") or hour.startswith("*"),
        DstElapsed.NEVER: False,
    }[policy.elapsed]
    gap = DstGap.SKIP if elapsed else policy.gap
    overlap = DstOverlap.BOTH if elapsed else policy.overlap
    margin = timedelta(hours=50)
    naive_end = (end + margin).replace(tzinfo=None)
    found: set[datetime] = set()
    for wall in CronSim(expression, (start - margin).replace(tzinfo=None)):
        if wall > naive_end:
            break
        first = wall.replace(tzinfo=tz, fold=0).astimezone(UTC)
        second = wall.replace(tzinfo=tz, fold=1).astimezone(UTC)
        if first <= second:
            found |= {
                DstOverlap.FIRST: {first},
                DstOverlap.SECOND: {second},
                DstOverlap.BOTH: {first, second},
            }[overlap]
        elif gap is DstGap.SHIFT:
            found.add(first)
        elif gap is DstGap.AFTER:
            found.add(first_instant_after_gap(wall, second, tz))
    return sorted(at for at in found if start <= at < end)


def first_instant_after_gap(wall: datetime, before: datetime, tz: tzinfo) -> datetime:
    """The transition over which a missing wall time was jumped, by stepping through the seconds."""
    at = before
    step = 3600
    while step:
        while (at + timedelta(seconds=step)).astimezone(tz).replace(tzinfo=None) < wall:
            at += timedelta(seconds=step)
        step //= 60
    return at + timedelta(seconds=1)


def check_transition(name: str, instant: int, expression: str, policy: DstPolicy) -> None:
    """Compare all fires within 40 hours around a transition with the oracle, both ways."""
    tz = load_zone(name)
    fires = CronFires(parse_cron(expression), OFFSETS.setdefault(name, ZoneOffsets(tz)), policy)
    middle = from_epoch_seconds(instant)
    start, end = middle - timedelta(hours=27), middle + timedelta(hours=27)
    found = list(fires.between(start, end))
    assert found == oracle(expression, tz, policy, start, end), (name, instant, expression, policy)
    backwards = []
    at = fires.previous_before(end)
    while at is not None and at >= start:
        backwards.append(at)
        at = fires.previous_before(at)
    assert backwards[::-1] == found, (name, instant, expression, policy)


OFFSETS: dict[str, ZoneOffsets] = {}


def cases(transitions: list[tuple[str, int]]) -> list[tuple[str, int, str, DstPolicy]]:
    """Each transition with an expression and a policy; coprime strides meet all combinations."""
    return [
        (name, instant, EXPRESSIONS[number % len(EXPRESSIONS)], POLICIES[number * 5 % len(POLICIES)])
        for number, (name, instant) in enumerate(transitions)
    ]


def check_spans(name: str) -> int:
    """The spans that are found by probing are those of the zone file; returns their number."""
    expected = zone_transitions(name)
    spans = ZoneOffsets(load_zone(name)).transitions(FIRST, LAST)
    assert [(span.start, span.offset) for span in spans] == expected, name
    return len(expected)


@pytest.mark.parametrize("name", HARD_ZONES)
def test_probing_finds_exactly_the_transitions_of_hard_zones(name: str) -> None:
    assert check_spans(name) > 0


def test_probing_finds_exactly_the_transitions_of_sampled_zones() -> None:
    assert sum(check_spans(name) for name in distinct_zones()[::16]) > 500


def test_fires_around_the_transitions_of_hard_zones() -> None:
    transitions = [(name, instant) for name in HARD_ZONES for instant, _ in zone_transitions(name)[-6:]]
    for case in cases(transitions):
        check_transition(*case)
    for name, expression, policy in itertools.product(
        ("Pacific/Kiritimati", "Pacific/Kwajalein", "Australia/Lord_Howe"), EXPRESSIONS[2:4], POLICIES
    ):
        check_transition(name, zone_transitions(name)[-1][0], expression, policy)


def test_fires_around_sampled_transitions_of_all_zones() -> None:
    transitions = [(name, instant) for name in distinct_zones() for instant, _ in zone_transitions(name)]
    assert len(transitions) > 15_000
    for case in cases(transitions[::97]):
        check_transition(*case)


@pytest.mark.slow
def test_probing_finds_exactly_the_transitions_of_all_zones() -> None:
    assert sum(check_spans(name) for name in distinct_zones()) > 15_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fires_around_every_transition_of_every_zone() -> None:
    transitions = [(name, instant) for name in distinct_zones() for instant, _ in zone_transitions(name)]
    for case in cases(transitions):
        check_transition(*case)
