"""Fires of cron expressions where zones move their clocks: named cases, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dagdeck_core.cron import CronFires, parse_cron
from dagdeck_core.dst import AIRFLOW_DST, DEBIAN_DST, DstElapsed, DstGap, DstOverlap, DstPolicy
from dagdeck_core.zones import ZoneOffsets, to_epoch_seconds, zone_offsets
from dagdeck_io.zones import load_zone

NEVER_ELAPSED = DstElapsed.NEVER


def local_fires(expression: str, zone: str, start: str, end: str, policy: DstPolicy) -> list[str]:
    """The fires between two UTC times, as local times with their offset."""
    tz = load_zone(zone)
    fires = CronFires(parse_cron(expression), zone_offsets(tz), policy)
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    until = datetime.fromisoformat(end).replace(tzinfo=UTC)
    return [at.astimezone(tz).strftime("%d %H:%M%z") for at in fires.between(begin, until)]


BERLIN_SPRING = ("Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00")
BERLIN_AUTUMN = ("Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00")


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (DstGap.SKIP, []),
        (DstGap.SHIFT, ["29 03:30+0200"]),
        (DstGap.AFTER, ["29 03:00+0200"]),
    ],
)
def test_a_time_in_the_gap(gap: DstGap, expected: list[str]) -> None:
    assert local_fires("30 2 * * *", *BERLIN_SPRING, DstPolicy(gap=gap)) == expected


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (DstOverlap.FIRST, ["25 02:30+0200"]),
        (DstOverlap.SECOND, ["25 02:30+0100"]),
        (DstOverlap.BOTH, ["25 02:30+0200", "25 02:30+0100"]),
    ],
)
def test_a_time_in_the_overlap(overlap: DstOverlap, expected: list[str]) -> None:
    assert local_fires("30 2 * * *", *BERLIN_AUTUMN, DstPolicy(overlap=overlap)) == expected


def test_the_default_shifts_out_of_the_gap_and_takes_the_second_of_the_overlap() -> None:
    assert local_fires("30 2 * * *", *BERLIN_SPRING, AIRFLOW_DST) == ["29 03:30+0200"]
    assert local_fires("30 2 * * *", *BERLIN_AUTUMN, AIRFLOW_DST) == ["25 02:30+0100"]


def test_many_times_of_one_gap_make_one_run_after_it() -> None:
    policy = DstPolicy(gap=DstGap.AFTER, elapsed=NEVER_ELAPSED)
    assert local_fires("*/15 2 * * *", *BERLIN_SPRING, policy) == ["29 03:00+0200"]
    # 03:00 is due anyway: still one run.
    assert local_fires("0 2,3 * * *", *BERLIN_SPRING, policy) == ["29 03:00+0200"]


def test_shifted_times_meet_real_ones_only_once_and_stay_in_order() -> None:
    policy = DstPolicy(gap=DstGap.SHIFT, elapsed=NEVER_ELAPSED)
    assert local_fires("0,30 2,3 * * *", *BERLIN_SPRING, policy) == ["29 03:00+0200", "29 03:30+0200"]


def test_every_hour_follows_elapsed_time() -> None:
    assert local_fires("30 * * * *", *BERLIN_SPRING, AIRFLOW_DST)[:4] == [
        "29 00:30+0100",
        "29 01:30+0100",
        "29 03:30+0200",
        "29 04:30+0200",
    ]
    assert local_fires("30 * * * *", *BERLIN_AUTUMN, AIRFLOW_DST)[1:5] == [
        "25 01:30+0200",
        "25 02:30+0200",
        "25 02:30+0100",
        "25 03:30+0100",
    ]
    assert len(local_fires("30 * * * *", *BERLIN_SPRING, AIRFLOW_DST)) == 23
    assert len(local_fires("30 * * * *", *BERLIN_AUTUMN, AIRFLOW_DST)) == 25


def test_wildcard_jobs_of_debian_follow_elapsed_time_and_others_run_once() -> None:
    assert local_fires("*/30 2 * * *", *BERLIN_SPRING, DEBIAN_DST) == []
    assert local_fires("*/30 2 * * *", *BERLIN_AUTUMN, DEBIAN_DST) == [
        "25 02:00+0200",
        "25 02:30+0200",
        "25 02:00+0100",
        "25 02:30+0100",
    ]
    assert local_fires("30 2 * * *", *BERLIN_SPRING, DEBIAN_DST) == ["29 03:00+0200"]
    assert local_fires("30 2 * * *", *BERLIN_AUTUMN, DEBIAN_DST) == ["25 02:30+0200"]


def test_new_york_moves_at_two() -> None:
    spring = ("America/New_York", "2026-03-08T05:00", "2026-03-09T04:00")
    autumn = ("America/New_York", "2026-11-01T04:00", "2026-11-02T05:00")
    assert local_fires("15 2 * * *", *spring, AIRFLOW_DST) == ["08 03:15-0400"]
    assert local_fires("15 1 * * *", *autumn, AIRFLOW_DST) == ["01 01:15-0500"]
    assert local_fires("15 1 * * *", *autumn, DEBIAN_DST) == ["01 01:15-0400"]
    assert local_fires("0 0 * * *", *autumn, AIRFLOW_DST) == ["01 00:00-0400"]


def test_lord_howe_moves_by_half_an_hour() -> None:
    spring = ("Australia/Lord_Howe", "2026-10-03T13:00", "2026-10-03T18:00")
    autumn = ("Australia/Lord_Howe", "2026-04-04T12:00", "2026-04-04T18:00")
    assert local_fires("15 2 * * *", *spring, AIRFLOW_DST) == ["04 02:45+1100"]
    # A shifted time passes over a real one: both run, in the order of time.
    assert local_fires("15,40 2 * * *", *spring, AIRFLOW_DST) == ["04 02:40+1100", "04 02:45+1100"]
    assert local_fires("15 2 * * *", *spring, DEBIAN_DST) == ["04 02:30+1100"]
    assert local_fires("45 1 * * *", *autumn, AIRFLOW_DST) == ["05 01:45+1030"]
    # Hourly at :45 really occurs twice half an hour apart; hourly at :15 is not repeated at all.
    assert local_fires("45 * * * *", *autumn, AIRFLOW_DST)[1:4] == [
        "05 00:45+1100",
        "05 01:45+1100",
        "05 01:45+1030",
    ]
    assert local_fires("15 * * * *", *autumn, AIRFLOW_DST)[1:4] == [
        "05 00:15+1100",
        "05 01:15+1100",
        "05 02:15+1030",
    ]


def test_sao_paulo_loses_midnight() -> None:
    spring = ("America/Sao_Paulo", "2018-11-03T12:00", "2018-11-05T12:00")
    assert local_fires("0 0 * * *", *spring, AIRFLOW_DST) == ["04 01:00-0200", "05 00:00-0200"]
    assert local_fires("0 0 * * *", *spring, DEBIAN_DST) == ["04 01:00-0200", "05 00:00-0200"]
    assert local_fires("0 0 * * *", *spring, DstPolicy(gap=DstGap.SKIP)) == ["05 00:00-0200"]
    # Midnight comes back twice on the 17th, the first time as 23:00 of the same day.
    autumn = ("America/Sao_Paulo", "2018-02-17T12:00", "2018-02-18T12:00")
    assert local_fires("30 23 * * *", *autumn, AIRFLOW_DST) == ["17 23:30-0300"]


def test_kathmandu_moved_by_fifteen_minutes_in_1986() -> None:
    around = ("Asia/Kathmandu", "1985-12-31T17:00", "1985-12-31T20:00")
    assert local_fires("5 0 * * *", *around, AIRFLOW_DST) == ["01 00:20+0545"]
    assert local_fires("5 0 * * *", *around, DEBIAN_DST) == ["01 00:15+0545"]
    assert local_fires("*/10 * * * *", *around, AIRFLOW_DST)[5:12] == [
        "31 23:20+0530",
        "31 23:30+0530",
        "31 23:40+0530",
        "31 23:50+0530",
        "01 00:20+0545",
        "01 00:30+0545",
        "01 00:40+0545",
    ]


def test_apia_skipped_a_whole_day() -> None:
    around = ("Pacific/Apia", "2011-12-29T18:00", "2012-01-01T05:00")
    real = ["29 09:00-1000", "31 09:00+1400", "01 09:00+1400"]
    assert local_fires("0 9 * * *", *around, DstPolicy(gap=DstGap.SKIP)) == real
    # The skipped day's run, shifted by 24 hours, is the next day's own run.
    assert local_fires("0 9 * * *", *around, AIRFLOW_DST) == real
    assert local_fires("0 9 * * *", *around, DEBIAN_DST) == [real[0], "31 00:00+1400", *real[1:]]
    assert local_fires("0 9 30 12 *", *around, AIRFLOW_DST) == ["31 09:00+1400"]
    assert local_fires("0 9 30 12 *", *around, DstPolicy(gap=DstGap.SKIP)) == []


def test_kwajalein_and_kiritimati_around_the_date_line() -> None:
    # Kiritimati left out the 31st of December 1994 within hours of the year's end.
    kiritimati = ("Pacific/Kiritimati", "1994-12-30T00:00", "1995-01-02T20:00")
    assert local_fires("0 3 * * *", *kiritimati, AIRFLOW_DST) == [
        "30 03:00-1000",
        "01 03:00+1400",
        "02 03:00+1400",
        "03 03:00+1400",
    ]
    kwajalein = ("Kwajalein", "1993-08-19T00:00", "1993-08-23T00:00")
    assert local_fires("0 3 * * *", *kwajalein, AIRFLOW_DST) == [
        "19 03:00-1200",
        "20 03:00-1200",
        "22 03:00+1200",
        "23 03:00+1200",
    ]


def test_a_moment_between_seconds_is_rounded_the_right_way() -> None:
    fires = CronFires(parse_cron("* * * * *"), zone_offsets(UTC), AIRFLOW_DST)
    exact = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    after, before = exact + timedelta(microseconds=1), exact - timedelta(microseconds=1)
    minute = timedelta(minutes=1)
    assert fires.next_after(before) == fires.at_or_after(before) == fires.at_or_after(exact) == exact
    assert fires.next_after(exact) == fires.next_after(after) == fires.at_or_after(after) == exact + minute
    assert fires.previous_before(after) == fires.at_or_before(after) == fires.at_or_before(exact) == exact
    assert fires.previous_before(exact) == fires.previous_before(before) == exact - minute


def test_a_moment_may_come_in_any_zone() -> None:
    fires = CronFires(parse_cron("0 6 * * *"), zone_offsets(load_zone("Asia/Tokyo")), AIRFLOW_DST)
    asked = datetime(2026, 5, 1, 12, 0, tzinfo=timezone(timedelta(hours=-7)))
    answer = fires.next_after(asked)
    assert answer == datetime(2026, 5, 1, 21, 0, tzinfo=UTC)
    assert answer is not None
    assert answer.tzinfo is UTC


def test_spans_do_not_depend_on_the_order_of_questions() -> None:
    zone = load_zone("Europe/Berlin")
    moments = [datetime(year, month, 1, tzinfo=UTC) for year in range(1972, 2075, 17) for month in (1, 7)]
    seconds = [to_epoch_seconds(moment) for moment in moments]
    forward, backward, shared = ZoneOffsets(zone), ZoneOffsets(zone), zone_offsets(zone)
    answers = [forward.span_at(second) for second in seconds]
    reverse = [backward.span_at(second) for second in reversed(seconds)]
    for second, one, other in zip(seconds, answers, reversed(reverse), strict=True):
        assert one.offset == other.offset == shared.offset_at(second)
        assert one.start <= second < one.end
    years = range(1981, 2075)
    transitions = backward.transitions(
        to_epoch_seconds(datetime(1981, 1, 1, tzinfo=UTC)), to_epoch_seconds(datetime(2075, 1, 1, tzinfo=UTC))
    )
    assert len(transitions) == 2 * len(years)
