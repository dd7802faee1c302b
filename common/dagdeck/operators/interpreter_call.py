"""Calling a function in another Python interpreter: what goes into the call and what comes back.

Decides the files that pass between the two processes, and how the function's source is taken out of its DAG file.
Both processes are the task's own, so values pass pickled between them and nowhere else. Does not decide which
interpreter that is (`dagdeck.operators.python_virtualenv`).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dagdeck.exceptions import AirflowException, DeserializingResultError, InvalidArguments, invalid

SERIALIZERS = ("pickle", "cloudpickle", "dill")

_SCRIPT = """\
from __future__ import annotations

import {serializer} as _serializer
import inspect as _inspect
import json as _json
import sys as _sys

_sys.modules.setdefault({module!r}, _sys.modules["__main__"])
{layer}
{source}

def _call():
    with open(_sys.argv[1], "rb") as _file:
        _given = _serializer.loads(_file.read())
    _result = {function}(*_given["args"], **_given["kwargs"])
    if _inspect.iscoroutine(_result):
        import asyncio
        _result = asyncio.run(_result)
    if _result is not None:
        with open(_sys.argv[2], "wb") as _file:
            _file.write(_serializer.dumps(_result))

with open(_sys.argv[3], encoding="utf-8") as _file:
    virtualenv_string_args = _json.load(_file)

if __name__ == "__main__":
    try:
        _call()
    except Exception as _error:
        with open(_sys.argv[4], "w", encoding="utf-8") as _file:
            _file.write(type(_error).__name__ + ": " + str(_error))
        raise
"""

_LAYER = """\
try:
    from dagdeck.airflow_layer import install as _install
except ImportError:
    pass
else:
    _install()
"""
"""Where the interpreter has DagDeck, `import airflow` finds it there too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpreterCall:
    """One call: the function's source and name, its arguments, and how values pass.

    `module` is the name under which the DAG file is imported here, so that values of its classes can be read
    there. `with_layer` lets the function import airflow where DagDeck is installed.
    """

    source: str
    function: str
    module: str
    serializer: str = "pickle"
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    string_args: Sequence[str] = ()
    with_layer: bool = True

    def command(self, python: str, folder: Path) -> list[str]:
        """Write the call's files into `folder`; the command that carries it out.

        Raises AirflowException naming the argument that cannot be passed.
        """
        script = _SCRIPT.format(
            serializer=self.serializer,
            module=self.module,
            source=self.source,
            function=self.function,
            layer=_LAYER if self.with_layer else "",
        )
        files = [folder / name for name in ("script.in", "script.out", "string_args.json", "error.txt")]
        (folder / "script.py").write_text(script, encoding="utf-8")
        files[0].write_bytes(self._packed())
        import json

        files[2].write_text(json.dumps([str(text) for text in self.string_args]), encoding="utf-8")
        return [python, str(folder / "script.py"), *map(str, files)]

    def result(self, folder: Path) -> Any:
        """What the function returned. Raises DeserializingResultError when it cannot be read here."""
        output = folder / "script.out"
        if not output.exists():
            return None
        try:
            return self._library().loads(output.read_bytes())
        except Exception as error:
            raise DeserializingResultError(
                f"what {self.function} returned cannot be read by this interpreter: {error}. Return plain data"
            ) from error

    def error(self, folder: Path) -> str:
        """What the function raised, in words; empty when it did not get that far."""
        path = folder / "error.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _library(self) -> Any:
        try:
            return importlib.import_module(self.serializer)
        except ImportError as error:
            raise AirflowException(
                f"the serializer {self.serializer!r} is not installed on this worker: install it beside DagDeck"
            ) from error

    def _packed(self) -> bytes:
        library = self._library()
        try:
            packed: bytes = library.dumps({"args": tuple(self.args), "kwargs": dict(self.kwargs)})
            return packed
        except Exception as error:
            bad = [name for name, value in self._named() if not _can_pack(library, value)]
            raise AirflowException(
                f"these arguments of {self.function} cannot be passed to another interpreter: "
                f"{', '.join(bad) or error}. Pass plain data instead"
            ) from error

    def _named(self) -> Iterator[tuple[str, Any]]:
        yield from ((f"op_args[{index}]", value) for index, value in enumerate(self.args))
        yield from self.kwargs.items()


class _Library:
    """A module that pickles, imported when it is first used."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


SERIALIZER_LIBRARIES = {name: _Library(name) for name in SERIALIZERS}
"""The modules by name, for operators of others."""


def _can_pack(library: Any, value: Any) -> bool:
    try:
        library.dumps(value)
    except Exception:  # noqa: BLE001 - picklers raise whatever the objects inside raise
        return False
    return True


def check_serializer(name: str | None, *, subject: str) -> str:
    """The serializer's name. Raises UserError for an unknown one."""
    if name is None:
        return SERIALIZERS[0]
    if name not in SERIALIZERS:
        raise invalid(
            "there is no such serializer",
            subject=subject,
            field="serializer",
            value=name,
            remedy=f"Use one of {', '.join(SERIALIZERS)}",
            error=InvalidArguments,
        )
    return name


def check_function(function: Any, *, subject: str) -> None:
    """Raise UserError unless `function` can be carried to another interpreter as source."""
    problem = ""
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        problem = "python_callable must be a function written with def"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        problem = "python_callable must not use yield"
    if problem:
        raise invalid(problem, subject=subject, field="python_callable", value=function, error=InvalidArguments)


def source_of(function: Callable[..., Any], is_own: Callable[[Any], bool]) -> str:
    """The function's source without the decorators for which `is_own` holds, and without indentation.

    Raises AirflowException when the source cannot be found.
    """
    function = inspect.unwrap(function)
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise AirflowException(f"the source of {function.__name__} cannot be found: {error}") from error
    node = ast.parse(source).body[0]
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise AirflowException(f"{function.__name__} must be written with def")
    lines = source.splitlines(keepends=True)
    for decorator in reversed(node.decorator_list):
        if is_own(_named_by(decorator, function)):
            assert decorator.end_lineno is not None
            del lines[decorator.lineno - 1 : decorator.end_lineno]
    return "".join(lines)


def makes_tasks(found: Any) -> bool:
    """Whether a decorator is one of DagDeck's own, which means nothing in another interpreter."""
    if isinstance(found, str):
        return found in ("task", "setup", "teardown")
    return str(getattr(found, "__module__", None) or type(found).__module__).startswith("dagdeck.decorators")


def _named_by(decorator: ast.expr, function: Callable[..., Any]) -> Any:
    """What the first name of a decorator stands for in the function's module; its name when that is not found."""
    node: ast.AST = decorator
    while isinstance(node, (ast.Call, ast.Attribute)):
        node = node.func if isinstance(node, ast.Call) else node.value
    name = node.id if isinstance(node, ast.Name) else ""
    return function.__globals__.get(name, name)


def without_pendulum(value: Any) -> Any:
    """`value` with pendulum's datetimes replaced by the standard library's, for an interpreter without pendulum."""
    if isinstance(value, datetime) and type(value).__module__.startswith("pendulum"):
        zone = value.tzinfo
        name = getattr(zone, "name", None) or getattr(zone, "key", None)
        return datetime(*value.timetuple()[:6], value.microsecond, tzinfo=_plain_zone(name, value), fold=value.fold)
    if isinstance(value, dict):
        return {key: without_pendulum(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(without_pendulum(item) for item in value)
    return value


def _plain_zone(name: str | None, moment: datetime) -> Any:
    from datetime import UTC, timezone
    from zoneinfo import ZoneInfo

    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        offset = moment.utcoffset()
        return timezone(offset) if offset is not None else None


def environment(
    inherit: bool, extra: Mapping[str, str] | None, *, about_task: Mapping[str, str], bundle_root: str | None
) -> dict[str, str]:
    """The other interpreter's environment: this process's if it is inherited, the author's over it, and the bundle
    at the end of PYTHONPATH.
    """
    base = dict(os.environ) if inherit else {}
    base.pop("PYTHONHOME", None)
    base.pop("__PYVENV_LAUNCHER__", None)
    merged = {**base, **about_task, **{key: str(value) for key, value in (extra or {}).items()}}
    if bundle_root:
        merged["PYTHONPATH"] = os.pathsep.join(filter(None, (merged.get("PYTHONPATH"), bundle_root)))
    return merged
