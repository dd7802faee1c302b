"""Rounds that fail in the middle: what they were told or had read is not lost, and nothing is decided twice.

The store is the simulation's; each of its methods can be made to fail once, as when the database goes away just then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagdeck_core.actions import DeleteDag, SetTaskInstanceState, TaskTarget, TriggerDagRun
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ids import IdSource
from dagdeck_core.ports import CommitUnknown, GuardFailed, LeadershipLost
from dagdeck_core.records import ActionRecord
from dagdeck_core.scheduling.decisions import Decision, Offer
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.timetables import CronDataIntervalSpec
from dagdeck_core.wire import Nudge, Report
from dagdeck_master.scheduler import rounds
from dagdeck_master.scheduler.rounds import Rounds, RoundSettings
from tests.core.machine_driver import START, Driver, dag
from tests.simulation.database import SimSchedulerStore

S = TaskInstanceState


class FaultyStore(SimSchedulerStore):
    """Fails once in the method named by `fault`; "unknown" commits and then loses the answer."""

    fault = ""

    def _roll(self, name: str) -> None:
        if self.fault == name:
            self.fault = ""
            raise EnvironmentFault(f"simulated: the database went away in {name}")

    def dag_revisions(self) -> dict[str, int]:
        self._roll("dag_revisions")
        return super().dag_revisions()

    def load_runs(self, epoch: int, run_keys: Sequence[int]) -> Any:
        self._roll("load_runs")
        return super().load_runs(epoch, run_keys)

    def run_keys_of(self, dag_id: str, limit: int) -> list[int]:
        self._roll("run_keys_of")
        return super().run_keys_of(dag_id, limit)

    def load_workers(self) -> Any:
        self._roll("load_workers")
        return super().load_workers()

    def pending_actions(self, limit: int) -> list[ActionRecord]:
        self._roll("pending_actions")
        return super().pending_actions(limit)

    def load_pools(self, epoch: int) -> Any:
        self._roll("load_pools")
        return super().load_pools(epoch)

    def commit(self, epoch: int, now: datetime, decisions: Sequence[Decision]) -> None:
        self._roll("commit")
        super().commit(epoch, now, decisions)
        if self.fault == "unknown":
            self.fault = ""
            raise CommitUnknown("simulated: the answer to COMMIT was lost")


class Desk:
    """One leader over the driver's database; `driver` plays people and workers but never its own machine."""

    def __init__(self, *specs: Any) -> None:
        self.driver = Driver(*specs)
        self.db = self.driver.db
        self.store = FaultyStore(self.db, takeover=1.0)
        self.machine = Machine(MachineSettings(mark_after=0.0), IdSource(node=9), lambda name: UTC)
        self.sent: list[Offer] = []
        self.queue_works = True
        self.rounds = Rounds(self.store, self.machine, self._send, RoundSettings())
        self.now, self.mono = START, 0.0
        self.rounds.start(self.driver.epoch, self.now, self.mono)

    def _send(self, decisions: Sequence[Decision]) -> bool:
        if self.queue_works:
            self.sent += [decision for decision in decisions if isinstance(decision, Offer)]
        return self.queue_works

    def round(self, *messages: Any, fault: str = "", due: Sequence[str] = (), seconds: float = 0.01) -> None:
        """One round and those that follow it at once; with `fault` the first one fails."""
        self.now += timedelta(seconds=seconds)
        self.mono += seconds
        self.store.fault = fault
        if fault:
            with pytest.raises(EnvironmentFault):
                self.rounds.round(self.now, self.mono, messages, due)
            messages, due = (), ()
        for _ in range(50):
            if not self.rounds.round(self.now, self.mono, messages, due).again:
                return
            messages, due = (), ()
        raise AssertionError("rounds do not come to rest")

    def trigger(self, run_id: str = "r") -> None:
        self.driver.posted(TriggerDagRun(dag_id="d", run_id=run_id))
        self.round(Nudge("action"))

    def states(self, run_id: str = "r") -> dict[str, str]:
        return self.driver.states(run_id)


FAULTS = ["dag_revisions", "load_workers", "pending_actions", "commit"]


@pytest.mark.parametrize("fault", [*FAULTS, "load_pools"])
def test_a_report_survives_a_round_that_fails(fault: str) -> None:
    desk = Desk(dag("d", "a", "b < a"))
    desk.trigger()
    finished = desk.driver.finished("r.a")
    desk.round(Report(1, finished.finished), Nudge("pool"), fault=fault, seconds=2.5)
    assert desk.states() == {"a": "success", "b": "queued"}
    assert [offer.dispatches[0][0] for offer in desk.sent[-1:]] == [desk.driver.row("r.b").ti_id]


@pytest.mark.parametrize("fault", [*FAULTS, "unknown"])
def test_a_schedule_survives_a_round_that_fails(fault: str) -> None:
    hourly = dag("d", "a", timetable=CronDataIntervalSpec(cron="0 * * * *"), start_date=START, catchup=True)
    desk = Desk(hourly)
    desk.round(fault=fault, due=["d"], seconds=3600)
    assert [run.run_type for run in desk.db.runs.values()] == [DagRunType.SCHEDULED]
    desk.round(seconds=3600)
    assert len(desk.db.runs) == 2


@pytest.mark.parametrize("fault", ["load_workers", "pending_actions", "load_pools"])
def test_a_changed_dag_survives_a_round_that_fails(fault: str) -> None:
    desk = Desk(dag("d", "a", max_active_runs=1))
    desk.trigger("r1")
    desk.trigger("r2")
    desk.driver.put_dag(dag("d", "a", max_active_runs=2))
    desk.round(Nudge("dag"), Nudge("pool"), fault=fault, seconds=2.5)
    desk.round(seconds=2.5)
    assert desk.driver.run("r2").state is DagRunState.RUNNING


@pytest.mark.parametrize("fault", ["load_workers", "pending_actions", "commit"])
def test_a_switch_of_the_queue_survives_a_round_that_fails(fault: str) -> None:
    desk = Desk(dag("d", "a", "b < a"))
    desk.trigger()
    desk.rounds.queue_is_down()
    desk.round(Nudge("worker"), Nudge("action"), fault=fault)
    assert not desk.rounds.queue_on
    assert [ti_id for _, _, ti_id in desk.db.ready.values()] == [desk.driver.row("r.a").ti_id]
    desk.round(Report(1, desk.driver.finished("r.a").finished))
    assert desk.driver.row("r.b").ti_id in [ti_id for _, _, ti_id in desk.db.ready.values()]
    desk.rounds.queue_is_back()
    desk.round(Nudge("worker"), Nudge("action"), fault=fault)
    assert desk.db.ready == {}
    assert desk.sent[-1].dispatches[0][0] == desk.driver.row("r.b").ti_id


def test_hints_that_could_not_be_sent_become_rows() -> None:
    desk = Desk(dag("d", "a"))
    desk.queue_works = False
    desk.trigger()
    assert not desk.sent
    assert [ti_id for _, _, ti_id in desk.db.ready.values()] == [desk.driver.row("r.a").ti_id]


@pytest.mark.parametrize("fault", ["commit", "unknown"])
def test_an_action_takes_effect_once_whatever_became_of_its_commit(fault: str) -> None:
    desk = Desk(dag("d", "a", "b < a"))
    desk.driver.posted(TriggerDagRun(dag_id="d", run_id="r"))
    desk.round(Nudge("action"), fault=fault)
    desk.round(seconds=2)
    assert len(desk.db.runs) == 1
    assert [ended.refused for ended in desk.db.action_ends.values()] == [None]
    assert desk.states()["a"] == "queued"


def test_a_run_that_was_asked_for_again_is_read_although_the_first_reading_failed() -> None:
    desk = Desk(dag("d", "a", "b < a"))
    desk.trigger()
    run_key = desk.driver.run().run_key
    desk.driver.finished("r.a")
    desk.machine.want_reload([run_key])
    desk.round(fault="load_runs")
    assert desk.states() == {"a": "success", "b": "queued"}


def test_a_scheduled_run_whose_place_is_taken_is_not_tried_for_ever() -> None:
    """The store does not say which row was in the way; the round finds out."""
    hourly = dag("d", "a", timetable=CronDataIntervalSpec(cron="0 * * * *"), start_date=START, catchup=True)
    desk = Desk(hourly)
    real = desk.store.commit

    def commit(epoch: int, now: datetime, decisions: Sequence[Decision]) -> None:
        try:
            real(epoch, now, decisions)
        except GuardFailed as failure:
            raise GuardFailed(str(failure)) from None

    desk.store.commit = commit  # type: ignore[method-assign]
    taken = TriggerDagRun(dag_id="d", run_id="mine", logical_date=START)
    desk.driver.posted(taken)
    desk.round(Nudge("action"))
    desk.round(seconds=3600)
    assert [run.run_id for run in desk.db.runs.values()] == ["mine"]
    assert desk.db.dags["d"].next_run_after == START + timedelta(hours=2)


def test_a_pending_action_goes_before_anything_a_new_leader_starts() -> None:
    """It may be half done: here the task that it marks would be dispatched at once."""
    desk = Desk(dag("d", "a", "b < a"))
    desk.driver.pause()
    desk.driver.trigger()
    desk.driver.pause(False)
    row = desk.driver.row("r.a")
    assert row.state is S.QUEUED
    desk.driver.posted(
        SetTaskInstanceState(run_key=row.run_key, targets=(TaskTarget(row.ti_id, "a"),), state=S.SUCCESS)
    )
    machine = Machine(MachineSettings(), IdSource(node=10), lambda name: UTC)
    rounds = Rounds(desk.store, machine, desk._send, RoundSettings())
    outcome = rounds.start(desk.driver.epoch, desk.now, desk.mono)
    assert [desk.driver.tell(decision) for decision in outcome.committed] == [
        "r.a queued→success",
        "done 4",
        "r.b none→queued try 1",
        "offer default: r.b",
    ]


def test_a_deposed_leader_writes_nothing() -> None:
    desk = Desk(dag("d", "a"))
    desk.driver.posted(TriggerDagRun(dag_id="d", run_id="r"))
    desk.db.lease.epoch += 1
    with pytest.raises(LeadershipLost):
        desk.rounds.round(desk.now, desk.mono + 5, [Nudge("action")])
    assert desk.db.runs == {}


@pytest.mark.parametrize("fault", ["", "pending_actions", "run_keys_of", "commit", "unknown"])
@pytest.mark.parametrize("after", range(4))
def test_a_dag_is_deleted_to_its_end_whatever_fails_on_the_way(
    fault: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "DAG_RUNS_PER_ROUND", 2)
    desk = Desk(dag("d", "a"), dag("other", "a"))
    for number in range(5):
        desk.trigger(f"r{number}")
        desk.round(Report(1, desk.driver.finished(f"r{number}.a").finished))
    action_id = desk.driver.posted(DeleteDag(dag_id="d"))[-1].record.action_id  # type: ignore[union-attr]
    removed, messages = False, [Nudge("action")]
    for number in range(60):
        desk.store.fault = fault if number == after else ""
        desk.now += timedelta(seconds=0.5)
        desk.mono += 0.5
        try:
            outcome = desk.rounds.round(desk.now, desk.mono, messages)
        except EnvironmentFault:
            continue
        messages = []
        removed = removed or outcome.removed
    assert removed, "what clears rows away is woken"
    assert (desk.db.runs, sorted(desk.db.dags)) == ({}, ["other"])
    assert action_id not in {record.action_id for record in desk.store.pending_actions(50)}
