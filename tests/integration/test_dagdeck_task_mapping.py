"""Mapped tasks through `dag.test()`: real operators, rendered and run in this process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, BaseOperator, BashOperator, EmptyOperator, get_current_context, task, task_group
from dagdeck.collect import load_file
from dagdeck.exceptions import AirflowSkipException
from dagdeck_task.in_process import FinishedRun


def returned(run: FinishedRun, task_id: str) -> list[Any]:
    """What the instances of a task returned, by map index."""
    names = [found for found in run.get_task_instances() if found.task_id == task_id]
    return [run.xcom(task_id, map_index=found.map_index) for found in sorted(names, key=lambda found: found.map_index)]


def states(run: FinishedRun, task_id: str) -> list[str]:
    names = [found for found in run.get_task_instances() if found.task_id == task_id]
    return [found.state.value for found in sorted(names, key=lambda found: found.map_index)]


@task
def numbers() -> list[int]:
    return [1, 2, 3]


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
def total(values: Any) -> int:
    return sum(values)


def test_expand_second_order_and_reduce() -> None:
    with DAG("d") as dag:
        first = add.expand(x=numbers())
        second = add.partial(y=10).expand(x=first)
        total(second)
        add.override(task_id="of_tuple").expand(x=task(lambda: (7, 8), task_id="tuple")())
    run = dag.test()
    assert returned(run, "of_tuple") == [8, 9]
    assert run.state == "success"
    assert returned(run, "add") == [2, 3, 4]
    assert returned(run, "add__1") == [12, 13, 14]
    assert run.xcom("total") == 39


def test_several_arguments_map_zip_and_concat() -> None:
    @task
    def letters() -> dict[str, int]:
        return {"a": 1, "b": 2}

    @task
    def show(**given: Any) -> str:
        return "".join(str(given[name]) for name in ("one", "two"))

    with DAG("d") as dag:
        values = numbers()
        show.expand(one=["x", "y"], two=values)
        show.expand_kwargs(values.map(lambda n: {"one": n, "two": -n}))
        show.partial(two="!").expand(one=values.zip(letters(), fillvalue=0))
        show.partial(two="!").expand(one=values.map(lambda n: n * 2).concat(letters()))
    run = dag.test()
    assert returned(run, "show") == ["x1", "x2", "x3", "y1", "y2", "y3"]
    assert returned(run, "show__1") == ["1-1", "2-2", "3-3"]
    assert returned(run, "show__2") == ["(1, ('a', 1))!", "(2, ('b', 2))!", "(3, 0)!"]
    assert returned(run, "show__3") == ["2!", "4!", "6!", "('a', 1)!", "('b', 2)!"]


def test_classic_operators_literal_templates_and_shown_indexes() -> None:
    class Greeting(BaseOperator):
        template_fields = ("name", "words")

        def __init__(self, *, name: str, words: list[str] | None = None, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.name = name
            self.words = words

        def execute(self, context: Any) -> Any:
            context["who"] = self.name.upper()
            return [self.name, *(self.words or ())]

    with DAG("d") as dag:
        elsewhere = task(lambda: ["{{ raw }}"], task_id="elsewhere")()
        BashOperator.partial(task_id="bash", map_index_template="cmd {{ task.bash_command }}").expand(
            bash_command=["echo {{ ti.map_index }}", "echo two"]
        )
        Greeting.partial(task_id="literal", words=["{{ run_id[:6] }}"], map_index_template="{{ who }}").expand(
            name=["{{ dag.dag_id }}", "b"]
        )
        Greeting.partial(task_id="made").expand(name=elsewhere)
        Greeting.partial(task_id="rows").expand_kwargs([{"name": "a", "words": ["{{ 1 + 1 }}"]}, {"name": "b"}])
    run = dag.test()
    assert returned(run, "bash") == ["0", "two"]
    assert returned(run, "literal") == [["d", "manual"], ["b", "manual"]]
    assert returned(run, "made") == [["{{ raw }}"]], "what another task made is no template"
    assert returned(run, "rows") == [["a", "2"], ["b"]]
    shown = [run.get_task_instance("literal", index) for index in (0, 1)]
    assert [found and found.rendered_map_index for found in shown] == ["D", "B"]
    first = run.get_task_instance("bash", 0)
    assert first is not None
    assert first.rendered_map_index == "cmd echo 0"
    assert first.rendered_fields == {"bash_command": "echo 0"}


def test_mapped_groups_keep_to_their_index() -> None:
    @task
    def double(x: int) -> int:
        return x * 2

    @task
    def pair(x: Any, y: Any) -> list[Any]:
        return [x, y]

    @task_group
    def inner(z: str) -> Any:
        return pair.override(task_id="deep")(z, z)

    @task_group
    def group(x: int, name: str = "n") -> Any:
        doubled = double(x)
        nested = inner.expand(z=["p", "q"])
        pair.override(task_id="both")(doubled, nested)
        return pair(doubled, name)

    with DAG("d") as dag:
        result = group.expand(x=numbers())
        task(lambda values: [value[0] for value in values], task_id="all")(result)
        group.override(group_id="rows").expand_kwargs([{"x": 5}, {"x": 6, "name": "m"}])
    run = dag.test()
    assert run.state == "success"
    assert returned(run, "group.pair") == [[2, "n"], [4, "n"], [6, "n"]]
    assert returned(run, "group.inner.deep") == [["p", "p"], ["q", "q"]] * 3
    assert returned(run, "group.both")[1] == [4, [["p", "p"], ["q", "q"]]]
    assert run.xcom("all") == [2, 4, 6]
    assert returned(run, "rows.pair") == [[10, "n"], [12, "m"]]


def test_branches_skips_and_failures_inside_groups() -> None:
    @task.branch
    def choose(x: int) -> str:
        return "group.small" if x < 2 else "group.large"

    @task
    def check(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    @task_group
    def group(x: int) -> Any:
        small, large = EmptyOperator(task_id="small"), EmptyOperator(task_id="large")
        checked = check(x)
        choose(checked) >> [small, large] >> EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")

    with DAG("d") as dag:
        group.expand(x=numbers())
    run = dag.test()
    assert states(run, "group.small") == ["success", "skipped", "upstream_failed"]
    assert states(run, "group.large") == ["skipped", "success", "upstream_failed"]
    assert states(run, "group.join") == ["success", "success", "upstream_failed"]
    assert run.state == "failed"


@pytest.mark.parametrize(
    ("value", "error", "state"),
    [
        ([], None, "skipped"),
        (None, "XComForMappingNotPushed", "upstream_failed"),
        (3, "UnmappableXComTypePushed: unmappable return type 'int'", "upstream_failed"),
        ("text", "UnmappableXComTypePushed: unmappable return type 'str'", "upstream_failed"),
        (list(range(1025)), "unmappable return value length: 1025 > 1024", "upstream_failed"),
    ],
)
def test_what_cannot_be_mapped_over_fails_the_task_that_returns_it(value: Any, error: str | None, state: str) -> None:
    with DAG("d") as dag:
        made = task(lambda: value, task_id="made")()
        add.expand(x=made)
    run = dag.test()
    found = run.get_task_instance("made")
    assert found is not None
    if error is None:
        assert found.state == "success"
    else:
        assert found.error is not None
        assert error in f"{found.error.kind}: {found.error.message}"
    assert run.states["add"] == state


def test_instances_see_themselves_and_each_other() -> None:
    @task
    def look(x: int) -> dict[str, Any]:
        context = get_current_context()
        ti = context["ti"]
        if x == 2:
            raise AirflowSkipException("not this one")
        ti.xcom_push("own", x)
        return {"index": ti.map_index, "count": context["expanded_ti_count"], "own": ti.xcom_pull(key="own")}

    @task
    def pull(ti: Any = None) -> list[Any]:
        return [
            ti.xcom_pull("look", key="own"),
            ti.xcom_pull("look", key="own", map_indexes=2),
            ti.xcom_pull("look", key="own", map_indexes=[2, 1, 0], default="-"),
            ti.xcom_pull("look", key="own", map_indexes=None),
            ti.xcom_pull(["look", "numbers"], key="own"),
        ]

    @task
    def lazy(values: Any) -> list[Any]:
        return [len(values), values[-1]["index"], [value["own"] for value in values[0:1]], repr(values)]

    with DAG("d") as dag:
        looked = look.expand(x=numbers())
        looked >> pull.override(trigger_rule="all_done")()
        lazy.override(trigger_rule="all_done")(looked)
    run = dag.test()
    assert returned(run, "look") == [{"index": 0, "count": 3, "own": 1}, None, {"index": 2, "count": 3, "own": 3}]
    assert run.xcom("pull") == [[1, 3], 3, [3, "-", 1], None, [1, 3, None]]
    assert run.xcom("lazy") == [2, 2, [1], "LazyXComSequence([2 items])"]


def test_expanding_over_what_was_skipped_counts_what_was_returned() -> None:
    @task
    def odd(x: int) -> int:
        if x % 2 == 0:
            raise AirflowSkipException
        return x

    with DAG("d") as dag:
        add.override(trigger_rule="none_failed").expand(x=odd.expand(x=numbers()))
    run = dag.test()
    assert states(run, "odd") == ["success", "skipped", "success"]
    assert returned(run, "add") == [2, 4]


def test_a_transformation_may_skip_an_instance() -> None:
    def only_odd(n: int) -> int:
        if n % 2 == 0:
            raise AirflowSkipException(f"{n} is even")
        return n

    with DAG("d") as dag:
        add.expand(x=numbers().map(only_odd))
    run = dag.test()
    assert states(run, "add") == ["success", "skipped", "success"]


PAGE = (Path(__file__).parents[2] / "docs" / "authoring" / "mapping.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_of_the_guide_run(number: int, tmp_path: Path) -> None:
    path = tmp_path / f"example_{number}.py"
    path.write_text(EXAMPLES[number])
    loaded = load_file(path, tmp_path)
    assert [failure.message for failure in loaded.failures] == []
    run = loaded.dags[0].test()
    assert (run.state, set(run.states.values())) == ("success", {"success"})
    if number == 0:
        assert run.xcom("total") == 30
