"""Partition mappers, windows and wait policies: tables, and properties against the obvious."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck.partition_mappers import (
    AllowedKeyMapper,
    ChainMapper,
    DayWindow,
    FanOutMapper,
    FixedKeyMapper,
    HourWindow,
    IdentityMapper,
    MinimumCount,
    MonthWindow,
    PartitionMapper,
    ProductMapper,
    QuarterWindow,
    RollupMapper,
    SegmentWindow,
    StartOfDayMapper,
    StartOfHourMapper,
    StartOfMonthMapper,
    StartOfQuarterMapper,
    StartOfWeekMapper,
    StartOfYearMapper,
    WaitForAll,
    WeekWindow,
    Window,
    YearWindow,
)
from dagdeck.timetables import load_zone
from dagdeck_core.errors import UserError
from dagdeck_core.partitions.compiling import compile_mapper
from dagdeck_core.partitions.mappers import downstream_keys, local_time
from dagdeck_core.partitions.specs import MapperSpec, needs_code

BACKWARD = Window.Direction.BACKWARD
NEW_YORK = "America/New_York"

MAPPED: tuple[tuple[PartitionMapper, str, list[str]], ...] = (
    (IdentityMapper(), "us", ["us"]),
    (AllowedKeyMapper(["us", "eu"]), "eu", ["eu"]),
    (FixedKeyMapper("all"), "us", ["all"]),
    (StartOfHourMapper(), "2024-03-13T10:42:15", ["2024-03-13T10"]),
    (StartOfDayMapper(), "2024-03-13T10:42:15", ["2024-03-13"]),
    (StartOfWeekMapper(), "2024-03-13T10:42:15", ["2024-03-11 (W11)"]),
    (StartOfMonthMapper(), "2024-03-13T10:42:15", ["2024-03"]),
    (StartOfQuarterMapper(), "2024-03-13T10:42:15", ["2024-Q1"]),
    (StartOfYearMapper(), "2024-03-13T10:42:15", ["2024"]),
    (StartOfDayMapper(input_format="%Y-%m-%dT%H:%M%z", timezone=NEW_YORK), "2024-03-13T02:00+0000", ["2024-03-12"]),
    (StartOfMonthMapper(input_format="%Y-%m-%d", output_format="%m/%Y"), "2024-03-13", ["03/2024"]),
    (ProductMapper(IdentityMapper(), StartOfDayMapper()), "us|2024-03-13T10:42:15", ["us|2024-03-13"]),
    (ChainMapper(StartOfDayMapper(), StartOfMonthMapper(input_format="%Y-%m-%d")), "2024-03-13T10:42:15", ["2024-03"]),
    (
        ChainMapper(
            FixedKeyMapper("x"),
            FanOutMapper(
                upstream_mapper=IdentityMapper(), window=SegmentWindow("ba"), downstream_mapper=IdentityMapper()
            ),
        ),
        "y",
        ["a", "b"],
    ),
    (
        FanOutMapper(upstream_mapper=StartOfWeekMapper(), window=WeekWindow()),
        "2024-03-13T10:42:15",
        [f"2024-03-{day}" for day in range(11, 18)],
    ),
    (
        FanOutMapper(upstream_mapper=StartOfWeekMapper(), window=WeekWindow(direction=BACKWARD)),
        "2024-03-13T10:42:15",
        [f"2024-03-{day:02}" for day in range(5, 12)],
    ),
    (
        FanOutMapper(upstream_mapper=StartOfQuarterMapper(), window=QuarterWindow()),
        "2024-12-31T00:00:00",
        ["2024-10", "2024-11", "2024-12"],
    ),
    (RollupMapper(upstream_mapper=StartOfDayMapper(), window=DayWindow()), "2024-03-13T10:42:15", ["2024-03-13"]),
)
ALL_MAPPERS = tuple(mapper for mapper, _, _ in MAPPED)


@pytest.mark.parametrize(("mapper", "key", "keys"), MAPPED)
def test_keys_are_mapped(mapper: PartitionMapper, key: str, keys: list[str]) -> None:
    assert downstream_keys(mapper, key) == keys


@pytest.mark.parametrize("mapper", ALL_MAPPERS, ids=repr)
def test_a_stored_mapper_maps_the_same(mapper: PartitionMapper) -> None:
    spec = msgspec.json.decode(msgspec.json.encode(mapper.spec()), type=MapperSpec)
    compiled = compile_mapper(spec, load_zone)
    assert (spec, compiled.spec(), needs_code(spec)) == (mapper.spec(), mapper.spec(), False)
    for known, key, keys in MAPPED:
        if known is mapper:
            assert downstream_keys(compiled, key) == keys


@pytest.mark.parametrize(
    ("mapper", "key"),
    [
        (AllowedKeyMapper(["us"]), "eu"),
        (StartOfDayMapper(), "2024-03-13"),
        (ProductMapper(IdentityMapper(), IdentityMapper()), "a"),
        (
            ProductMapper(
                FanOutMapper(
                    upstream_mapper=IdentityMapper(), window=SegmentWindow("ab"), downstream_mapper=IdentityMapper()
                ),
                IdentityMapper(),
            ),
            "a|b",
        ),
        (IdentityMapper(), "x" * 251),
    ],
    ids=repr,
)
def test_keys_that_do_not_fit_are_refused(mapper: PartitionMapper, key: str) -> None:
    with pytest.raises(UserError):
        downstream_keys(mapper, key)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedKeyMapper(""),
        lambda: IdentityMapper(max_downstream_keys=0),
        lambda: SegmentWindow([]),
        lambda: SegmentWindow(["a", ""]),
        lambda: MinimumCount(0),
        lambda: RollupMapper(upstream_mapper=IdentityMapper(), window=DayWindow()),
        lambda: RollupMapper(upstream_mapper=StartOfDayMapper(), window=SegmentWindow(["a"])),
        lambda: FanOutMapper(upstream_mapper=StartOfHourMapper(), window=HourWindow()),
        lambda: StartOfWeekMapper(output_format="%Y {quarter}"),
        lambda: StartOfQuarterMapper(output_format="%Y-%Y"),
        lambda: StartOfDayMapper(timezone="Nowhere/Land"),
    ],
)
def test_wrong_definitions_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        make()


def test_half_a_codec_is_refused() -> None:
    with pytest.raises(UserError, match="overrides one of"):

        class Half(PartitionMapper):
            def to_downstream(self, key: str) -> str:
                return key

            def decode_downstream(self, downstream_key: str) -> Any:
                return 1


def test_a_mapper_of_ones_own_is_named() -> None:
    class Own(PartitionMapper):
        def to_downstream(self, key: str) -> str:
            return key.upper()

    spec = ChainMapper(Own(), IdentityMapper()).spec()
    assert needs_code(spec)
    with pytest.raises(UserError, match="only where user code runs"):
        compile_mapper(spec, load_zone)


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("window", "anchor", "first", "last", "count"),
    [
        (HourWindow(), "2024-03-01T05", "2024-03-01T05:00", "2024-03-01T05:59", 60),
        (DayWindow(), "2024-03-01", "2024-03-01T00:00", "2024-03-01T23:00", 24),
        (WeekWindow(), "2024-02-26", "2024-02-26T00:00", "2024-03-03T00:00", 7),
        (WeekWindow(direction=BACKWARD), "2024-02-26", "2024-02-20T00:00", "2024-02-26T00:00", 7),
        (MonthWindow(), "2024-02-01", "2024-02-01T00:00", "2024-02-29T00:00", 29),
        (MonthWindow(direction="backward"), "2024-03-01", "2024-02-02T00:00", "2024-03-01T00:00", 29),
        (QuarterWindow(), "2024-10-01", "2024-10-01T00:00", "2024-12-01T00:00", 3),
        (QuarterWindow(direction=BACKWARD), "2024-01-01", "2023-11-01T00:00", "2024-01-01T00:00", 3),
        (YearWindow(), "2024-01-01", "2024-01-01T00:00", "2024-12-01T00:00", 12),
    ],
)
def test_windows(window: Window, anchor: str, first: str, last: str, count: int) -> None:
    members = list(window.to_upstream(datetime.fromisoformat(anchor)))
    assert (members[0], members[-1], len(members)) == (
        datetime.fromisoformat(first),
        datetime.fromisoformat(last),
        count,
    )


@pytest.mark.parametrize("window", [MonthWindow(), QuarterWindow(), YearWindow()])
def test_months_count_from_their_first_day(window: Window) -> None:
    with pytest.raises(UserError, match="first day of a month"):
        list(window.to_upstream(datetime(2024, 1, 31)))  # noqa: DTZ001 - a wall clock's time


@given(st.integers(1, 40), st.integers(0, 60), st.integers(-40, 40).filter(bool))
def test_wait_policies_count(expected: int, matched: int, n: int) -> None:
    assert WaitForAll().is_satisfied(matched, expected) is (matched >= expected)
    policy = MinimumCount(n)
    missing = expected - matched
    assert policy.is_satisfied(matched, expected) is (matched >= n if n > 0 else missing <= -n or matched >= expected)
    assert policy.is_unreachable(expected) is (not policy.is_satisfied(expected, expected))


# ---------------------------------------------------------------- rollups and dates

ROLLUPS = (
    RollupMapper(upstream_mapper=StartOfDayMapper(), window=DayWindow()),
    RollupMapper(upstream_mapper=StartOfMonthMapper(input_format="%Y-%m-%d"), window=MonthWindow()),
    RollupMapper(upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%d"), window=WeekWindow()),
    RollupMapper(upstream_mapper=StartOfQuarterMapper(input_format="%Y-%m"), window=QuarterWindow()),
    RollupMapper(upstream_mapper=StartOfYearMapper(input_format="%Y-%m"), window=YearWindow()),
    RollupMapper(upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(["us", "eu"])),
)


@pytest.mark.parametrize("mapper", ROLLUPS, ids=lambda mapper: type(mapper.window).__name__)
@given(day=st.dates(datetime(1990, 1, 1).date(), datetime(2090, 1, 1).date()))  # noqa: DTZ001 - days only
def test_what_a_rollup_expects_maps_to_its_key(mapper: RollupMapper, day: Any) -> None:
    moment = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall clock's time
    form = getattr(mapper.upstream_mapper, "input_format", None)
    key = "us" if form is None else moment.strftime(form)
    (downstream,) = downstream_keys(mapper, key)
    expected = mapper.to_upstream(downstream)
    assert key in expected
    assert {each for upstream in expected for each in downstream_keys(mapper, upstream)} == {downstream}


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.sampled_from(["UTC", NEW_YORK, "Asia/Kolkata"]))  # noqa: DTZ001
def test_a_key_stands_for_the_start_of_its_period(moment: datetime, zone: str) -> None:
    mapper = StartOfDayMapper(timezone=zone)
    key = mapper.to_downstream(moment.strftime(mapper.input_format))
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=ZoneInfo(zone))
    assert mapper.to_partition_date(key) == midnight.astimezone(UTC)


def test_dates_of_composed_keys() -> None:
    day = datetime(2024, 3, 13, tzinfo=UTC)
    product = ProductMapper(IdentityMapper(), StartOfDayMapper())
    assert product.to_partition_date("us|2024-03-13") == day
    assert product.to_partition_date("us") is None
    assert ProductMapper(StartOfDayMapper(), StartOfDayMapper()).to_partition_date("2024-03-13|2024-03-13") is None
    fan_out = FanOutMapper(upstream_mapper=StartOfWeekMapper(), window=WeekWindow())
    assert fan_out.to_partition_date("2024-03-13") == day
    assert ROLLUPS[0].to_partition_date("2024-03-13") == day
    assert IdentityMapper().to_partition_date("2024-03-13") is None
    assert (IdentityMapper().carry_partition_date(day), product.carry_partition_date(day)) == (day, None)


def test_local_times_at_changes_of_clocks() -> None:
    zone = ZoneInfo(NEW_YORK)
    skipped = local_time(datetime(2024, 3, 10, 2, 30), zone)  # noqa: DTZ001 - the very point
    assert (skipped.hour, skipped.astimezone(UTC)) == (3, datetime(2024, 3, 10, 7, 30, tzinfo=UTC))
    twice = local_time(datetime(2024, 11, 3, 1, 30), zone)  # noqa: DTZ001 - the very point
    assert twice.astimezone(UTC) == datetime(2024, 11, 3, 6, 30, tzinfo=UTC)
    assert twice.utcoffset() == timedelta(hours=-5)
