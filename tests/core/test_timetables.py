"""The next run and the manual interval of every kind of timetable, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagdeck_core.errors import Bug, UserError
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables import (
    AssetOrTimeSpec,
    AssetTriggeredSpec,
    CalendarDelta,
    ContinuousSpec,
    CronDataIntervalSpec,
    CronTriggerSpec,
    CustomSpec,
    DagRunInfo,
    DataInterval,
    DeltaDataIntervalSpec,
    DeltaTriggerSpec,
    EventsSpec,
    MultipleCronTriggerSpec,
    NullSpec,
    OnceSpec,
    TimeRestriction,
    TimetableSpec,
    compile_timetable,
    run_id_for,
)
from dagdeck_io.zones import load_zone

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    """`11-24` or `11-24T06:30` in 2026, or a full date."""
    text = text if len(text.split("T", maxsplit=1)[0]) > 5 else f"2026-{text}"
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def next_run(
    spec: TimetableSpec,
    *,
    last: DataInterval | None = None,
    earliest: str | None = None,
    latest: str | None = None,
    catchup: bool = False,
    now: str = "11-24T12:00",
) -> DagRunInfo | None:
    """The next run; dates as in `utc`."""
    restriction = TimeRestriction(
        earliest=utc(earliest) if earliest else None,
        latest=utc(latest) if latest else None,
        catchup=catchup,
    )
    return compile_timetable(spec, load_zone).next_dagrun_info(
        last_automated_data_interval=last, restriction=restriction, now=utc(now)
    )


def between(start: str, end: str) -> DataInterval:
    """A data interval."""
    return DataInterval(start=utc(start), end=utc(end))


def at(moment: str) -> DataInterval:
    """A data interval without length."""
    return DataInterval.exact(utc(moment))


def run(start: str, end: str) -> DagRunInfo:
    """A run at the end of an interval."""
    return DagRunInfo(run_after=utc(end), data_interval=between(start, end))


class TestCronDataInterval:
    DAILY = CronDataIntervalSpec(cron="0 0 * * *")

    def test_with_catchup_the_first_interval_starts_at_the_aligned_start_date(self) -> None:
        assert next_run(self.DAILY, earliest="11-01", catchup=True) == run("11-01", "11-02")
        assert next_run(self.DAILY, earliest="11-01T00:01", catchup=True) == run("11-02", "11-03")

    def test_with_catchup_each_interval_follows_the_previous_one(self) -> None:
        assert next_run(self.DAILY, last=between("11-01", "11-02"), earliest="11-01", catchup=True) == run(
            "11-02", "11-03"
        )

    def test_with_catchup_and_no_start_date_nothing_runs(self) -> None:
        assert next_run(self.DAILY, catchup=True) is None

    def test_without_catchup_the_latest_whole_interval_is_due(self) -> None:
        assert next_run(self.DAILY, earliest="11-01") == run("11-23", "11-24")
        assert next_run(self.DAILY) == run("11-23", "11-24")
        assert next_run(self.DAILY, last=between("11-05", "11-06"), earliest="11-01") == run("11-23", "11-24")

    def test_without_catchup_a_boundary_belongs_to_the_interval_that_ends_there(self) -> None:
        assert next_run(self.DAILY, now="11-24T00:00") == run("11-23", "11-24")

    def test_without_catchup_the_next_interval_waits_for_its_end(self) -> None:
        assert next_run(self.DAILY, last=between("11-23", "11-24")) == run("11-24", "11-25")

    def test_a_future_start_date_moves_the_first_interval(self) -> None:
        assert next_run(self.DAILY, earliest="12-01T06:00") == run("12-02", "12-03")

    def test_the_end_date_is_inclusive(self) -> None:
        last = between("11-23", "11-24")
        assert next_run(self.DAILY, last=last, latest="11-24") == run("11-24", "11-25")
        assert next_run(self.DAILY, last=last, latest="11-23T23:59") is None

    def test_a_changed_schedule_is_aligned_backwards_but_not_before_the_last_run(self) -> None:
        hourly_before = between("11-24T09:00", "11-24T10:00")
        assert next_run(self.DAILY, last=hourly_before, earliest="11-01", catchup=True) == run("11-25", "11-26")
        weekly_before = between("11-20T12:00", "11-24T12:00")
        assert next_run(self.DAILY, last=weekly_before, earliest="11-01", catchup=True) == run("11-24", "11-25")

    def test_a_manual_run_is_about_the_last_whole_interval(self) -> None:
        timetable = compile_timetable(self.DAILY, load_zone)
        assert timetable.infer_manual_data_interval(run_after=utc("11-24T09:00")) == between("11-23", "11-24")
        assert timetable.infer_manual_data_interval(run_after=utc("11-24")) == between("11-23", "11-24")

    def test_local_midnights_bound_intervals_of_23_and_25_hours(self) -> None:
        spec = CronDataIntervalSpec(cron="0 0 * * *", timezone="Europe/Berlin")
        autumn = next_run(spec, earliest="10-24T22:00", catchup=True)
        spring = next_run(spec, earliest="03-28T23:00", catchup=True)
        assert autumn is not None
        assert spring is not None
        assert (autumn.data_interval.length, spring.data_interval.length) == (25 * HOUR, 23 * HOUR)


class TestCronTrigger:
    DAILY = CronTriggerSpec(cron="0 0 * * *")

    def test_a_run_stands_for_its_own_time(self) -> None:
        info = next_run(self.DAILY, earliest="11-01", catchup=True)
        assert info == DagRunInfo.exact(utc("11-01"))
        assert info.logical_date == utc("11-01")

    def test_with_catchup_every_time_runs(self) -> None:
        assert next_run(self.DAILY, last=at("11-01"), catchup=True) == DagRunInfo.exact(utc("11-02"))

    def test_without_catchup_the_latest_time_is_due_once(self) -> None:
        assert next_run(self.DAILY, earliest="11-01") == DagRunInfo.exact(utc("11-24"))
        assert next_run(self.DAILY, last=at("11-05"), earliest="11-01") == DagRunInfo.exact(utc("11-24"))
        assert next_run(self.DAILY, last=at("11-24"), earliest="11-01") == DagRunInfo.exact(utc("11-25"))

    def test_a_start_date_in_the_future_is_waited_for(self) -> None:
        assert next_run(self.DAILY, earliest="12-01T06:00") == DagRunInfo.exact(utc("12-02"))

    def test_the_end_date_is_inclusive(self) -> None:
        assert next_run(self.DAILY, last=at("11-24"), latest="11-25") == DagRunInfo.exact(utc("11-25"))
        assert next_run(self.DAILY, last=at("11-24"), latest="11-24T23:00") is None

    def test_the_interval_ends_at_the_run(self) -> None:
        spec = CronTriggerSpec(cron="0 18 * * 5", interval=CalendarDelta(duration=4 * DAY + 9 * HOUR))
        assert next_run(spec, earliest="11-01", catchup=True) == run("11-02T09:00", "11-06T18:00")
        manual = compile_timetable(spec, load_zone).infer_manual_data_interval(run_after=utc("11-24T09:00"))
        assert manual == between("11-20T00:00", "11-24T09:00")

    @pytest.mark.parametrize(
        ("run_immediately", "now", "expected"),
        [
            (True, "11-24T23:00", "11-24"),
            (False, "11-24T02:00", "11-24"),
            (False, "11-24T03:00", "11-25"),
            (None, "11-24T02:00", "11-24"),
            (None, "11-24T03:00", "11-25"),
            (HOUR, "11-24T01:00", "11-24"),
            (HOUR, "11-24T01:01", "11-25"),
        ],
    )
    def test_the_first_run_of_a_dag_without_a_start_date(
        self, run_immediately: bool | timedelta | None, now: str, expected: str
    ) -> None:
        spec = CronTriggerSpec(cron="0 0 * * *", run_immediately=run_immediately)
        for catchup in (True, False):
            assert next_run(spec, now=now, catchup=catchup) == DagRunInfo.exact(utc(expected))

    def test_a_frequent_schedule_has_a_grace_of_five_minutes(self) -> None:
        spec = CronTriggerSpec(cron="*/20 * * * *")
        assert next_run(spec, now="11-24T12:05") == DagRunInfo.exact(utc("11-24T12:00"))
        assert next_run(spec, now="11-24T12:06") == DagRunInfo.exact(utc("11-24T12:20"))

    def test_a_local_time_keeps_its_place_on_the_wall(self) -> None:
        spec = CronTriggerSpec(cron="30 6 * * *", timezone="Europe/Berlin")
        assert next_run(spec, last=at("10-24T04:30"), catchup=True) == DagRunInfo.exact(utc("10-25T05:30"))


class TestMultipleCronTrigger:
    SPEC = MultipleCronTriggerSpec(crons=("0 6 * * *", "0 18 * * mon-fri", "0 6 1 * *"))

    def test_with_catchup_the_earliest_of_all_is_next(self) -> None:
        found = []
        last = at("11-27")
        for _ in range(5):
            info = next_run(self.SPEC, last=last, catchup=True)
            assert info is not None
            found.append(info.run_after)
            last = info.data_interval
        assert found == [
            utc("11-27T06:00"),
            utc("11-27T18:00"),
            utc("11-28T06:00"),
            utc("11-29T06:00"),
            utc("11-30T06:00"),
        ]

    def test_without_catchup_the_latest_due_one_is_next_and_then_the_earliest_coming_one(self) -> None:
        assert next_run(self.SPEC, last=at("11-20"), earliest="11-01") == DagRunInfo.exact(utc("11-24T06:00"))
        assert next_run(self.SPEC, last=at("11-24T06:00"), earliest="11-01") == DagRunInfo.exact(utc("11-24T18:00"))

    def test_a_time_that_is_exactly_now_is_due(self) -> None:
        assert next_run(self.SPEC, last=at("11-20"), earliest="11-01", now="11-24T18:00") == DagRunInfo.exact(
            utc("11-24T18:00")
        )

    def test_the_end_date_ends_all(self) -> None:
        assert next_run(self.SPEC, last=at("11-24T06:00"), latest="11-24T12:00") is None

    def test_no_expression_at_all_is_refused(self) -> None:
        with pytest.raises(UserError, match="at least one"):
            compile_timetable(MultipleCronTriggerSpec(crons=()), load_zone)


class TestDeltas:
    INTERVAL = DeltaDataIntervalSpec(delta=CalendarDelta(duration=6 * HOUR))
    TRIGGER = DeltaTriggerSpec(delta=CalendarDelta(duration=6 * HOUR))

    def test_intervals_start_at_the_start_date_whatever_its_time(self) -> None:
        assert next_run(self.INTERVAL, earliest="11-01T03:17", catchup=True) == run("11-01T03:17", "11-01T09:17")
        assert next_run(self.INTERVAL, last=between("11-01T03:17", "11-01T09:17"), catchup=True) == run(
            "11-01T09:17", "11-01T15:17"
        )

    def test_without_catchup_the_latest_interval_ends_at_a_multiple_of_the_delta(self) -> None:
        assert next_run(self.INTERVAL, now="11-24T13:00") == run("11-24T06:00", "11-24T12:00")
        assert next_run(self.INTERVAL, now="11-24T13:00", last=between("11-24T02:00", "11-24T08:00")) == run(
            "11-24T08:00", "11-24T14:00"
        )

    def test_a_manual_interval_ends_now(self) -> None:
        timetable = compile_timetable(self.INTERVAL, load_zone)
        assert timetable.infer_manual_data_interval(run_after=utc("11-24T09:01")) == between(
            "11-24T03:01", "11-24T09:01"
        )

    def test_triggers_follow_the_last_run_and_run_at_once_when_late(self) -> None:
        last = at("11-24T10:00")
        assert next_run(self.TRIGGER, last=last) == DagRunInfo.exact(utc("11-24T16:00"))
        assert next_run(self.TRIGGER, last=last, now="11-24T20:00") == DagRunInfo.exact(utc("11-24T20:00"))
        assert next_run(self.TRIGGER, last=last, now="11-24T20:00", catchup=True) == DagRunInfo.exact(
            utc("11-24T16:00")
        )
        assert next_run(self.TRIGGER) == DagRunInfo.exact(utc("11-24T12:00"))

    def test_months_are_calendar_months(self) -> None:
        spec = DeltaDataIntervalSpec(delta=CalendarDelta(months=1))
        assert next_run(spec, earliest="01-31", catchup=True) == run("01-31", "02-28")
        assert next_run(spec, last=between("11-24", "12-24"), catchup=True) == run("2026-12-24", "2027-01-24")

    @pytest.mark.parametrize(
        "delta",
        [
            CalendarDelta(),
            CalendarDelta(duration=-HOUR),
            CalendarDelta(months=-1, duration=40 * DAY),
            CalendarDelta(months=1, duration=-28 * DAY),
            CalendarDelta(duration=timedelta(days=400_000)),
        ],
    )
    def test_a_delta_that_does_not_lead_on_is_refused(self, delta: CalendarDelta) -> None:
        for spec in (DeltaDataIntervalSpec(delta=delta), DeltaTriggerSpec(delta=delta)):
            with pytest.raises(UserError, match="must be positive"):
                compile_timetable(spec, load_zone)

    def test_a_negative_data_interval_is_refused(self) -> None:
        with pytest.raises(UserError, match="must not be negative"):
            compile_timetable(CronTriggerSpec(cron="@daily", interval=CalendarDelta(duration=-HOUR)), load_zone)


class TestPlain:
    def test_null_never_runs(self) -> None:
        assert next_run(NullSpec(), earliest="11-01", catchup=True) is None

    def test_once_runs_at_the_start_date_and_never_again(self) -> None:
        assert next_run(OnceSpec(), earliest="11-01") == DagRunInfo.exact(utc("11-01"))
        assert next_run(OnceSpec()) == DagRunInfo.exact(utc("11-24T12:00"))
        assert next_run(OnceSpec(), last=at("11-01"), earliest="11-01") is None
        assert next_run(OnceSpec(), earliest="11-02", latest="11-01") is None

    def test_continuous_runs_cover_all_time_without_a_gap(self) -> None:
        assert next_run(ContinuousSpec(), earliest="11-01") == run("11-01", "11-24T12:00")
        assert next_run(ContinuousSpec(), last=between("11-01", "11-24T11:59")) == run("11-24T11:59", "11-24T12:00")
        assert next_run(ContinuousSpec(), earliest="12-01") == run("12-01", "12-01")
        assert next_run(ContinuousSpec(), latest="11-20") is None
        assert compile_timetable(ContinuousSpec(), load_zone).active_runs_limit == 1

    def test_continuous_runs_begin_at_most_once_a_second(self) -> None:
        last = between("11-24T11:59", "11-24T12:00")
        assert next_run(ContinuousSpec(), last=last) == run("11-24T12:00", "11-24T12:00:01")

    def test_continuous_repeats_the_length_of_an_interval_in_the_future(self) -> None:
        last = between("11-25T00:00", "11-25T02:00")
        assert next_run(ContinuousSpec(), last=last, earliest="11-25") == run("11-25T00:00", "11-25T02:00")

    def test_events_run_in_order_and_once(self) -> None:
        spec = EventsSpec(event_dates=(utc("12-24"), utc("11-01"), utc("11-24T18:00"), utc("11-01")))
        assert next_run(spec, catchup=True) == DagRunInfo.exact(utc("11-01"))
        assert next_run(spec, catchup=True, last=at("11-01")) == DagRunInfo.exact(utc("11-24T18:00"))
        assert next_run(spec) == DagRunInfo.exact(utc("11-24T18:00"))
        assert next_run(spec, earliest="11-24T18:00") == DagRunInfo.exact(utc("11-24T18:00"))
        assert next_run(spec, last=at("12-24")) is None
        assert next_run(spec, last=at("11-24T18:00"), latest="12-23") is None
        assert next_run(EventsSpec(event_dates=())) is None

    def test_a_manual_run_may_be_restricted_to_events(self) -> None:
        events = (utc("11-01"), utc("11-20"))
        free = compile_timetable(EventsSpec(event_dates=events), load_zone)
        bound = compile_timetable(EventsSpec(event_dates=events, restrict_to_events=True), load_zone)
        assert free.infer_manual_data_interval(run_after=utc("11-10")) == at("11-10")
        assert bound.infer_manual_data_interval(run_after=utc("11-10")) == at("11-01")
        assert bound.infer_manual_data_interval(run_after=utc("10-10")) == at("11-01")
        assert bound.infer_manual_data_interval(run_after=utc("11-20")) == at("11-20")

    def test_assets_or_time_follows_its_inner_timetable(self) -> None:
        spec = AssetOrTimeSpec(timetable=CronTriggerSpec(cron="0 1 * * 3"))
        assert next_run(spec, earliest="11-01", catchup=True) == DagRunInfo.exact(utc("11-04T01:00"))
        timetable = compile_timetable(spec, load_zone)
        assert (timetable.summary, timetable.periodic) == ("Asset or 0 1 * * 3", True)
        assert timetable.infer_manual_data_interval(run_after=utc("11-10")) == at("11-10")

    def test_assets_alone_never_run_by_time(self) -> None:
        assert next_run(AssetTriggeredSpec(), earliest="11-01", catchup=True) is None

    def test_a_custom_timetable_tells_what_it_stored_and_refuses_to_guess(self) -> None:
        spec = CustomSpec(class_path="plugins.workday.AfterWorkday", description="After each workday")
        timetable = compile_timetable(spec, load_zone)
        assert (timetable.summary, timetable.description) == ("AfterWorkday", "After each workday")
        with pytest.raises(UserError, match=r"plugins\.workday\.AfterWorkday"):
            next_run(spec)
        with pytest.raises(UserError):
            timetable.infer_manual_data_interval(run_after=utc("11-10"))


@pytest.mark.parametrize(
    ("spec", "summary", "description", "periodic", "can_be_scheduled"),
    [
        (NullSpec(), "None", "Never, external triggers only", False, False),
        (OnceSpec(), "@once", "Once, as soon as possible", False, True),
        (AssetTriggeredSpec(), "Asset", "Triggered by assets", False, True),
        (AssetTriggeredSpec(partitioned=True), "Partitioned Asset", "Triggered by assets", False, True),
        (CronTriggerSpec(cron="30 21 * * 5"), "30 21 * * 5", "At 21:30 on Friday", True, True),
        (CronDataIntervalSpec(cron="@daily"), "0 0 * * *", "At 00:00", True, True),
        (
            MultipleCronTriggerSpec(crons=("@hourly", "5 4 * * *")),
            "0 * * * *, 5 4 * * *",
            "Every hour, At 04:05",
            True,
            True,
        ),
        (DeltaTriggerSpec(delta=CalendarDelta(duration=DAY)), "1 day, 0:00:00", "Every day", True, True),
        (
            DeltaDataIntervalSpec(delta=CalendarDelta(months=14, duration=150 * timedelta(minutes=1))),
            "1 year, 2 months, 2:30:00",
            "Every 1 year, 2 months, 2 hours and 30 minutes",
            True,
            True,
        ),
        (
            EventsSpec(event_dates=(utc("11-01"), utc("11-20"))),
            "2 events",
            "2 events between 2026-11-01T00:00:00+00:00 and 2026-11-20T00:00:00+00:00",
            True,
            True,
        ),
        (EventsSpec(event_dates=(), description="Finals"), "Finals", "Finals", True, True),
    ],
)
def test_what_people_read(
    spec: TimetableSpec, summary: str, description: str, periodic: bool, can_be_scheduled: bool
) -> None:
    timetable = compile_timetable(spec, load_zone)
    assert timetable.summary == summary
    assert timetable.description == description
    assert timetable.periodic is periodic
    assert timetable.can_be_scheduled is can_be_scheduled


def test_run_ids_name_the_type_and_the_time_in_utc() -> None:
    timetable = compile_timetable(CronTriggerSpec(cron="@daily"), load_zone)
    run_after = utc("11-24").astimezone(load_zone("Asia/Tokyo"))
    assert (
        timetable.generate_run_id(run_type=DagRunType.SCHEDULED, run_after=run_after, data_interval=None)
        == "scheduled__2026-11-24T00:00:00+00:00"
    )
    assert (
        run_id_for(DagRunType.MANUAL, utc("11-24T06:00:00.000123"), "x1Y2")
        == "manual__2026-11-24T06:00:00.000123+00:00_x1Y2"
    )


def test_naive_times_are_a_bug_of_the_caller() -> None:
    timetable = compile_timetable(CronTriggerSpec(cron="@daily"), load_zone)
    with pytest.raises(Bug, match="naive"):
        timetable.infer_manual_data_interval(run_after=utc("11-24").replace(tzinfo=None))
