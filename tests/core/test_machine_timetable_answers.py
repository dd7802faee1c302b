"""DAGs whose timetable is code of the author's: asked for as work, scheduled by the stored answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dagdeck_core.actions import TriggerDagRun
from dagdeck_core.scheduling.events import DispatchesFinished
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.timetables import AssetOrTimeSpec, CustomSpec, DataInterval
from dagdeck_core.wire import FinishedDispatch
from dagdeck_core.work import ManualInterval, NextRuns, WorkRecord, WorkState, hint_id
from tests.core.machine_driver import START, Driver, dag
from tests.simulation.database import claim_work, finish_work

HOUR = timedelta(hours=1)
CUSTOM = CustomSpec(class_path="plugins.Workdays")


def custom(**fields: Any) -> DagSpec:
    """A DAG with such a timetable."""
    return dag("d", "a", timetable=CUSTOM, start_date=START, **fields)


def open_question(driver: Driver) -> WorkRecord:
    """The only question that is open."""
    (record,) = (work for key, work in driver.db.works.items() if key not in driver.db.settled)
    return record


def answer(driver: Driver, value: Any, state: WorkState = WorkState.SUCCESS) -> list[str]:
    """A runner answers the open question."""
    record = open_question(driver)
    claim_work(driver.db, 1, hint_id(record.work_id), record.dispatch_no)
    finish_work(driver.db, hint_id(record.work_id), record.dispatch_no, state, value)
    told = FinishedDispatch(record.run_key, hint_id(record.work_id), record.dispatch_no, TaskInstanceState.SUCCESS)
    return driver.settle(DispatchesFinished(worker_id=1, finished=(told,)))


def run(at: datetime, length: timedelta = HOUR) -> dict[str, str]:
    """The answer that names a run at the end of its interval."""
    return {"run_after": at.isoformat(), "start": (at - length).isoformat(), "end": at.isoformat()}


def test_the_first_run_is_asked_for_and_created_when_it_is_due() -> None:
    driver = Driver(custom())
    order = open_question(driver).order
    assert order == NextRuns(last_start=None, last_end=None, at=START, most=1)
    assert answer(driver, run(START + HOUR)) == ["warn d: ", "next d 01-01T01:00", "settle NextRuns"]
    assert driver.db.dags["d"].next_run_after == START + HOUR
    assert driver.db.runs == {}
    told = driver.wait(3600)
    assert "create scheduled__2026-01-01T01:00:00+00:00" in told
    order = open_question(driver).order
    assert isinstance(order, NextRuns)
    assert (order.last_start, order.last_end) == (START, START + HOUR)
    (created,) = driver.db.runs.values()
    assert (created.logical_date, created.data_interval_end) == (START, START + HOUR)


def test_a_due_answer_makes_a_run_at_once_and_catches_up() -> None:
    driver = Driver(custom(catchup=True))
    for hours in (-3, -2, -1):
        answer(driver, run(START + hours * HOUR))
    assert len(driver.db.runs) == 3
    answer(driver, run(START + HOUR))
    assert len(driver.db.runs) == 3


def test_no_next_run_is_asked_again_after_a_while_only() -> None:
    driver = Driver(custom())
    answer(driver, {})
    asked = len(driver.db.works)
    driver.wait(200)
    driver.wait(50)
    assert len(driver.db.works) == asked
    driver.wait(60)
    assert len(driver.db.works) == asked + 1


def test_a_broken_timetable_warns_people_and_holds_up_nobody_else() -> None:
    driver = Driver(custom(), dag("other", "a"))
    told = answer(driver, None, WorkState.FAILED)
    (message,) = (line for line in told if line.startswith("warn"))
    assert "could not be evaluated" in message
    driver.trigger("r", "other")
    driver.end("r.a")
    assert driver.run("r", "other").state == "success"
    driver.wait(301)
    answer(driver, run(START + HOUR))
    assert driver.db.warnings == {}
    assert driver.db.dags["d"].next_run_after == START + HOUR


def test_an_answer_that_is_no_answer_warns() -> None:
    driver = Driver(custom())
    told = answer(driver, {"run_after": "soon"})
    assert any("cannot be read" in line for line in told)


def test_a_new_version_voids_what_was_stored_and_what_is_being_asked() -> None:
    driver = Driver(custom())
    old = open_question(driver)
    driver.settle(driver.put_dag(custom(max_active_runs=2)))
    claim_work(driver.db, 1, hint_id(old.work_id), old.dispatch_no)
    finish_work(driver.db, hint_id(old.work_id), old.dispatch_no, WorkState.SUCCESS, run(START + HOUR))
    told = FinishedDispatch(0, hint_id(old.work_id), old.dispatch_no, TaskInstanceState.SUCCESS)
    driver.settle(DispatchesFinished(worker_id=1, finished=(told,)))
    assert driver.db.dags["d"].next_run_after is None
    driver.wait(301)
    assert open_question(driver).version_id == 2
    answer(driver, run(START + 2 * HOUR))
    assert driver.db.dags["d"].next_run_after == START + 2 * HOUR
    driver.settle(driver.put_dag(custom(max_active_runs=3)))
    assert driver.db.dags["d"].next_run_after is None, "the new version may have another rhythm"
    assert open_question(driver).version_id == 3


def test_max_active_runs_holds_the_stored_run() -> None:
    driver = Driver(custom(catchup=True, max_active_runs=1))
    answer(driver, run(START - 2 * HOUR))
    answer(driver, run(START - HOUR))
    assert len(driver.db.runs) == 1
    (first,) = driver.db.runs.values()
    driver.end(f"{first.run_id}.a")
    assert len(driver.db.runs) == 2


def test_answers_survive_a_failover() -> None:
    driver = Driver(custom())
    driver.fail_over()
    assert len(driver.db.works) == 1, "the question is open already"
    answer(driver, run(START + HOUR))
    driver.fail_over()
    assert "create scheduled__2026-01-01T01:00:00+00:00" in driver.wait(3600)


def test_a_question_that_fails_after_a_failover_is_asked_again_after_a_while() -> None:
    driver = Driver(custom())
    driver.fail_over()
    answer(driver, None, WorkState.FAILED)
    driver.wait(290)
    assert len(driver.db.works) == 1
    driver.wait(20)
    assert len(driver.db.works) == 2


def test_a_timetable_beside_assets_is_asked_too() -> None:
    driver = Driver(dag("d", "a", timetable=AssetOrTimeSpec(timetable=CUSTOM)))
    assert isinstance(open_question(driver).order, NextRuns)


def test_one_that_never_runs_by_itself_is_not_asked() -> None:
    spec = CustomSpec(class_path="plugins.Never", can_be_scheduled=False)
    assert Driver(dag("d", "a", timetable=spec)).db.works == {}


def test_run_ids_and_partitions_of_the_authors_own_are_the_runs() -> None:
    driver = Driver(custom(catchup=True))
    date = START - 3 * HOUR
    said = {"run_after": (START - HOUR).isoformat(), "run_id": "mine-1", "partition_key": "p1"}
    answer(driver, {**said, "partition_date": date.isoformat()})
    (made,) = driver.db.runs.values()
    assert (made.run_id, made.partition_key, made.partition_date) == ("mine-1", "p1", date)
    assert (made.logical_date, made.data_interval_start) == (None, None), "a partition needs no interval"
    order = open_question(driver).order
    assert isinstance(order, NextRuns)
    assert (order.last_run_after, order.last_partition_key, order.last_partition_date) == (START - HOUR, "p1", date)
    assert (order.last_is_dateless, order.last_end) == (True, START - HOUR)
    answer(driver, {**run(START + HOUR), "run_id": "mine-2", "partition_key": "p2"})
    driver.fail_over()
    assert "create mine-2" in driver.wait(3600)
    second = driver.run("mine-2")
    assert (second.partition_key, second.logical_date, second.data_interval_end) == ("p2", START, START + HOUR)
    order = open_question(driver).order
    assert isinstance(order, NextRuns)
    assert (order.last_is_dateless, order.last_partition_key) == (False, "p2")
    answer(driver, run(START + 2 * HOUR))
    assert driver.db.dags["d"].asked is not None, "what is known of the last run stays"
    driver.wait(3600)
    assert "scheduled__2026-01-01T02:00:00+00:00" in [each.run_id for each in driver.db.runs.values()]


def test_a_run_id_that_is_taken_counts_as_made() -> None:
    driver = Driver(custom(catchup=True))
    driver.trigger("mine")
    driver.machine.note_taken("d", "mine")
    answer(driver, {**run(START - HOUR), "run_id": "mine"})
    assert len(driver.db.runs) == 1
    answer(driver, {**run(START - HOUR / 2), "run_id": "next"})
    assert [each.run_id for each in driver.db.runs.values()] == ["mine", "next"]


# ---------------------------------------------------------------- runs that people start


def trigger(driver: Driver) -> list[str]:
    """A person starts a run with a logical date."""
    return driver.act(TriggerDagRun(dag_id="d", run_id="r", logical_date=START))


def post_again(driver: Driver) -> list[str]:
    """The pending actions are read once more."""
    assert driver.machine.take_actions_wanted(), "the machine says that an answer is here"
    return driver.settle(*(event for record in driver.store.pending_actions(9) for event in driver.repost(record)))


def test_the_interval_of_a_started_run_is_asked_for_while_others_go_on() -> None:
    driver = Driver(custom(), dag("other", "a"))
    answer(driver, run(START + HOUR))
    assert "work ManualInterval d" in trigger(driver)
    assert "done 2" in driver.trigger("s", "other"), "what comes after does not wait"
    assert isinstance(open_question(driver).order, ManualInterval)
    answer(driver, {"start": (START - HOUR).isoformat(), "end": START.isoformat()})
    told = post_again(driver)
    assert "create r" in told
    assert "done 1" in told
    row = driver.run()
    assert DataInterval(start=START - HOUR, end=START) == DataInterval(
        start=row.data_interval_start or START, end=row.data_interval_end or START
    )


def test_a_started_run_is_refused_when_the_timetable_cannot_say() -> None:
    driver = Driver(custom())
    answer(driver, run(START + HOUR))
    trigger(driver)
    answer(driver, None, WorkState.FAILED)
    (told,) = post_again(driver)
    assert told.startswith("refused: the timetable could not be evaluated")


def test_a_started_run_without_a_date_needs_no_interval() -> None:
    driver = Driver(custom())
    answer(driver, run(START + HOUR))
    assert "create r" in driver.trigger()


NAMING = CustomSpec(class_path="plugins.Naming", names_runs=True, reads_keys=True)


def naming() -> Driver:
    """A DAG whose timetable gives run ids and knows the dates of keys; its next run is stored."""
    driver = Driver(dag("d", "a", timetable=NAMING, start_date=START))
    answer(driver, run(START + HOUR))
    return driver


def test_a_started_run_is_named_by_the_timetable() -> None:
    driver = naming()
    driver.act(TriggerDagRun(dag_id="d"))
    order = open_question(driver).order
    assert order == ManualInterval(run_after=START, action_id=1, has_date=False, names=True, due=START)
    answer(driver, {"run_id": "mine"})
    told = post_again(driver)
    assert "create mine" in told
    assert (driver.run("mine").logical_date, driver.run("mine").run_after) == (None, START)


def test_an_id_that_the_timetable_gives_twice_is_refused() -> None:
    driver = naming()
    for number in range(2):
        driver.act(TriggerDagRun(dag_id="d"))
        answer(driver, {"run_id": "mine"})
        told = post_again(driver)
        if number == 0:
            driver.end("mine.a")
            assert driver.machine.run_keys() == [], "the scheduler has forgotten the ended run"
    assert told[0].startswith("refused: the DAG 'd' already has a run with run_id 'mine'")


def test_the_date_of_a_key_and_a_given_interval() -> None:
    driver = naming()
    interval: dict[str, Any] = {"data_interval_start": START - HOUR, "data_interval_end": START}
    driver.act(TriggerDagRun(dag_id="d", run_id="r", logical_date=START, partition_key="k", **interval))
    order = open_question(driver).order
    assert isinstance(order, ManualInterval)
    assert (order.names, order.partition_key, order.start, order.end) == (False, "k", START - HOUR, START)
    answer(driver, {"partition_date": START.isoformat()})
    post_again(driver)
    made = driver.run()
    assert (made.partition_date, made.data_interval_start, made.data_interval_end) == (START, START - HOUR, START)


def test_what_the_timetable_need_not_say_is_not_asked() -> None:
    driver = naming()
    assert "create r" in driver.trigger()
    assert len(driver.db.works) == 1
