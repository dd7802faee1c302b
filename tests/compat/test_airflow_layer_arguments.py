"""Old arguments of DAGs and operators, old names of the context, old attributes of runs: each works and warns once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pendulum
import pytest

from dagdeck import DAG, BashOperator, EmptyOperator, PythonOperator, task
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.old_keywords import DAG_KEYWORDS, OPERATOR_KEYWORDS
from dagdeck.operators.datetime import BranchDateTimeOperator
from dagdeck.operators.trigger_dagrun import TriggerDagRunOperator
from dagdeck.operators.weekday import BranchDayOfWeekOperator
from dagdeck.sensors.external_task import ExternalTaskMarker
from dagdeck.sensors.weekday import DayOfWeekSensor
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.timetables import CronDataIntervalSpec, CronTriggerSpec, DeltaDataIntervalSpec, DeltaTriggerSpec

START = datetime(2024, 1, 1, tzinfo=UTC)


def heard(make: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What `make` returns, and the warnings that it gives."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        # A file hears each warning once: this one is to hear it again.
        globals().setdefault("__warningregistry__", {}).clear()
        made = make()
    return made, [str(each.message) for each in found if issubclass(each.category, RemovedInAirflow3Warning)]


def noop() -> None:
    """A callable."""


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("schedule_interval", "@daily", "schedule", "@daily"),
        ("timetable", "@hourly", "schedule", "@hourly"),
        ("concurrency", 3, "max_active_tasks", 3),
        ("fail_stop", True, "fail_fast", True),
        ("sla_miss_callback", noop, "dag_id", "d"),
        ("default_view", "graph", "dag_id", "d"),
        ("orientation", "TB", "dag_id", "d"),
        ("full_filepath", "/x", "dag_id", "d"),
        ("last_loaded", None, "dag_id", "d"),
    ],
)
def test_an_old_argument_of_a_dag(name: str, value: Any, attribute: str, expected: Any) -> None:
    dag, said = heard(lambda: DAG("d", start_date=START, **{name: value}))
    assert getattr(dag, attribute) == expected
    assert said == [f"{name}= of a DAG is from an earlier Airflow. {DAG_KEYWORDS[name].instead()}"]


def test_every_old_argument_of_a_dag_is_tested() -> None:
    marks = test_an_old_argument_of_a_dag.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(DAG_KEYWORDS)


@pytest.mark.parametrize("arguments", [{"schedule": "@daily"}, {"timetable": "@daily"}])
def test_two_schedules_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="only one of schedule"):
        heard(lambda: DAG("d", start_date=START, schedule_interval="@hourly", **arguments))


def empty(**arguments: Any) -> Any:
    """An operator that takes the common arguments only."""
    return EmptyOperator(task_id="t", **arguments)


def branch(cls: Any) -> Callable[..., Any]:
    """A branch by dates."""
    extra = {"week_day": "Monday"} if cls is BranchDayOfWeekOperator else {"target_lower": START, "target_upper": START}
    return lambda **arguments: cls(
        task_id="t", follow_task_ids_if_true="a", follow_task_ids_if_false="b", **extra, **arguments
    )


NEW = "use_task_logical_date"
OPERATORS: list[tuple[str, Callable[..., Any], str, Any, str, Any]] = [
    ("BaseOperator", empty, "provide_context", True, "task_id", "t"),
    ("BaseOperator", empty, "task_concurrency", 2, "max_active_tis_per_dag", 2),
    ("BaseOperator", empty, "sla", timedelta(hours=1), "task_id", "t"),
    ("BaseOperator", empty, "xcom_push", False, "do_xcom_push", False),
    ("BaseOperator", empty, "run_as_owner", True, "task_id", "t"),
    ("BaseOperator", empty, "adhoc", True, "task_id", "t"),
    (
        "BashOperator",
        lambda **given: BashOperator(task_id="t", bash_command="x", **given),
        "skip_exit_code",
        7,
        "skip_on_exit_code",
        (7,),
    ),
    (
        "TriggerDagRunOperator",
        lambda **given: TriggerDagRunOperator(task_id="t", trigger_dag_id="x", **given),
        "execution_date",
        "{{ ds }}",
        "logical_date",
        "{{ ds }}",
    ),
    (
        "BranchDateTimeOperator",
        branch(BranchDateTimeOperator),
        "use_task_execution_date",
        True,
        "use_task_logical_date",
        True,
    ),
    (
        "BranchDayOfWeekOperator",
        branch(BranchDayOfWeekOperator),
        "use_task_execution_day",
        True,
        "use_task_logical_date",
        True,
    ),
    (
        "BranchDayOfWeekOperator",
        branch(BranchDayOfWeekOperator),
        "use_task_execution_date",
        True,
        "use_task_logical_date",
        True,
    ),
    (
        "DayOfWeekSensor",
        lambda **given: DayOfWeekSensor(task_id="t", week_day="Monday", **given),
        "use_task_execution_day",
        True,
        "use_task_logical_date",
        True,
    ),
    (
        "DayOfWeekSensor",
        lambda **given: DayOfWeekSensor(task_id="t", week_day="Monday", **given),
        "use_task_execution_date",
        True,
        "use_task_logical_date",
        True,
    ),
    (
        "ExternalTaskMarker",
        lambda **given: ExternalTaskMarker(task_id="t", external_dag_id="x", external_task_id="y", **given),
        "execution_date",
        "{{ ds }}",
        "logical_date",
        "{{ ds }}",
    ),
]


@pytest.mark.parametrize(("owner", "make", "name", "value", "attribute", "expected"), OPERATORS)
def test_an_old_argument_of_an_operator(
    owner: str, make: Callable[..., Any], name: str, value: Any, attribute: str, expected: Any
) -> None:
    with DAG("d"):
        operator, said = heard(lambda: make(**{name: value}))
    assert getattr(operator, attribute) == expected
    instead = OPERATOR_KEYWORDS[owner][name].instead()
    assert said == [f"{name}= of {type(operator).__name__} is from an earlier Airflow. {instead}"]


def test_every_old_argument_of_an_operator_is_tested() -> None:
    declared = {
        (owner, name) for owner, names in OPERATOR_KEYWORDS.items() for name, old in names.items() if not old.refused
    }
    assert {(case[0], case[2]) for case in OPERATORS} == declared


def test_what_cannot_be_left_out_is_refused() -> None:
    with pytest.raises(UserError, match=r"task 't'.*takes no argument 'python_callable' any more.*Write conf="):
        TriggerDagRunOperator(task_id="t", trigger_dag_id="x", python_callable=noop)


def test_default_args_may_have_old_names() -> None:
    def make() -> Any:
        with DAG("d", default_args={"task_concurrency": 4, "provide_context": True}):
            return EmptyOperator(task_id="t")

    operator, said = heard(make)
    assert operator.max_active_tis_per_dag == 4
    assert len(said) == 1


def test_an_operators_own_argument_of_an_old_name_is_its_own() -> None:
    class Dated(EmptyOperator):
        def __init__(self, *, xcom_push: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.word = xcom_push

    operator, said = heard(lambda: Dated(task_id="t", xcom_push="kept"))
    assert (operator.word, said) == ("kept", [])


@pytest.mark.parametrize(
    ("given", "settings", "spec", "catchup"),
    [
        ({"schedule_interval": "@daily"}, {}, CronDataIntervalSpec, True),
        ({"schedule_interval": timedelta(hours=1)}, {}, DeltaDataIntervalSpec, True),
        ({"schedule_interval": "@daily", "catchup": False}, {}, CronDataIntervalSpec, False),
        ({"schedule": "@daily"}, {}, CronTriggerSpec, False),
        ({"schedule": timedelta(hours=1)}, {}, DeltaTriggerSpec, False),
        ({"schedule": "@daily"}, {"cron_data_intervals": True}, CronDataIntervalSpec, False),
        ({"schedule": timedelta(hours=1)}, {"delta_data_intervals": True}, DeltaDataIntervalSpec, False),
        ({"schedule": "@daily"}, {"catchup_by_default": True}, CronTriggerSpec, True),
        ({"schedule": "@daily", "catchup": False}, {"catchup_by_default": True}, CronTriggerSpec, False),
    ],
)
def test_intervals_and_catchup_follow_what_the_file_says(
    given: dict[str, Any], settings: dict[str, Any], spec: type, catchup: bool
) -> None:
    def make() -> Any:
        with DAG("d", start_date=START, **given) as dag:
            EmptyOperator(task_id="t")
        return dag

    made = serialize_dag(heard(make)[0], **settings)
    assert (type(made.timetable), made.catchup) == (spec, catchup)


def test_without_a_date_to_begin_at_nothing_is_caught_up() -> None:
    def make() -> Any:
        with DAG("d", schedule_interval="@daily") as dag:
            EmptyOperator(task_id="t")
        return dag

    assert serialize_dag(heard(make)[0]).catchup is False


def test_runs_begin_at_the_earliest_date_of_the_tasks_where_the_dag_has_none() -> None:
    def make() -> Any:
        with DAG("d", schedule_interval="@daily", catchup=True) as dag:
            EmptyOperator(task_id="later", start_date=START + timedelta(days=3), end_date=START + timedelta(days=9))
            EmptyOperator(task_id="first", start_date=START, end_date=START + timedelta(days=5))
        return dag

    made = serialize_dag(heard(make)[0])
    assert (made.start_date, made.end_date, made.catchup) == (START, START + timedelta(days=9), True)


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda dag: dag.schedule_interval, "@daily"),
        (lambda dag: dag.normalized_schedule_interval, "0 0 * * *"),
        (lambda dag: dag.concurrency, 16),
        (lambda dag: dag.full_filepath, __file__),
        (lambda dag: dag.following_schedule(START).to_date_string(), "2024-01-02"),
        (lambda dag: dag.previous_schedule(START).to_date_string(), "2023-12-31"),
    ],
)
@pytest.mark.parametrize("argument", ["schedule", "schedule_interval"])
def test_an_old_attribute_of_a_dag(argument: str, ask: Callable[[Any], Any], expected: Any) -> None:
    dag, _ = heard(lambda: DAG("d", start_date=START, **cast(Any, {argument: "@daily"})))
    found, said = heard(lambda: ask(dag))
    assert (found, len(said)) == (expected, 1)


def test_old_ways_to_connect_tasks_and_to_pass_values() -> None:
    class Passing(EmptyOperator):
        def execute(self, context: Any) -> Any:
            self.xcom_push(context, "word", "hello")
            return self.xcom_pull(context, task_ids=self.task_id, key="word")

    dag = DAG("d")
    dag.add_tasks([Passing(task_id="a"), EmptyOperator(task_id="b")])
    dag.set_dependency("a", "b")
    assert dag.get_task("b").upstream_task_ids == {"a"}
    run, said = heard(dag.test)
    assert run.xcom("a") == "hello"
    assert len(said) == 2


# ---------------------------------------------------------------------- while a task runs


@pytest.fixture
def quiet() -> Iterator[None]:
    """Old names without their warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemovedInAirflow3Warning)
        yield


@pytest.mark.usefixtures("quiet")
def test_old_names_of_the_context_in_every_way_to_ask() -> None:
    seen: dict[str, Any] = {}

    def by_name(execution_date: Any, next_ds: str, conf: Any, **_: Any) -> None:
        assert isinstance(execution_date, pendulum.DateTime)
        seen["by_name"] = (execution_date.isoformat(), next_ds, conf.get("core", "load_examples"))

    def by_context(**context: Any) -> None:
        seen["by_context"] = (
            context["execution_date"].add(days=1).to_date_string(),
            context["yesterday_ds_nodash"] + context["tomorrow_ds"],
        )

    def by_helper(**context: Any) -> None:
        name = "prev" + "_ds"
        seen["by_helper"] = f"{context[name]}"

    with DAG("d") as dag:
        PythonOperator(task_id="by_name", python_callable=by_name)
        PythonOperator(task_id="by_context", python_callable=by_context)
        PythonOperator(task_id="by_helper", python_callable=by_helper)
        command = "test '{{ execution_date.year }} {{ next_ds_nodash }} {{ prev_ds }}' = '2024 20240202 2024-02-02'"
        BashOperator(task_id="template", bash_command=command)

        @task
        def with_current_context(ti: Any = None, dag_run: Any = None) -> None:
            from dagdeck import get_current_context

            seen["current"] = get_current_context()["yesterday_ds"]
            seen["attributes"] = (ti.execution_date == dag_run.execution_date, dag_run.external_trigger, ti.log_url)

        with_current_context()
    run = dag.test(logical_date=datetime(2024, 2, 2, tzinfo=UTC))
    assert set(run.states.values()) == {"success"}, run.states
    assert seen["by_name"] == ("2024-02-02T00:00:00+00:00", "2024-02-02", "False")
    assert seen["by_context"] == ("2024-02-03", "202402012024-02-03")
    assert seen["by_helper"] == "2024-02-02"
    assert seen["current"] == "2024-02-01"
    assert seen["attributes"][:2] == (True, True)
    assert seen["attributes"][2].startswith(
        "http://localhost:8080/dags/d/runs/manual__2024-02-02T00%3A00%3A00%2B00%3A00/"
    )


@pytest.mark.usefixtures("quiet")
def test_a_callback_sees_the_other_tasks_of_its_run() -> None:
    seen: list[Any] = []

    def tell(context: Any) -> None:
        run = context["dag_run"]
        seen.append(sorted((each.task_id, each.state) for each in run.get_task_instances()))
        seen.append([each.task_id for each in run.get_task_instances(state="success")])
        seen.append(run.get_task_instance("first").state)

    with DAG("d") as dag:
        first = EmptyOperator(task_id="first")
        first >> PythonOperator(task_id="last_0", python_callable=noop, on_success_callback=tell)
    dag.test()
    assert seen[0][0] == ("first", "success")
    assert seen[1:] == [["first"], "success"]


def test_an_old_name_warns_in_the_line_that_asks() -> None:
    def ask(**_: Any) -> None:
        from dagdeck import get_current_context

        get_current_context()["execution_date"]

    with DAG("d") as dag:
        PythonOperator(task_id="t", python_callable=ask)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        globals().setdefault("__warningregistry__", {}).clear()
        dag.test()
    said = [each for each in found if issubclass(each.category, RemovedInAirflow3Warning)]
    assert [(str(each.message), each.filename) for each in said] == [
        ("execution_date in the context is from an earlier Airflow. Write logical_date", __file__)
    ]
