"""Setups and teardowns: which setups a task needs, what is cleared with it, scopes in DAG files, and explanations."""

from __future__ import annotations

from typing import Any

import pytest

from dagdeck import DAG, EmptyOperator, TaskGroup, chain, setup, task, teardown
from dagdeck.operator import BaseOperator
from dagdeck_core.errors import UserError
from dagdeck_core.graph import build_graph
from dagdeck_core.setups import cleared_with
from dagdeck_core.spec import DagSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver, tasks

S = TaskInstanceState
SETUP = {"is_setup": True}
TEARDOWN = {"is_teardown": True, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
ALL_DONE = {"trigger_rule": TriggerRule.ALL_DONE}


def spec(*lines: str, **changes: dict[str, Any]) -> DagSpec:
    """A DAG of lines; tasks whose ids begin with `set` are setups, with `tear` teardowns."""
    ids = [line.partition("<")[0].strip() for line in lines]
    kinds: dict[str, dict[str, Any]] = {each: SETUP for each in ids if each.startswith("set")}
    kinds |= {each: TEARDOWN for each in ids if each.startswith("tear")}
    return DagSpec(dag_id="d", fileloc="d.py", tasks=tasks(*lines, **{**kinds, **changes}))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("a", "b < a"), {}),
        (("set", "a < set", "b < a", "tear < b set"), {"b": ["set"], "tear": ["a"]}),
        (("set", "a < set", "b < a"), {"b": ["set"]}),
        (("set", "a < set", "b < a", "tear < a set"), {}),
        (
            ("set1", "set2 < set1", "a < set2", "b < a", "tear2 < b set2", "tear1 < tear2 set1"),
            {"a": ["set1"], "b": ["set1", "set2"], "tear2": ["a"], "tear1": ["set2", "a", "b"]},
        ),
    ],
)
def test_what_holds_a_task_back(lines: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    graph = build_graph(spec(*lines))
    found = {
        graph.tasks[index].task_id: sorted(graph.tasks[each].task_id for each in held)
        for index, held in graph.guards.items()
    }
    assert found == {name: sorted(held) for name, held in expected.items()}
    reverse = {(guard, held) for held, guards in graph.guards.items() for guard in guards}
    assert {(guard, held) for guard, indexes in graph.guarded.items() for held in indexes} == reverse


PATH = ("set", "a < set", "b < a", "c < b", "tear < c set", "after < c")


@pytest.mark.parametrize(
    ("chosen", "options", "expected"),
    [
        ("b", {}, "set b tear"),
        ("set", {}, "set tear"),
        ("tear", {}, "tear"),
        ("after", {}, "after"),
        ("b", {"downstream": True}, "set b c tear after"),
        ("b", {"upstream": True}, "set a b tear"),
        ("after", {"upstream": True}, "set a b c tear after"),
        ("set", {"downstream": True}, "set a b c tear after"),
    ],
)
def test_what_is_cleared_with_a_task(chosen: str, options: dict[str, bool], expected: str) -> None:
    graph = build_graph(spec(*PATH))
    found = cleared_with(graph, [graph.index[chosen]], **options)
    assert {graph.tasks[index].task_id for index in found} == set(expected.split())


def test_a_failed_setup_stops_what_would_run_whatever_happens() -> None:
    driver = Driver(spec("set", "a < set", "b < a", "tear < b set", b=ALL_DONE))
    driver.trigger()
    driver.end("r.set", S.FAILED)
    assert driver.states() == {
        "set": "failed",
        "a": "upstream_failed",
        "b": "upstream_failed",
        "tear": "upstream_failed",
    }
    assert driver.run().state == "failed"


def test_a_skipped_setup_skips_what_needs_it() -> None:
    driver = Driver(spec("set", "a < set", "b < a", "tear < b set", b=ALL_DONE))
    driver.trigger()
    driver.end("r.set", S.SKIPPED)
    assert driver.states() == {"set": "skipped", "a": "skipped", "b": "skipped", "tear": "skipped"}
    assert driver.run().state == "success"


def test_a_task_waits_for_a_setup_that_runs_again_and_says_so() -> None:
    driver = Driver(spec("set", "a < set", "b < a", "tear < b set", b={"trigger_rule": TriggerRule.ONE_SUCCESS}))
    driver.trigger()
    driver.end("r.set")
    driver.end("r.a")
    driver.clear("r.set", "r.b")
    assert driver.states()["b"] == "none"
    (gate,) = driver.explain("r.b")
    assert gate.reason == "it needs its setups: set (queued)"
    driver.end("r.set")
    assert driver.states()["b"] == "queued"


def test_a_teardown_waits_for_its_whole_scope_and_never_fails_the_run() -> None:
    lines = ("set", "a < set", "b < a", "quick < set", "tear < quick set b")
    driver = Driver(spec(*lines, "late < a", "tear2 < late"))
    driver.trigger()
    for name in ("set", "quick", "a", "b", "late"):
        driver.end(f"r.{name}")
    driver.end("r.tear", S.FAILED)
    driver.end("r.tear2", S.FAILED)
    assert driver.run().state == "success"


def edges(dag: DAG) -> set[tuple[str, str]]:
    """(upstream, downstream) pairs."""
    return {(up, one.task_id) for one in dag.tasks for up in one.upstream_task_ids}


def empty(name: str) -> BaseOperator:
    """A task."""
    return EmptyOperator(task_id=name)


def test_nested_scopes_are_ordered() -> None:
    with DAG("d") as dag:
        with empty("tear1").as_teardown(setups=empty("set1")):
            empty("outer")
            with empty("tear2").as_teardown(setups=empty("set2")):
                empty("inner")
    assert edges(dag) == {
        ("set1", "tear1"),
        ("set2", "tear2"),
        ("set1", "set2"),
        ("tear2", "tear1"),
        ("set1", "outer"),
        ("outer", "tear1"),
        ("set2", "inner"),
        ("inner", "tear2"),
    }


def test_tasks_made_before_are_added_to_a_scope() -> None:
    with DAG("d") as dag:
        first, second = empty("first"), empty("second")
        with empty("tear").as_teardown(setups=[empty("set1"), empty("set2")]) as scope:
            scope.add_task(first)
            scope.add_task(second)
            first >> second
        with pytest.raises(UserError, match="only a task of the same DAG"), empty("more").as_setup() as scope:
            scope.add_task("text")
    assert {("set1", "first"), ("set2", "first"), ("first", "second"), ("second", "tear")} <= edges(dag)
    assert not {("set1", "second"), ("first", "tear")} & edges(dag)


def test_decorated_setups_and_teardowns() -> None:
    with DAG("d") as dag:

        @setup
        def create() -> str:
            return "cluster"

        @teardown(on_failure_fail_dagrun=True)
        @task
        def destroy(name: str) -> None:
            """Take it away."""

        @task
        def work() -> None:
            """Work."""

        made = create()
        with destroy(made) as scope:
            work()
            scope.add_task(work())
    assert {one.task_id: (one.is_setup, one.is_teardown) for one in dag.tasks} == {
        "create": (True, False),
        "destroy": (False, True),
        "work": (False, False),
        "work__1": (False, False),
    }
    assert edges(dag) == {
        ("create", "destroy"),
        *((before, each) for before in ("create",) for each in ("work", "work__1")),
        *((each, "destroy") for each in ("work", "work__1")),
    }
    assert dag.get_task("destroy").on_failure_fail_dagrun


def test_a_group_leaves_through_its_work_not_its_setup() -> None:
    with DAG("d") as dag:
        with TaskGroup("g") as group:
            empty("set").as_setup() >> empty("tear").as_teardown()
            empty("work")
        chain(group, empty("after"))
    assert {up for up, down in edges(dag) if down == "after"} == {"g.work"}


def test_only_setups_and_teardowns_open_scopes() -> None:
    with DAG("d"):
        ordinary = empty("a")
        with pytest.raises(UserError, match="only a setup or teardown"), ordinary:
            pass


def test_a_run_that_is_marked_failed_still_cleans_up() -> None:
    driver = Driver(spec("set", "a < set", "b < a", "tear < b set"))
    driver.trigger()
    driver.end("r.set")
    driver.mark_run(DagRunState.FAILED)
    assert driver.run().state == "running"
    assert driver.states() == {"set": "success", "a": "skipped", "b": "failed", "tear": "queued"}
    driver.end("r.tear")
    assert driver.run().state == "failed"


def test_a_run_in_which_nothing_was_set_up_fails_at_once() -> None:
    driver = Driver(spec("first", "set < first", "a < set", "tear < a set"))
    driver.trigger()
    driver.mark_run(DagRunState.FAILED)
    assert driver.run().state == "failed"
    assert set(driver.states().values()) == {"skipped"}
