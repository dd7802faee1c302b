"""Timetables of one's own: how they are described when a file is parsed, and asked in a runner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, CronTriggerTimetable, EmptyOperator
from dagdeck.serialize import serialize_dag
from dagdeck.timetable_values import DagRunInfo, DataInterval, TimeRestriction
from dagdeck.timetables import AssetOrTimeSchedule, Timetable
from dagdeck_core.errors import UserError
from dagdeck_core.timetables import AssetOrTimeSpec, CronTriggerSpec, CustomSpec
from dagdeck_core.wire import Outcome
from dagdeck_core.work import ManualInterval, NextRuns
from dagdeck_task import task_log
from tests.integration.test_dagdeck_task_execution import Bench

AT = datetime(2026, 1, 30, 6, tzinfo=UTC)
"""A Friday."""
WORKDAYS = """
from pendulum import UTC as UTC_, Time, DateTime
from dagdeck.timetables import Timetable
from dagdeck.timetable_values import DagRunInfo, DataInterval
class Workdays(Timetable):
    description = "After each workday"
    def _next(self, day, step=1):
        while day.weekday() in (5, 6):
            day = day.add(days=step)
        return day
    def infer_manual_data_interval(self, run_after):
        start = DateTime.combine((run_after - timedelta(days=1)).date(), Time.min).replace(tzinfo=UTC_)
        start = self._next(start, -1)
        return DataInterval(start=start, end=start + timedelta(days=1))
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        print("ASKED", last_automated_data_interval and last_automated_data_interval.start, restriction.earliest)
        if last_automated_data_interval is not None:
            start = DateTime.combine((last_automated_data_interval.start + timedelta(days=1)).date(), Time.min)
        elif restriction.earliest is None:
            return None
        else:
            start = restriction.earliest
        start = self._next(start.replace(tzinfo=UTC_))
        if restriction.latest is not None and start > restriction.latest:
            return None
        return DagRunInfo.interval(start=start, end=start + timedelta(days=1))
EmptyOperator(task_id="t")
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A DAG file to be written."""
    yield Bench(tmp_path)
    task_log.remove()


def ask(bench: Bench, order: Any, body: str, dag: str) -> Outcome:
    """What the runner answers for a DAG file that begins with `body`."""
    head, _, tail = body.rpartition("EmptyOperator")
    bench.write("EmptyOperator" + tail, dag)
    path = bench.root / "dags.py"
    path.write_text(path.read_text().replace("\nwith DAG", f"{head}\nwith DAG"))
    from dagdeck_task import runner_main

    return runner_main.execute(bench.message(task_id="", kind="evaluate", order=order), bench.channel)


def next_run(bench: Bench, dag: str, last: tuple[datetime, datetime] | None = None, body: str = WORKDAYS) -> Outcome:
    """The answer to the question for the next run."""
    start, end = last or (None, None)
    return ask(bench, NextRuns(last_start=start, last_end=end, at=AT), body, dag)


def test_the_first_and_the_following_run(bench: Bench) -> None:
    dag = "schedule=Workdays(), start_date=datetime(2026, 1, 30, tzinfo=UTC)"
    assert next_run(bench, dag).answer == {
        "run_after": "2026-01-31T00:00:00+00:00",
        "start": "2026-01-30T00:00:00+00:00",
        "end": "2026-01-31T00:00:00+00:00",
    }
    friday = (datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC))
    assert next_run(bench, dag, friday).answer["start"] == "2026-02-02T00:00:00+00:00"


NAMING = """
from dagdeck.timetables import CronTriggerTimetable, Timetable
from dagdeck.timetable_values import DagRunInfo, DataInterval
class Named(CronTriggerTimetable):
    def __init__(self, cron, prefix):
        super().__init__(cron, timezone="UTC")
        self.prefix = prefix
    def serialize(self):
        return {"prefix": self.prefix, "path": timedelta(1)}
    def generate_run_id(self, *, run_type, run_after, data_interval, **extra):
        day = data_interval.start.strftime("%d") if data_interval else "-"
        return f"{self.prefix}_{run_type.value}_{run_after:%H}_{day}"
class Old(Named):
    def generate_run_id(self, *, run_type, logical_date, data_interval):
        return run_type.generate_run_id(logical_date) + "!"
class Regions(Timetable):
    partitioned = True
    def next_dagrun_info_v2(self, *, last_dagrun_info, restriction):
        last = last_dagrun_info
        print("LAST", last and (last.partition_key, last.run_after.hour, last.data_interval))
        key = "eu" if last is None else "us"
        at = restriction.earliest.add(hours=1) if last is None else last.run_after.add(hours=1)
        return DagRunInfo(run_after=at, data_interval=None, partition_date=at.start_of("day"), partition_key=key)
    def _decode_partition_date(self, key):
        return {"eu": datetime(2026, 1, 1, tzinfo=UTC)}.get(key)
class Bad(Named):
    def generate_run_id(self, **given):
        return 7
EmptyOperator(task_id="t")
"""


def test_run_ids_of_the_authors_own(bench: Bench) -> None:
    start = (datetime(2026, 1, 30, 5, tzinfo=UTC),) * 2
    named = "schedule=Named('0 * * * *', 'mine'), start_date=datetime(2026, 1, 30, tzinfo=UTC), catchup=True"
    assert next_run(bench, named, start, body=NAMING).answer["run_id"] == "mine_scheduled_06_30"
    old = named.replace("Named", "Old")
    assert next_run(bench, old, start, body=NAMING).answer["run_id"] == "scheduled__2026-01-30T06:00:00+00:00!"
    bad = next_run(bench, named.replace("Named", "Bad"), start, body=NAMING)
    assert bad.error is not None
    assert "answered 7 as run_id" in bad.error.message
    order = ManualInterval(run_after=AT, action_id=1, has_date=False, names=True, due=AT)
    assert ask(bench, order, NAMING, named).answer == {"run_id": "mine_manual_06_-"}
    order = ManualInterval(run_after=AT, action_id=1, start=AT, end=AT, names=True, run_type="operator_triggered")
    assert ask(bench, order, NAMING, named).answer == {"run_id": "mine_operator_triggered_06_30"}


def test_partitions_of_the_authors_own(bench: Bench) -> None:
    dag = "schedule=Regions(), start_date=datetime(2026, 1, 30, 5, tzinfo=UTC)"
    first = next_run(bench, dag, body=NAMING).answer
    date = "2026-01-30T00:00:00+00:00"
    assert first == {"run_after": "2026-01-30T06:00:00+00:00", "partition_key": "eu", "partition_date": date}
    last: dict[str, Any] = {"last_start": AT, "last_end": AT, "last_run_after": AT, "last_partition_key": "eu"}
    second = ask(bench, NextRuns(**last, last_is_dateless=True, at=AT), NAMING, dag).answer
    assert (second["run_after"], second["partition_key"]) == ("2026-01-30T07:00:00+00:00", "us")
    order = ManualInterval(run_after=AT, action_id=1, has_date=False, partition_key="eu")
    assert ask(bench, order, NAMING, dag).answer == {"partition_date": "2026-01-01T00:00:00+00:00"}


def test_what_is_stored_of_a_class_says_what_it_answers() -> None:
    space: dict[str, Any] = {"datetime": datetime, "UTC": UTC, "timedelta": timedelta, "EmptyOperator": dict}
    space["__name__"] = "plugins"
    exec(NAMING, space)
    named = space["Named"]("0 * * * *", "a").spec
    assert isinstance(named, CustomSpec)
    assert (named.data, named.names_runs, named.reads_keys) == ({"prefix": "a", "path": "P1D"}, True, False)
    assert named != space["Named"]("0 * * * *", "b").spec, "other arguments are another timetable"
    regions = space["Regions"]()
    assert (regions.spec.partitioned, regions.spec.reads_keys, regions.type_name) == (True, True, "plugins.Regions")
    with pytest.raises(NotImplementedError, match="no partitions of assets"):
        regions.get_partition_mapper(name="x")


BEATS = """
from dagdeck.timetables import CronDataIntervalTimetable, CronTriggerTimetable, DeltaDataIntervalTimetable
class Late(CronDataIntervalTimetable):
    @property
    def summary(self):
        return f"{super().summary} late"
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        end = info.data_interval.end
        assert self._get_prev(self._get_next(end)) == self._align_to_next(end) == self._align_to_prev(end) == end
        assert (self._expression, str(self._timezone)) == ("0 6 * * *", "Europe/Berlin")
        return info._replace(run_after=info.run_after + timedelta(hours=1))
class Halves(DeltaDataIntervalTimetable):
    def _get_next(self, current):
        return current + self._delta / 2
    def _skip_to_latest(self, earliest):
        return earliest
class Odd(CronTriggerTimetable):
    def _align_to_next(self, current):
        return current
EmptyOperator(task_id="t")
"""


def test_classes_that_extend_the_built_in_ones_find_what_those_keep(bench: Bench) -> None:
    start = ", start_date=datetime(2026, 1, 28, tzinfo=UTC)"
    late = f"schedule=Late('0 6 * * *', 'Europe/Berlin'), catchup=True{start}"
    assert next_run(bench, late, body=BEATS).answer == {
        "run_after": "2026-01-29T06:00:00+00:00",
        "start": "2026-01-28T05:00:00+00:00",
        "end": "2026-01-29T05:00:00+00:00",
    }
    halves = f"schedule=Halves(timedelta(hours=8)), catchup=False{start}"
    first = next_run(bench, halves, body=BEATS).answer
    assert (first["start"][11:16], first["end"][11:16]) == ("00:00", "04:00"), "its own beats make the interval"
    last = (datetime(2026, 1, 29, tzinfo=UTC), datetime(2026, 1, 29, 4, tzinfo=UTC))
    assert next_run(bench, halves, last, body=BEATS).answer["start"] == "2026-01-29T04:00:00+00:00"
    coarse = (datetime(2026, 1, 28, 3, tzinfo=UTC), datetime(2026, 1, 28, 3, tzinfo=UTC))
    assert next_run(bench, halves, coarse, body=BEATS).answer["start"] == "2026-01-28T07:00:00+00:00"


def test_no_run_without_a_start_and_none_after_the_end(bench: Bench) -> None:
    assert next_run(bench, "schedule=Workdays()").answer == {}
    dag = "schedule=Workdays(), start_date=datetime(2026, 2, 2), end_date=datetime(2026, 2, 1)"
    assert next_run(bench, dag).answer == {}


def test_the_interval_of_a_run_started_on_a_monday_is_friday(bench: Bench) -> None:
    outcome = ask(
        bench,
        ManualInterval(run_after=datetime(2026, 2, 2, 15, tzinfo=UTC), action_id=1),
        WORKDAYS,
        "schedule=Workdays()",
    )
    assert outcome.answer == {"start": "2026-01-30T00:00:00+00:00", "end": "2026-01-31T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no calendar')", "no calendar"),
        ("return 5", "'int' object has no attribute 'run_after'"),
        ("return DagRunInfo.exact('soon')", "no datetime"),
        ("return DagRunInfo.exact(datetime(2026, 1, 1))", "without a time zone"),
    ],
)
def test_a_broken_timetable_is_an_answer_with_an_error(bench: Bench, code: str, message: str) -> None:
    body = f"""
from dagdeck.timetables import Timetable
from dagdeck.timetable_values import DagRunInfo
class Broken(Timetable):
    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        {code}
EmptyOperator(task_id="t")
"""
    outcome = next_run(bench, "schedule=Broken()", body=body)
    assert outcome.result == "failed"
    assert outcome.error is not None
    assert message in outcome.error.message


def test_a_timetable_that_hangs_is_stopped(bench: Bench) -> None:
    body = """
from dagdeck.timetables import Timetable
class Slow(Timetable):
    def next_dagrun_info(self, **question):
        time.sleep(60)
EmptyOperator(task_id="t")
"""
    head, _, tail = body.rpartition("EmptyOperator")
    bench.write("EmptyOperator" + tail, "schedule=Slow()")
    path = bench.root / "dags.py"
    path.write_text(path.read_text().replace("\nwith DAG", f"{head}\nwith DAG"))
    from dagdeck_task import runner_main

    message = bench.message(task_id="", kind="evaluate", order=NextRuns(at=AT), execution_timeout=0.2)
    outcome = runner_main.execute(message, bench.channel)
    assert outcome.error is not None
    assert outcome.error.kind == "AirflowTaskTimeout"


# ---------------------------------------------------------------- what is stored


class Plain(Timetable):
    """Overrides what must be."""

    def __init__(self, word: str = "each") -> None:
        self.description = f"At {word} full moon"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Never."""
        return None


class Later(CronTriggerTimetable):
    """An hour after what cron says."""

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """As the base class, later."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        return info and info._replace(run_after=info.run_after.add(hours=1))


class Renamed(CronTriggerTimetable):
    """Changes nothing about times."""

    partitioned_at_runtime = True


def spec_of(schedule: Any) -> Any:
    """The stored timetable of a DAG with this schedule."""
    with DAG("d", schedule=schedule, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        EmptyOperator(task_id="t")
    return serialize_dag(dag).timetable


def test_a_class_of_ones_own_is_stored_by_what_it_says_of_itself() -> None:
    spec = spec_of(Plain("the"))
    assert isinstance(spec, CustomSpec)
    assert (spec.class_path, spec.summary, spec.description) == (f"{__name__}.Plain", "Plain", "At the full moon")


def test_a_class_that_changes_a_built_in_one_is_asked_too() -> None:
    later = Later("0 5 * * *", timezone="UTC")
    spec = spec_of(later)
    assert isinstance(spec, CustomSpec)
    assert spec.summary == "0 5 * * *"
    info = later.next_dagrun_info(
        last_automated_data_interval=DataInterval(AT, AT), restriction=TimeRestriction(None, None, True)
    )
    assert info is not None
    assert info.run_after == datetime(2026, 1, 31, 6, tzinfo=UTC)


def test_a_class_that_only_has_another_name_is_computed_by_the_scheduler() -> None:
    assert isinstance(spec_of(Renamed("0 5 * * *", timezone="UTC")), CronTriggerSpec)


def test_beside_assets() -> None:
    from dagdeck import Asset

    spec = spec_of(AssetOrTimeSchedule(timetable=Plain(), assets=[Asset("a")]))
    assert isinstance(spec, AssetOrTimeSpec)
    assert isinstance(spec.timetable, CustomSpec)


def test_a_timetable_may_refuse_itself() -> None:
    class Picky(Plain):
        def validate(self) -> None:
            raise UserError("not on this planet")

    with pytest.raises(UserError, match="not on this planet"):
        spec_of(Picky())


def test_an_object_that_is_no_timetable_is_refused() -> None:
    class Foreign:
        def next_dagrun_info(self) -> None: ...

    with pytest.raises(UserError, match="Make it a subclass of Timetable"):
        spec_of(Foreign())


def test_a_tested_run_has_the_interval_of_its_timetable() -> None:
    class Yesterday(Plain):
        def infer_manual_data_interval(self, *, run_after: Any) -> DataInterval:
            return DataInterval(run_after.subtract(days=1), run_after)

    with DAG("d", schedule=Yesterday()) as dag:
        EmptyOperator(task_id="t")
    from dagdeck_task.timetable_questions import interval_of_manual_run

    assert interval_of_manual_run(dag, AT) == (datetime(2026, 1, 29, 6, tzinfo=UTC), AT)
    assert dag.test(AT).state == "success"
