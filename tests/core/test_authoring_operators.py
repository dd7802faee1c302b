"""Operators and decorators: arguments, ids, XComArgs, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import pytest

from dagdeck import (
    DAG,
    BaseOperator,
    EmptyOperator,
    PythonOperator,
    TriggerRule,
    dag,
    setup,
    task,
    task_group,
    teardown,
)
from dagdeck.decorators.task_factory import returns_mapping
from dagdeck.operator_arguments import COMMON_ARGUMENTS
from dagdeck_core.errors import UserError


class Greet(BaseOperator):
    """An operator as DAG authors write them."""

    template_fields = ("name", "greeting")

    def __init__(self, name: Any, greeting: str = "Hello", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.greeting = greeting

    def execute(self, context: Any) -> str:
        """Greet."""
        return f"{self.greeting} {self.name}"


class GreetLoudly(Greet):
    """Inherits, and adds an argument of its own."""

    def __init__(self, *, volume: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.volume = volume


def test_defaults_are_those_of_airflow() -> None:
    operator = EmptyOperator(task_id="t")
    found = {
        name: getattr(operator, name) for name in COMMON_ARGUMENTS if getattr(operator, name) not in (None, [], {})
    }
    assert found == {
        "owner": "airflow",
        "email_on_retry": True,
        "email_on_failure": True,
        "retries": 0,
        "retry_delay": timedelta(seconds=300),
        "retry_exponential_backoff": 0.0,
        "depends_on_past": False,
        "ignore_first_depends_on_past": True,
        "wait_for_past_depends_before_skipping": False,
        "wait_for_downstream": False,
        "priority_weight": 1,
        "weight_rule": "downstream",
        "queue": "default",
        "pool": "default_pool",
        "pool_slots": 1,
        "trigger_rule": TriggerRule.ALL_SUCCESS,
        "do_xcom_push": True,
        "multiple_outputs": False,
        "task_display_name": "t",
        "allow_nested_operators": True,
    }


@pytest.mark.parametrize(
    ("argument", "value", "kept"),
    [
        ("retries", "3", 3),
        ("retries", None, 0),
        ("retry_delay", 90, timedelta(seconds=90)),
        ("retry_delay", timedelta(minutes=1), timedelta(minutes=1)),
        ("max_retry_delay", 1.5, timedelta(seconds=1.5)),
        ("retry_exponential_backoff", True, 2.0),
        ("retry_exponential_backoff", 3, 3.0),
        ("trigger_rule", "one_success", TriggerRule.ONE_SUCCESS),
        ("trigger_rule", TriggerRule.ALL_DONE, TriggerRule.ALL_DONE),
        ("trigger_rule", "dummy", TriggerRule.ALWAYS),
        ("trigger_rule", "none_failed_or_skipped", TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS),
        ("weight_rule", "absolute", "absolute"),
        ("start_date", datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
        ("start_date", "2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("email", "me@example.org", ("me@example.org",)),
        ("pool", None, "default_pool"),
    ],
)
def test_values_are_converted(argument: str, value: Any, kept: Any) -> None:
    assert getattr(EmptyOperator(task_id="t", **{argument: value}), argument) == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"retries": -1}, r"dag 'd', task 't', retries: this must be 0 or more \(found -1\)"),
        ({"retries": 1.5}, "retries: this must be a whole number"),
        ({"retry_delay": "soon"}, "retry_delay: this must be a timedelta or a number of seconds"),
        ({"retry_delay": -1}, "retry_delay: a duration cannot be negative"),
        ({"execution_timeout": 60}, "execution_timeout: this must be a timedelta"),
        ({"execution_timeout": timedelta(0)}, "execution_timeout: this must be longer than zero"),
        ({"trigger_rule": "all_sucess"}, "trigger_rule: .*did you mean 'all_success'"),
        ({"weight_rule": "heavy"}, "weight_rule: there is no such value"),
        ({"pool_slots": 0}, "pool_slots: this must be 1 or more"),
        ({"pool": ""}, "pool: this must be text"),
        ({"start_date": "soon"}, "start_date: this is no date"),
        ({"on_failure_callback": "print"}, "on_failure_callback: a callback must be callable"),
        ({"on_success_callback": [print, 1]}, "on_success_callback: a callback must be callable"),
        ({"max_active_tis_per_dag": 0}, "max_active_tis_per_dag: this must be 1 or more"),
        ({"executor_config": [1]}, "executor_config: this must be a dict"),
        ({"retrys": 3}, "takes no argument 'retrys' .did you mean 'retries'"),
        ({"task_id": "a b"}, "task_id: this is not a valid id"),
        ({"task_id": "x" * 251}, "251 characters"),
    ],
)
def test_wrong_arguments_name_dag_task_and_field(arguments: dict[str, Any], message: str) -> None:
    with DAG("d"), pytest.raises(UserError, match=message):
        EmptyOperator(**{"task_id": "t", **arguments})


def test_errors_are_also_the_exceptions_python_would_raise() -> None:
    with pytest.raises(TypeError, match=r"greting.*did you mean 'greeting'"):
        Greet(task_id="t", name="x", greting="Hi")
    with pytest.raises(TypeError, match="Greet needs the argument 'name'"):
        Greet(task_id="t")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes its arguments by name only"):
        Greet("t", "x")
    with pytest.raises(ValueError, match="retries"):
        Greet(task_id="t", name="x", retries=-1)


def test_default_args_fill_arguments_at_every_level_of_inheritance() -> None:
    with DAG("d", default_args={"volume": 11, "greeting": "Ahoy", "retries": 2, "name": "sailor"}):
        operator = GreetLoudly(task_id="t")
    assert (operator.volume, operator.greeting, operator.name, operator.retries) == (11, "Ahoy", "sailor", 2)


def test_params_of_dag_defaults_and_task_are_merged() -> None:
    with DAG("d", params={"a": 1, "b": 1}, default_args={"params": {"b": 2, "c": 2}}):
        operator = EmptyOperator(task_id="t", params={"c": 3})
    assert operator.params.dump() == {"a": 1, "b": 1, "c": 3}


def test_results_in_template_fields_make_dependencies() -> None:
    with DAG("d") as d:
        first = PythonOperator(task_id="first", python_callable=dict)
        second = PythonOperator(task_id="second", python_callable=dict, op_kwargs={"x": [{"y": first.output["key"]}]})
        third = Greet(task_id="third", name=(second.output, "plain"))
    assert second.upstream_task_ids == {"first"}
    assert third.upstream_task_ids == {"second"}
    assert str(first.output) == "{{ task_instance.xcom_pull(task_ids='first', dag_id='d', key='return_value') }}"
    assert d.task_ids == ["first", "second", "third"]


def test_xcom_arg_refuses_what_cannot_be_known() -> None:
    with DAG("d"):
        result = PythonOperator(task_id="t", python_callable=dict).output
    with pytest.raises(TypeError, match="cannot be iterated"):
        list(result)
    with pytest.raises(TypeError, match="indexed by a string"):
        result[0]  # type: ignore[index]
    for attempt in (lambda r: r.map(str), lambda r: r.zip(r), lambda r: r.concat(r)):
        with pytest.raises(ValueError, match="works on what a task returns"):
            attempt(result["key"])


# ---------------------------------------------------------------- @task and its kin


class Row(TypedDict):
    """A return type."""

    a: int


def _plain() -> int:
    return 1


def _dict() -> dict[str, int]:
    return {}


def _typed_dict() -> Row:
    return {"a": 1}


def _mapping() -> Mapping[str, int]:
    return {}


def _unknown() -> dict[str, Nowhere]:  # type: ignore[name-defined] # noqa: F821
    return {}


def _list() -> list[dict[str, int]]:
    return []


@pytest.mark.parametrize(
    ("function", "expected"),
    [(_plain, False), (_dict, True), (_typed_dict, True), (_mapping, True), (_unknown, True), (_list, False)],
)
def test_multiple_outputs_follow_the_annotation(function: Callable[..., Any], expected: bool) -> None:
    assert returns_mapping(function) is expected
    with DAG("d"):
        assert task(function)().operator.multiple_outputs is expected
        assert task(multiple_outputs=not expected)(function)().operator.multiple_outputs is not expected


def test_repeated_calls_get_suffixes_and_override_names_them() -> None:
    with DAG("d") as d:

        @task
        def work(x: int) -> int:
            """Documented."""
            return x

        for number in range(3):
            work(number)
        named = work.override(task_id="named", retries=5)(9)

        @task_group
        def group() -> None:
            work(1)
            work(2)

        group()
        group()
    assert d.task_ids == [
        "work",
        "work__1",
        "work__2",
        "named",
        "group.work",
        "group.work__1",
        "group__1.work",
        "group__1.work__1",
    ]
    assert named.operator.retries == 5
    assert named.operator.doc_md == "Documented."
    assert named.operator.operator_name == "@task"
    assert named.operator.task_type == "_PythonDecoratedOperator"


def test_suffixes_go_on_from_the_highest_one() -> None:
    with DAG("d") as d:
        work = task(_plain)
        work()
        EmptyOperator(task_id="_plain__7")
        work()
        work.override(task_id="_plain__7")()
    assert d.task_ids == ["_plain", "_plain__7", "_plain__8", "_plain__9"]


def test_kinds_of_task_have_airflows_names() -> None:
    with DAG("d"):
        made = {
            "_BashDecoratedOperator": task.bash(_plain)().operator,
            "_BranchPythonDecoratedOperator": task.branch(_plain)().operator,
            "_ShortCircuitDecoratedOperator": task.short_circuit(_plain)().operator,
            "DecoratedSensorOperator": task.sensor(_plain)().operator,
        }
    assert {operator.task_type for operator in made.values()} == set(made)
    assert [operator.operator_name for operator in made.values()] == [
        "@task.bash",
        "@task.branch",
        "@task.short_circuit",
        "@task.sensor",
    ]


def _two(a: int, b: int) -> None:
    pass


def _with_context(a: int, ti: Any, ds: str | None = None) -> None:
    pass


def _bad_context(ti: int = 5) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "message"),
    [
        (_two, (1,), {}, r"_two\(a: 'int', b: 'int'\).* missing a required argument: 'b'"),
        (_two, (1, 2, 3), {}, "too many positional arguments"),
        (_two, (1,), {"c": 3}, "unexpected keyword argument 'c'|missing a required argument: 'b'"),
        (_with_context, (), {}, "missing a required argument: 'a'"),
        (_bad_context, (), {}, "its default must be None"),
    ],
)
def test_wrong_calls_fail_in_the_dag_file(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with DAG("d"), pytest.raises(UserError, match=message):
        task(function)(*args, **kwargs)


def test_context_parameters_need_no_argument() -> None:
    with DAG("d"):
        task(_with_context)(1)
        task(_with_context)(a=1, ti="own")


def test_decorated_function_is_not_a_task() -> None:
    with DAG("d"):
        work = task(_plain)
        with pytest.raises(UserError, match=r"_plain is a decorated function.* _plain\(\)"):
            work >> EmptyOperator(task_id="t")
        with pytest.raises(UserError, match=r"not decorated|decorates a function"):
            task(5)  # type: ignore[arg-type]
        with pytest.raises(AttributeError, match=r"@task.shell.*|no decorator"):
            task.shell  # noqa: B018


def test_conditions_stand_above_task() -> None:
    with pytest.raises(UserError, match="above @task"):
        task.run_if(lambda context: True)(_plain)  # type: ignore[arg-type]


def test_task_group_returns_what_its_function_returns() -> None:
    with DAG("d") as d:

        @task
        def one() -> int:
            return 1

        @task_group(group_id="g", tooltip="tip")
        def returning() -> Any:
            return one()

        @task_group
        def silent() -> None:
            """Silently."""
            one()

        result = returning()
        group = silent()
        result >> group
    assert d.get_task("silent.one").upstream_task_ids == {"g.one"}
    assert d.task_group_dict["g"].tooltip == "tip"
    assert group.tooltip == "Silently."


def test_dag_decorator_makes_params_of_parameters() -> None:
    @dag(schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["x"])
    def pipeline(limit: int = 5, name: str = "n") -> None:
        """The doc."""
        task(_two)(limit, name)

    made = pipeline(limit=7)
    assert (made.dag_id, made.doc_md, made.tags) == ("pipeline", "The doc.", {"x"})
    assert made.params.dump() == {"limit": 7, "name": "n"}
    assert dag("other")(lambda: None)().dag_id == "other"
    assert dag(dag_id="third")(lambda: None)().dag_id == "third"


def test_setup_and_teardown_decorators() -> None:
    with DAG("d") as d:

        @setup
        def create() -> None:
            pass

        @teardown(on_failure_fail_dagrun=True)
        @task
        def destroy() -> None:
            pass

        @task
        def use() -> None:
            pass

        create() >> use() >> destroy()
    assert d.get_task("create").is_setup
    assert d.get_task("destroy").is_teardown
    assert d.get_task("destroy").on_failure_fail_dagrun
    assert not d.get_task("use").is_setup
