"""Scripts and virtual environments for operators of others that run a function elsewhere, such as in a container.

Decides what the script looks like: it reads the arguments from the file that its first argument names, calls the
function and leaves the result in the second; string arguments stand in the third, and what went wrong is left in the
fourth.
DagDeck's own operators do without (`interpreter_call`). Called by operators of provider packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagdeck.hooks.subprocess import SubprocessHook
from dagdeck.operators import virtualenvs

_MODULE = """
import types
_module = types.ModuleType({module!r})
_module.{function} = {function}
sys.modules[{module!r}] = _module
"""
"""Values that were pickled beside the DAG file name its module."""
_STRINGS = """
with open(sys.argv[3], encoding="utf-8") as _file:
    virtualenv_string_args = [line.strip() for line in _file]
"""
_ARGUMENTS = """
with open(sys.argv[1], "rb") as _file:
    _given = {library}.load(_file)
"""
_SCRIPT = """\
from __future__ import annotations

import {library}
import sys

{source}
{module}{arguments}{strings}
try:
    _result = {function}(*_given["args"], **_given["kwargs"])
except Exception as _error:
    if len(sys.argv) > 4:
        with open(sys.argv[4], "w", encoding="utf-8") as _file:
            _file.write(str(_error))
    raise
with open(sys.argv[2], "wb") as _file:
    if _result is not None:
        {library}.dump(_result, _file)
"""


def write_python_script(
    jinja_context: Mapping[str, Any], filename: str, render_template_as_native_obj: bool = False
) -> None:
    """Write a script that calls a function.

    `jinja_context` names it (`python_callable`), its source (`python_callable_source`) and the module that pickles
    (`pickling_library`); `op_args` and `op_kwargs` say whether there are arguments, `string_args_global` whether there
    are string arguments, `modified_dag_module_name` under which module the values know the function.
    """
    library, function = jinja_context["pickling_library"], jinja_context["python_callable"]
    module = jinja_context.get("modified_dag_module_name")
    has_arguments = jinja_context.get("op_args") or jinja_context.get("op_kwargs")
    nothing = '\n_given = {"args": [], "kwargs": {}}\n'
    text = _SCRIPT.format(
        library=library,
        function=function,
        source=jinja_context["python_callable_source"],
        module=_MODULE.format(module=module, function=function) if module else "",
        arguments=_ARGUMENTS.format(library=library) if has_arguments else nothing,
        strings=_STRINGS if jinja_context.get("string_args_global", True) else "",
    )
    Path(filename).write_text(text, encoding="utf-8")


def prepare_virtualenv(
    venv_directory: str,
    python_bin: str,
    system_site_packages: bool,
    requirements: Sequence[str] | None = None,
    requirements_file_path: str | None = None,
    pip_install_options: Sequence[str] | None = None,
    index_urls: Sequence[str] | None = None,
) -> str:
    """Make a virtual environment with the interpreter `python_bin`; the path of its own interpreter.

    Requirements are a list or stand in a file. Raises AirflowException for a step that fails.
    """
    listed = list(requirements or ())
    if requirements_file_path is not None:
        listed += Path(requirements_file_path).read_text(encoding="utf-8").splitlines()
    plan = virtualenvs.EnvironmentPlan(
        requirements=tuple(listed),
        system_site_packages=system_site_packages,
        pip_install_options=tuple(pip_install_options or ()),
        index_urls=None if index_urls is None else tuple(index_urls),
    )
    folder = Path(venv_directory)
    virtualenvs.make(folder, plan, SubprocessHook(logger_name="dagdeck.task.subprocess"), interpreter=python_bin)
    return str(virtualenvs.python_in(folder))
