"""Operators that call a function in another Python interpreter: one in a virtual environment, or one that is there.

Decides which interpreter that is, and which values of the context a function gets there. How the call is made is in
`interpreter_call`, how environments are made in `virtualenvs`. Used in DAG files and as the base of
`@task.virtualenv` and its kin.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from dagdeck.context import Context, LazyValue
from dagdeck.exceptions import AirflowException, AirflowSkipException, InvalidArguments, invalid
from dagdeck.hooks.package_index import PackageIndexHook
from dagdeck.hooks.subprocess import SubprocessHook
from dagdeck.operators import virtualenvs
from dagdeck.operators.interpreter_call import (
    InterpreterCall,
    check_function,
    check_serializer,
    environment,
    makes_tasks,
    source_of,
    without_pendulum,
)
from dagdeck.operators.python import PythonOperator
from dagdeck.operators.skipping import BranchMixIn
from dagdeck.variable import Variable

PLAIN_KEYS = frozenset(
    {
        "ds",
        "ds_nodash",
        "expanded_ti_count",
        "params",
        "partition_key",
        "run_id",
        "task_instance_key_str",
        "task_reschedule_count",
        "templates_dict",
        "test_mode",
        "try_number",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
    }
)
"""Values of the context that every interpreter understands."""

DATE_KEYS = frozenset(
    {
        "data_interval_end",
        "data_interval_start",
        "logical_date",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "run_after",
    }
)
"""Dates of the context; pendulum's where the interpreter has it, otherwise the standard library's."""

OWN_KEYS = frozenset({"dag_run", "inlets", "outlets"})
"""Values that need DagDeck in the interpreter; passed only to a function that names them."""

CACHE_KEY_VARIABLE = "python_virtualenv_operator_cache_key"
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


class _BasePythonVirtualenvOperator(PythonOperator):
    """What both kinds share: the call, its environment variables and what its exit code means."""

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        serializer: str | None = None,
        string_args: Iterable[str] | None = None,
        expect_airflow: bool = True,
        skip_on_exit_code: int | Container[int] | None = None,
        env_vars: dict[str, str] | None = None,
        inherit_env: bool = True,
        use_dill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, **kwargs)
        subject = f"task {self.task_id!r}"
        check_function(python_callable, subject=subject)
        self.serializer = check_serializer("dill" if use_dill and serializer is None else serializer, subject=subject)
        self.string_args = list(string_args or ())
        self.expect_airflow = expect_airflow
        self.skip_on_exit_code: Container[int] = (
            (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else (skip_on_exit_code or ())
        )
        self.env_vars = env_vars
        self.inherit_env = inherit_env
        self.subprocess_hook = SubprocessHook(logger_name="dagdeck.task.subprocess")
        self._about_task: Mapping[str, str] = {}
        self._bundle_root: str | None = None

    @abstractmethod
    def has_package(self, name: str) -> bool:
        """Whether the interpreter has a package."""

    def execute(self, context: Context) -> Any:
        """Call the function there, with those values of the context that can go there."""
        names = _parameters(self.python_callable)
        keys = PLAIN_KEYS | DATE_KEYS | (OWN_KEYS & names)
        known = {key: context[key] for key in sorted(keys) if key in context and (key in names or key not in _COSTLY)}
        ti = context["ti"]
        self._about_task = ti.environment()
        self._bundle_root = ti.bundle_root
        return super().execute(Context(known))

    def on_kill(self) -> None:
        """End the other interpreter and all its children."""
        self.subprocess_hook.send_sigterm()

    def call_in(self, python: str) -> Any:
        """Call the function in the interpreter `python`. Raises AirflowException, AirflowSkipException."""
        args, kwargs = _settled(list(self.op_args)), _settled(dict(self.op_kwargs))
        if not self.has_package("pendulum"):
            args, kwargs = without_pendulum(args), without_pendulum(kwargs)
        call = InterpreterCall(
            source=source_of(self.python_callable, makes_tasks),
            function=self.python_callable.__name__,
            module=self.python_callable.__module__,
            serializer=self.serializer,
            args=args,
            kwargs=kwargs,
            string_args=self.string_args,
            with_layer=self.expect_airflow,
        )
        variables = environment(
            self.inherit_env, self.env_vars, about_task=self._about_task, bundle_root=self._bundle_root
        )
        with tempfile.TemporaryDirectory(prefix="dagdeck-call-") as folder:
            command = call.command(python, Path(folder))
            code = self.subprocess_hook.run_command(command, env=variables).exit_code
            if code in self.skip_on_exit_code:
                raise AirflowSkipException(f"Process exited with code {code}. Skipping.")
            if code != 0:
                reason = call.error(Path(folder)) or "its output says why"
                raise AirflowException(f"Process returned non-zero exit status {code}.\n{reason}")
            return call.result(Path(folder))


_COSTLY = frozenset(name for name in DATE_KEYS if name.startswith("prev_"))
"""Dates that cost a question; only for a function that names them."""


class PythonVirtualenvOperator(_BasePythonVirtualenvOperator):
    """Calls a function in a virtual environment that is made for it.

    The function stands alone: what it uses it imports, or gets as arguments. `requirements` are what pip is given:
    a list, the text of a requirements file, or the name of a .txt template file. `venv_cache_path` is a folder that
    keeps environments, by what they are made of. `index_urls` replace pip's index; an empty list forbids any.
    `string_args` are in the function's global `virtualenv_string_args`.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "requirements",
        "index_urls",
        "index_urls_from_connection_ids",
        "venv_cache_path",
        *PythonOperator.template_fields,
    )
    template_ext: Sequence[str] = (".txt",)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        requirements: Iterable[str] | str | None = None,
        python_version: str | None = None,
        system_site_packages: bool = True,
        pip_install_options: Sequence[str] | None = None,
        index_urls: Collection[str] | str | None = None,
        index_urls_from_connection_ids: Collection[str] | str | None = None,
        venv_cache_path: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, **kwargs)
        if python_version is not None and not isinstance(python_version, str):
            raise invalid(
                "python_version must be text",
                subject=f"task {self.task_id!r}",
                field="python_version",
                value=python_version,
                remedy='Write for example "3.12"',
                error=InvalidArguments,
            )
        self.requirements = _listed(requirements) or []
        self.python_version = python_version
        self.system_site_packages = system_site_packages
        self.pip_install_options = list(pip_install_options or ())
        self.index_urls = _listed(index_urls)
        self.index_urls_from_connection_ids = _listed(index_urls_from_connection_ids)
        self.venv_cache_path = os.fspath(venv_cache_path) if venv_cache_path is not None else None

    def has_package(self, name: str) -> bool:
        """Whether the environment has a package: it is required, or the worker's own packages are visible."""
        return (self.system_site_packages and self.python_version is None) or name in self._required_names()

    def execute_callable(self) -> Any:
        """Make the environment, or find it in the cache, and call the function there."""
        if self.venv_cache_path:
            plan = self._plan(str(Variable.get(CACHE_KEY_VARIABLE, "")))
            venv = virtualenvs.cached(Path(self.venv_cache_path), plan, self.subprocess_hook)
            return self.call_in(str(virtualenvs.python_in(venv)))
        with tempfile.TemporaryDirectory(prefix="dagdeck-venv-") as folder:
            venv = Path(folder, "venv")
            virtualenvs.make(venv, self._plan(), self.subprocess_hook)
            return self.call_in(str(virtualenvs.python_in(venv)))

    def _plan(self, cache_key: str = "") -> virtualenvs.EnvironmentPlan:
        wanted = [line for text in self.requirements for line in str(text).splitlines() if line.strip()]
        if self.serializer != "pickle" and not self.has_package(self.serializer):
            wanted.append(self.serializer)
        urls = list(self.index_urls) if self.index_urls is not None else None
        for conn_id in self.index_urls_from_connection_ids or ():
            urls = [*(urls or ()), PackageIndexHook(conn_id).get_connection_url()]
        return virtualenvs.EnvironmentPlan(
            requirements=tuple(wanted),
            python_version=self.python_version,
            system_site_packages=self.system_site_packages,
            pip_install_options=tuple(self.pip_install_options),
            index_urls=None if urls is None else tuple(urls),
            cache_key=cache_key,
        )

    def _required_names(self) -> set[str]:
        lines = (line for text in self.requirements for line in str(text).splitlines())
        found = (_NAME.match(line) for line in lines)
        return {match[1].lower().replace("_", "-") for match in found if match is not None}


class ExternalPythonOperator(_BasePythonVirtualenvOperator):
    """Calls a function in the Python interpreter `python`, an absolute path that exists on the worker."""

    template_fields: ClassVar[Sequence[str]] = ("python", *PythonOperator.template_fields)

    def __init__(
        self,
        *,
        python: str | os.PathLike[str],
        python_callable: Callable[..., Any],
        expect_pendulum: bool = False,
        **kwargs: Any,
    ) -> None:
        if not python:
            raise invalid("the path of an interpreter is needed", field="python", error=InvalidArguments)
        super().__init__(python_callable=python_callable, **kwargs)
        self.python = os.fspath(python)
        self.expect_pendulum = expect_pendulum
        self._packages: dict[str, bool] = {}

    def has_package(self, name: str) -> bool:
        """Whether the interpreter can import a package; it is asked once."""
        if name not in self._packages:
            question = f"import importlib.util as u, sys; sys.exit(0 if u.find_spec({name!r}) else 1)"
            answer = subprocess.run([self.python, "-c", question], capture_output=True, timeout=60, check=False)
            self._packages[name] = answer.returncode == 0
        return self._packages[name]

    def execute_callable(self) -> Any:
        """Call the function there. Raises AirflowException when there is no such interpreter."""
        path = Path(self.python)
        if not path.is_absolute() or not path.is_file():
            raise AirflowException(f"python must be the absolute path of an interpreter on this worker, not {path}")
        return self.call_in(self.python)


class BranchPythonVirtualenvOperator(PythonVirtualenvOperator, BranchMixIn):
    """As PythonVirtualenvOperator; the function returns the id, or ids, of what to follow."""

    def execute(self, context: Context) -> Any:
        """Call the function and skip what it did not choose."""
        return self.do_branch(context, super().execute(context))


class BranchExternalPythonOperator(ExternalPythonOperator, BranchMixIn):
    """As ExternalPythonOperator; the function returns the id, or ids, of what to follow."""

    def execute(self, context: Context) -> Any:
        """Call the function and skip what it did not choose."""
        return self.do_branch(context, super().execute(context))


def _parameters(function: Callable[..., Any]) -> set[str]:
    import inspect

    return set(inspect.signature(function).parameters)


def _settled(value: Any) -> Any:
    """`value` with what is only worked out at first use worked out."""
    if isinstance(value, LazyValue):
        return value._resolved()
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_settled(item) for item in value)
    return value


def _listed(value: Iterable[str] | str | None) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, str) else list(value)
