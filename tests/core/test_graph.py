"""The graph of a DAG: order, cycles, neighbours, priorities, closures, and the leaves that decide a run."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dagdeck_core.graph import CycleFound, Graph, build_graph, topological_order
from dagdeck_core.spec import TriggerRule
from tests.core.machine_driver import dag, tasks


def graph(*lines: str, **changes: dict[str, Any]) -> Graph:
    return build_graph(dag("d", specs=tasks(*lines, **changes)))


def names(found: Graph, indexes: tuple[int, ...] | list[int]) -> list[str]:
    return [found.tasks[i].task_id for i in indexes]


def test_every_upstream_comes_first_and_ties_keep_their_order() -> None:
    found = graph("c < a b", "b", "a", "z < c")
    assert [task.task_id for task in found.tasks] == ["b", "a", "c", "z"]
    assert names(found, found.up[found.index["c"]]) == ["b", "a"]
    assert names(found, found.down[found.index["a"]]) == ["c"]


def test_a_cycle_is_named_in_the_direction_of_its_edges() -> None:
    with pytest.raises(CycleFound) as raised:
        graph("root", "a < c root", "b < a", "c < b", "tail < c")
    assert str(raised.value) in ("a >> b >> c >> a", "b >> c >> a >> b", "c >> a >> b >> c")
    with pytest.raises(CycleFound, match="a >> a"):
        graph("a < a")


def test_an_unknown_upstream() -> None:
    with pytest.raises(KeyError, match="x"):
        topological_order({"a": ("x",)})


def test_closures() -> None:
    found = graph("a", "b < a", "c < a", "e < b c", "z")
    start = [found.index["b"]]
    assert names(found, found.closure(start)) == ["b"]
    assert names(found, found.closure(start, downstream=True)) == ["b", "e"]
    assert names(found, found.closure(start, upstream=True)) == ["a", "b"]
    assert sorted(names(found, found.closure(start, upstream=True, downstream=True))) == ["a", "b", "e"]


def test_priorities_count_each_task_below_once() -> None:
    weights = {"a": {"priority_weight": 1}, "b": {"priority_weight": 10}, "c": {"priority_weight": 100}}
    found = graph("a", "b < a", "c < a", "e < b c", **weights)
    by_name = dict(zip([task.task_id for task in found.tasks], found.priority, strict=True))
    assert by_name == {"a": 112, "b": 11, "c": 101, "e": 1}


@pytest.mark.parametrize(
    ("rule", "expected"), [("downstream", 6), ("upstream", 4), ("absolute", 3), ("my.Strategy", 3)]
)
def test_weight_rules(rule: str, expected: int) -> None:
    found = graph("a", "b < a", "c < b", b={"priority_weight": 3, "weight_rule": rule}, c={"priority_weight": 3})
    assert found.priority[found.index["b"]] == expected


def test_priorities_against_a_plain_walk() -> None:
    rng = random.Random(4)
    lines = [f"t{i} < " + " ".join(f"t{u}" for u in sorted(rng.sample(range(i), k=min(i, 3)))) for i in range(40)]
    found = graph(*lines, **{f"t{i}": {"priority_weight": rng.randint(1, 9)} for i in range(40)})
    for i in range(40):
        below = found.closure([i], downstream=True)
        assert found.priority[i] == sum(found.tasks[j].priority_weight for j in below)


# ---------------------------------------------------------------- leaves

DOWN = {"is_teardown": True, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
STRICT = {**DOWN, "on_failure_fail_dagrun": True}


@pytest.mark.parametrize(
    ("lines", "changes", "leaves"),
    [
        (("a", "b < a", "c"), {}, ["b", "c"]),
        (("up", "work < up", "down < up work"), {"down": DOWN}, ["work"]),
        (("up", "work < up", "down < up work"), {"down": STRICT}, ["down"]),
        (("work", "d1 < work", "d2 < d1"), {"d1": DOWN, "d2": DOWN}, ["work"]),
        (("work", "down < work", "after < down"), {"down": DOWN}, ["work", "after"]),
        (("work", "d1 < work", "d2 < d1"), {"d1": DOWN, "d2": STRICT}, ["d2", "work"]),
        (("d1", "d2 < d1"), {"d1": DOWN, "d2": DOWN}, ["d2"]),
        ((), {}, []),
    ],
)
def test_leaves(lines: tuple[str, ...], changes: dict[str, dict[str, Any]], leaves: list[str]) -> None:
    found = graph(*lines, **changes)
    assert sorted(names(found, found.leaves)) == sorted(leaves)


def test_ten_thousand_tasks_in_one_chain() -> None:
    found = graph("t0", *(f"t{i} < t{i - 1}" for i in range(1, 10_000)))
    assert found.priority[0] == 10_000
    assert found.leaves == (9_999,)


def test_looking_at_the_past() -> None:
    assert not graph("a").uses_past
    assert graph("a", a={"depends_on_past": True}).uses_past
    assert graph("a", a={"wait_for_downstream": True}).uses_past
