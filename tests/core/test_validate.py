"""What `validate` finds in specs: each rule with the place, the severity and the value that it names."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest

from dagdeck_core.errors import UserError
from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, ParamSpec, TaskGroupSpec, TaskSpec, TriggerRule
from dagdeck_core.timetables import CronTriggerSpec, CustomSpec, NullSpec
from dagdeck_core.validate import Finding, Severity, validate
from tests.core.machine_driver import dag, tasks


def zones(name: str) -> tzinfo:
    if name != "UTC":
        raise UserError("this is no time zone", value=name, remedy="Use a name of the tz database")
    return UTC


def found(spec: DagSpec) -> list[tuple[str, str, str, object]]:
    return [(x.severity.value, x.task, x.field, x.value) for x in validate(spec, zones)]


def of_task(**fields: Any) -> list[tuple[str, str, str, object]]:
    return found(dag("d", specs=tasks("a", a=fields)))


def test_a_sound_spec_has_no_findings() -> None:
    spec = dag(
        "d.e-f_1",
        specs=tasks("a", "b < a", "c < a b", c={"trigger_rule": TriggerRule.ALL_DONE, "group_id": "g"}),
        groups=(TaskGroupSpec(group_id="g"),),
        timetable=CronTriggerSpec(cron="0 0 * * *"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=True,
        tags=("x",),
    )
    assert validate(spec, zones) == []
    assert validate(spec) == []


@pytest.mark.parametrize("bad", ["", "a b", "ä", "x" * 251, "a/b"])
def test_ids(bad: str) -> None:
    assert ("error", "", "dag_id", bad or None) in found(DagSpec(dag_id=bad, fileloc="f.py"))
    assert ("error", bad, "task_id", bad or None) in found(
        dag("d", specs=[TaskSpec(task_id=bad, task_type="PythonOperator")])
    )


def test_duplicates() -> None:
    assert found(dag("d", "a", "a")) == [("error", "a", "task_id", "a")]
    groups = (TaskGroupSpec(group_id="g"), TaskGroupSpec(group_id="g"), TaskGroupSpec(group_id="a"))
    assert found(dag("d", "a", groups=groups)) == [("error", "", "group_id", "g"), ("error", "", "group_id", "a")]


def test_groups() -> None:
    groups = (
        TaskGroupSpec(group_id="g", parent_id="none"),
        TaskGroupSpec(group_id="x", parent_id="y"),
        TaskGroupSpec(group_id="y", parent_id="x"),
    )
    assert found(dag("d", specs=tasks("a", a={"group_id": "z"}), groups=groups)) == [
        ("error", "", "parent_id", "none"),
        ("error", "", "parent_id", "y"),
        ("error", "", "parent_id", "x"),
        ("error", "a", "group_id", "z"),
    ]


def test_edges() -> None:
    assert found(dag("d", "a < b", "b < a")) == [("error", "", "upstream", "b >> a >> b")]
    assert found(dag("d", "a < a")) == [("error", "", "upstream", "a >> a")]
    assert found(dag("d", "a < x")) == [("error", "a", "upstream", "x")]
    twice = [*tasks("a"), TaskSpec(task_id="b", task_type="x", upstream=("a", "a"))]
    assert found(dag("d", specs=twice)) == [("error", "b", "upstream", "a")]


def over(*sources: str | None) -> MappedSpec:
    return MappedSpec(kind="expand", inputs={each or "x": LengthSpec(task_id=each, length=2) for each in sources})


@pytest.mark.parametrize(
    ("mapped", "outer", "inner", "finding"),
    [
        (over("a"), None, None, None),
        (None, over("a"), over(None), None),
        (over("a"), over("a"), None, ("error", "b", "mapped", None)),
        (over("x"), None, None, ("error", "b", "mapped", "x")),
        (None, over("x"), None, ("error", "b", "mapped", "x")),
        (None, over("a"), over("a"), ("error", "", "mapped", "g.h")),
        (over("c"), None, None, ("error", "", "mapped", "c >> b >> c")),
    ],
)
def test_expansions(
    mapped: MappedSpec | None, outer: MappedSpec | None, inner: MappedSpec | None, finding: object
) -> None:
    groups = (TaskGroupSpec(group_id="g", mapped=outer), TaskGroupSpec(group_id="g.h", parent_id="g", mapped=inner))
    spec = dag("d", specs=tasks("a", "b < a", "c < b", b={"group_id": "g.h", "mapped": mapped}), groups=groups)
    assert found(spec) == ([finding] if finding else [])


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("retries", -1, 0),
        ("retry_delay", -0.1, 0.0),
        ("retry_delay", float("nan"), 1.5),
        ("retry_delay", float("inf"), 1.5),
        ("retry_exponential_backoff", -2.0, 2.0),
        ("max_retry_delay", 0.0, 0.1),
        ("execution_timeout", 0.0, 0.1),
        ("pool_slots", 0, 1),
        ("max_active_tis_per_dag", 0, 1),
        ("max_active_tis_per_dagrun", -1, 1),
        ("priority_weight", 2**31, -(2**31) + 1),
        ("pool", "", "p"),
        ("queue", "q" * 257, "q"),
    ],
)
def test_numbers_of_tasks(field: str, bad: object, good: object) -> None:
    assert [x[:3] for x in of_task(**{field: bad})] == [("error", "a", field)]
    assert of_task(**{field: good}) == []


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("max_active_runs", -1, 0),
        ("max_active_tasks", 0, 1),
        ("max_consecutive_failed_dag_runs", -1, 0),
        ("dagrun_timeout", 0.0, 1.0),
        ("tags", ("x" * 101,), ("x" * 100,)),
        ("timezone", "Mars/Olympus", "UTC"),
        ("fileloc", "/etc/passwd", "a/b.py"),
        ("fileloc", "../x.py", "x..y.py"),
        ("start_date", datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_fields_of_dags(field: str, bad: object, good: object) -> None:
    fields = {"dag_id": "d", "fileloc": "d.py"}
    assert [x[:3] for x in found(DagSpec(**{**fields, field: bad}))] == [("error", "", field)]  # type: ignore[arg-type]
    assert found(DagSpec(**{**fields, field: good})) == []  # type: ignore[arg-type]


def test_dates_in_the_wrong_order() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert found(dag("d", "a", start_date=late, end_date=early)) == [("error", "", "end_date", early.isoformat())]
    assert of_task(start_date=late, end_date=early) == [("error", "a", "end_date", early.isoformat())]
    assert found(dag("d", "a", start_date=early, end_date=early)) == []


def test_huge_counts() -> None:
    assert of_task(retries=5000) == [("warning", "a", "retries", 5000)]
    assert found(dag("d", *(f"t{i}" for i in range(10_001)))) == [("warning", "", "tasks", 10_001)]


# ---------------------------------------------------------------- schedule


@pytest.mark.parametrize(
    "timetable",
    [
        CronTriggerSpec(cron="61 * * * *"),
        CronTriggerSpec(cron="0 0 31 2 *"),
        CronTriggerSpec(cron="0 0 * * *", timezone="Mars/Olympus"),
    ],
)
def test_a_timetable_that_does_not_compile(timetable: CronTriggerSpec) -> None:
    findings = validate(dag("d", "a", timetable=timetable), zones)
    assert [x.severity for x in findings] == [Severity.ERROR]
    assert validate(dag("d", "a", timetable=timetable)) == [], "without a zone loader it cannot be compiled"


def test_params_of_a_scheduled_dag_need_defaults() -> None:
    params = {"day": ParamSpec(has_value=False)}
    assert found(dag("d", "a", params=params, timetable=CronTriggerSpec(cron="0 0 * * *"))) == [
        ("error", "", "params", "day")
    ]
    assert found(dag("d", "a", params=params, timetable=NullSpec())) == []


def test_catchup_without_start() -> None:
    spec = dag("d", "a", catchup=True, timetable=CronTriggerSpec(cron="0 0 * * *"))
    assert found(spec) == [("warning", "", "catchup", None)]


def test_a_custom_timetable_is_left_to_its_code() -> None:
    assert found(dag("d", "a", timetable=CustomSpec(class_path="m.T"))) == []


# ---------------------------------------------------------------- trigger rules


@pytest.mark.parametrize(
    ("rule", "severities"),
    [
        (TriggerRule.ONE_SUCCESS, ["warning"]),
        (TriggerRule.ONE_FAILED, ["warning"]),
        (TriggerRule.ALL_FAILED, ["warning"]),
        (TriggerRule.ALL_SUCCESS, []),
        (TriggerRule.ALWAYS, []),
        (TriggerRule.ALL_DONE, []),
    ],
)
def test_rules_without_upstream(rule: TriggerRule, severities: list[str]) -> None:
    assert [x[0] for x in of_task(trigger_rule=rule)] == severities


def test_setups_and_teardowns() -> None:
    teardown = {"is_teardown": True, "trigger_rule": TriggerRule.ALL_DONE_SETUP_SUCCESS}
    sound = tasks("up", "work < up", "down < up work", up={"is_setup": True}, down=teardown)
    assert found(dag("d", specs=sound)) == []
    both = tasks("a", a={"is_setup": True, **teardown})
    assert found(dag("d", specs=both)) == [("error", "a", "is_teardown", None)]
    rule = tasks("up", "work < up", up={"is_setup": True}, work={"trigger_rule": TriggerRule.ALL_DONE})
    assert found(dag("d", specs=rule)) == [("error", "work", "trigger_rule", "all_done")]
    plain = tasks("work", "down < work", down={"is_teardown": True})
    assert found(dag("d", specs=plain)) == [("warning", "down", "trigger_rule", "all_success")]


def test_fail_fast_needs_the_default_rule() -> None:
    specs = tasks("a", "b < a", b={"trigger_rule": TriggerRule.ALL_DONE})
    assert found(dag("d", specs=specs, fail_fast=True)) == [("error", "b", "trigger_rule", "all_done")]
    assert found(dag("d", specs=specs)) == []


@pytest.mark.parametrize(
    ("rule", "never"),
    [
        (TriggerRule.ALL_FAILED, True),
        (TriggerRule.ONE_FAILED, True),
        (TriggerRule.ALL_SKIPPED, True),
        (TriggerRule.ONE_SUCCESS, False),
        (TriggerRule.NONE_FAILED, False),
        (TriggerRule.NONE_SKIPPED, False),
        (TriggerRule.ONE_DONE, False),
        (TriggerRule.ALL_DONE, False),
    ],
)
def test_tasks_that_can_never_run(rule: TriggerRule, never: bool) -> None:
    """An empty task without upstream can only succeed."""
    specs = tasks("a", "b < a", a={"is_empty": True}, b={"trigger_rule": rule})
    assert found(dag("d", specs=specs)) == ([("warning", "b", "trigger_rule", rule.value)] if never else [])
    ordinary = tasks("a", "b < a", b={"trigger_rule": rule})
    assert found(dag("d", specs=ordinary)) == []


# ---------------------------------------------------------------- how it reads


def test_findings_read_as_sentences_with_place_value_and_remedy() -> None:
    finding = validate(dag("d", "a < x"))[0]
    assert str(finding) == (
        "task 'a': upstream: the DAG has no such task (found 'x'). Add the task to the DAG or remove the dependency"
    )
    assert str(finding.as_error("dags/d.py")).startswith("dags/d.py: task 'a': upstream: ")
    whole = Finding(severity=Severity.ERROR, field="dag_id", message="no")
    assert str(whole) == "dag_id: no"


def test_errors_come_first() -> None:
    spec = dag("d", specs=tasks("a", "b", a={"retries": 5000}, b={"pool_slots": 0}))
    assert [x.severity for x in validate(spec)] == [Severity.ERROR, Severity.WARNING]
