"""What the machine decides about runs as wholes: schedules, starts, ends, timeouts, stops and people's marks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import DeleteDag, DeleteDagRun, SetDagRunState, SetNote, TriggerDagRun
from dagdeck_core.records import ActionRecord, DagRecord
from dagdeck_core.scheduling.decisions import CreateRun, DeleteRun
from dagdeck_core.scheduling.events import ActionPosted, DagDue, DagRemoved, DagRunsFound
from dagdeck_core.spec import DagSpec, TriggerRule
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.timetables import CalendarDelta, ContinuousSpec, CronDataIntervalSpec, DeltaTriggerSpec
from tests.core.machine_driver import START, Driver, dag, tasks

S = TaskInstanceState
HOURLY = CronDataIntervalSpec(cron="0 * * * *")


def hourly(*lines: str, **fields: Any) -> DagSpec:
    fields = {"timetable": HOURLY, "start_date": START - timedelta(hours=3), "catchup": True, **fields}
    return dag("d", *(lines or ("a",)), **fields)


def runs(driver: Driver) -> list[str]:
    """State and hour of each run, in order of their dates."""
    dated = [run for run in driver.db.runs.values() if run.logical_date is not None]
    dated.sort(key=lambda run: run.logical_date or START)
    return [f"{run.logical_date:%H} {run.state}" for run in dated]


# ---------------------------------------------------------------- schedules


def test_catchup_creates_every_missed_run_in_order() -> None:
    driver = Driver(hourly())
    assert runs(driver) == ["21 running", "22 running", "23 running"]
    record = driver.db.dags["d"]
    assert record.next_run_after == START + timedelta(hours=1)
    assert record.last_interval_end == START
    made = next(iter(driver.db.runs.values()))
    assert made.run_id == "scheduled__2025-12-31T22:00:00+00:00"
    assert made.run_type is DagRunType.SCHEDULED
    assert (made.data_interval_start, made.data_interval_end) == (
        START - timedelta(hours=3),
        START - timedelta(hours=2),
    )


def test_without_catchup_only_the_latest_missed_run_is_made() -> None:
    assert runs(Driver(hourly(catchup=False))) == ["23 running"]


def test_catchup_is_bounded_per_step_and_goes_on_by_itself() -> None:
    driver = Driver(hourly(start_date=START - timedelta(hours=12), max_active_runs=0), most_runs_per_step=5)
    made = [sum(isinstance(decision, CreateRun) for decision in step) for step in driver.steps]
    assert made == [5, 5, 2]


def test_the_next_run_is_made_when_it_is_due() -> None:
    driver = Driver(hourly(start_date=START))
    assert runs(driver) == []
    driver.wait(3599)
    assert driver.settle(DagDue(dag_id="d")) == []
    assert driver.machine.next_wakeup == START + timedelta(hours=1)
    driver.now += timedelta(seconds=1)
    assert driver.settle(DagDue(dag_id="d"))[:2] == [
        "create scheduled__2026-01-01T01:00:00+00:00",
        "next d 01-01T02:00",
    ]


def test_a_schedule_does_not_depend_on_being_told_that_it_is_due() -> None:
    driver = Driver(hourly(start_date=START))
    driver.wait(3600)
    driver.wait(3600)
    assert runs(driver) == ["00 running", "01 running"]


def test_a_next_run_that_was_stored_by_an_unknown_commit_is_made_when_it_is_due() -> None:
    """The wake-up was set after the commit, and the answer to it never came."""
    driver = Driver(hourly(start_date=START))
    driver.now += timedelta(hours=1)
    decisions = driver.machine.step(driver.now, [DagDue(dag_id="d")])
    driver.store.commit(driver.epoch, driver.now, driver.written(decisions))
    driver.recover(decisions)
    driver.wait(3600)
    assert runs(driver) == ["00 running", "01 running"]


def test_a_due_run_is_held_while_max_active_runs_has_no_room() -> None:
    driver = Driver(hourly(max_active_runs=1))
    assert runs(driver) == ["21 running"]
    entry = driver.machine.world.dags["d"]
    assert entry.held
    told = driver.end("scheduled__2025-12-31T22:00:00+00:00.a")
    assert told[:2] == [
        "scheduled__2025-12-31T22:00:00+00:00 running→success",
        "create scheduled__2025-12-31T23:00:00+00:00",
    ]
    assert runs(driver) == ["21 success", "22 running"]


def test_a_manual_run_counts_against_max_active_runs() -> None:
    driver = Driver(hourly(start_date=START, max_active_runs=1))
    driver.trigger("m")
    driver.wait(3600)
    driver.settle(DagDue(dag_id="d"))
    assert runs(driver) == []
    driver.end("m.a")
    assert runs(driver) == ["00 running"]


def test_a_run_whose_place_is_taken_counts_as_made() -> None:
    driver = Driver(hourly(start_date=START))
    driver.now += timedelta(hours=1)
    driver.machine.note_taken("d", "scheduled__2026-01-01T01:00:00+00:00")
    assert driver.settle(DagDue(dag_id="d")) == ["next d 01-01T02:00"]
    assert driver.db.dags["d"].last_interval_end == START + timedelta(hours=1)
    assert runs(driver) == []


def test_a_paused_dag_makes_no_runs_and_unpausing_resumes() -> None:
    driver = Driver(hourly(start_date=START))
    driver.pause()
    driver.wait(3600 * 2)
    assert driver.settle(DagDue(dag_id="d")) == []
    driver.pause(False)
    assert runs(driver) == ["00 running", "01 running"]


def test_unpausing_without_catchup_makes_the_latest_run_only() -> None:
    driver = Driver(hourly(start_date=START, catchup=False))
    driver.pause()
    driver.wait(3600 * 5)
    driver.settle(DagDue(dag_id="d"))
    driver.pause(False)
    assert runs(driver) == ["04 running"]


def test_a_stale_dag_makes_no_runs() -> None:
    driver = Driver(hourly(start_date=START))
    assert driver.settle(driver.put_dag(hourly(start_date=START), is_stale=True)) == ["next d never"]
    driver.wait(7200)
    assert driver.settle(DagDue(dag_id="d")) == []
    assert driver.trigger("m") == ["refused: the DAG 'd' is no longer in the DAG folder, so it cannot be triggered"]


def test_a_new_schedule_takes_the_place_of_the_old_one() -> None:
    driver = Driver(hourly(start_date=START))
    daily = hourly(start_date=START, timetable=CronDataIntervalSpec(cron="0 0 * * *"))
    assert driver.settle(driver.put_dag(daily)) == ["next d 01-02T00:00"]


def test_nothing_is_made_after_the_end_date() -> None:
    driver = Driver(hourly(end_date=START - timedelta(hours=2)))
    assert runs(driver) == ["21 running", "22 running"]
    assert driver.db.dags["d"].next_run_after is None


def test_asking_early_does_not_move_the_next_run() -> None:
    spec = dag("d", "a", timetable=DeltaTriggerSpec(delta=CalendarDelta(duration=timedelta(hours=1))), start_date=START)
    driver = Driver(spec)
    at = driver.db.dags["d"].next_run_after
    for _ in range(5):
        driver.wait(600)
        driver.settle(DagDue(dag_id="d"))
        driver.settle(driver.put_dag(spec))
    assert driver.db.dags["d"].next_run_after == at


# ---------------------------------------------------------------- triggers


def test_a_trigger_in_the_future_waits_for_its_time() -> None:
    driver = Driver(dag("d", "a"))
    assert driver.trigger(run_after=START + timedelta(seconds=30)) == ["create r", "done 1", "create r tasks 0-1"]
    assert driver.wait(29) == []
    assert driver.wait(1)[0] == "r queued→running"


def test_a_trigger_without_names_gets_its_own() -> None:
    driver = Driver(dag("d", "a"))
    told = driver.trigger(None) + driver.trigger(None)  # type: ignore[arg-type]
    made = [text for text in told if text.startswith("create manual__2026-01-01T00:00:00+00:00_")]
    assert len(made) == 4
    assert len(driver.db.runs) == 2


@pytest.mark.parametrize(
    ("second", "refusal"),
    [
        ({"run_id": "r"}, "the DAG 'd' already has a run with run_id 'r'"),
        (
            {"run_id": "s", "logical_date": START},
            "the DAG 'd' already has a run with logical_date 2026-01-01 00:00:00+00:00",
        ),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_names_that_are_taken_are_refused(second: dict[str, Any], refusal: str, ended: bool) -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger(logical_date=START)
    if ended:
        driver.end("r.a")
        driver.settle()
    assert driver.trigger(**second) == [f"refused: {refusal}"]


def test_two_triggers_of_one_name_in_one_step_make_one_run() -> None:
    driver = Driver(dag("d", "a"))
    action = TriggerDagRun(dag_id="d", run_id="x")
    told = driver.settle(*driver.posted(action), *driver.posted(action))
    assert "refused: the DAG 'd' already has a run with run_id 'x'" in told
    assert len(driver.db.runs) == 1


def test_an_unknown_dag_cannot_be_triggered() -> None:
    assert Driver(dag("d", "a")).trigger(dag_id="x") == ["refused: the DAG 'x' does not exist"]


# ---------------------------------------------------------------- ends


def test_a_dag_without_tasks_succeeds_at_once() -> None:
    assert Driver(dag("d")).trigger() == ["create r", "done 1", "r queued→running", "r running→success"]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(S.SUCCESS, "success"), (S.SKIPPED, "success"), (S.FAILED, "failed")],
)
def test_the_leaves_decide(state: TaskInstanceState, outcome: str) -> None:
    specs = tasks("a", "b < a", b={"trigger_rule": TriggerRule.ALL_DONE})
    driver = Driver(dag("d", specs=specs))
    driver.trigger()
    driver.end("r.a", S.FAILED)
    driver.end("r.b", state)
    assert driver.run().state == outcome


def teardown_dag(**teardown: Any) -> DagSpec:
    rule = {"is_teardown": True, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS, **teardown}
    return dag("d", specs=tasks("up", "work < up", "down < up work", up={"is_setup": True}, down=rule))


@pytest.mark.parametrize(
    ("work", "down", "counts", "outcome"),
    [
        (S.SUCCESS, S.FAILED, False, "success"),
        (S.FAILED, S.SUCCESS, False, "failed"),
        (S.SUCCESS, S.FAILED, True, "failed"),
        (S.FAILED, S.SUCCESS, True, "success"),
    ],
)
def test_a_teardown_decides_only_when_it_asks_to(
    work: TaskInstanceState, down: TaskInstanceState, counts: bool, outcome: str
) -> None:
    driver = Driver(teardown_dag(on_failure_fail_dagrun=counts))
    driver.trigger()
    driver.end("r.up")
    driver.end("r.work", work)
    driver.end("r.down", down)
    assert driver.run().state == outcome


def test_a_teardown_is_upstream_failed_when_its_setup_failed() -> None:
    driver = Driver(teardown_dag())
    driver.trigger()
    assert driver.end("r.up", S.FAILED) == [
        "r.work none→upstream_failed",
        "r.down none→upstream_failed",
        "r running→failed",
        "failures d 1",
    ]


def test_continuous_runs_follow_one_another() -> None:
    """Each begins when the one before has ended, a second after it began at the earliest."""
    driver = Driver(dag("d", "a", timetable=ContinuousSpec(), start_date=START - timedelta(days=1), max_active_runs=1))
    driver.settle(DagDue(dag_id="d"))
    for seconds in (0.2, 5.0, 0.0):
        [run] = [run for run in driver.db.runs.values() if run.state is DagRunState.RUNNING]
        driver.wait(seconds)
        driver.end(f"{run.run_id}.a")
        driver.wait(max(1.0 - seconds, 0.0))
    began = [run.data_interval_end for run in driver.db.runs.values()]
    assert began == [START + timedelta(seconds=seconds) for seconds in (0, 1, 6, 7)]
    assert [run.data_interval_start for run in driver.db.runs.values()][1:] == began[:-1]


def test_a_run_in_which_nothing_can_move_is_failed() -> None:
    rule = {"trigger_rule": TriggerRule.ALL_SKIPPED}
    driver = Driver(dag("d", specs=tasks("a", "b < a", b=rule)))
    driver.trigger()
    row = driver.row("r.a")
    driver.db.tasks[row.ti_id] = type(row)(ti_id=row.ti_id, run_key=row.run_key, task_id="a", state=S.REMOVED)
    assert driver.fail_over() == ["r.b none→skipped", "r running→failed", "failures d 1"]


# ---------------------------------------------------------------- timeouts and stops


def test_dagrun_timeout_ends_what_runs_and_skips_the_rest() -> None:
    driver = Driver(dag("d", "a", "b < a", "c", dagrun_timeout=60.0, max_active_tasks=1))
    driver.trigger()
    driver.run_task("r.a")
    assert driver.wait(59) == []
    assert driver.wait(1) == [
        "revoke r.a to skipped",
        "r.c scheduled→skipped",
        "r.b none→skipped",
        "r running→failed",
        "failures d 1",
    ]
    assert driver.end("r.a") == []
    assert driver.states() == {"a": "skipped", "b": "skipped", "c": "skipped"}


def test_a_run_that_was_cleared_has_its_whole_timeout_again() -> None:
    driver = Driver(dag("d", "a", dagrun_timeout=60.0))
    driver.trigger()
    driver.wait(30)
    driver.end("r.a")
    driver.clear("r.a")
    assert driver.wait(59) == ["offer default: r.a"]
    assert driver.run().state is DagRunState.RUNNING
    assert "r running→failed" in driver.wait(1)


def test_fail_fast_ends_all_but_teardowns() -> None:
    down = {"is_teardown": True, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
    specs = tasks("a", "b", "c < a", "down < a b", down=down)
    driver = Driver(dag("d", specs=specs, fail_fast=True))
    driver.trigger()
    driver.run_task("r.b")
    assert driver.end("r.a", S.FAILED) == ["revoke r.b to failed", "r.c none→skipped"]
    assert driver.end("r.b") == ["r.down none→queued try 1", "offer default: r.down"]
    assert driver.end("r.down") == ["r running→failed", "failures d 1"]


def test_a_fail_fast_run_fails_although_its_leaves_were_skipped() -> None:
    driver = Driver(dag("d", "a", "b < a", fail_fast=True))
    driver.trigger()
    assert driver.end("r.a", S.FAILED) == ["r.b none→skipped", "r running→failed", "failures d 1"]


def test_fail_fast_holds_when_the_report_was_lost() -> None:
    driver = Driver(dag("d", "a", "b", "c < b", fail_fast=True))
    driver.trigger()
    driver.run_task("r.b")
    driver.finished("r.a", S.FAILED)
    assert driver.fail_over() == ["revoke r.b to failed", "r.c none→skipped"]


def test_a_cleared_task_of_a_fail_fast_run_goes_on_after_a_failover() -> None:
    driver = Driver(dag("d", "a", "b", "c < a", fail_fast=True))
    driver.trigger()
    driver.run_task("r.b")
    driver.end("r.a", S.FAILED)
    driver.end("r.b")
    driver.clear("r.a", "r.c")
    driver.fail_over()
    assert driver.end("r.a") == ["r.c none→queued try 1", "offer default: r.c"]


def test_runs_that_fail_in_a_row_pause_their_dag() -> None:
    driver = Driver(dag("d", "a", max_consecutive_failed_dag_runs=2))
    driver.trigger("r1")
    assert driver.end("r1.a", S.FAILED) == ["r1 running→failed", "failures d 1"]
    driver.trigger("r2")
    assert driver.end("r2.a", S.FAILED) == ["r2 running→failed", "failures d 2", "pause d"]
    assert driver.machine.world.is_paused("d")


def test_a_success_ends_the_row_of_failures() -> None:
    driver = Driver(dag("d", "a", max_consecutive_failed_dag_runs=2))
    for run_id, state in (("r1", S.FAILED), ("r2", S.SUCCESS), ("r3", S.FAILED)):
        driver.trigger(run_id)
        driver.end(f"{run_id}.a", state)
    assert driver.db.dags["d"].consecutive_failures == 1
    assert not driver.db.dags["d"].is_paused


# ---------------------------------------------------------------- depends_on_past


def past_dag(**fields: Any) -> DagSpec:
    return dag("d", specs=tasks("a", "b < a", a={"depends_on_past": True, **fields}))


def trigger_days(driver: Driver, *days: int) -> None:
    for day in days:
        driver.trigger(f"r{day}", logical_date=START + timedelta(days=day))


def test_depends_on_past_waits_for_the_same_task_of_the_run_before() -> None:
    driver = Driver(past_dag())
    trigger_days(driver, 1, 2)
    assert driver.states("r2") == {"a": "none", "b": "none"}
    told = driver.end("r1.a")
    assert told == ["r2.a none→queued try 1", "r1.b none→queued try 1", "offer default: r2.a r1.b"]


def test_depends_on_past_waits_for_ever_after_a_failure_until_it_is_mended() -> None:
    driver = Driver(past_dag())
    trigger_days(driver, 1, 2)
    driver.end("r1.a", S.FAILED)
    assert driver.run("r1").state is DagRunState.FAILED
    assert driver.run("r2").state is DagRunState.RUNNING, "waiting for the past is no deadlock"
    driver.mark(S.SUCCESS, "r1.a")
    assert driver.states("r2")["a"] == "queued"


def test_wait_for_downstream_waits_for_the_tasks_after_it_too() -> None:
    driver = Driver(past_dag(wait_for_downstream=True))
    trigger_days(driver, 1, 2)
    driver.end("r1.a")
    assert driver.states("r2")["a"] == "none"
    driver.end("r1.b")
    assert driver.states("r2")["a"] == "queued"


def test_a_run_without_logical_date_has_no_past() -> None:
    driver = Driver(past_dag())
    trigger_days(driver, 1)
    driver.trigger("m")
    assert driver.states("m")["a"] == "queued"


def test_the_run_before_may_have_ended_long_ago() -> None:
    driver = Driver(past_dag())
    trigger_days(driver, 1)
    driver.end("r1.a", S.FAILED)
    driver.settle()
    assert not driver.machine.knows_run(driver.run("r1").run_key)
    trigger_days(driver, 2)
    assert driver.states("r2")["a"] == "none"
    driver.mark(S.SKIPPED, "r1.a")
    assert driver.states("r2")["a"] == "queued"


def test_a_run_that_comes_between_is_waited_for() -> None:
    driver = Driver(past_dag())
    trigger_days(driver, 1)
    driver.end("r1.a", S.FAILED)
    trigger_days(driver, 3, 2)
    driver.mark(S.SUCCESS, "r1.a")
    assert driver.states("r2")["a"] == "queued"
    assert driver.states("r3")["a"] == "none"


def test_deleting_the_run_before_lets_the_next_ask_again() -> None:
    driver = Driver(past_dag())
    trigger_days(driver, 1)
    driver.end("r1.a", S.FAILED)
    trigger_days(driver, 2)
    driver.act(DeleteDagRun(run_key=driver.run("r1").run_key))
    assert driver.states("r2")["a"] == "queued"


def test_ended_runs_are_forgotten_although_later_ones_looked_back_at_them() -> None:
    driver = Driver(past_dag())
    for day in range(1, 8):
        trigger_days(driver, day)
        driver.end(f"r{day}.a")
        if day > 1:
            driver.end(f"r{day - 1}.b")
    driver.settle()
    assert len(driver.machine.run_keys()) == 1
    assert len(driver.machine.world.runs) <= 2
    assert len(driver.machine.world.successors) <= 1


# ---------------------------------------------------------------- people and runs


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            DagRunState.SUCCESS,
            ["revoke r.a to success", "r.c queued→success", "r.b none→success", "r running→success", "done 2"],
        ),
        (
            DagRunState.FAILED,
            ["revoke r.a to failed", "r.c queued→skipped", "r.b none→skipped", "r running→failed", "done 2"],
        ),
    ],
)
def test_marking_a_run_ends_its_tasks(state: DagRunState, told: list[str]) -> None:
    driver = Driver(dag("d", "a", "b < a", "c"))
    driver.trigger()
    driver.run_task("r.a")
    assert driver.mark_run(state) == told
    assert driver.end("r.a", S.FAILED) == []
    assert driver.states()["a"] == state


def test_a_run_that_is_still_created_is_marked_when_it_is_whole() -> None:
    driver = Driver(dag("d", *(f"t{i}" for i in range(40))), max_rows=20)
    driver.step(*driver.posted(TriggerDagRun(dag_id="d", run_id="r")))
    told = driver.mark_run(DagRunState.FAILED)
    assert told[-1] == "done 2"
    assert set(driver.states().values()) == {"skipped"}
    assert len(driver.states()) == 40


def test_queueing_an_ended_run_judges_it_again() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.end("r.a")
    assert driver.mark_run(DagRunState.QUEUED) == [
        "r success→queued",
        "done 2",
        "r queued→running",
        "r running→success",
    ]


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (DagRunState.QUEUED, "the run is already running"),
        (DagRunState.RUNNING, "a run cannot be set to running; set it to queued, success or failed"),
    ],
)
def test_run_states_that_cannot_be_set(state: DagRunState, refusal: str) -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    assert driver.mark_run(state) == [f"refused: {refusal}"]


def test_a_run_is_deleted_only_when_nothing_of_it_lives() -> None:
    driver = Driver(dag("d", "a", max_active_runs=1))
    driver.trigger("r1")
    driver.trigger("r2")
    key = driver.run("r1").run_key
    assert driver.act(DeleteDagRun(run_key=key)) == [
        "refused: 1 tasks of the run are still queued or running; mark the run failed first"
    ]
    driver.mark_run(DagRunState.FAILED, "r1")
    told = driver.act(DeleteDagRun(run_key=key))
    assert told[0].startswith("DeleteRun(")
    assert driver.act(DeleteDagRun(run_key=key)) == [f"refused: the dag run with key {key} does not exist"]


def test_deleting_a_dag() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    assert driver.act(DeleteDag(dag_id="d")) == ["refused: the DAG 'd' has unfinished runs; end them first"]
    driver.end("r.a")
    for number in range(4):
        driver.trigger(f"more{number}")
        driver.end(f"more{number}.a")
    keys = sorted(driver.db.runs)
    told = driver.act(DeleteDag(dag_id="d"))
    assert told == [*(f"DeleteRun(run_key={key}, dag_id='d')" for key in keys), "DeleteDagRows(dag_id='d')", "done 7"]
    assert driver.act(DeleteDag(dag_id="d")) == ["refused: the DAG 'd' does not exist"]


def test_deleting_a_dag_goes_on_after_every_failed_commit_and_nothing_of_it_starts_meanwhile() -> None:
    driver = Driver(dag("d", "a"), max_rows=20)
    for number in range(9):
        driver.trigger(f"r{number}")
        driver.end(f"r{number}.a")
    pending = driver.posted(DeleteDag(dag_id="d"))
    lost = driver.machine.step(driver.now, pending)
    assert lost == [], "it asks for the DAG's runs first"
    change = driver.put_dag(dag("d", "a", description="changed"))
    lost = driver.machine.step(driver.now, [change, found(driver, "d")])
    assert [type(each) for each in lost] == [DeleteRun, DeleteRun], "nothing of a new version while it is removed"
    driver.store.commit(driver.epoch, driver.now, lost)
    driver.steps.append(lost)
    # A commit fails; the DAG and the action come again, and it goes on with what is left.
    lost = driver.machine.step(driver.now, [found(driver, "d")])
    assert driver.recover(lost)[-1] == "done 10"
    assert (driver.db.runs, driver.db.dags) == ({}, {})


def found(driver: Driver, dag_id: str) -> DagRunsFound:
    """The answer to a DAG's removal that asks for two of its runs."""
    assert driver.machine.dag_runs_wanted() == [dag_id]
    keys = driver.store.run_keys_of(dag_id, 2)
    return DagRunsFound(dag_id=dag_id, run_keys=tuple(keys), more=True)


def test_a_new_leader_goes_on_with_the_deletion_of_a_dag_before_anything_else() -> None:
    driver = Driver(dag("d", "a"))
    for number in range(5):
        driver.trigger(f"r{number}")
        driver.end(f"r{number}.a")
    driver.machine.step(driver.now, driver.posted(DeleteDag(dag_id="d")))
    first = driver.machine.step(driver.now, [found(driver, "d")])
    driver.store.commit(driver.epoch, driver.now, first)
    driver.machine = driver._new_machine()
    pending = [event for record in driver.store.pending_actions(50) for event in driver.repost(record)]
    told = driver.settle(*driver._load_events(), *pending)
    assert told[-2:] == ["DeleteDagRows(dag_id='d')", "done 6"]
    assert (driver.db.runs, driver.db.dags) == ({}, {})


def test_an_ended_run_is_deleted_without_being_read() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.end("r.a")
    key = driver.run("r").run_key
    driver.fail_over()
    assert not driver.machine.knows_run(key)
    record = ActionRecord(action_id=9, action=DeleteDagRun(run_key=key), actor="ann")
    driver.db.actions[9] = record
    told = driver.settle(ActionPosted(record=record, ended_run=driver.run("r")))
    assert told == [f"DeleteRun(run_key={key}, dag_id='d')", "done 9"]
    assert not driver.machine.knows_run(key)


def test_notes() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    row = driver.row("r.a")
    assert driver.act(SetNote(run_key=row.run_key, ti_id=row.ti_id, note="hm")) == ["note r.a: hm", "done 2"]
    assert driver.act(SetNote(run_key=row.run_key, note="so")) == [f"note {row.run_key}: so", "done 3"]
    assert driver.act(SetNote(run_key=row.run_key, ti_id=1, note="x")) == [
        "refused: the run has no task instance with id 1"
    ]
    assert driver.clear("r.a", note="again")[:3] == ["r.a queued→none", "note r.a: again", "done 5"]
    noted = driver.act(SetDagRunState(run_key=row.run_key, state=DagRunState.FAILED, note="enough"))
    assert noted == ["r.a queued→skipped", "r running→failed", f"note {row.run_key}: enough", "done 6"]


def test_the_newest_version_can_be_taken_by_a_clear() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    driver.end("r.a", S.FAILED)
    driver.settle(driver.put_dag(dag("d", "a", "b < a", description="mended")))
    told = driver.clear("r.a", "r.b", latest_version=True)
    assert told[0].startswith("RepinRun(")
    assert driver.run().version_id == 2
    assert told[-1] == "offer default: r.a"


def test_a_version_with_other_tasks_cannot_be_taken() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.end("r.a")
    driver.settle(driver.put_dag(dag("d", "a", "b < a")))
    assert driver.clear("r.a", latest_version=True) == [
        "refused: the newest version of the DAG has other tasks than this run; trigger a new run to use it"
    ]


def test_versions_that_nobody_uses_are_forgotten() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    for text in ("one", "two", "three"):
        driver.settle(driver.put_dag(dag("d", "a", description=text)))
    assert sorted(driver.machine.world.versions) == [1, 4]


def test_a_dag_that_is_gone_lets_its_runs_finish() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.settle(DagRemoved(dag_id="d"))
    assert driver.end("r.a") == ["r running→success"]
    assert driver.db.dags["d"] == DagRecord(dag_id="d", version_id=1)
