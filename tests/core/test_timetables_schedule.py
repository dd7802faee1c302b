"""What `schedule=` becomes, how specs are stored, and which zones are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pendulum
import pytest

from dagdeck_core.cron import CronError
from dagdeck_core.dst import DEBIAN_DST
from dagdeck_core.errors import UserError
from dagdeck_core.partitions.specs import AssetMapperSpec, FixedKeySpec, Period, StartOfSpec
from dagdeck_core.timetables import (
    AssetOrTimeSpec,
    AssetTriggeredSpec,
    CalendarDelta,
    ContinuousSpec,
    CronDataIntervalSpec,
    CronPartitionSpec,
    CronTriggerSpec,
    CustomSpec,
    DeltaDataIntervalSpec,
    DeltaTriggerSpec,
    EventsSpec,
    MultipleCronTriggerSpec,
    NullSpec,
    OnceSpec,
    PartitionedAtRuntimeSpec,
    TimetableSpec,
    compile_timetable,
    decode_spec,
    encode_spec,
    from_schedule,
)
from dagdeck_io.zones import load_zone, zone_names

HOUR = timedelta(hours=1)


@dataclass
class RelativeDelta:
    """The parts by which dateutil's relativedelta is known."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0
    microseconds: int = 0
    leapdays: int = 0
    day: int | None = None
    weekday: int | None = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NullSpec()),
        ("@once", OnceSpec()),
        (" @Continuous", ContinuousSpec()),
        ("@daily", CronTriggerSpec(cron="0 0 * * *")),
        ("*/5 * * * *", CronTriggerSpec(cron="*/5 * * * *")),
        (HOUR, DeltaTriggerSpec(delta=CalendarDelta(duration=HOUR))),
        (pendulum.duration(minutes=30), DeltaTriggerSpec(delta=CalendarDelta(duration=HOUR / 2))),
        (
            pendulum.duration(years=1, months=2, days=3, hours=1),
            DeltaTriggerSpec(delta=CalendarDelta(months=14, duration=timedelta(days=3) + HOUR)),
        ),
        (
            RelativeDelta(months=1, hours=1),
            DeltaTriggerSpec(delta=CalendarDelta(months=1, duration=HOUR)),
        ),
        (CronDataIntervalSpec(cron="@daily"), CronDataIntervalSpec(cron="@daily")),
    ],
)
def test_what_a_schedule_means(value: Any, expected: TimetableSpec) -> None:
    assert from_schedule(value) == expected


def test_the_settings_choose_data_intervals_separately_for_cron_and_deltas() -> None:
    assert from_schedule("@daily", cron_data_intervals=True) == CronDataIntervalSpec(cron="0 0 * * *")
    assert from_schedule(HOUR, cron_data_intervals=True) == DeltaTriggerSpec(delta=CalendarDelta(duration=HOUR))
    assert from_schedule(HOUR, delta_data_intervals=True) == DeltaDataIntervalSpec(delta=CalendarDelta(duration=HOUR))


def test_zone_and_policy_reach_cron_specs() -> None:
    for flag in (True, False):
        spec = from_schedule("@daily", timezone="Asia/Tokyo", dst=DEBIAN_DST, cron_data_intervals=flag)
        assert isinstance(spec, CronTriggerSpec | CronDataIntervalSpec)
        assert (spec.timezone, spec.dst) == ("Asia/Tokyo", DEBIAN_DST)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "cannot be of type int"),
        ([], "cannot be of type list"),
        (timedelta(0), "must be positive"),
        (-HOUR, "must be positive"),
        (RelativeDelta(day=1), "sets parts of the date"),
        (RelativeDelta(months=-1), "must be positive"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_schedule(value)
    assert caught.value.field == "schedule"
    assert caught.value.remedy


def test_a_wrong_expression_is_refused_at_once() -> None:
    with pytest.raises(CronError, match="'61'"):
        from_schedule("61 * * * *")


EVERY_SPEC: tuple[TimetableSpec, ...] = (
    NullSpec(),
    OnceSpec(),
    ContinuousSpec(),
    CronDataIntervalSpec(cron="0 0 * * *", timezone="Europe/Berlin", dst=DEBIAN_DST),
    DeltaDataIntervalSpec(delta=CalendarDelta(months=1, duration=timedelta(microseconds=3))),
    CronTriggerSpec(cron="0 0 * * *"),
    CronTriggerSpec(cron="0 0 * * *", run_immediately=True, interval=CalendarDelta(duration=HOUR)),
    CronTriggerSpec(cron="0 0 * * *", run_immediately=HOUR),
    CronTriggerSpec(cron="0 0 * * *", run_immediately=None),
    MultipleCronTriggerSpec(crons=("0 0 * * *", "5 4 * * mon")),
    DeltaTriggerSpec(delta=CalendarDelta(duration=HOUR), interval=CalendarDelta(months=2)),
    EventsSpec(event_dates=(datetime(2026, 11, 24, 6, 0, 0, 5, tzinfo=UTC),), restrict_to_events=True),
    AssetTriggeredSpec(
        partitioned=True,
        default_mapper=FixedKeySpec(downstream_key="all"),
        mappers=(AssetMapperSpec(name="a", uri="b", mapper=StartOfSpec(period=Period.DAY, output_format="%Y-%m-%d")),),
    ),
    CronPartitionSpec(cron="0 0 * * *", run_offset=-1),
    PartitionedAtRuntimeSpec(),
    AssetOrTimeSpec(timetable=CronTriggerSpec(cron="0 1 * * 3")),
    CustomSpec(class_path="a.B", data={"hours": [1, 2]}, run_ordering=("run_after",), active_runs_limit=2),
)


@pytest.mark.parametrize("spec", EVERY_SPEC, ids=lambda spec: type(spec).__name__)
def test_specs_survive_storage(spec: TimetableSpec) -> None:
    stored = encode_spec(spec)
    assert json.loads(stored)["kind"]
    assert decode_spec(stored) == spec
    assert compile_timetable(decode_spec(stored), load_zone).summary == compile_timetable(spec, load_zone).summary


def test_every_kind_of_spec_is_covered() -> None:
    decoder = msgspec.json.Decoder(TimetableSpec)
    kinds = {json.loads(encode_spec(spec))["kind"] for spec in EVERY_SPEC}
    assert {type(decoder.decode(encode_spec(spec))) for spec in EVERY_SPEC} == set(TimetableSpec.__args__)
    assert len(kinds) == len(TimetableSpec.__args__)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"kind":"moon"}', b'{"kind":"cron_trigger"}', b"[]"])
def test_what_is_no_spec_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="not a stored timetable"):
        decode_spec(data)


def test_zones_come_from_the_pinned_package() -> None:
    assert load_zone("Etc/UTC") is load_zone("UTC") is UTC
    assert load_zone("Europe/Berlin") is load_zone("Europe/Berlin")
    assert len(zone_names()) > 500
    winter = datetime(2026, 1, 1, tzinfo=load_zone("America/Argentina/Buenos_Aires"))
    assert winter.utcoffset() == -3 * HOUR


@pytest.mark.parametrize(
    ("name", "offset"),
    [("+02:00", 2 * HOUR), ("-0530", -5.5 * HOUR), ("UTC+1", HOUR), ("UTC-03:00", -3 * HOUR)],
)
def test_fixed_offsets_are_zones_too(name: str, offset: timedelta) -> None:
    assert datetime(2026, 1, 1, tzinfo=load_zone(name)).utcoffset() == offset


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("europe/berlin", "Did you mean Europe/Berlin?"),
        ("US/Berlin", "Did you mean Europe/Berlin?"),
        ("Mars/Base", "Use an IANA name"),
        ("../../etc/passwd", "Use an IANA name"),
        ("", "Use an IANA name"),
        ("+25:00", "between -23:59 and +23:59"),
        ("+02:75", "between -23:59 and +23:59"),
    ],
)
def test_an_unknown_zone_is_told_with_a_suggestion(name: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_timetable(CronTriggerSpec(cron="@daily", timezone=name), load_zone)
    assert caught.value.field == "timezone"
    assert part in str(caught.value)
