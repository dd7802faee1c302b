"""Provider packages beside DagDeck: found by what they say of themselves, run on DagDeck's classes."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagdeck import DAG, Asset, Connection, EmptyOperator, provider_packages, task
from dagdeck.decorators.custom import get_unique_task_id, remove_task_decorator, unwrap_callable
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.filesystem import FSHook
from dagdeck.operators.interpreter_scripts import prepare_virtualenv
from dagdeck.serialize import serialize_dag

MODULES = {
    "acme/__init__.py": """
        def get_provider_info():
            return {
                "package-name": "apache-airflow-providers-acme",
                "connection-types": [
                    {"hook-class-name": "airflow.providers.acme.hooks.AcmeHook", "connection-type": "acme"}
                ],
                "task-decorators": [
                    {"class-name": "airflow.providers.acme.decorators.acme_task", "name": "acme"},
                    {"class-name": "airflow.providers.acme.box.box_task", "name": "box"},
                    {"class-name": "airflow.providers.acme.engine.engine_task", "name": "engine"},
                ],
                "asset-uris": [
                    {"schemes": ["acme", "acmes"], "handler": "airflow.providers.acme.uris.sanitize_uri"},
                    {"schemes": ["plain"], "handler": None},
                    {"schemes": ["broken"], "handler": "airflow.providers.acme.uris.no_such_function"},
                    {"schemes": ["half"]},
                ],
            }
    """,
    "acme/uris.py": """
        def sanitize_uri(uri):
            if not uri.netloc:
                raise ValueError("URI format acme:// must contain a host")
            return uri._replace(scheme="acme", netloc=uri.netloc if uri.port else f"{uri.netloc}:99")
    """,
    "acme/hooks.py": """
        from airflow.providers.common.compat.sdk import BaseHook

        class AcmeHook(BaseHook):
            conn_name_attr = "acme_conn_id"

            def __init__(self, acme_conn_id="acme_default", timeout=1):
                super().__init__()
                self.acme_conn_id, self.timeout = acme_conn_id, timeout
    """,
    "acme/decorators.py": """
        from airflow.providers.common.compat.sdk import (
            AIRFLOW_V_3_0_PLUS, BaseOperator, DecoratedOperator, task_decorator_factory
        )

        class AcmeOperator(BaseOperator):
            template_fields = ("place",)

            def __init__(self, *, place, python_callable, **kwargs):
                super().__init__(**kwargs)
                self.place, self.function = place, python_callable

            def execute(self, context):
                return [self.place, AIRFLOW_V_3_0_PLUS, self.get_python_source()]

        class _AcmeDecoratedOperator(DecoratedOperator, AcmeOperator):
            custom_operator_name = "@task.acme"
            template_fields = (*DecoratedOperator.template_fields, *AcmeOperator.template_fields)

            def __init__(self, *, python_callable, **kwargs):
                super().__init__(
                    python_callable=python_callable,
                    kwargs_to_upstream={"python_callable": python_callable},
                    **kwargs,
                )

        def acme_task(python_callable=None, multiple_outputs=None, **kwargs):
            return task_decorator_factory(
                python_callable=python_callable,
                multiple_outputs=multiple_outputs,
                decorated_operator_class=_AcmeDecoratedOperator,
                **kwargs,
            )
    """,
    "acme/box.py": """
        import base64
        import os
        import subprocess
        import sys
        from tempfile import TemporaryDirectory

        from airflow.providers.common.compat.standard.operators import _SERIALIZERS
        from airflow.providers.common.compat.standard.utils import write_python_script
        from airflow.sdk import BaseOperator
        from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

        class BoxOperator(BaseOperator):
            template_fields = ("image", "environment")

            def __init__(self, *, image, command=None, environment=None, **kwargs):
                super().__init__(**kwargs)
                self.image, self.command, self.environment = image, command, environment or {}

            def execute(self, context):
                with TemporaryDirectory() as folder:
                    names = [os.path.join(folder, name) for name in ("script.py", "script.in", "script.out")]
                    for name, variable in zip(names, ("__SCRIPT", "__INPUT")):
                        with open(name, "wb") as file:
                            file.write(base64.b64decode(self.environment[variable]))
                    subprocess.run([sys.executable, *names, "none", names[2]], check=True)
                    with open(names[2], "rb") as file:
                        return self.library.load(file)

        class _BoxDecoratedOperator(DecoratedOperator, BoxOperator):
            custom_operator_name = "@task.box"
            template_fields = (*BoxOperator.template_fields, "op_args", "op_kwargs")

            def __init__(self, serializer=None, **kwargs):
                self.serializer = serializer or "pickle"
                super().__init__(command="to be made", **kwargs)

            @property
            def library(self):
                return _SERIALIZERS[self.serializer]

            def execute(self, context):
                with TemporaryDirectory(prefix="box") as folder:
                    script, given = os.path.join(folder, "script.py"), os.path.join(folder, "script.in")
                    with open(given, "wb") as file:
                        self.library.dump({"args": self.op_args, "kwargs": self.op_kwargs}, file)
                    write_python_script(
                        jinja_context={
                            "op_args": self.op_args,
                            "op_kwargs": self.op_kwargs,
                            "pickling_library": self.library.__name__,
                            "python_callable": self.python_callable.__name__,
                            "python_callable_source": self.get_python_source(),
                            "expect_airflow": False,
                            "string_args_global": False,
                        },
                        filename=script,
                    )
                    for variable, name in (("__SCRIPT", script), ("__INPUT", given)):
                        with open(name, "rb") as file:
                            self.environment[variable] = base64.b64encode(file.read())
                    return super().execute(context)

        def box_task(python_callable=None, multiple_outputs=None, **kwargs):
            return task_decorator_factory(
                python_callable=python_callable,
                multiple_outputs=multiple_outputs,
                decorated_operator_class=_BoxDecoratedOperator,
                **kwargs,
            )
    """,
    "acme/engine.py": """
        import inspect

        from airflow.providers.common.compat.standard.operators import PythonOperator
        from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

        class _EngineDecoratedOperator(DecoratedOperator, PythonOperator):
            custom_operator_name = "@task.engine"
            template_fields = ("op_args", "op_kwargs")

            def __init__(self, python_callable, op_args=None, op_kwargs=None, conn_id=None, **kwargs):
                self.conn_id = conn_id
                signature = inspect.signature(python_callable)
                python_callable.__signature__ = signature.replace(
                    parameters=[
                        each.replace(default=None) if each.name == "engine" else each
                        for each in signature.parameters.values()
                    ]
                )
                upstream = {"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs}
                super().__init__(
                    kwargs_to_upstream=upstream,
                    python_callable=python_callable,
                    op_args=op_args,
                    op_kwargs=op_kwargs,
                    **kwargs,
                )

            def execute(self, context):
                self.op_kwargs = {**self.op_kwargs, "engine": f"engine at {self.conn_id}"}
                return super().execute(context)

        def engine_task(python_callable=None, multiple_outputs=None, **kwargs):
            return task_decorator_factory(
                python_callable=python_callable,
                multiple_outputs=multiple_outputs,
                decorated_operator_class=_EngineDecoratedOperator,
                **kwargs,
            )
    """,
    "acme/old.py": """
        from airflow.utils.deprecation_tools import add_deprecated_classes

        add_deprecated_classes({"older": {"Hook": "airflow.providers.acme.hooks.AcmeHook"}}, __package__)
    """,
}


@pytest.fixture(autouse=True)
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, installed."""
    for name, text in MODULES.items():
        path = tmp_path / "airflow" / "providers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    described = tmp_path / "apache_airflow_providers_acme-1.2.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: apache-airflow-providers-acme\nVersion: 1.2\n")
    entry = "[apache_airflow_provider]\nprovider_info=airflow.providers.acme.__init__:get_provider_info\n"
    (described / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    provider_packages.installed.cache_clear()
    provider_packages.hooks.cache_clear()
    provider_packages.asset_uri_handlers.cache_clear()
    yield
    provider_packages.installed.cache_clear()
    provider_packages.hooks.cache_clear()
    provider_packages.asset_uri_handlers.cache_clear()
    for name in [name for name in sys.modules if name.startswith("airflow.providers.acme")]:
        del sys.modules[name]


def test_a_package_is_found_with_its_version() -> None:
    assert provider_packages.ProvidersManager().providers["apache-airflow-providers-acme"].version == "1.2"


def test_a_package_says_how_the_uris_of_its_assets_are_written() -> None:
    assert Asset("ACMES://Host/table/").uri == "acme://Host:99/table"
    assert Asset("acme://host:1/x") == Asset("acme://host:1/x", uri="acme://host:1/x/")
    with pytest.raises(ValueError, match="must contain a host"):
        Asset("acme:///table")
    for scheme in ("plain", "broken", "half", "other"):
        assert Asset(f"{scheme}://a/b/").uri == f"{scheme}://a/b"
    known = [
        Asset("a", uri=uri).normalized_uri for uri in ("acmes://h/x", "plain://h/x", "file:///x", "other://h/x", "x")
    ]
    assert known == ["acme://h:99/x", "plain://h/x", "file:///x", None, None]


def test_a_connections_hook_is_that_of_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HERE", '{"conn_type": "fs"}')
    hook = Connection("there", conn_type="acme").get_hook(hook_params={"timeout": 9})
    assert (type(hook).__name__, hook.acme_conn_id, hook.timeout) == ("AcmeHook", "there", 9)
    assert isinstance(Connection("here", conn_type="fs").get_hook(), FSHook)
    with pytest.raises(AirflowException, match=r"Unknown hook type .acmee. of .*did you mean .acme."):
        Connection("there", conn_type="acmee").get_hook()


def test_a_packages_kind_of_task_makes_and_runs_tasks() -> None:
    with DAG("d", params={"town": "Oslo"}) as dag:

        @task.acme(place="in {{ params.town }}")
        def work(number: int) -> None:
            print(number)

        work(3)
    assert type(dag.get_task("work")).__name__ == "_AcmeDecoratedOperator"
    run = dag.test()
    assert run.xcom("work") == ["in Oslo", True, "def work(number: int) -> None:\n    print(number)\n"]


def test_a_function_runs_from_its_source_elsewhere() -> None:
    with DAG("d") as dag:

        @task.box(image="python:{{ ds_nodash }}", multiple_outputs=True)
        def outside(number: int, *, text: str) -> dict[str, object]:
            import os

            return {"text": text * number, "pid": os.getpid()}

        @task.box(image="python")
        def nothing() -> list[int]:
            return [1, 2]

        made = outside(2, text="{{ dag.dag_id }}")

        @task
        def after(text: str) -> str:
            return text

        after(made["text"])
        nothing()
        outside.override(task_id="many").partial(text="x").expand(number=[1, 2])
    spec = {task.task_id: task for task in serialize_dag(dag).tasks}
    assert (spec["outside"].task_type, spec["outside"].operator_name) == ("_BoxDecoratedOperator", "@task.box")
    run = dag.test()
    assert str(run.state) == "success", run.states
    assert run.xcom("after") == "dd"
    assert run.xcom("outside", "pid") != os.getpid()
    assert run.xcom("nothing") == [1, 2]
    assert [run.xcom("many", "text", index) for index in (0, 1)] == ["x", "xx"]


def test_a_kind_may_fill_in_arguments_of_the_function() -> None:
    with DAG("d") as dag:

        @task.engine(conn_id="there")
        def work(number: int, engine: str) -> str:
            return f"{engine}: {number}"

        work(number=3)
        work.expand(number=[4])
    run = dag.test()
    assert run.xcom("work") == "engine at there: 3"
    assert run.xcom("work__1", map_index=0) == "engine at there: 4"


def test_decorators_that_make_no_task_stay_in_the_source() -> None:
    source = """
        @setup
        @task.box(
            image="x",
        )
        @other
        def f():
            pass
    """
    assert remove_task_decorator(source, "@task.box") == "\n@other\ndef f():\n    pass\n"
    assert unwrap_callable(functools.partial(functools.partial(print, 1), 2)) is print
    with DAG("d"):
        assert get_unique_task_id("t") == "t"
        EmptyOperator(task_id="t")
        assert get_unique_task_id("t") == "t__1"


def test_a_virtual_environment_for_operators_of_others(tmp_path: Path) -> None:
    python = prepare_virtualenv(str(tmp_path / "venv"), sys.executable, system_site_packages=True)
    answer = subprocess.run([python, "-c", "import sys, dagdeck; print(sys.prefix)"], capture_output=True, text=True)
    assert answer.stdout.strip() == str(tmp_path / "venv"), answer.stderr


def test_a_kind_of_a_package_that_is_not_installed_names_it() -> None:
    with pytest.raises(AttributeError, match="apache-airflow-providers-docker"):
        task.docker  # noqa: B018
    with pytest.raises(AttributeError, match=r"there is no decorator @task\.acmee"):
        task.acmee  # noqa: B018


def test_places_that_a_package_has_left_lead_to_the_new_ones() -> None:
    importlib.import_module("airflow.providers.acme.old")
    older = importlib.import_module("airflow.providers.acme.older")
    with pytest.warns(
        DeprecationWarning, match=r"airflow.providers.acme.older.Hook is .* Use airflow.providers.acme.hooks"
    ):
        found = older.Hook
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found is importlib.import_module("airflow.providers.acme.hooks").AcmeHook
    with pytest.raises(AttributeError):
        _ = older.Nothing
