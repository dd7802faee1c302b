"""DAGs, groups and dependencies: what a DAG file's statements make of each other, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dagdeck import (
    DAG,
    Asset,
    AssetAlias,
    AssetOrTimeSchedule,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    EmptyOperator,
    EventsTimetable,
    Label,
    MultipleCronTriggerTimetable,
    Param,
    TaskGroup,
    chain,
    chain_linear,
    cross_downstream,
)
from dagdeck.exceptions import AirflowDagCycleException, DuplicateTaskIdFound, TaskNotFound
from dagdeck_core.errors import UserError
from dagdeck_core.timetables import (
    AssetOrTimeSpec,
    AssetTriggeredSpec,
    CalendarDelta,
    ContinuousSpec,
    CronDataIntervalSpec,
    CronTriggerSpec,
    DeltaDataIntervalSpec,
    DeltaTriggerSpec,
    EventsSpec,
    MultipleCronTriggerSpec,
    NullSpec,
    OnceSpec,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def empties(*names: str) -> list[EmptyOperator]:
    """One empty task per name in the current DAG."""
    return [EmptyOperator(task_id=name) for name in names]


def edges(dag: DAG) -> set[tuple[str, str]]:
    """Every dependency as (upstream, downstream)."""
    return {(task.task_id, down) for task in dag.tasks for down in task.downstream_task_ids}


def pairs(text: str) -> set[tuple[str, str]]:
    """`ab bc` as {(a, b), (b, c)}."""
    return {(pair[0], pair[1]) for pair in text.split()}


@pytest.mark.parametrize(
    ("connect", "expected"),
    [
        pytest.param(lambda a, b, c, d: a >> b >> c >> d, "ab bc cd", id="right shift"),
        pytest.param(lambda a, b, c, d: d << c << b << a, "ab bc cd", id="left shift"),
        pytest.param(lambda a, b, c, d: a >> [b, c] >> d, "ab ac bd cd", id="list in the middle"),
        pytest.param(lambda a, b, c, d: [a, b] >> c, "ac bc", id="list first"),
        pytest.param(lambda a, b, c, d: [a, b] << c, "ca cb", id="list first, left shift"),
        pytest.param(lambda a, b, c, d: chain(a, [b, c], d), "ab ac bd cd", id="chain around a list"),
        pytest.param(lambda a, b, c, d: chain([a, b], [c, d]), "ac bd", id="chain of equal lists is pairwise"),
        pytest.param(lambda a, b, c, d: chain_linear([a, b], [c, d]), "ac ad bc bd", id="chain_linear is all to all"),
        pytest.param(lambda a, b, c, d: chain_linear(a, [], b), "ab", id="chain_linear passes over empty lists"),
        pytest.param(lambda a, b, c, d: cross_downstream([a, b], [c, d]), "ac ad bc bd", id="cross_downstream"),
        pytest.param(lambda a, b, c, d: a.set_downstream([b, c]), "ab ac", id="set_downstream"),
        pytest.param(lambda a, b, c, d: d.set_upstream([b, c]), "bd cd", id="set_upstream"),
        pytest.param(lambda a, b, c, d: a >> Label("x") >> [b, c], "ab ac", id="label before a list"),
        pytest.param(lambda a, b, c, d: [a, b] >> Label("x") >> c, "ac bc", id="label after a list"),
        pytest.param(lambda a, b, c, d: c << Label("x") << a, "ac", id="label, left shift"),
    ],
)
def test_dependencies(connect: Callable[..., Any], expected: str) -> None:
    with DAG("d") as dag:
        connect(*empties("a", "b", "c", "d"))
    assert edges(dag) == pairs(expected)


def test_label_is_kept_with_its_edges_only() -> None:
    with DAG("d") as dag:
        a, b, c = empties("a", "b", "c")
        a >> Label("when good") >> b
        a >> c
    assert dag.get_edge_info("a", "b") == {"label": "when good"}
    assert dag.get_edge_info("a", "c") == {}


@pytest.mark.parametrize(
    ("connect", "message"),
    [
        (lambda a, b, c: chain([a, b], [c]), "same length, these have 2 and 1"),
        (lambda a, b, c: chain_linear([], []), "no dependency was made"),
        (lambda a, b, c: a >> "b", "not str"),
        (lambda a, b, c: a >> None, "not NoneType"),
        (lambda a, b, c: a >> EmptyOperator(task_id="x", dag=DAG("other")), "Both tasks must belong to one DAG"),
    ],
)
def test_wrong_dependencies_are_refused(connect: Callable[..., Any], message: str) -> None:
    with DAG("d"), pytest.raises(UserError, match=message):
        connect(*empties("a", "b", "c"))


def test_task_without_dag_joins_the_other_ones() -> None:
    dag = DAG("d")
    loose = EmptyOperator(task_id="loose")
    EmptyOperator(task_id="first", dag=dag) >> loose
    assert loose.dag is dag
    assert dag.task_ids == ["first", "loose"]


def test_two_tasks_without_dag_cannot_be_connected() -> None:
    with pytest.raises(UserError, match="belong to no DAG"):
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")


def test_groups_prefix_and_connect_their_tasks() -> None:
    with DAG("d") as dag:
        first, last = empties("first", "last")
        with TaskGroup("outer", tooltip="tip") as outer:
            a = EmptyOperator(task_id="a")
            with TaskGroup("inner"):
                b, c = empties("b", "c")
                b >> c
            with TaskGroup("plain", prefix_group_id=False):
                EmptyOperator(task_id="e")
            a >> b
        first >> outer >> last
    assert dag.task_ids == ["first", "last", "outer.a", "outer.inner.b", "outer.inner.c", "e"]
    assert edges(dag) == {
        ("first", "outer.a"),
        ("outer.a", "outer.inner.b"),
        ("outer.inner.b", "outer.inner.c"),
        ("outer.inner.c", "last"),
        ("first", "e"),
        ("e", "last"),
    }
    assert outer.upstream_task_ids == {"first"}
    assert outer.downstream_task_ids == {"last"}
    assert [task.label for task in outer] == ["a", "b", "c", "e"]


def test_groups_depend_on_each_other() -> None:
    with DAG("d") as dag:
        with TaskGroup("g") as g:
            empties("a", "b")
        with TaskGroup("h") as h:
            empties("c")
        g >> Label("then") >> h
    assert edges(dag) == {("g.a", "h.c"), ("g.b", "h.c")}
    assert dag.get_edge_info("g.a", "h.c") == {"label": "then"}


def test_group_id_may_get_a_suffix() -> None:
    with DAG("d") as dag:
        for _ in range(3):
            with TaskGroup("g", add_suffix_on_collision=True):
                EmptyOperator(task_id="t")
    assert dag.task_ids == ["g.t", "g__1.t", "g__2.t"]


def test_default_args_reach_tasks_from_dag_group_and_task() -> None:
    with (
        DAG("d", default_args={"retries": 1, "owner": "dag", "pool": "p", "unknown": 1}),
        TaskGroup("g", default_args={"retries": 2, "owner": "group"}),
    ):
        own = EmptyOperator(task_id="own", retries=4)
        inherited = EmptyOperator(task_id="inherited")
        merged = EmptyOperator(task_id="merged", default_args={"owner": "task"})
    assert (own.retries, own.owner, own.pool) == (4, "group", "p")
    assert (inherited.retries, inherited.owner) == (2, "group")
    assert (merged.retries, merged.owner) == (2, "task")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, NullSpec()),
        ("@once", OnceSpec()),
        ("@daily", CronTriggerSpec(cron="0 0 * * *", timezone="Europe/Berlin")),
        ("5 4 * * mon", CronTriggerSpec(cron="5 4 * * mon", timezone="Europe/Berlin")),
        (timedelta(hours=2), DeltaTriggerSpec(delta=CalendarDelta(duration=timedelta(hours=2)))),
        (
            CronTriggerTimetable("0 6 * * *", timezone="Asia/Tokyo", interval=timedelta(days=1), run_immediately=True),
            CronTriggerSpec(
                cron="0 6 * * *",
                timezone="Asia/Tokyo",
                interval=CalendarDelta(duration=timedelta(days=1)),
                run_immediately=True,
            ),
        ),
        (
            CronDataIntervalTimetable("0 6 * * *", timezone=BERLIN),
            CronDataIntervalSpec(cron="0 6 * * *", timezone="Europe/Berlin"),
        ),
        (
            MultipleCronTriggerTimetable("0 6 * * *", "0 18 * * *", timezone="UTC"),
            MultipleCronTriggerSpec(crons=("0 6 * * *", "0 18 * * *"), timezone="UTC"),
        ),
        (
            DeltaDataIntervalTimetable(timedelta(days=1)),
            DeltaDataIntervalSpec(delta=CalendarDelta(duration=timedelta(days=1))),
        ),
        (
            DeltaTriggerTimetable(timedelta(days=1)),
            DeltaTriggerSpec(delta=CalendarDelta(duration=timedelta(days=1))),
        ),
        (EventsTimetable([datetime(2026, 5, 1)]), EventsSpec(event_dates=(datetime(2026, 5, 1, tzinfo=UTC),))),  # noqa: DTZ001
        ([Asset("a")], AssetTriggeredSpec()),
        (Asset("a") | Asset("b"), AssetTriggeredSpec()),
        (
            AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 6 * * *", timezone="UTC"), assets=[Asset("a")]),
            AssetOrTimeSpec(timetable=CronTriggerSpec(cron="0 6 * * *", timezone="UTC")),
        ),
    ],
)
def test_schedules(schedule: Any, expected: Any) -> None:
    dag = DAG("d", schedule=schedule, start_date=datetime(2026, 1, 1, tzinfo=BERLIN))
    assert dag.timetable.spec == expected


def test_continuous_needs_one_active_run() -> None:
    assert DAG("d", schedule="@continuous", max_active_runs=1).timetable.spec == ContinuousSpec()
    with pytest.raises(UserError, match=r"max_active_runs: .*at most 1 active run \(found 16\)"):
        DAG("d", schedule="@continuous")


def test_asset_conditions_are_flat_and_named() -> None:
    condition = Asset("a") & Asset(uri="s3://b", name="b") & (AssetAlias("c") | Asset.ref(name="d"))
    assert DAG("d", schedule=condition).asset_condition is condition
    assert condition.as_expression() == {
        "all": [
            {"asset": {"uri": "a", "name": "a", "group": "asset"}},
            {"asset": {"uri": "s3://b/", "name": "b", "group": "asset"}},
            {"any": [{"alias": {"name": "c", "group": "asset"}}, {"asset_ref": {"name": "d"}}]},
        ]
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dag_id": "no spaces"}, "dag_id: this is not a valid id"),
        ({"dag_id": "ä"}, "not a valid id"),
        ({"dag_id": "x" * 251}, "251 characters, the limit is 250"),
        ({"dag_id": 5}, "an id is text"),
        ({"shedule": "@daily"}, "did you mean 'schedule'"),
        ({"schedule": "61 * * * *"}, r"dag 'd', schedule: cron field 'minute': out of range \(found '61'\)"),
        ({"schedule": "@dayly"}, "dag 'd', schedule"),
        ({"schedule": 5}, "dag .d., schedule: a schedule cannot be .*found 5"),
        ({"schedule": timedelta(0)}, "dag 'd', schedule: "),
        ({"schedule": ["0 0 * * *"]}, "a list as schedule names assets"),
        ({"schedule": CronTriggerTimetable("0 0 * * *", timezone="Mars/Olympus")}, "there is no such time zone"),
        ({"start_date": "yesterday"}, "start_date: this is no date"),
        ({"catchup": True, "schedule": "@daily"}, "catchup=True needs a start_date"),
        ({"max_active_runs": 0}, "max_active_runs: this must be 1 or more"),
        ({"max_active_tasks": "many"}, "max_active_tasks: this must be a whole number"),
        ({"dagrun_timeout": 60}, "dagrun_timeout: this must be a timedelta"),
        ({"tags": ["x" * 101]}, "a tag has 1 to 100 characters"),
        ({"owner_links": {"me": "ftp://x"}}, "owner_links: the link of owner 'me'"),
        ({"params": {"p": Param(type="string")}, "schedule": "@daily"}, "params: .*param 'p': it has no value"),
        ({"deadline": object()}, "a deadline is a DeadlineAlert"),
    ],
)
def test_wrong_dag_arguments_name_themselves(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DAG(**{"dag_id": "d", **arguments})


def test_every_constructor_argument_of_airflow_is_taken() -> None:
    dag = DAG(
        "d",
        description="text",
        schedule="@daily",
        start_date="2026-01-01",
        end_date=datetime(2026, 2, 1, tzinfo=UTC),
        template_searchpath="/tmp",
        user_defined_macros={"m": 1},
        user_defined_filters={"f": str},
        default_args={"owner": "me"},
        max_active_tasks=3,
        max_active_runs=2,
        max_consecutive_failed_dag_runs=1,
        dagrun_timeout=timedelta(hours=1),
        catchup=True,
        on_success_callback=print,
        on_failure_callback=[print],
        doc_md="# doc",
        params={"p": 1},
        access_control={},
        is_paused_upon_creation=True,
        jinja_environment_kwargs={"trim_blocks": True},
        render_template_as_native_obj=True,
        tags=["b", "a"],
        owner_links={"me": "mailto:me@example.org"},
        auto_register=False,
        fail_fast=True,
        dag_display_name="Dee",
        deadline=None,
        disable_bundle_versioning=True,
    )
    assert dag.start_date == START
    assert dag.timezone == "UTC"
    assert dag.params["p"] == 1
    assert (dag.max_active_runs, dag.fail_fast, dag.dag_display_name) == (2, True, "Dee")


def test_duplicate_ids_are_refused_for_tasks_and_groups() -> None:
    with DAG("d"):
        EmptyOperator(task_id="a")
        with pytest.raises(DuplicateTaskIdFound, match=r"dag 'd', task_id: .*\(found 'a'\)"):
            EmptyOperator(task_id="a")
        with pytest.raises(DuplicateTaskIdFound, match=r"group_id: .*\(found 'a'\)"):
            TaskGroup("a")


def test_cycle_is_named_in_its_direction() -> None:
    with DAG("d") as dag:
        a, b, c, _ = empties("a", "b", "c", "outside")
        a >> b >> c >> a
    rounds = ("a >> b >> c >> a", "b >> c >> a >> b", "c >> a >> b >> c")
    with pytest.raises(AirflowDagCycleException, match=f"dag 'd': .* in a circle: ({'|'.join(rounds)})"):
        dag.topological_sort()


def test_topological_order_and_relatives() -> None:
    with DAG("d") as dag:
        d, c, b, a = empties("d", "c", "b", "a")
        a >> [b, c] >> d
    order = [task.task_id for task in dag.topological_sort()]
    assert (order[0], sorted(order[1:3]), order[3]) == ("a", ["b", "c"], "d")
    assert a.get_flat_relative_ids(upstream=False) == {"b", "c", "d"}
    assert [task.task_id for task in d.get_flat_relatives(upstream=True)] == ["a", "b", "c"]
    assert [task.task_id for task in dag.roots] == ["a"]
    assert [task.task_id for task in dag.leaves] == ["d"]


def test_unknown_task_suggests_one() -> None:
    with DAG("d") as dag:
        empties("extract")
    with pytest.raises(TaskNotFound, match="did you mean 'extract'"):
        dag.get_task("extrakt")


def test_group_outside_a_dag_is_refused() -> None:
    with pytest.raises(UserError, match="a task group belongs to a DAG"):
        TaskGroup("g")


def test_setup_and_teardown_scope() -> None:
    with DAG("d") as dag:
        create, use, check, destroy = empties("create", "use", "check", "destroy")
        create >> use
        create.as_setup() >> check >> destroy.as_teardown(setups=create, on_failure_fail_dagrun=True)
    assert create.is_setup
    assert destroy.is_teardown
    assert destroy.on_failure_fail_dagrun
    assert destroy.trigger_rule.value == "all_done_setup_success"
    assert edges(dag) == {("create", "use"), ("create", "check"), ("check", "destroy"), ("create", "destroy")}


def test_with_teardown_puts_tasks_between() -> None:
    with DAG("d") as dag:
        create, destroy = empties("create", "destroy")
        with destroy.as_teardown(setups=create):
            a, b = empties("a", "b")
            a >> b
    assert edges(dag) == {("create", "destroy"), ("create", "a"), ("a", "b"), ("b", "destroy")}


def test_teardown_does_not_hold_up_what_follows_its_group() -> None:
    with DAG("d") as dag:
        with TaskGroup("g") as group:
            work, cleanup = empties("work", "cleanup")
            work >> cleanup.as_teardown()
        group >> EmptyOperator(task_id="after")
    assert ("g.work", "after") in edges(dag)
    assert ("g.cleanup", "after") not in edges(dag)
