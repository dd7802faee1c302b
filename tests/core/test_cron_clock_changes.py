"""What people are shown about the moves of the clock before they save a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagdeck_core.cron import ClockChange
from dagdeck_core.dst import DEBIAN_DST, DstGap, DstPolicy
from dagdeck_core.timetables import (
    AssetOrTimeSpec,
    CronDataIntervalSpec,
    CronTriggerSpec,
    MultipleCronTriggerSpec,
    NullSpec,
    TimetableSpec,
    clock_changes_of,
)
from dagdeck_io.zones import load_zone

BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)


def changes_in_2026(spec: TimetableSpec) -> list[tuple[str, ClockChange]]:
    """All moves of the clock in 2026 that touch a spec."""
    return clock_changes_of(
        spec, load_zone, start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2027, 1, 1, tzinfo=UTC)
    )


def test_a_nightly_job_is_told_both_changes_of_the_year() -> None:
    (_, spring), (cron, autumn) = changes_in_2026(CronTriggerSpec(cron="30 2 * * *", timezone=BERLIN))
    assert cron == "30 2 * * *"
    assert spring == ClockChange(
        at=datetime(2026, 3, 29, 1, tzinfo=UTC),
        offset_before=HOUR,
        offset_after=2 * HOUR,
        missing=True,
        wall_times=("2026-03-29T02:30:00",),
        runs=(datetime(2026, 3, 29, 1, 30, tzinfo=UTC),),
        more=False,
    )
    assert autumn == ClockChange(
        at=datetime(2026, 10, 25, 1, tzinfo=UTC),
        offset_before=2 * HOUR,
        offset_after=HOUR,
        missing=False,
        wall_times=("2026-10-25T02:30:00",),
        runs=(datetime(2026, 10, 25, 1, 30, tzinfo=UTC),),
        more=False,
    )


@pytest.mark.parametrize(
    ("policy", "runs"),
    [
        (DstPolicy(gap=DstGap.SKIP), ()),
        (DEBIAN_DST, (datetime(2026, 3, 29, 1, tzinfo=UTC),)),
    ],
)
def test_the_policy_decides_what_is_shown(policy: DstPolicy, runs: tuple[datetime, ...]) -> None:
    spec = CronDataIntervalSpec(cron="30 2 * * *", timezone=BERLIN, dst=policy)
    assert changes_in_2026(spec)[0][1].runs == runs


def test_a_dense_schedule_is_cut() -> None:
    spring, autumn = (change for _, change in changes_in_2026(CronTriggerSpec(cron="* * * * *", timezone=BERLIN)))
    assert (len(spring.wall_times), len(spring.runs), spring.more) == (10, 0, True)
    assert (len(autumn.wall_times), len(autumn.runs), autumn.more) == (10, 10, True)


def test_schedules_that_no_change_touches_show_none() -> None:
    noon = "0 12 * * *"
    assert changes_in_2026(CronTriggerSpec(cron=noon, timezone=BERLIN)) == []
    assert changes_in_2026(CronTriggerSpec(cron="30 2 * * *", timezone="Asia/Tokyo")) == []
    assert changes_in_2026(NullSpec()) == []


def test_combined_timetables_show_the_changes_of_their_parts() -> None:
    several = MultipleCronTriggerSpec(crons=("0 12 * * *", "30 2 * * *"), timezone=BERLIN)
    assert [cron for cron, _ in changes_in_2026(several)] == ["30 2 * * *"] * 2
    inner = CronTriggerSpec(cron="30 2 * * *", timezone=BERLIN)
    assert changes_in_2026(AssetOrTimeSpec(timetable=inner)) == changes_in_2026(inner)
