"""Mapped tasks and groups as DAG files write them: what becomes of an expansion, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dagdeck import DAG, BashOperator, EmptyOperator, PythonOperator, task, task_group
from dagdeck.exceptions import AirflowException, FeatureNotAvailable
from dagdeck.mapping.expand_inputs import ExpandedKwargs, ExpandedLists
from dagdeck.mapping.mapped_operator import MappedOperator
from dagdeck.mapping.relations import index_in_group, relevant_indexes
from dagdeck.serialize import serialize_dag
from dagdeck.xcom_arg import XComArg
from dagdeck_core.errors import UserError
from dagdeck_core.spec import LengthSpec, MappedSpec, TaskSpec


def plain(x: Any = None, y: Any = None) -> Any:
    """A function to make tasks of."""
    return x, y


def anything(**kwargs: Any) -> Any:
    """A function that takes any argument."""
    return kwargs


def spec_of(dag: DAG, task_id: str) -> TaskSpec:
    return next(task for task in serialize_dag(dag).tasks if task.task_id == task_id)


def mapped_spec(dag: DAG, task_id: str) -> MappedSpec:
    found = spec_of(dag, task_id).mapped
    assert found is not None
    return found


def operator_of(arg: XComArg) -> MappedOperator:
    assert isinstance(arg.operator, MappedOperator)
    return arg.operator


class Ti:
    """As much of a task instance as resolving needs: it knows what other tasks have returned."""

    def __init__(self, operator: Any, map_index: int, values: dict[str, Any]) -> None:
        self.task = operator
        self.map_index = map_index
        self.resolved_inputs: dict[Any, Any] = {}
        self._values = values

    def xcom_pull(self, *, task_ids: str, key: str, default: Any = None, map_indexes: Any = None) -> Any:
        value = self._values.get(task_ids, default)
        if isinstance(map_indexes, range):
            return [value[index] for index in map_indexes]
        return value if map_indexes is None or value is default else value[map_indexes]

    def count_xcoms(self, task_id: str, key: str) -> int:
        return len(self._values[task_id])

    def read_xcoms(self, task_id: str, key: str, begin: int, count: int) -> list[Any]:
        return list(self._values[task_id][begin : begin + count])


# ---------------------------------------------------------------- what is stored


def test_an_expansion_is_described_by_its_lengths() -> None:
    with DAG("d") as dag:
        numbers = task(plain, task_id="numbers")()
        more = task(plain, task_id="more").expand(x=numbers)
        task(plain, task_id="literal").partial(y=1).expand(x=[1, 2, 3])
        task(plain, task_id="pairs").expand(x={"a": 1, "b": 2}, y=more)
        task(plain, task_id="rows").expand_kwargs(numbers.zip(more, fillvalue=0).map(str).concat(numbers))
        task(plain, task_id="zipped").expand(x=numbers.zip(more))
    of_numbers, of_more = LengthSpec(task_id="numbers"), LengthSpec(task_id="more")
    assert mapped_spec(dag, "more") == MappedSpec(kind="expand", inputs={"x": of_numbers})
    assert mapped_spec(dag, "literal").literal_length == 3
    assert mapped_spec(dag, "pairs") == MappedSpec(kind="expand", inputs={"x": LengthSpec(length=2), "y": of_more})
    joined = LengthSpec(joined=(LengthSpec(zipped=(of_numbers, of_more), longest=True), of_numbers))
    assert mapped_spec(dag, "rows") == MappedSpec(kind="expand_kwargs", inputs={"kwargs": joined})
    assert mapped_spec(dag, "zipped").inputs["x"] == LengthSpec(zipped=(of_numbers, of_more))
    assert spec_of(dag, "rows").upstream == ("more", "numbers")
    assert mapped_spec(dag, "rows").sources == ("numbers", "more")


def test_common_arguments_are_the_tasks_and_own_ones_the_instances() -> None:
    with DAG("d", default_args={"retries": 4, "env": {"A": "1"}}) as dag:
        before = EmptyOperator(task_id="before")
        mapped = BashOperator.partial(
            task_id="b", pool="narrow", map_index_template="{{ x }}", max_active_tis_per_dag=2, cwd=before.output
        ).expand(bash_command=["echo 1", "echo 2"])
        before >> mapped >> EmptyOperator(task_id="after")
    found = spec_of(dag, "b")
    assert (found.task_type, found.retries, found.pool, found.map_index_template) == (
        "BashOperator",
        4,
        "narrow",
        "{{ x }}",
    )
    assert (found.max_active_tis_per_dag, found.upstream) == (2, ("before",))
    assert found.template_fields == ("bash_command", "env", "cwd")
    assert found.template_values["bash_command"] == ["echo 1", "echo 2"]
    concrete, kept = mapped.unmap({"ti": Ti(mapped, 1, {})}, 1)
    assert isinstance(concrete, BashOperator)
    assert (concrete.bash_command, concrete.env, concrete.pool, concrete.retries) == ("echo 2", {"A": "1"}, "narrow", 4)
    assert (concrete.dag, concrete.task_id, kept) == (dag, "b", [])
    assert dag.task_ids == ["before", "b", "after"], "the concrete operator is no task of the DAG"


def test_kinds_of_decorated_tasks_can_be_expanded() -> None:
    with DAG("d") as dag:
        for kind in (task, task.bash, task.branch, task.short_circuit, task.sensor):
            kind(plain, task_id=f"t{len(dag.task_ids)}").expand(x=[1, 2])
        task(plain).expand(x=[1])
        task(plain).expand(x=[1])
    types = {found.task_id: found.task_type for found in serialize_dag(dag).tasks}
    assert types == {
        "t0": "_PythonDecoratedOperator",
        "t1": "_BashDecoratedOperator",
        "t2": "_BranchPythonDecoratedOperator",
        "t3": "_ShortCircuitDecoratedOperator",
        "t4": "DecoratedSensorOperator",
        "plain": "_PythonDecoratedOperator",
        "plain__1": "_PythonDecoratedOperator",
    }
    assert spec_of(dag, "t2").can_skip_downstream
    assert spec_of(dag, "t4").is_sensor


def test_a_mapped_group_depends_on_its_input_and_is_described() -> None:
    @task_group
    def group(x: Any, y: int = 7) -> XComArg:
        first = task(plain, task_id="first")(x)
        return task(plain, task_id="second")(first, y)

    with DAG("d") as dag:
        numbers = task(plain, task_id="numbers")()
        result = group.expand(x=numbers)
        task(plain, task_id="total")(result)
        group.override(group_id="rows").partial(y=1).expand_kwargs([{"x": 1}, {"x": 2}])
    spec = serialize_dag(dag)
    groups = {found.group_id: found.mapped for found in spec.groups}
    assert groups["group"] == MappedSpec(kind="expand", inputs={"x": LengthSpec(task_id="numbers")})
    assert groups["rows"] == MappedSpec(kind="expand_kwargs", inputs={"kwargs": LengthSpec(length=2)})
    upstream = {found.task_id: found.upstream for found in spec.tasks}
    assert upstream["group.first"] == ("numbers",)
    assert upstream["group.second"] == ("group.first",)
    assert upstream["total"] == ("group.second",)
    assert all(found.mapped is None for found in spec.tasks)


# ---------------------------------------------------------------- the values of an instance


def test_instances_of_several_arguments_are_ordered_as_nested_loops() -> None:
    given = ExpandedLists({"a": [1, 2], "b": {"x": 10, "y": 20}, "c": ["", "q"]})
    found = [given.resolve({}, index)[0] for index in range(8)]
    expected = [{"a": a, "b": b, "c": c} for a in (1, 2) for b in (("x", 10), ("y", 20)) for c in ("", "q")]
    assert found == expected


def test_values_of_other_tasks_are_resolved_and_not_rendered() -> None:
    with DAG("d"):
        numbers = task(plain, task_id="numbers")()
        texts = task(plain, task_id="texts").expand(x=numbers)
        both = task(plain, task_id="both").expand(x=numbers.map(lambda n: n + 1).concat(texts), y=["{{ ds }}", numbers])
    operator = operator_of(both)
    values = {"numbers": [1, 2], "texts": ["a", "b", "c"]}
    found = []
    for index in range(10):
        concrete, kept = operator.unmap({"ti": Ti(operator, index, values)}, index)
        found.append((concrete.op_kwargs["x"], kept))
        assert concrete.op_kwargs["y"] == ("{{ ds }}" if index % 2 == 0 else numbers)
    assert [x for x, _ in found[::2]] == [2, 3, "a", "b", "c"]
    assert all(kept == [x] for x, kept in found)


def test_dicts_of_arguments_come_from_lists_and_tasks() -> None:
    with DAG("d"):
        numbers = task(plain, task_id="numbers")()
        mapped = task(plain, task_id="m").partial(y=5).expand_kwargs([{"x": "{{ ds }}"}, numbers])
        elsewhere = BashOperator.partial(task_id="b", env={}).expand_kwargs(numbers)
    operator = operator_of(mapped)
    concrete, kept = operator.unmap({"ti": Ti(operator, 0, {})}, 0)
    assert (concrete.op_kwargs, kept) == ({"x": "{{ ds }}", "y": 5}, [])
    concrete, kept = operator.unmap({"ti": Ti(operator, 1, {"numbers": {"x": 3}})}, 1)
    assert (concrete.op_kwargs, kept) == ({"x": 3, "y": 5}, [3])
    for value, message in [
        ([{"env": {"A": "1"}, "bash_command": "x"}], "unmappable or already specified argument: env"),
        ([{"retries": 2, "bash_command": "x"}], "unmappable or already specified argument: retries"),
        ([{"bash_comand": "x"}], "needs the argument 'bash_command'"),
        ([{3: "x"}], "keys must all be str, but 3 is of type int"),
        ([3], r"expects a list\[dict\], not list\[int\]"),
        ({"a": 1}, r"expects a list\[dict\], not dict"),
        (None, r"expects a list\[dict\], not None"),
    ]:
        with pytest.raises(UserError, match=message):
            elsewhere.unmap({"ti": Ti(elsewhere, 0, {"numbers": value})}, 0)


def test_combined_results_are_sequences() -> None:
    with DAG("d"):
        one, two = task(plain, task_id="one")(), task(plain, task_id="two")()
    context = {"ti": Ti(None, -1, {"one": [1, 2, 3], "two": {"a": 4}})}
    assert list(one.zip(two).resolve(context)) == [(1, ("a", 4))]
    assert list(one.zip(two, fillvalue=None).resolve(context)) == [(1, ("a", 4)), (2, None), (3, None)]
    joined = one.concat(two).resolve(context)
    assert (list(joined), joined[-1], joined[1:3], len(joined)) == ([1, 2, 3, ("a", 4)], ("a", 4), [2, 3], 4)
    with pytest.raises(IndexError):
        _ = joined[4]
    with pytest.raises(AirflowException, match="XCom map expects sequence or dict, not int"):
        one.map(str).resolve({"ti": Ti(None, -1, {"one": 3})})
    with pytest.raises(UserError, match="can't map over value of type int"):
        ExpandedLists({"x": one}).resolve({"ti": Ti(None, 0, {"one": 3})}, 0)


def test_inside_a_mapped_group_index_goes_with_index() -> None:
    found: dict[str, Any] = {}

    @task_group
    def inner(z: Any) -> XComArg:
        return task(plain, task_id="deep")(z)

    @task_group
    def outer(x: Any) -> XComArg:
        first = task(plain, task_id="first")(x)
        found["deep"] = inner.expand(z=["p", "q", "r"])
        return task(plain, task_id="last")(first, found["deep"])

    with DAG("d") as dag:
        result = outer.expand(x=task(plain, task_id="numbers")())
        after = task(plain, task_id="after")(result)
    first, last, deep = (dag.get_task(f"outer.{name}") for name in ("first", "last", "inner.deep"))
    assert relevant_indexes(last, 1, first) == 1
    assert relevant_indexes(last, 1, deep) == range(3, 6)
    assert relevant_indexes(deep, 5, first) == 1
    assert relevant_indexes(deep, 5, deep) == 5
    assert relevant_indexes(after.operator, -1, last) is None
    assert index_in_group(deep, 5, dag.task_group_dict["outer"]) == 1  # type: ignore[arg-type]
    assert index_in_group(deep, 5, dag.task_group_dict["outer.inner"]) == 2  # type: ignore[arg-type]
    values = {"outer.first": [10, 20], "outer.inner.deep": list("abcdef"), "outer.last": [1, 2], "numbers": [7, 8]}
    context = {"ti": Ti(last, 1, values)}
    assert [argument.resolve(context) for argument in last.op_args] == [20, ["d", "e", "f"]]
    assert [argument.resolve(context) for argument in first.op_args] == [8]
    assert list(result.resolve({"ti": Ti(after.operator, -1, values)})) == [1, 2]


def test_a_group_expanded_over_dicts_takes_defaults_for_what_they_lack() -> None:
    found: dict[str, Any] = {}

    @task_group
    def group(x: Any, y: int = 7) -> None:
        found.update(x=x, y=y)
        EmptyOperator(task_id="e")

    with DAG("d") as dag:
        group.expand_kwargs([{"x": 1}, {"x": 2, "y": 3}, {"y": 4}])
    operator = dag.get_task("group.e")
    assert found["y"].resolve({"ti": Ti(operator, 0, {})}) == 7
    assert found["y"].resolve({"ti": Ti(operator, 1, {})}) == 3
    with pytest.raises(AirflowException, match="has no key 'x'"):
        found["x"].resolve({"ti": Ti(operator, 2, {})})


def test_the_results_of_all_instances_are_read_in_pages() -> None:
    class Counting(Ti):
        questions = 0

        def read_xcoms(self, task_id: str, key: str, begin: int, count: int) -> list[Any]:
            self.questions += 1
            return super().read_xcoms(task_id, key, begin, count)

    with DAG("d"):
        mapped = task(plain, task_id="m").expand(x=[1])
    ti = Counting(mapped.operator, -1, {"m": list(range(250))})
    values = mapped.resolve({"ti": ti})
    assert (values[0], values[99], values[-1], ti.questions) == (0, 99, 249, 2)
    assert (list(values), ti.questions) == (list(range(250)), 5)
    assert values[10:13] == [10, 11, 12]
    assert values[::100] == [0, 100, 200]
    assert values == list(range(250))
    assert values != "text"
    assert "250 items" in repr(values)
    for index in (250, -251):
        with pytest.raises(IndexError):
            _ = values[index]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: task(plain).expand(), "no arguments to expand against"),
        (lambda: task(plain).expand(z=[1]), r"expand\(\) got an unexpected keyword argument 'z'"),
        (lambda: task(plain).partial(z=1, w=2), r"partial\(\) got unexpected keyword arguments 'z', 'w'"),
        (lambda: task(plain).expand(x=3), r"expand\(\) got an unexpected type 'int' for keyword argument 'x'"),
        (lambda: task(plain).expand(x="abc"), "unexpected type 'str'"),
        (lambda: task(plain).partial(x=1).expand(x=[1]), "mapping already partial argument: x"),
        (lambda: task(plain).partial(x=1).partial(x=2), "duplicate partial argument: x"),
        (lambda: task(plain).expand_kwargs(3), r"expected XComArg or list\[dict\], not int"),
        (lambda: task(plain).expand_kwargs([3]), r"expected XComArg or list\[dict\], not list\[int\]"),
        (lambda: task(plain).expand(x=task(plain)()["key"]), "cannot map over XCom with custom key 'key'"),
        (lambda: task(plain).expand(x=[task(plain)()["key"]]), "cannot map over XCom with custom key 'key'"),
        (lambda: task(plain)().map(task(plain)), "must be a plain function, not a @task operator"),
        (lambda: BashOperator.partial(task_id="t", bash_comand=1), "unexpected keyword argument 'bash_comand'.*mean"),
        (lambda: BashOperator.partial(task_id="t").expand(), "no arguments to expand against"),
        (lambda: BashOperator.partial(task_id="t").expand(cmd=[1]), "unexpected keyword argument 'cmd'"),
        (lambda: BashOperator.partial(task_id="t").expand(env=3), "unexpected type 'int' for keyword argument env"),
        (lambda: BashOperator.partial(bash_command="x").expand(env=[{}]), "needs a task_id"),
        (
            lambda: BashOperator.partial(task_id="t").expand(bash_command=["x"], retries=[1, 2]),
            "unmappable or already specified argument: retries",
        ),
        (
            lambda: BashOperator.partial(task_id="t", bash_command="x").expand(bash_command=["x"], pool=["p"]),
            "unmappable or already specified arguments: bash_command, pool",
        ),
        (lambda: task_group(plain).expand(), "no arguments to expand against"),
        (lambda: task_group(plain).expand(z=[1]), "unexpected keyword argument 'z'"),
        (lambda: task_group(plain).partial(x=1).expand(x=[1]), "mapping already partial argument: x"),
    ],
)
def test_wrong_expansions_are_refused_in_the_dag_file(attempt: Callable[[], Any], message: str) -> None:
    with DAG("d"), pytest.raises(UserError, match=message):
        attempt()


def test_functions_with_any_arguments_can_be_expanded_over_any() -> None:
    with DAG("d") as dag:
        task(anything).partial(a=1).expand(b=[1, 2])
    assert mapped_spec(dag, "anything").literal_length == 2


def test_mapping_inside_a_mapped_group_is_refused_as_in_airflow() -> None:
    @task_group
    def with_task(x: Any) -> None:
        task(plain).expand(x=[1, 2])

    @task_group
    def with_group(x: Any) -> None:
        with_task.override(group_id="inner").expand(x=x)

    @task_group
    def with_rule(x: Any) -> None:
        EmptyOperator(task_id="e", trigger_rule="always")

    with DAG("d"), pytest.raises(FeatureNotAvailable, match="expansion in an expanded task group is not yet supported"):
        with_task.expand(x=[1])
    with DAG("d"), pytest.raises(ValueError, match="Nested Mapped TaskGroups are not yet supported"):
        with_group.expand(x=[1])
    with DAG("d") as dag:
        with_rule.expand(x=[1])
    with pytest.raises(ValueError, match="not allowed with trigger rule 'always'"):
        serialize_dag(dag)


def test_a_partial_that_nobody_expands_is_told() -> None:
    with DAG("d") as dag:
        kept = BashOperator.partial(task_id="lost")
        PythonOperator.partial(task_id="found", python_callable=plain).expand(op_kwargs=[{"x": 1}])
    with pytest.warns(UserWarning, match="Task 'lost' was never mapped"):
        serialize_dag(dag)
    serialize_dag(dag)
    assert repr(kept) == "BashOperator.partial(task_id='lost')"


def test_an_input_without_items_has_no_instance() -> None:
    with pytest.raises(AirflowException, match="mapped over a value without items"):
        ExpandedLists({"x": []}).resolve({}, 0)
    assert ExpandedLists({"x": [], "y": [1]}).spec().literal_length == 0
    assert ExpandedKwargs([]).spec().literal_length == 0
