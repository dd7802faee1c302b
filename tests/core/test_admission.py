"""Admission by itself: who is picked next, who is parked, and who is called back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dagdeck_core.graph import build_graph
from dagdeck_core.records import PoolRecord, RunRecord, TaskRecord
from dagdeck_core.scheduling.admission import MOST_AHEAD, Admission
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from tests.core.machine_driver import dag, tasks

S = TaskInstanceState
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Desk:
    """An admission with one run per call of `run`."""

    def __init__(self, slots: int = 100, **pools: int) -> None:
        self.paused = False
        self.slots = slots
        self.admission = Admission(lambda queue: self.slots, lambda dag_id: self.paused)
        self.admission.set_pools(
            [PoolRecord(name=name, slots=count) for name, count in {"default_pool": 100, **pools}.items()]
        )
        self.keys = 0

    def run(self, *lines: str, max_active_tasks: int = 100, **changes: dict[str, Any]) -> dict[str, Task]:
        self.keys += 1
        spec = dag("d", specs=tasks(*lines, **changes))
        record = RunRecord(
            run_key=self.keys,
            dag_id="d",
            run_id=f"r{self.keys}",
            version_id=1,
            state=DagRunState.RUNNING,
            run_type=DagRunType.MANUAL,
            run_after=AT,
            queued_at=AT,
        )
        rows = [
            TaskRecord(ti_id=self.keys * 100 + i, run_key=self.keys, task_id=task.task_id)
            for i, task in enumerate(spec.tasks)
        ]
        run = RunState.from_rows(record, build_graph(spec), max_active_tasks, rows)
        found = {task.spec.task_id: task for task in run.by_id.values()}
        for task in found.values():
            self.admission.offer(task)
        return found

    def pick(self) -> str:
        picked = []
        for task in self.admission.pick():
            self.move(task, S.QUEUED)
            picked.append(task.spec.task_id)
        return "".join(picked)

    def move(self, task: Task, new: TaskInstanceState) -> None:
        old = task.state
        if old is S.QUEUED:
            task.run.move(task, S.RUNNING)
        task.run.move(task, new)
        self.admission.task_moved(task, old, new)


def test_order_is_priority_then_age() -> None:
    desk = Desk()
    desk.run("a", "b", b={"priority_weight": 5})
    desk.run("c", c={"priority_weight": 3})
    assert desk.pick() == "bca"


def test_a_withdrawn_or_repeated_entry_is_void() -> None:
    desk = Desk()
    found = desk.run("a", "b")
    desk.admission.withdraw(found["a"])
    desk.admission.offer(found["b"])
    assert desk.pick() == "b"
    assert desk.pick() == ""


def test_the_window_is_the_workers_slots_and_more_for_short_tasks() -> None:
    desk = Desk(slots=4)
    assert desk.admission.window("default") == 4
    desk.admission.note_duration("default", 1.0)
    assert desk.admission.window("default") == 4
    for _ in range(200):
        desk.admission.note_duration("default", 0.001)
    assert 4 < desk.admission.window("default") <= 4 + MOST_AHEAD
    desk.slots = 0
    assert desk.admission.window("default") == 0, "nothing is handed out ahead of nobody"


def test_what_is_parked_under_a_limit_comes_back_one_for_each_place() -> None:
    desk = Desk()
    found = desk.run(*"abcdef", max_active_tasks=2)
    assert desk.pick() == "ab"
    desk.move(found["a"], S.SUCCESS)
    assert desk.pick() == "c"
    desk.move(found["b"], S.SUCCESS)
    desk.move(found["c"], S.SUCCESS)
    assert desk.pick() == "de"


def test_a_place_is_not_lost_to_an_entry_that_became_void() -> None:
    desk = Desk()
    found = desk.run(*"abc", max_active_tasks=1)
    assert desk.pick() == "a"
    desk.admission.withdraw(found["b"])
    desk.move(found["a"], S.SUCCESS)
    assert desk.pick() == "c"


def test_what_was_called_back_and_then_withdrawn_passes_its_place_on() -> None:
    desk = Desk()
    found = desk.run(*"abc", max_active_tasks=1)
    assert desk.pick() == "a"
    desk.move(found["a"], S.SUCCESS)
    desk.admission.withdraw(found["b"])
    assert desk.pick() == "c"


@pytest.mark.parametrize("state", [S.DEFERRED, S.UP_FOR_RETRY, S.SUCCESS])
def test_every_way_out_of_a_dispatch_frees_its_slots(state: TaskInstanceState) -> None:
    desk = Desk(p=2)
    found = desk.run("a", "b", a={"pool": "p", "pool_slots": 2, "priority_weight": 2}, b={"pool": "p"})
    assert desk.pick() == "a"
    assert desk.admission.pools["p"].free == 0
    desk.move(found["a"], state)
    assert desk.admission.pools["p"].free == 2
    assert desk.pick() == "b"


def test_a_pool_that_shrank_below_what_is_held_has_less_than_nothing_free() -> None:
    desk = Desk(p=3)
    desk.run(*"abc", a={"pool": "p"}, b={"pool": "p"}, c={"pool": "p"})
    assert desk.pick() == "abc"
    desk.admission.put_pool(PoolRecord(name="p", slots=1))
    assert desk.admission.pools["p"].free == -2
    desk.admission.put_pool(PoolRecord(name="p", slots=-1))
    assert desk.admission.pools["p"].free == float("inf")


def test_a_paused_dags_tasks_come_back_all_at_once() -> None:
    desk = Desk()
    desk.run(*"abc")
    desk.paused = True
    assert desk.pick() == ""
    desk.paused = False
    assert desk.pick() == ""
    desk.admission.unpark(("dag", "d"))
    assert desk.pick() == "abc"


def test_a_dropped_run_gives_everything_back() -> None:
    desk = Desk(p=2)
    found = desk.run("a", "b", a={"pool": "p", "max_active_tis_per_dag": 1}, b={"pool": "p"})
    other = desk.run("a", a={"pool": "p", "max_active_tis_per_dag": 1})
    assert desk.pick() == "ab"
    for task in found.values():
        desk.admission.withdraw(task)
    desk.admission.add_run(found.values(), -1)
    desk.admission.forget_run(found["a"].run.key)
    assert desk.admission.pools["p"].used == 0
    assert desk.admission.active_in_queue("default") == 0
    assert desk.pick() == "a"
    assert other["a"].state is S.QUEUED


def test_ten_thousand_waiting_cost_nothing_when_one_ends() -> None:
    """An end calls back one entry; the rest is not looked at."""
    desk = Desk()
    found = desk.run(*(f"t{i}" for i in range(10_000)), max_active_tasks=1)
    desk.pick()
    calls = 0
    real = desk.admission._held_back_by

    def counted(task: Task) -> object:
        nonlocal calls
        calls += 1
        return real(task)

    desk.admission._held_back_by = counted  # type: ignore[method-assign, assignment]
    first = next(task for task in found.values() if task.state is S.QUEUED)
    desk.move(first, S.SUCCESS)
    assert len(desk.pick()) > 0
    assert calls <= 3
