"""Expanded tasks in the scheduling machine: when they are expanded, how rules see instances, what a clear changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import PutPool
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.scheduling.events import TriggersFired
from dagdeck_core.scheduling.gates import GateKind
from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver, tasks
from tests.simulation.database import fire

S = TaskInstanceState


def over(*inputs: str | int | LengthSpec, kind: str = "expand") -> MappedSpec:
    """Expanded over results of tasks (names) and literal lengths (numbers)."""
    lengths = {f"x{number}": _length(each) for number, each in enumerate(inputs)}
    return MappedSpec(kind=kind, inputs=lengths)


def _length(given: str | int | LengthSpec) -> LengthSpec:
    if isinstance(given, LengthSpec):
        return given
    return LengthSpec(length=given) if isinstance(given, int) else LengthSpec(task_id=given)


def dag(*lines: str, groups: dict[str, Any] | None = None, **mapped: Any) -> DagSpec:
    """A DAG of task lines ("c < a b"; in a group if named "g.c"). Keywords say what tasks are expanded over, or dicts
    of their fields; `groups` the same for groups, with "outer/inner" for a group inside another."""
    changes: dict[str, dict[str, Any]] = {}
    for name, value in mapped.items():
        changes[name.replace("__", ".")] = value if isinstance(value, dict) else {"mapped": value}
    specs: tuple[TaskSpec, ...] = tasks(*lines, **changes)
    group_specs = []
    for name, mapping in (groups or {}).items():
        parent, _, own = name.rpartition("/")
        group_specs.append(TaskGroupSpec(group_id=own, parent_id=parent or None, mapped=mapping))
    known = {group.group_id for group in group_specs}
    placed = [
        TaskSpec(**{**_fields(spec), "group_id": spec.task_id.rpartition(".")[0] or None})
        if spec.task_id.rpartition(".")[0] in known
        else spec
        for spec in specs
    ]
    return DagSpec(dag_id="d", fileloc="d.py", tasks=tuple(placed), groups=tuple(group_specs), max_active_tasks=1000)


def _fields(spec: TaskSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


def driver(spec: DagSpec, **settings: Any) -> Driver:
    made = Driver(spec, slots=1000, **settings)
    made.trigger()
    return made


# ---------------------------------------------------------------- when and into how many


def test_a_task_is_expanded_when_its_input_has_ended() -> None:
    run = driver(dag("a", "m < a", "z < m", m=over("a")))
    assert run.states() == {"a": "queued", "m": "none", "z": "none"}
    told = run.end("r.a", length=3)
    assert told[0] == "expand r.m 1-3"
    assert run.states() == {"a": "success", "m[0]": "queued", "m[1]": "queued", "m[2]": "queued", "z": "none"}
    for index in (2, 0):
        run.end(f"r.m[{index}]")
    assert run.states()["z"] == "none", "a task after it waits for all instances"
    run.end("r.m[1]")
    run.end("r.z")
    assert run.run().state is DagRunState.SUCCESS


def test_the_summary_instance_becomes_the_first() -> None:
    run = driver(dag("a", "m < a", m=over("a")))
    summary = run.row("r.m").ti_id
    run.end("r.a", length=1)
    assert run.row("r.m[0]").ti_id == summary
    assert run.states() == {"a": "success", "m[0]": "queued"}


def test_a_length_from_the_file_is_expanded_at_once_whatever_stands_before() -> None:
    run = driver(dag("a", "m < a", "n < a", m=over(2, 3), n=over(0)))
    assert [name for name in run.states() if name.startswith("m")] == [f"m[{index}]" for index in range(6)]
    assert run.states()["n"] == "skipped"
    run.end("r.a", S.FAILED)
    assert {state for name, state in run.states().items() if name.startswith("m")} == {"upstream_failed"}


@pytest.mark.parametrize(
    ("mapped", "lengths", "expected"),
    [
        (over("a", "b"), (2, 3), 6),
        (over("a", 4), (2, 0), 8),
        (over(LengthSpec(zipped=(LengthSpec(task_id="a"), LengthSpec(task_id="b")))), (2, 3), 2),
        (over(LengthSpec(zipped=(LengthSpec(task_id="a"), LengthSpec(task_id="b")), longest=True)), (2, 3), 3),
        (over(LengthSpec(joined=(LengthSpec(task_id="a"), LengthSpec(length=1), LengthSpec(task_id="b")))), (2, 3), 6),
        (over("a", kind="expand_kwargs"), (2, 3), 2),
    ],
)
def test_lengths_of_several_inputs(mapped: MappedSpec, lengths: tuple[int, int], expected: int) -> None:
    run = driver(dag("a", "b", "m < a b", m=mapped))
    run.end("r.a", length=lengths[0])
    run.end("r.b", length=lengths[1])
    assert sum(name.startswith("m[") for name in run.states()) == expected


def test_an_empty_list_skips_the_task_and_what_needs_its_success() -> None:
    run = driver(dag("a", "m < a", "z < m", "y < m", m=over("a"), y={"trigger_rule": TriggerRule.ALL_DONE}))
    run.end("r.a", length=0)
    assert run.states() == {"a": "success", "m": "skipped", "z": "skipped", "y": "queued"}


def test_a_result_that_cannot_be_mapped_over_fails_what_needs_it() -> None:
    run = driver(dag("a", "m < a", "z < m", m=over("a")))
    run.end("r.a")
    assert run.states() == {"a": "success", "m": "upstream_failed", "z": "upstream_failed"}
    assert run.run().state is DagRunState.FAILED


@pytest.mark.parametrize(("ended", "expected"), [(S.FAILED, "upstream_failed"), (S.SKIPPED, "skipped")])
@pytest.mark.parametrize("rule", [TriggerRule.ALL_SUCCESS, TriggerRule.ALL_DONE, TriggerRule.ALWAYS])
def test_an_input_that_gives_nothing_decides_under_every_rule(
    ended: TaskInstanceState, expected: str, rule: TriggerRule
) -> None:
    run = driver(dag("a", "m < a", m={"mapped": over("a"), "trigger_rule": rule}))
    run.end("r.a", ended)
    assert run.states()["m"] == expected


def test_a_rule_that_holds_early_waits_for_the_length() -> None:
    run = driver(dag("a", "m < a", m={"mapped": over("a"), "trigger_rule": TriggerRule.ALWAYS}))
    assert run.states()["m"] == "none"
    (gate,) = run.explain("r.m")
    assert (gate.kind, gate.subjects) == (GateKind.EXPANSION, ("a",))
    assert "waits for the length of what a returns" in gate.reason
    run.end("r.a", length=2)
    assert run.states() == {"a": "success", "m[0]": "queued", "m[1]": "queued"}


def test_second_order_counts_the_instances_that_returned_something() -> None:
    run = driver(dag("a", "m < a", "n < m", "z < n", m=over("a"), n={"mapped": over("m"), "trigger_rule": "all_done"}))
    run.end("r.a", length=4)
    run.end("r.m[0]", returned=True)
    run.end("r.m[1]", S.SKIPPED)
    run.end("r.m[2]")
    assert run.states()["n"] == "none"
    run.end("r.m[3]", returned=True)
    assert [name for name in run.states() if name.startswith("n")] == ["n[0]", "n[1]"]


def test_too_many_instances_fail_the_task_with_a_reason() -> None:
    run = driver(dag("a", "m < a", m=over("a", "a")), most_instances=10)
    run.end("r.a", length=4)
    assert run.states()["m"] == "failed"
    moved = next(x for x in run.steps[-1] if isinstance(x, d.MoveTask) and x.new is S.FAILED)
    assert moved.reason == "it would have 16 instances; the setting scheduler.max_mapped_instances allows 10"


# ---------------------------------------------------------------- rules over instances


def test_trigger_rules_count_instances() -> None:
    rules = [TriggerRule.ONE_SUCCESS, TriggerRule.ONE_FAILED, TriggerRule.ALL_DONE, TriggerRule.NONE_FAILED]
    lines = [f"{rule.value} < m" for rule in rules]
    run = driver(dag("m", *lines, m=over(3), **{rule.value: {"trigger_rule": rule} for rule in rules}))
    run.end("r.m[1]")
    assert run.states()["one_success"] == "queued"
    run.end("r.m[2]", S.FAILED)
    states = run.states()
    assert (states["one_failed"], states["none_failed"], states["all_done"]) == ("queued", "upstream_failed", "none")
    run.end("r.m[0]", S.SKIPPED)
    assert run.states()["all_done"] == "queued"


def test_a_branch_that_skips_a_mapped_task_skips_every_instance() -> None:
    run = driver(dag("b", "m < b", "z < m", m=over(3)))
    run.end("r.b", skip=["m"])
    assert {state for name, state in run.states().items() if name != "b"} == {"skipped"}


def test_retries_and_limits_hold_for_instances() -> None:
    run = driver(
        dag("m", "z < m", m={"mapped": over(4), "max_active_tis_per_dagrun": 2, "retries": 1, "retry_delay": 5.0})
    )
    assert sorted(run.states().values()) == ["none", "queued", "queued", "scheduled", "scheduled"]
    run.end("r.m[0]", S.UP_FOR_RETRY, next_at=run.now + timedelta(seconds=5))
    assert run.states()["m[2]"] == "queued"
    kinds = {gate.kind for gate in run.explain("r.m[3]")}
    assert GateKind.MAX_ACTIVE_TIS_PER_DAGRUN in kinds


# ---------------------------------------------------------------- mapped groups


GROUP = ("a", "g.x < a", "g.y < g.x", "z < g.y")


def test_inside_a_group_index_goes_with_index() -> None:
    run = driver(dag(*GROUP, groups={"g": over("a")}))
    run.end("r.a", length=3)
    assert [name for name, state in run.states().items() if state == "queued"] == ["g.x[0]", "g.x[1]", "g.x[2]"]
    run.end("r.g.x[1]")
    assert {name for name, state in run.states().items() if state == "queued"} == {"g.x[0]", "g.x[2]", "g.y[1]"}
    run.end("r.g.x[0]", S.FAILED)
    run.end("r.g.x[2]", S.SKIPPED)
    states = run.states()
    assert (states["g.y[0]"], states["g.y[1]"], states["g.y[2]"]) == ("upstream_failed", "queued", "skipped")
    assert states["z"] == "upstream_failed"
    run.end("r.g.y[1]")
    assert run.run().state is DagRunState.FAILED


def test_a_task_after_a_group_waits_for_all_of_it() -> None:
    run = driver(dag(*GROUP, groups={"g": over("a")}))
    run.end("r.a", length=2)
    for name in ("g.x[0]", "g.x[1]", "g.y[0]"):
        run.end(f"r.{name}")
    assert run.states()["z"] == "none"
    (gate,) = run.explain("r.z")
    assert "1 of 2 upstream have not ended: g.y[1] (queued)" in gate.reason
    run.end("r.g.y[1]")
    assert run.states()["z"] == "queued"


def test_a_branch_inside_a_group_skips_its_own_index_only() -> None:
    run = driver(
        dag(
            "g.b",
            "g.x < g.b",
            "g.y < g.b",
            "g.z < g.x g.y",
            g__z={"trigger_rule": TriggerRule.NONE_FAILED},
            groups={"g": over(2)},
        )
    )
    run.end("r.g.b[0]", skip=["g.x"])
    run.end("r.g.b[1]", skip=["g.y"])
    states = run.states()
    assert [states[name] for name in ("g.x[0]", "g.y[0]", "g.x[1]", "g.y[1]")] == [
        "skipped",
        "queued",
        "queued",
        "skipped",
    ]
    assert "g.b did not take this branch" in run.explain("r.g.x[0]")[0].reason
    run.end("r.g.y[0]")
    assert run.states()["g.z[0]"] == "queued"
    assert run.states()["g.z[1]"] == "none"


def test_a_group_whose_input_fails_is_given_up_as_a_whole() -> None:
    run = driver(dag(*GROUP, groups={"g": over("a")}, g__y={"trigger_rule": TriggerRule.ALL_DONE}))
    run.end("r.a", S.FAILED)
    assert run.states() == {"a": "failed", "g.x": "upstream_failed", "g.y": "upstream_failed", "z": "upstream_failed"}


@pytest.mark.parametrize(
    "rule", [TriggerRule.ONE_FAILED, TriggerRule.ONE_SUCCESS, TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS]
)
def test_rules_that_some_satisfy_are_judged_by_index(rule: TriggerRule) -> None:
    run = driver(dag(*GROUP[:-1], groups={"g": over("a")}, g__y={"trigger_rule": rule}))
    run.end("r.a", length=2)
    assert "g.y[1]" in run.states(), "it is expanded before they can be judged"
    run.end("r.g.x[0]", S.FAILED)
    run.end("r.g.x[1]")
    states = run.states()
    first, second = {
        TriggerRule.ONE_FAILED: ("queued", "skipped"),
        TriggerRule.ONE_SUCCESS: ("upstream_failed", "queued"),
        TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: ("upstream_failed", "queued"),
    }[rule]
    assert (states["g.y[0]"], states["g.y[1]"]) == (first, second)


def test_a_group_inside_a_group_multiplies_and_joins() -> None:
    groups = {"o": over("a"), "o/i": over(3)}
    run = driver(dag("a", "o.f < a", "i.d < o.f", "o.l < i.d", groups={"o": over("a"), "o/i": over(3)}))
    assert groups
    run.end("r.a", length=2)
    states = run.states()
    assert sum(name.startswith("i.d[") for name in states) == 6
    run.end("r.o.f[1]")
    assert {name for name, state in run.states().items() if state == "queued"} == {
        "o.f[0]",
        "i.d[3]",
        "i.d[4]",
        "i.d[5]",
    }
    for index in (3, 4, 5):
        run.end(f"r.i.d[{index}]")
    assert run.states()["o.l[1]"] == "queued"
    assert run.states()["o.l[0]"] == "none"


def test_two_groups_over_each_others_results_see_all() -> None:
    run = driver(dag("g.x", "h.y < g.x", groups={"g": over(2), "h": over("g.x")}))
    run.end("r.g.x[0]", returned=True)
    assert run.states()["h.y"] == "none"
    run.end("r.g.x[1]", returned=True)
    assert {"h.y[0]", "h.y[1]"} <= set(run.states())


# ---------------------------------------------------------------- clears


def ended(spec: DagSpec, length: int) -> Driver:
    """A run of a task "a" and what is expanded over it, all ended well."""
    run = driver(spec)
    run.end("r.a", length=length)
    while queued := [name for name, state in run.states().items() if state == "queued"]:
        run.end(f"r.{queued[0]}")
    return run


def test_more_values_after_a_clear_give_more_instances() -> None:
    run = ended(dag("a", "m < a", "z < m", m=over("a")), length=2)
    run.clear("r.a", "r.m[0]", "r.m[1]", "r.z")
    run.end("r.a", length=4)
    states = run.states()
    assert [states[f"m[{index}]"] for index in range(4)] == ["queued"] * 4
    for index in range(4):
        run.end(f"r.m[{index}]")
    run.end("r.z")
    assert run.run().state is DagRunState.SUCCESS


def test_fewer_values_after_a_clear_remove_instances() -> None:
    run = ended(dag("a", "m < a", "z < m", m=over("a")), length=3)
    run.clear("r.a", "r.m[0]", "r.m[1]", "r.m[2]", "r.z")
    run.end("r.a", length=1)
    assert run.states() == {"a": "success", "m[0]": "queued", "m[1]": "removed", "m[2]": "removed", "z": "none"}
    run.end("r.m[0]")
    assert run.states()["z"] == "queued", "removed instances do not count"
    run.end("r.z")
    run.clear("r.a", "r.m[0]", "r.z")
    run.end("r.a", length=2)
    assert run.states() == {"a": "success", "m[0]": "queued", "m[1]": "queued", "m[2]": "removed", "z": "none"}


def test_no_values_after_a_clear_leave_one_skipped_instance() -> None:
    run = ended(dag("a", "m < a", "z < m", m=over("a")), length=2)
    run.clear("r.a", "r.m[0]", "r.m[1]", "r.z")
    run.end("r.a", length=0)
    assert run.states() == {"a": "success", "m[0]": "skipped", "m[1]": "removed", "z": "skipped"}


def test_an_instance_that_still_runs_is_ended_when_it_is_removed() -> None:
    run = driver(dag("a", "m < a", m=over("a")))
    run.end("r.a", length=2)
    run.run_task("r.m[1]")
    run.clear("r.a", "r.m[0]")
    told = run.end("r.a", length=1)
    assert "revoke r.m[1] to removed" in told
    assert not run.machine.has_more, "it waits for the worker without asking again and again"
    run.end("r.m[1]", S.REMOVED)
    assert run.states() == {"a": "success", "m[0]": "queued", "m[1]": "removed"}


def test_a_cleared_instance_runs_alone() -> None:
    run = ended(dag("a", "m < a", "z < m", m=over("a")), length=3)
    run.clear("r.m[1]")
    assert [name for name, state in run.states().items() if state != "success"] == ["m[1]"]
    run.end("r.m[1]")
    assert run.run().state is DagRunState.SUCCESS


def test_marking_an_instance_runs_again_what_failed_because_of_it() -> None:
    run = driver(dag(*GROUP, "m", "n < m", groups={"g": over("a")}, m=over(2)))
    run.end("r.a", length=2)
    for name in ("g.x[0]", "g.x[1]", "m[0]", "m[1]"):
        run.end(f"r.{name}", S.FAILED)
    run.mark(S.SUCCESS, "r.g.x[0]")
    states = run.states()
    assert (states["g.y[0]"], states["g.y[1]"]) == ("queued", "upstream_failed")
    run.mark(S.SUCCESS, "r.m[0]")
    states = run.states()
    assert (states["m[1]"], states["n"]) == ("failed", "upstream_failed"), "its sibling failed by itself"


def test_a_version_that_expands_a_task_takes_over_a_run_and_one_that_does_not_is_refused() -> None:
    run = driver(dag("a", "m < a"))
    run.end("r.a", length=2)
    run.end("r.m")
    run.settle(run.put_dag(dag("a", "m < a", m=over("a"))))
    run.clear("r.m", latest_version=True)
    assert run.states() == {"a": "success", "m[0]": "queued", "m[1]": "queued"}
    for index in (0, 1):
        run.end(f"r.m[{index}]")
    run.settle(run.put_dag(dag("a", "m < a")))
    told = run.clear("r.m[0]", latest_version=True)
    assert "no longer expands the task 'm'" in told[-1]


def test_groups_follow_a_new_length() -> None:
    run = ended(dag(*GROUP, groups={"g": over("a")}), length=2)
    run.clear("r.a", "r.g.x[0]", "r.g.x[1]", "r.g.y[0]", "r.g.y[1]", "r.z")
    run.end("r.a", length=3)
    for index in range(3):
        run.end(f"r.g.x[{index}]")
        assert run.states()[f"g.y[{index}]"] == "queued"
        run.end(f"r.g.y[{index}]")
    run.end("r.z")
    run.clear("r.a", *(f"r.g.{task}[{index}]" for task in "xy" for index in range(3)), "r.z")
    run.end("r.a", length=1)
    states = run.states()
    assert [states[f"g.{task}[{index}]"] for task in "xy" for index in (1, 2)] == ["removed"] * 4
    run.end("r.g.x[0]")
    run.end("r.g.y[0]")
    assert run.states()["z"] == "queued"


# ---------------------------------------------------------------- large expansions


def test_a_large_expansion_goes_on_in_chunks_and_starts_meanwhile() -> None:
    run = driver(dag("a", "m < a", "z < m", m=over("a")), max_rows=40, check_every=7)
    run.step(run.finished("r.a", length=100))
    states = run.states()
    assert 1 < len(states) < 60
    assert "m" in states, "the summary instance stays until the last chunk"
    run.settle()
    rows = [x for step in run.steps for x in step if isinstance(x, d.ExpandTask)]
    assert max(len(x.ti_ids) for x in rows) <= 20
    assert [x.is_last for x in rows] == [False] * (len(rows) - 1) + [True]
    assert [run.row(f"r.m[{index}]").map_index for index in range(100)] == list(range(100))
    assert list(run.states().values()).count("queued") == 100


def test_a_new_leader_goes_on_where_the_old_one_stopped() -> None:
    run = driver(dag("a", "m < a", "z < m", m=over("a")), max_rows=40, check_every=7)
    run.step(run.finished("r.a", length=100))
    before = len(run.states())
    run.fail_over()
    assert before < 60
    assert sum(name.startswith("m[") for name in run.states()) == 100


def test_two_large_expansions_take_turns() -> None:
    run = driver(dag("m", "n", m=over(200), n=over(200)), max_rows=40, check_every=50)
    order = [x.task.task_id for step in run.steps for x in step if isinstance(x, d.ExpandTask)]
    assert order[:6] == ["m", "n"] * 3


def test_few_instances_compete_at_a_time_and_none_is_forgotten() -> None:
    spec = dag("m", "z < m", m=over(300))
    run = Driver(spec, slots=7, check_every=11, offered_per_task=5)
    run.trigger()
    waiting = [state for state in run.states().values() if state == "scheduled"]
    assert len(waiting) == 5
    (run_state,) = run.machine.world.runs.values()
    assert run_state.candidates == 293
    while queued := [name for name, state in run.states().items() if state == "queued"]:
        run.settle(*(run.finished(f"r.{name}") for name in queued))
    assert run.run().state is DagRunState.SUCCESS


def test_other_runs_are_not_held_up_by_instances_that_wait() -> None:
    spec = dag("m", m=over(300))
    run = Driver(spec, DagSpec(dag_id="e", fileloc="e.py", tasks=tasks("a", a={"priority_weight": 2})), slots=7)
    run.check_every = 11
    run.trigger()
    run.trigger("other", "e")
    run.end("r.m[0]")
    (row,) = run.rows_of(run.run("other", "e").run_key)
    assert row.state is S.QUEUED, "a higher priority goes before the instances that wait"
    run.mark_run(DagRunState.FAILED)
    assert set(run.states().values()) == {"success", "failed", "skipped"} or run.run().state is DagRunState.FAILED


def test_instances_whose_trigger_fired_wait_on_when_their_task_is_judged_again() -> None:
    run = Driver(dag("m", m=over(4)), slots=8, offered_per_task=1)
    run.trigger()
    for index in range(4):
        run.end(f"r.m[{index}]", S.DEFERRED)
    run.act(PutPool(name="default_pool", slots=0))
    for index in range(4):
        row = run.row(f"r.m[{index}]")
        event = fire(run.db, None, run.db.triggers[row.dispatch_no], index + 1, "resume")  # type: ignore[arg-type]
        assert event is not None
        run.settle(TriggersFired(items=(event,)))
    run.pause()
    run.pause(False)
    run.act(PutPool(name="default_pool", slots=8))
    while queued := [name for name, state in run.states().items() if state == "queued"]:
        run.settle(*(run.finished(f"r.{name}") for name in queued))
    assert run.run().state is DagRunState.SUCCESS
