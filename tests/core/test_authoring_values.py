"""Params, Variables, Connections, assets, templates and the context: values that DAGs work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import dagdeck
from dagdeck import (
    DAG,
    Asset,
    BaseHook,
    BashOperator,
    Connection,
    Context,
    Param,
    ParamsDict,
    Variable,
    literal,
    macros,
    runtime,
)
from dagdeck.connection import Connection as ConnectionClass
from dagdeck.context import LazyValue
from dagdeck.exceptions import AirflowException, AirflowNotFoundException, ParamValidationError
from dagdeck.json_view import viewed
from dagdeck.params import merged_params
from dagdeck_core.errors import UserError

# ---------------------------------------------------------------- params


@pytest.mark.parametrize(
    ("param", "value", "problem"),
    [
        (Param(1, type="integer", minimum=1), 5, None),
        (Param(1, type="integer", minimum=1), 0, "0 is less than the minimum of 1"),
        (Param(1, type="integer"), "x", "'x' is not of type 'integer'"),
        (Param("a", enum=["a", "b"]), "c", r"'c' is not one of \['a', 'b'\]"),
        (Param(None, type=["null", "string"]), None, None),
        (Param(None, type="string"), None, "None is not of type 'string'"),
        (Param({"a": 1}, type="object", properties={"a": {"type": "integer"}}), {"a": "x"}, r"at \['a'\]"),
        (Param("2026-01-31", type="string", format="date"), "31.1.2026", "is not a 'date'"),
        (Param("x", type="string", format="date-time"), "2026-01-31T00:00:00+00:00", None),
        (Param("x", type="string", format="date-time"), "2026-01-31T00:00:00", "is not a 'date-time'"),
        (Param("x", type="string", format="time"), "25:00", "is not a 'time'"),
        (Param(1, type="nonsense"), 1, "the schema is wrong"),
        (Param(5), {1, 2}, "must be JSON"),
    ],
)
def test_params_are_checked_against_their_schema(param: Param, value: Any, problem: str | None) -> None:
    if problem is None:
        assert param.resolve(value) == value
        return
    with pytest.raises(ParamValidationError, match=problem):
        param.resolve(value)
    assert param.resolve(value, suppress_exception=True) is None


def test_param_without_default_is_required() -> None:
    params = ParamsDict({"p": Param(type="string")})
    with pytest.raises(ParamValidationError, match="param 'p': it has no value and no default"):
        params.validate()
    params["p"] = "x"
    assert params.validate() == {"p": "x"}


def test_setting_a_value_leaves_the_definition_alone() -> None:
    definition = ParamsDict({"p": Param(1, type="integer")})
    run = ParamsDict(definition)
    run["p"] = 2
    assert (definition["p"], run["p"]) == (1, 2)
    with pytest.raises(ParamValidationError, match="param 'p'"):
        run["p"] = "x"


def test_conf_wins_over_task_and_dag() -> None:
    with DAG("d", params={"a": Param(1, type="integer"), "b": 1, "c": 1}) as dag:
        operator = BashOperator(task_id="t", bash_command="x", params={"b": 2, "c": 2})
    assert merged_params(dag, operator, {"c": 3, "extra": 4}) == {"a": 1, "b": 2, "c": 3, "extra": 4}
    with pytest.raises(ParamValidationError, match="param 'a': 'x' is not of type 'integer'"):
        merged_params(dag, operator, {"a": "x"})


# ---------------------------------------------------------------- variables and connections


class Answers:
    """Answers questions from a dict of method → value or exception."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.masked: list[str] = []

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        """The prepared answer."""
        self.asked.append((method, arguments))
        answer = self.answers.get(method)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def mask(self, value: str) -> None:
        """Keep it."""
        self.masked.append(value)


@pytest.fixture
def answering() -> Iterator[Callable[[dict[str, Any]], Answers]]:
    """Makes questions be answered for the length of a test."""
    entered = []

    def enter(answers: dict[str, Any]) -> Answers:
        made = Answers(answers)
        context = runtime.answering(made)
        context.__enter__()
        entered.append(context)
        return made

    yield enter
    for context in reversed(entered):
        context.__exit__(None, None, None)


def test_variables(answering: Callable[[dict[str, Any]], Answers]) -> None:
    answers = answering({"variable_get": '{"a": [1]}'})
    assert Variable.get("plain") == '{"a": [1]}'
    assert Variable.get("plain", deserialize_json=True) == {"a": [1]}
    Variable.set("x", {"b": 2}, description="d", serialize_json=True)
    Variable.delete("x")
    assert answers.asked[-2:] == [
        ("variable_set", {"key": "x", "value": '{\n  "b": 2\n}', "description": "d"}),
        ("variable_delete", {"key": "x"}),
    ]
    assert answers.masked == []
    answers.answers["variable_get"] = "a-secret-value"
    assert Variable.get("my_password") == "a-secret-value"
    assert answers.masked == ["a-secret-value"]
    with pytest.raises(AirflowException, match="does not hold JSON"):
        Variable.get("plain", deserialize_json=True)


def test_missing_variable(answering: Callable[[dict[str, Any]], Answers]) -> None:
    answering({"variable_get": runtime.NotFound("no")})
    assert Variable.get("x", default=None) is None
    assert Variable.get("x", "fallback") == "fallback"
    with pytest.raises(AirflowNotFoundException, match="there is no Variable 'x'; set it with"):
        Variable.get("x")


def test_variable_while_a_file_is_loaded() -> None:
    assert Variable.get("x", default="d") == "d"
    with pytest.raises(AirflowException, match=r"cannot be read while a DAG file is being loaded.*var.value.x"):
        Variable.get("x")


def test_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, answering: Callable[[dict[str, Any]], Answers]
) -> None:
    answers = answering({"variable_get": "stored"})
    monkeypatch.setenv("AIRFLOW_VAR_COLOUR", "blue")
    monkeypatch.setenv("DAGDECK_CONN_DB", "postgres://u:p%40ss@host:5433/db")
    assert Variable.get("colour") == "blue"
    connection = Connection.get("db")
    assert (connection.login, connection.password, connection.port, connection.schema) == ("u", "p@ss", 5433, "db")
    assert answers.asked == []


@pytest.mark.parametrize(
    "connection",
    [
        Connection("c", "postgres", host="h", login="me", password="s/e:c@ret", schema="db", port=5432),
        Connection("c", "http", host="h", extra={"a": "b"}),
        Connection("c", "my_type", host="h", extra={"a": {"b": [1]}, "c": True}),
        Connection("c", "sqlite", host="/tmp/x.db"),
    ],
)
def test_connection_survives_uri_and_json(connection: ConnectionClass) -> None:
    parts = connection.to_dict()
    extra = connection.extra_dejson
    for copy in (Connection.from_uri(connection.get_uri(), "c"), Connection.from_json(connection.as_json())):
        assert copy.extra_dejson == extra
        assert {**copy.to_dict(), "extra": 0} == {**parts, "extra": 0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Connection("c", port="x"), "invalid port"),
        (lambda: Connection.from_json("[]", "c"), "not valid JSON: it is no object"),
        (lambda: Connection.from_json('{"hots": "x"}', "c"), r"unknown part \(found 'hots'\)"),
        (lambda: Connection("c", extra="[1]").extra_dejson, "no JSON object"),
        (lambda: Connection.from_uri("http://h:99999999", "c"), "invalid port"),
    ],
)
def test_wrong_connections_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_connection_from_the_database_hides_its_secrets(answering: Callable[[dict[str, Any]], Answers]) -> None:
    answers = answering(
        {"connection_get": {"conn_type": "http", "password": "pass@word", "extra": '{"api_token": "tkn-123"}'}}
    )
    connection = BaseHook.get_connection("c")
    assert (connection.conn_id, connection.password) == ("c", "pass@word")
    assert answers.masked == ["pass@word", "pass%40word", "tkn-123"]
    answers.answers["connection_get"] = runtime.NotFound("no")
    with pytest.raises(AirflowNotFoundException, match="there is no Connection 'c'; add it with"):
        Connection.get("c")


# ---------------------------------------------------------------- assets


@pytest.mark.parametrize("make", [lambda: Asset(), lambda: Asset(""), lambda: Asset("self"), lambda: Asset("x" * 251)])
def test_wrong_assets_are_refused(make: Callable[[], Asset]) -> None:
    with pytest.raises(UserError):
        make()


# ---------------------------------------------------------------- context and templates


def test_context_works_values_out_once() -> None:
    calls: list[str] = []

    def provide(source: str) -> str:
        calls.append(source)
        return source.upper()

    context = Context({"a": 1}, providers={"b": provide}, source="x", asking=frozenset({"b"}))
    assert ("b" in context, sorted(context), len(context), calls) == (True, ["a", "b"], 2, [])
    proxy = context.arguments()["b"]
    assert (isinstance(proxy, LazyValue), calls) == (True, [])
    assert (str(proxy), proxy == "X", proxy.lower(), context["b"], calls) == ("X", True, "x", "X", ["x"])
    context["c"] = 3
    del context["b"]
    assert context.get("b") is None
    assert dict(context) == {"a": 1, "c": 3}
    with pytest.raises(KeyError, match="use logical_date instead"):
        context["execution_date"]


NOW = datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
VALUES = {"ds": "2026-01-31", "params": {"n": 3}, "macros": macros, "at": NOW, "text": "a"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("newline goes\n", "newline goes"),
        ("two stay\n\n", "two stay\n"),
        ("{{ ds }}", "2026-01-31"),
        ("{{ params.n + 1 }}\n", "4"),
        ("{% for i in range(2) %}{{ i }},{% endfor %}", "0,1,"),
        ("{# a comment #}x", "x"),
        ("{% raw %}{{ ds }}{% endraw %}", "{{ ds }}"),
        ("{{ macros.ds_add(ds, 5) }}", "2026-02-05"),
        ("{{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%y') }}", "31.01.26"),
        ("{{ at | ds }} {{ at | ds_nodash }} {{ at | ts }}", "2026-01-31 20260131 2026-01-31T06:30:00+00:00"),
        ("{{ at | ts_nodash }} {{ at | ts_nodash_with_tz }}", "20260131T063000 20260131T063000+0000"),
        ("{{ text | shout }} {{ twice(4) }}", "A! 8"),
        (
            ["{{ ds }}", ("{{ text }}", 5), {"{{ ds }}": "{{ text }}"}, None],
            ["2026-01-31", ("a", 5), {"{{ ds }}": "a"}, None],
        ),
        ({"a", "{{ ds }}"}, {"a", "2026-01-31"}),
        (literal("{{ ds }}"), "{{ ds }}"),
        (literal("script.sh"), "script.sh"),
    ],
)
def test_rendering(template: Any, expected: Any) -> None:
    with DAG(
        "d", user_defined_macros={"twice": lambda x: x * 2}, user_defined_filters={"shout": lambda x: x.upper() + "!"}
    ):
        operator = BashOperator(task_id="t", bash_command="x")
    assert operator.render_template(template, Context(VALUES)) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [("{{ params.n }}", 3), ("{{ [params.n, ds] }}", [3, "2026-01-31"]), ("5", 5), ("text {{ text }}", "text a")],
)
def test_native_rendering_gives_python_values(template: str, expected: Any) -> None:
    with DAG("d", render_template_as_native_obj=True):
        operator = BashOperator(task_id="t", bash_command="x")
    assert operator.render_template(template, Context(VALUES)) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ params.m }}", "no attribute 'm'"),
        ("{{ execution_date }}", "use {{ logical_date }} instead"),
        ("{{ ", "unexpected 'end of template'"),
        ("missing.sh", "missing.sh"),
        ("{{ text.__class__ }}", "unsafe|undefined"),
    ],
)
def test_wrong_templates_fail(template: str, message: str) -> None:
    import jinja2

    with DAG("d"):
        operator = BashOperator(task_id="t", bash_command="x")
    with pytest.raises(jinja2.TemplateError, match=message):
        operator.render_template(template, Context(VALUES))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            {"password": "x", "plain": "y", "nested": {"api_key": "z"}},
            {"password": "***", "plain": "y", "nested": {"api_key": "***"}},
        ),
        (float("nan"), "nan"),
        ({3, 1, 2}, [1, 2, 3]),
        (NOW, "2026-01-31T06:30:00+00:00"),
        (len, "<callable builtins.len>"),
        (object(), "<builtins.object>"),
        ("x" * 4097, "x" * 4096 + "… (4097 characters in all)"),
        (list(range(201)), [*range(200), "… 1 more"]),
    ],
)
def test_what_people_see_of_values(value: Any, shown: Any) -> None:
    assert viewed(value) == shown


# ---------------------------------------------------------------- the package


def test_every_public_name_exists() -> None:
    assert [name for name in dagdeck.__all__ if getattr(dagdeck, name, None) is None] == []


def test_an_unknown_public_name_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        dagdeck.Nonsense  # noqa: B018


def test_no_current_context_outside_a_task() -> None:
    with pytest.raises(AirflowException, match="there is no current context"):
        dagdeck.get_current_context()
