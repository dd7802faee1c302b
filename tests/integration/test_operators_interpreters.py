"""Functions in other interpreters: virtual environments, a given interpreter, their cache and what passes."""

from __future__ import annotations

import os
import pickle
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pendulum
import pytest

from dagdeck import DAG, EmptyOperator, task
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.subprocess import SubprocessHook
from dagdeck.operators import virtualenvs
from dagdeck.operators.interpreter_call import source_of, without_pendulum
from dagdeck.operators.python_virtualenv import (
    BranchExternalPythonOperator,
    ExternalPythonOperator,
    PythonVirtualenvOperator,
)
from dagdeck.operators.virtualenvs import EnvironmentPlan
from dagdeck_core.errors import UserError


def double(number: int, *, suffix: str = "") -> str:
    """Top-level, so that its source stands alone."""
    import sys

    print("in", sys.prefix)
    return f"{number * 2}{suffix}"


def test_an_external_interpreter_gets_arguments_and_gives_the_result(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with DAG("d") as dag:
        ExternalPythonOperator(
            task_id="t", python=sys.executable, python_callable=double, op_args=[21], op_kwargs={"suffix": "{{ ds }}"}
        )
    run = dag.test(logical_date=datetime(2026, 3, 4, tzinfo=UTC))
    assert (run.states, run.xcom("t")) == ({"t": "success"}, "422026-03-04")
    assert f"in {sys.prefix}" in caplog.messages


def test_a_virtual_environment_is_made_and_reused(tmp_path: Path) -> None:
    with DAG("d") as dag:

        @task.virtualenv(system_site_packages=False, venv_cache_path=str(tmp_path))
        def inside(values: Any) -> Any:
            import sys

            return {"prefix": sys.prefix, "values": values}

        @task.virtualenv(system_site_packages=True)
        def shared(logical_date: Any = None, ds: Any = None, params: Any = None) -> Any:
            import sys

            import msgspec  # what the worker has is visible

            return [sys.prefix, type(logical_date).__module__.split(".")[0], ds, bool(msgspec)]

        inside({"a": Decimal("1.5"), "s": {1, 2}})
        shared()
    first, second = dag.test(), dag.test()
    found = first.xcom("inside")
    assert found["values"] == {"a": Decimal("1.5"), "s": {1, 2}}
    assert Path(found["prefix"]).parent == tmp_path
    assert second.xcom("inside") == found
    assert len([each for each in tmp_path.iterdir() if each.is_dir()]) == 1
    prefix, module, ds, visible = first.xcom("shared")
    assert (prefix != sys.prefix, module, len(ds), visible) == (True, "pendulum", 10, True)
    assert not Path(prefix).exists(), "an environment without a cache is deleted"


def test_branches_in_other_interpreters() -> None:
    with DAG("d") as dag:

        @task.branch_external_python(python=sys.executable)
        def choose() -> str:
            return "left"

        @task.branch_virtualenv
        def choose_more(values: list[str]) -> list[str]:
            return values

        choose() >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]
        choose_more(["up"]) >> [EmptyOperator(task_id="up"), EmptyOperator(task_id="down")]
    states = dag.test().states
    assert {name: states[name] for name in ("left", "right", "up", "down")} == {
        "left": "success",
        "right": "skipped",
        "up": "success",
        "down": "skipped",
    }


def leave(code: int) -> None:
    """Ends the interpreter."""
    import sys

    print("leaving")
    sys.exit(code)


def explode() -> None:
    """Raises."""
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("code", "skip_on", "state"),
    [(0, None, "success"), (3, None, "failed"), (3, 3, "skipped"), (4, (3, 4), "skipped"), (0, 0, "skipped")],
)
def test_exit_codes(code: int, skip_on: Any, state: str) -> None:
    with DAG("d") as dag:
        ExternalPythonOperator(
            task_id="t", python=sys.executable, python_callable=leave, op_args=[code], skip_on_exit_code=skip_on
        )
    assert dag.test().states == {"t": state}


def test_what_the_function_raises_is_the_tasks_error() -> None:
    with DAG("d") as dag:
        ExternalPythonOperator(task_id="t", python=sys.executable, python_callable=explode)
    error = dag.test().tasks["t"].error
    assert error is not None
    assert "KeyError: 'no such thing'" in error.message


def test_an_interpreter_that_is_not_there_and_arguments_that_cannot_pass() -> None:
    with DAG("d") as dag:
        ExternalPythonOperator(task_id="missing", python="/nowhere/python", python_callable=explode)
        ExternalPythonOperator(
            task_id="unpicklable", python=sys.executable, python_callable=double, op_kwargs={"suffix": lambda: 1}
        )
        ExternalPythonOperator(task_id="relative", python="python3", python_callable=explode)
    run = dag.test()
    messages = {name: ended.error.message for name, ended in run.tasks.items() if ended.error}
    assert "absolute path" in messages["missing"]
    assert "absolute path" in messages["relative"]
    assert "suffix" in messages["unpicklable"]


def show_environment(**context: Any) -> Any:
    """The variables that the child sees and the context's names."""
    import os

    names = ("AIRFLOW_CTX_TASK_ID", "MINE", "PATH", "GIVEN")
    return {name: os.environ.get(name) for name in names}, sorted(context), virtualenv_string_args  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize("inherit", [True, False])
def test_environment_context_and_string_args(inherit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "inherited")
    with DAG("d") as dag:
        ExternalPythonOperator(
            task_id="t",
            python=sys.executable,
            python_callable=show_environment,
            env_vars={"GIVEN": "yes"},
            inherit_env=inherit,
            string_args=["a", "b"],
            templates_dict={"x": "{{ ti.task_id }}"},
        )
    run = dag.test(logical_date=datetime(2026, 3, 4, tzinfo=UTC))
    environment, names, string_args = run.xcom("t")
    assert environment == {
        "AIRFLOW_CTX_TASK_ID": "t",
        "MINE": "inherited" if inherit else None,
        "PATH": os.environ["PATH"] if inherit else None,
        "GIVEN": "yes",
    }
    assert {"ds", "logical_date", "params", "run_id", "templates_dict"} <= set(names)
    assert not {"ti", "dag", "task", "conn", "var"} & set(names)
    assert string_args == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"python_callable": lambda: 1}, "written with def"),
        ({"python_callable": print}, "written with def"),
        ({"python_callable": double, "serializer": "json"}, "no such serializer"),
        ({"python_callable": double, "python_version": 3.11}, "must be text"),
    ],
)
def test_what_cannot_work_is_refused_in_the_dag_file(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        PythonVirtualenvOperator(task_id="t", **arguments)


def generate() -> Any:
    """A generator."""
    yield 1


def test_generators_and_a_missing_python_are_refused() -> None:
    with pytest.raises(UserError, match="must not use yield"):
        BranchExternalPythonOperator(task_id="t", python=sys.executable, python_callable=generate)
    with pytest.raises(UserError, match="path of an interpreter"):
        ExternalPythonOperator(task_id="t", python="", python_callable=double)


def _outer(function: Any) -> Any:
    return function


def test_only_own_decorators_are_left_out_of_the_source() -> None:
    @task.virtualenv(
        requirements=[],
    )
    @_outer
    def decorated() -> int:
        return 1

    text = source_of(decorated.function, lambda found: found is task)
    assert text.startswith("@_outer\ndef decorated()")


def test_plans_differ_by_what_matters_and_hide_passwords() -> None:
    plan = EnvironmentPlan(requirements=("a", "b"), index_urls=("https://user:hidden@host/simple",))
    assert "hidden" not in plan.text()
    assert plan.name() == EnvironmentPlan(requirements=("b", "a"), index_urls=plan.index_urls).name()
    others = [
        EnvironmentPlan(requirements=("a",)),
        EnvironmentPlan(requirements=("a",), index_urls=()),
        EnvironmentPlan(requirements=("a",), python_version="3.11"),
        EnvironmentPlan(requirements=("a",), system_site_packages=False),
        EnvironmentPlan(requirements=("a",), pip_install_options=("--no-deps",)),
        EnvironmentPlan(requirements=("a",), cache_key="2"),
    ]
    assert len({each.name() for each in others}) == len(others)


def test_requirements_that_cannot_be_had_fail_the_task_and_leave_no_cache(tmp_path: Path) -> None:
    plan = EnvironmentPlan(requirements=("dagdeck-has-no-such-thing",), index_urls=(), system_site_packages=False)
    with pytest.raises(AirflowException, match="requirements cannot be installed"):
        virtualenvs.cached(tmp_path, plan, SubprocessHook())
    assert not (tmp_path / plan.name()).exists()


def test_a_broken_cached_environment_is_made_anew(tmp_path: Path) -> None:
    plan = EnvironmentPlan(system_site_packages=False)
    (tmp_path / plan.name()).mkdir()
    venv = virtualenvs.cached(tmp_path, plan, SubprocessHook())
    assert virtualenvs.python_in(venv).exists()
    assert (venv / virtualenvs.MARKER).read_text() == plan.text()


def test_a_package_of_the_project_is_installed_from_a_folder(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "tiny_thing.py").write_text("VALUE = 42\n")
    (package / "pyproject.toml").write_text(
        "[build-system]\nrequires=[]\nbuild-backend='backend'\nbackend-path=['.']\n"
        "[project]\nname='tiny-thing'\nversion='1'\n"
    )
    (package / "backend.py").write_text(_BACKEND)

    def read() -> int:
        import tiny_thing  # type: ignore[import-not-found]

        return int(tiny_thing.VALUE)

    with DAG("d") as dag:
        PythonVirtualenvOperator(
            task_id="t",
            python_callable=read,
            requirements=[str(package)],
            index_urls=[],
            system_site_packages=False,
            pip_install_options=["--no-build-isolation"],
        )
    run = dag.test()
    assert (run.states, run.xcom("t")) == ({"t": "success"}, 42)


_BACKEND = """
import zipfile, pathlib
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tiny_thing-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("tiny_thing.py", pathlib.Path("tiny_thing.py").read_text())
        wheel.writestr("tiny_thing-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny-thing\\nVersion: 1\\n")
        wheel.writestr("tiny_thing-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n")
        wheel.writestr("tiny_thing-1.dist-info/RECORD", "")
    return name
"""


def test_dates_without_pendulum() -> None:
    value = {"a": [pendulum.datetime(2026, 3, 4, tz="Europe/Berlin")], "b": ({"c": pendulum.datetime(2026, 1, 1)},)}
    plain = without_pendulum(value)
    moment = plain["a"][0]
    assert type(moment) is datetime
    assert moment == value["a"][0]
    assert str(moment.tzinfo) == "Europe/Berlin"
    assert b"pendulum" not in pickle.dumps(plain)
