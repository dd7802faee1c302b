"""Cron expressions against an independent implementation, and the laws that next and previous obey."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagdeck_core.cron import CronError, CronFires, describe, parse_cron
from dagdeck_core.dst import AIRFLOW_DST, DEBIAN_DST, DstElapsed, DstGap, DstOverlap, DstPolicy
from dagdeck_core.zones import zone_offsets
from dagdeck_io.zones import load_zone

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
)
POLICIES = [
    DstPolicy(gap=gap, overlap=overlap, elapsed=elapsed)
    for gap, overlap, elapsed in itertools.product(DstGap, DstOverlap, DstElapsed)
]


def _field(low: int, high: int, extra: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """The text of one field that both implementations read alike."""
    value = st.integers(low, high)
    # From low to something higher: the other implementation reads `3-3/2` as `3/2`.
    span = st.integers(low, high - 1).flatmap(
        lambda start: st.integers(start + 1, high).map(lambda end: f"{start}-{end}")
    )
    step = st.integers(1, high)
    item = st.one_of(value.map(str), span, st.tuples(span, step).map(lambda part: f"{part[0]}/{part[1]}"))
    listed = st.lists(item, min_size=1, max_size=3).map(",".join)
    star = st.one_of(st.just("*"), step.map(lambda size: f"*/{size}"))
    return st.one_of(star, listed, *(st.just(word) for word in extra))


FIVE_FIELDS = st.tuples(
    _field(0, 59),
    _field(0, 23),
    _field(1, 31, ("L", "1,L")),
    _field(1, 12, ("jan", "mar-may", "feb")),
    _field(0, 6, ("7", "5-7", "mon", "tue-sat", "5L", "0L", "1#1", "3#2", "0#5")),
).map(" ".join)
EARLIEST, LATEST = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1971, 2037))
MOMENTS = st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(FIVE_FIELDS, MOMENTS)
def test_fires_in_utc_equal_those_of_cronsim(expression: str, start: datetime) -> None:
    try:
        parsed = parse_cron(expression)
    except CronError:
        # Refused as a day that never comes: the other implementation must not find one either.
        with pytest.raises(StopIteration):
            next(CronSim(expression, start))
        return
    fires = CronFires(parsed, zone_offsets(UTC), AIRFLOW_DST)
    forward, backward = CronSim(expression, start), CronSim(expression, start, reverse=True)
    at = before = start
    for _ in range(4):
        found, found_before = fires.next_after(at), fires.previous_before(before)
        assert found is not None
        assert found_before is not None
        at, before = found, found_before
        assert at == next(forward)
        assert before == next(backward)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(FIVE_FIELDS, _field(0, 59), MOMENTS)
def test_six_fields_in_utc_equal_those_of_cronsim(expression: str, second: str, start: datetime) -> None:
    try:
        parsed = parse_cron(f"{expression} {second}")
    except CronError:
        return
    fires = CronFires(parsed, zone_offsets(UTC), AIRFLOW_DST)
    # The other implementation has the seconds first.
    other = CronSim(f"{second} {expression}", start)
    at = start
    for _ in range(3):
        found = fires.next_after(at)
        assert found is not None
        at = found
        assert at == next(other)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(FIVE_FIELDS, MOMENTS, st.sampled_from(ZONES), st.sampled_from(POLICIES))
def test_next_and_previous_are_inverse_and_in_order(
    expression: str, start: datetime, zone: str, policy: DstPolicy
) -> None:
    try:
        parsed = parse_cron(expression)
    except CronError:
        return
    tz = load_zone(zone)
    fires = CronFires(parsed, zone_offsets(tz), policy)
    at = fires.at_or_after(start)
    for _ in range(4):
        assert at is not None
        assert at >= start
        following = fires.next_after(at)
        if following is None:
            return
        assert following > at
        assert fires.previous_before(following) == at
        assert fires.at_or_after(at) == fires.at_or_before(at) == at
        middle = at + (following - at) / 2
        assert fires.next_after(middle) == following
        assert fires.previous_before(middle) == at
        at = following


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(("Europe/Berlin", "America/New_York")))
def test_daily_jobs_under_the_debian_policy_equal_cronsim_through_both_changes(
    minute: int, hour: int, zone: str
) -> None:
    expression = f"{minute} {hour} * * *"
    tz = load_zone(zone)
    fires = CronFires(parse_cron(expression), zone_offsets(tz), DEBIAN_DST)
    for month in (3, 10):
        start = datetime(2026, month, 1, tzinfo=tz)
        other = CronSim(expression, start)
        expected = [next(other).astimezone(UTC) for _ in range(40)]
        found = list(fires.between(start + timedelta(seconds=1), expected[-1] + timedelta(seconds=1)))
        assert found == expected


@settings(max_examples=300)
@given(st.text(st.sampled_from("0123456789*/-,?#L@ abmonfri"), max_size=24))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        parsed = parse_cron(text)
    except CronError:
        return
    assert describe(parsed)
    assert parse_cron(parsed.text) == parsed
