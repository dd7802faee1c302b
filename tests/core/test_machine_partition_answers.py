"""DAGs whose partition mappers, windows or wait policies are code of the author's: asked for as work."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dagdeck.partition_mappers import (
    FixedKeyMapper,
    IdentityMapper,
    PartitionMapper,
    PartitionSatisfaction,
    RollupMapper,
    SegmentWindow,
    WaitPolicy,
)
from dagdeck_core.asset_records import OutletEvent
from dagdeck_core.partitions.specs import CustomMapperSpec, CustomWaitSpec, RollupSpec
from dagdeck_core.scheduling.events import DispatchesFinished
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import FinishedDispatch
from dagdeck_core.work import JudgePartition, MapKeys, WorkRecord, WorkState, hint_id
from tests.core.test_machine_assets import A, B, World, key, partitioned
from tests.simulation.database import claim_work, finish_work


class Own(PartitionMapper):
    """A mapper of the author's."""

    def to_downstream(self, key: str) -> str:
        return key

    def serialize(self) -> dict[str, Any]:
        return {"of": "tests"}


class Louder(IdentityMapper):
    def to_downstream(self, key: str) -> str:
        return key.upper()


class Halves(SegmentWindow):
    def to_upstream(self, decoded_downstream: str) -> list[str]:
        return ["first", "second"]


class Most(WaitPolicy):
    def is_satisfied(self, matched: int, expected: int) -> bool:
        return matched * 2 > expected


class NeedsEurope(WaitPolicy):
    def is_satisfied_by_keys(self, *, matched: AbstractSet[str], expected: AbstractSet[str]) -> PartitionSatisfaction:
        return PartitionSatisfaction("eu" in matched, unreachable=False, unreachable_reason=None)


def rollup(window: SegmentWindow | None = None, policy: WaitPolicy | None = None) -> RollupMapper:
    return RollupMapper(
        upstream_mapper=FixedKeyMapper("all"), window=window or SegmentWindow(["us", "eu"]), wait_policy=policy
    )


MAPPERS = [Own(), Louder(), rollup(Halves(["first"])), rollup(policy=Most()), rollup(policy=NeedsEurope())]


def questions(world: World, order: type) -> list[WorkRecord]:
    """The open questions of a type."""
    return [
        work
        for key, work in world.db.works.items()
        if key not in world.db.settled and isinstance(work.order, order) and work.state is not WorkState.FAILED
    ]


def reply(world: World, order: type, value: Any, state: WorkState = WorkState.SUCCESS) -> list[str]:
    """A runner answers the oldest open question of a type."""
    record = questions(world, order)[0]
    claim_work(world.db, 1, hint_id(record.work_id), record.dispatch_no)
    finish_work(world.db, hint_id(record.work_id), record.dispatch_no, state, value)
    told = FinishedDispatch(record.run_key, hint_id(record.work_id), record.dispatch_no, TaskInstanceState.SUCCESS)
    return world.settle(DispatchesFinished(worker_id=1, finished=(told,)))


def said(*keys: str, **facts: Any) -> dict[str, Any]:
    """What code of the author's says of one event."""
    return {"keys": [{"key": each, **facts} for each in keys]}


@pytest.mark.parametrize("mapper", MAPPERS)
def test_code_of_the_authors_is_asked_and_nothing_waits_until_it_answers(mapper: PartitionMapper) -> None:
    world = World(partitioned("c", A, mapper))
    world.emit(key("us"))
    (question,) = questions(world, MapKeys)
    assert isinstance(question.order, MapKeys)
    (event,) = question.order.events
    assert (event.name, event.uri, event.key, question.dag_id) == ("a", "a", "us", "c")
    assert (world.db.partitions, world.db.queued, world.problems()) == ({}, {}, [])
    reply(world, MapKeys, [said("x")])
    assert (world.keys("c"), world.consumed("c"), world.db.queued) == (["x"], [["a"]], {})


def test_what_is_stored_names_the_class() -> None:
    assert Own().spec() == CustomMapperSpec(class_path=f"{__name__}.Own", data={"of": "tests"})
    spec = rollup(policy=NeedsEurope()).spec()
    assert isinstance(spec, RollupSpec)
    assert spec.wait_policy == CustomWaitSpec(class_path=f"{__name__}.NeedsEurope")


def test_one_question_for_all_events_of_a_task_and_keys_of_several_partitions() -> None:
    world = World(partitioned("c", A, Own()), partitioned("other", A, Own()), partitioned("plain", A, IdentityMapper()))
    world.emit(key("us"), key("eu"))
    assert [work.dag_id for work in questions(world, MapKeys)] == ["c", "other"]
    assert world.keys("plain") == ["us", "eu"], "others do not wait for the author's code"
    reply(world, MapKeys, [said("x", "y"), said("y")])
    assert world.keys("c") == ["x", "y"]
    assert world.consumed("c") == [["a"], ["a", "a"]]


def test_a_rollup_starts_with_the_key_that_is_enough() -> None:
    world = World(partitioned("c", A, rollup(policy=Most())))
    facts = {"expected": 3, "needed": 2}
    for source, expected, runs in (("us", True, []), ("us", True, []), ("xx", False, []), ("eu", True, ["all"])):
        world.emit(key(source))
        reply(world, MapKeys, [said("all", is_expected=expected, **facts)])
        assert world.keys("c") == runs
    assert world.consumed("c") == [["a"] * 4]


def test_a_rollup_that_no_number_satisfies_waits_for_ever() -> None:
    world = World(partitioned("c", A, rollup(policy=Most())))
    world.emit(key("us"))
    reply(world, MapKeys, [said("all", expected=1, is_expected=True)])
    assert (world.keys("c"), len(world.db.partitions)) == ([], 1)


def test_a_policy_that_looks_at_keys_is_asked_with_each_new_one() -> None:
    world = World(partitioned("c", A, rollup(policy=NeedsEurope())))
    facts = {"expected": 2, "is_expected": True, "by_keys": True}
    world.emit(key("us"))
    reply(world, MapKeys, [said("all", **facts)])
    (question,) = questions(world, JudgePartition)
    assert isinstance(question.order, JudgePartition)
    assert (question.order.key, question.order.arrived) == ("all", ("us",))
    world.emit(key("eu"))
    reply(world, MapKeys, [said("all", **facts)])
    assert len(questions(world, JudgePartition)) == 1, "one question at a time"
    reply(world, JudgePartition, False)
    (question,) = questions(world, JudgePartition)
    assert isinstance(question.order, JudgePartition)
    assert question.order.arrived == ("eu", "us")
    assert world.keys("c") == []
    reply(world, JudgePartition, True)
    assert (world.keys("c"), world.db.queued, questions(world, JudgePartition)) == (["all"], {}, [])


def test_a_policy_that_fails_is_told_of_and_asked_again_when_more_has_come() -> None:
    world = World(partitioned("c", A, rollup(policy=NeedsEurope())))
    facts = {"expected": 2, "is_expected": True, "by_keys": True}
    world.emit(key("us"))
    reply(world, MapKeys, [said("all", **facts)])
    reply(world, JudgePartition, None, WorkState.FAILED)
    assert (world.problems(), questions(world, JudgePartition)) == (["failed to evaluate rollup"], [])
    world.emit(key("eu"))
    reply(world, MapKeys, [said("all", **facts)])
    reply(world, JudgePartition, True)
    assert world.keys("c") == ["all"]


def test_a_new_leader_asks_the_policy_anew() -> None:
    world = World(partitioned("c", A & B, rollup(policy=NeedsEurope())))
    world.emit(key("eu"))
    reply(world, MapKeys, [said("all", expected=2, is_expected=True, by_keys=True)])
    reply(world, JudgePartition, True)
    assert (world.keys("c"), questions(world, JudgePartition)) == ([], [])
    world.fail_over()
    reply(world, JudgePartition, True)
    world.emit(OutletEvent(name="b", uri="b", partition_key="eu"))
    reply(world, MapKeys, [said("all")])
    assert world.keys("c") == ["all"]


@pytest.mark.parametrize(
    ("value", "state", "problems"),
    [
        (None, WorkState.FAILED, ["failed to map partition_key"]),
        ("nonsense", WorkState.SUCCESS, ["failed to map partition_key"]),
        ([], WorkState.SUCCESS, ["failed to map partition_key"]),
        ([{"problem": "KeyError: 'us'"}], WorkState.SUCCESS, ["failed to map partition_key"]),
        ([said(*map(str, range(1001)))], WorkState.SUCCESS, ["partition fan-out exceeded"]),
    ],
)
def test_an_answer_that_leads_nowhere_is_told_of(value: Any, state: WorkState, problems: list[str]) -> None:
    world = World(partitioned("c", A, Own()))
    world.emit(key("us"))
    reply(world, MapKeys, value, state)
    assert (world.problems(), world.db.queued, questions(world, MapKeys)) == (problems, {}, [])
    (problem,) = world.db.asset_problems.values()
    assert (problem.dag_id, problem.run_id, problem.task_id) == ("p", "p1", "t")
    assert "partition_key 'us' of asset (name='a', uri='a') in target Dag 'c'" in problem.message


def test_what_an_answer_leaves_out_is_asked_for_again() -> None:
    world = World(partitioned("c", A, Own()))
    world.emit(key("us"), key("eu"), key("ap"))
    reply(world, MapKeys, [said("us")])
    (question,) = questions(world, MapKeys)
    assert isinstance(question.order, MapKeys)
    assert [event.key for event in question.order.events] == ["eu", "ap"]
    reply(world, MapKeys, [said("eu"), said("ap")])
    assert world.keys("c") == ["us", "eu", "ap"]


def test_a_large_answer_goes_on_over_several_steps() -> None:
    world = World(partitioned("c", A, Own()), max_rows=10)
    world.emit(*(key(f"k{number}") for number in range(12)))
    asked = 0
    while questions(world, MapKeys):
        order = questions(world, MapKeys)[0].order
        assert isinstance(order, MapKeys)
        reply(world, MapKeys, [said(event.key) for event in order.events])
        asked += 1
    found = sorted(int((each or "")[1:]) for each in world.keys("c"))
    assert (asked > 2, found) == (True, list(range(12)))


def test_the_dates_that_code_says_are_the_runs() -> None:
    world = World(partitioned("c", A, Own()))
    date = datetime(2026, 2, 3, tzinfo=UTC)
    world.emit(key("us"))
    reply(world, MapKeys, [said("x", date=date.isoformat())])
    world.emit(key("eu"))
    reply(world, MapKeys, [said("y", carried=date.isoformat())])
    runs = [run for run in world.db.runs.values() if run.dag_id == "c"]
    assert [(run.partition_key, run.partition_date) for run in runs] == [("x", date), ("y", date)]


def test_an_answer_of_mappers_that_are_no_longer_the_dags_is_dropped() -> None:
    world = World(partitioned("c", A, Own()))
    world.emit(key("us"))
    world.settle(world.put_dag(partitioned("c", A, Louder())))
    reply(world, MapKeys, [said("x")])
    assert (world.keys("c"), world.db.queued, world.problems()) == ([], {}, [])
    world.emit(key("eu"))
    world.settle(world.put_dag(msgspec.structs.replace(partitioned("c", A, Louder()), tags=("later",))))
    reply(world, MapKeys, [said("EU")])
    assert world.keys("c") == ["EU"], "another version with the same mappers takes the answer"


def test_a_paused_dag_is_not_asked() -> None:
    world = World(partitioned("c", A, Own()))
    world.settle(world.put_dag(partitioned("c", A, Own()), is_paused=True))
    world.emit(key("us"))
    assert questions(world, MapKeys) == []


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("mapper", [Own, lambda: rollup(policy=NeedsEurope())])
def test_a_new_leader_goes_on_at_any_moment(step: int, mapper: Callable[[], PartitionMapper]) -> None:
    world = World(partitioned("c", A, mapper()))
    facts = {} if mapper is Own else {"expected": 2, "is_expected": True, "by_keys": True}
    world.ended(key("us"))
    for moment in range(3):
        if moment == step:
            world.fail_over()
        if moment == 0:
            world.settle(world.changes())
        elif moment == 1:
            reply(world, MapKeys, [said("all", **facts)])
        elif questions(world, JudgePartition):
            reply(world, JudgePartition, True)
    assert (world.keys("c"), world.consumed("c"), world.problems()) == (["all"], [["a"]], [])
