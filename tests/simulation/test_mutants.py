"""That the simulation can fail: each way to break the product is noticed within a few seeds.

A mutant takes one safeguard out of the scheduler. Should the simulation no longer notice one, it has lost an eye.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import pytest

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ports import GuardFailed, LeadershipLost
from dagdeck_core.records import WorkerRecord
from dagdeck_core.scheduling import (
    admission,
    deferral,
    evaluation,
    human_input,
    instances,
    mapping,
    people,
    reports,
    run_state,
    runs,
)
from dagdeck_core.scheduling.asset_decisions import AdvanceChange
from dagdeck_core.scheduling.decisions import Decision, Offer
from dagdeck_core.scheduling.events import Event
from dagdeck_core.scheduling.leases import LeaseWatch
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement
from dagdeck_master.scheduler.rounds import Outcome, Rounds
from tests.simulation.cluster import Cluster

SEEDS = 150
Patch = Callable[[pytest.MonkeyPatch], None]


def leases_run_out_early(patch: pytest.MonkeyPatch) -> None:
    """A worker is called lost before it has surely stopped its tasks."""
    real = LeaseWatch.seen

    def seen(self: LeaseWatch, workers: Iterable[WorkerRecord], mono: float) -> list[WorkerRecord]:
        self.lease_time = 2.0
        return real(self, workers, mono)

    patch.setattr(LeaseWatch, "seen", seen)


def nothing_is_read_again_after_a_failed_commit(patch: pytest.MonkeyPatch) -> None:
    """Memory keeps what was decided, whether it was committed or not."""
    patch.setattr(Machine, "drop_touched", lambda self, decisions: ([], []))


def hints_leave_before_their_commit(patch: pytest.MonkeyPatch) -> None:
    real = Rounds._step

    def step(self: Rounds, now: datetime, events: list[Event]) -> Outcome:
        decide = self._machine.step

        def decide_and_send(now: datetime, events: Iterable[Event]) -> list[Decision]:
            decisions = decide(now, events)
            self._send(decisions)
            return decisions

        patch.setattr(self._machine, "step", decide_and_send)
        try:
            return real(self, now, events)
        finally:
            patch.setattr(self._machine, "step", decide)

    patch.setattr(Rounds, "_step", step)


def a_dispatch_number_is_used_again(patch: pytest.MonkeyPatch) -> None:
    real = World.new_id

    def new_id(self: World) -> int:
        return real(self) // 1024 * 1024

    patch.setattr(World, "new_id", new_id)


def nobody_reconciles(patch: pytest.MonkeyPatch) -> None:
    """What was reported while the queue lost messages is never heard of."""
    patch.setattr(Rounds, "_differing_runs", lambda self, *args, **kwargs: [])


def pools_have_room(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admission.PoolUse, "free", property(lambda self: float("inf")))


def the_limit_of_a_run_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admission.Admission, "_held_back_by", lambda self, task: None)


def paused_runs_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runs, "activate", _activate_all)


def _activate_all(world: World) -> None:
    for dag_id in list(world.to_activate):
        del world.to_activate[dag_id]
        for run in list(world.dags[dag_id].runs.values()) if dag_id in world.dags else ():
            if run.state is DagRunState.QUEUED:
                runs.move_run(world, run, DagRunState.RUNNING, reason="")
                world.mark_all_dirty(run)


def ended_runs_are_forgotten_with_live_dispatches(patch: pytest.MonkeyPatch) -> None:
    def forget(self: World) -> None:
        for run_key in list(self.ended):
            del self.ended[run_key]
            self.drop_run(run_key)

    patch.setattr(World, "forget_ended", forget)


def what_a_branch_skips_is_not_heard_of(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunState, "_count_skips", lambda self, task, step: None)


def skipped_upstream_counts_as_success(patch: pytest.MonkeyPatch) -> None:
    real = RunState.judge

    def judge(self: RunState, task_index: int) -> Judgement:
        found = real(self, task_index)
        return Judgement.RUN if found is Judgement.SKIP and not self.skipped_by[task_index] else found

    patch.setattr(RunState, "judge", judge)


def a_lost_worker_costs_a_retry(patch: pytest.MonkeyPatch) -> None:
    real = World.dispatch

    def dispatch(self: World, task: Task, *, reason: str, lost: bool = False, cause: str = "") -> None:
        if lost:
            task.try_number += 1
        real(self, task, reason=reason, lost=lost, cause=cause)

    patch.setattr(World, "dispatch", dispatch)


def the_tasks_of_a_lost_worker_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reports, "_lost", lambda world, task: None)


def an_offer_is_made_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluation, "_wake_task", lambda world, task, kind: None)


def a_revoked_task_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A cleared running task is dispatched anew while its process may still live."""

    def clear_task(world: World, task: Task, cause: str) -> None:
        if task.state is TaskInstanceState.RUNNING:
            world.dispatch(task, reason="cleared")
        elif task.state is not TaskInstanceState.NONE:
            world.move(task, TaskInstanceState.NONE, reason="cleared", max_tries=task.try_number + task.spec.retries)

    patch.setattr(people, "clear_task", clear_task)


def steps_have_no_bound(patch: pytest.MonkeyPatch) -> None:
    real = World.emit

    def emit(self: World, decision: Decision, rows: int = 1) -> None:
        real(self, decision, 0)

    patch.setattr(World, "emit", emit)


def a_guard_failure_is_taken_for_success(patch: pytest.MonkeyPatch) -> None:
    def step(self: Rounds, now: datetime, events: list[Event]) -> Outcome:
        decisions = self._machine.step(now, events)
        writes: Sequence[Decision] = [x for x in decisions if not isinstance(x, Offer) or x.as_rows]
        try:
            if writes:
                self._store.commit(self._epoch, now, writes)
        except LeadershipLost:
            raise
        except GuardFailed:
            pass
        except EnvironmentFault:
            self._lost = self._machine.drop_touched(decisions)
            raise
        if self._queue_on and not self._send(decisions):
            self._queue_switch = False
        return Outcome(committed=decisions, again=self._machine.has_more)

    patch.setattr(Rounds, "_step", step)


def events_of_triggers_are_only_heard_of(patch: pytest.MonkeyPatch) -> None:
    """An event whose report is lost brings nobody on."""
    patch.setattr(Rounds, "_trigger_events", lambda self, *args: [])


def nobody_waits_too_long(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deferral, "timed_out", lambda world, task: None)


def who_waited_too_long_is_brought_on_without_being_told(patch: pytest.MonkeyPatch) -> None:
    """A deferred task instance goes on while its trigger may still fire."""
    patch.setattr(deferral, "timed_out", lambda world, task: world.offer_candidate(task))


def nobody_answers_in_time_and_nothing_happens(patch: pytest.MonkeyPatch) -> None:
    """A task instance that waits for a person waits for ever."""
    patch.setattr(human_input, "timed_out", lambda world, task: None)


def who_asks_goes_on_without_an_answer(patch: pytest.MonkeyPatch) -> None:
    """A task instance goes on, and finds neither an answer nor that there is none."""
    patch.setattr(human_input, "timed_out", lambda world, task: human_input._go_on(world, task, "mutant", ""))


def an_answer_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A person answers, the task instance goes on, and what was answered is stored nowhere."""
    patch.setattr(human_input, "answered", lambda world, task, *_: human_input._go_on(world, task, "mutant", ""))


def registered_asset_events_stay_in_the_outbox(patch: pytest.MonkeyPatch) -> None:
    real = World.emit

    def emit(self: World, decision: Decision, rows: int = 1) -> None:
        if not isinstance(decision, AdvanceChange):
            real(self, decision, rows)

    patch.setattr(World, "emit", emit)


def asset_events_are_heard_of_by_nudges_alone(patch: pytest.MonkeyPatch) -> None:
    """What was emitted while the queue lost messages is never registered."""
    real = Rounds._is_due

    def is_due(self: Rounds, what: str, nudged: bool, mono: float, interval: float) -> bool:
        return nudged if what == "asset" else real(self, what, nudged, mono, interval)

    patch.setattr(Rounds, "_is_due", is_due)


def instances_of_a_group_wait_for_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_state, "counts_of", lambda run, task: None)


def what_a_task_is_expanded_over_may_have_failed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_state, "input_verdict", lambda run, index: None)


def an_expansion_has_one_instance_too_few(patch: pytest.MonkeyPatch) -> None:
    real = instances.length_of

    def length_of(run: RunState, index: int) -> int | None:
        length = real(run, index)
        return length - 1 if length is not None and length > 1 else length

    patch.setattr(mapping, "length_of", length_of)


def who_waits_behind_siblings_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Instances that may run, but not all at once: only the first ones ever compete."""
    patch.setattr(mapping, "feed_candidates", lambda world: None)


def whose_trigger_fired_is_forgotten_when_siblings_are_judged(patch: pytest.MonkeyPatch) -> None:
    def empty_feed(run: RunState, index: int) -> None:
        for task in run.feeds.pop(index, ()):
            if task.ticket == run_state.IN_FEED:
                task.ticket = 0
                run.candidates -= 1

    patch.setattr(mapping, "_empty_feed", empty_feed)


def a_mapped_task_forgets_its_limit_in_a_run(patch: pytest.MonkeyPatch) -> None:
    real = admission.Admission._held_back_by

    def held_back_by(self: admission.Admission, task: Task) -> object:
        found = real(self, task)
        return None if found is not None and task.map_index >= 0 else found

    patch.setattr(admission.Admission, "_held_back_by", held_back_by)


MUTANTS: list[Patch] = [
    leases_run_out_early,
    nothing_is_read_again_after_a_failed_commit,
    hints_leave_before_their_commit,
    a_dispatch_number_is_used_again,
    nobody_reconciles,
    pools_have_room,
    the_limit_of_a_run_is_forgotten,
    paused_runs_start,
    ended_runs_are_forgotten_with_live_dispatches,
    what_a_branch_skips_is_not_heard_of,
    skipped_upstream_counts_as_success,
    a_lost_worker_costs_a_retry,
    the_tasks_of_a_lost_worker_are_forgotten,
    an_offer_is_made_once,
    a_revoked_task_is_not_waited_for,
    steps_have_no_bound,
    a_guard_failure_is_taken_for_success,
    events_of_triggers_are_only_heard_of,
    nobody_waits_too_long,
    who_waited_too_long_is_brought_on_without_being_told,
    nobody_answers_in_time_and_nothing_happens,
    who_asks_goes_on_without_an_answer,
    an_answer_is_lost,
    registered_asset_events_stay_in_the_outbox,
    asset_events_are_heard_of_by_nudges_alone,
    instances_of_a_group_wait_for_nobody,
    what_a_task_is_expanded_over_may_have_failed,
    an_expansion_has_one_instance_too_few,
    who_waits_behind_siblings_is_forgotten,
    whose_trigger_fired_is_forgotten_when_siblings_are_judged,
    a_mapped_task_forgets_its_limit_in_a_run,
]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_the_simulation_notices(mutate: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.disable(logging.CRITICAL)
    monkeypatch.setattr("tests.simulation.cluster.GIVE_UP", 200.0)
    mutate(monkeypatch)
    try:
        for seed in range(SEEDS):
            noticed = _notices(seed)
            if noticed:
                print(f"{mutate.__name__}: seed {seed}: {noticed}")
                return
    finally:
        logging.disable(logging.NOTSET)
    pytest.fail(f"{SEEDS} seeds have not noticed: {mutate.__doc__ or mutate.__name__}")


def _notices(seed: int) -> str:
    try:
        Cluster(seed).run()
    except (AssertionError, DagDeckError, KeyError, RecursionError) as error:
        return str(error).splitlines()[0]
    return ""


def test_the_real_thing_passes_where_mutants_are_caught() -> None:
    assert not any(_notices(seed) for seed in range(10))
