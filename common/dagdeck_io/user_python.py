"""The Python that runs users' code: DAG files, tasks, triggers, callbacks.

Decides which Python that is. Installed by pip, DagDeck runs in one that has users' packages beside it, so it is that
one; a packaged program brings a Python of its own that has none of them, so another one is needed, which has the same
version's runner package. Called by the composition roots of the DAG processor and the worker, and by `dagdeckd`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dagdeck_core.bundled import original_environment
from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError
from dagdeck_io.settings import Settings

FIELD = "core.runner_python"
OLDEST = (3, 11)
RUNNER_ENVIRONMENT = "runner-env"
"""Folder within paths.home with the environment that is used when the setting names no other."""
_ASK_SECONDS = 30.0
_NAMES = ("python3", *(f"python3.{minor}" for minor in range(14, 10, -1)), "python")
_QUESTION = """
import json, sys
from importlib import metadata
found = None
for name in ("dagdeck-runner", "dagdeck"):
    try:
        found = metadata.version(name)
        break
    except metadata.PackageNotFoundError:
        pass
print(json.dumps([list(sys.version_info[:2]), found]))
"""


class NoUsablePython(EnvironmentFault):
    """This computer has no Python that could run DAG files; somebody has to install or to choose one."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, transient=False, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonAnswer:
    """What a Python says of itself. `runner` is the version of its runner package, None without one."""

    version: tuple[int, int]
    runner: str | None


def bundle_folder() -> str | None:
    """Where the files of this packaged program are; None when it is not a packaged one."""
    return str(getattr(sys, "_MEIPASS", None) or Path(sys.executable).parent) if getattr(sys, "frozen", False) else None


def outside_environment() -> dict[str, str]:
    """This process's environment for programs that do not belong to it."""
    return original_environment(os.environ, bundle_folder())


def python_for_user_code(settings: Settings) -> str:
    """Path of the Python to start. Raises UserError for a setting that names none, NoUsablePython without any."""
    given = settings.core.runner_python
    if given:
        return _given(settings, given)
    if bundle_folder() is None:
        return sys.executable
    own = python_in(settings.paths.home / RUNNER_ENVIRONMENT)
    for candidate in (str(own), *pythons_on_path(os.environ)):
        if Path(candidate).exists() and not complaint_about(candidate):
            return candidate
    raise NoUsablePython(
        "there is no Python that can run DAG files: this packaged program needs another one for users' code",
        remedy=f"Run `dagdeckd runner-env create {own.parents[1]}`, or name a Python with the setting {FIELD}",
    )


def python_in(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pythons_on_path(environ: Mapping[str, str]) -> Iterator[str]:
    """Every Python that the command search path names, whatever its version."""
    seen = set()
    for name in _NAMES:
        found = shutil.which(name, path=environ.get("PATH"))
        if found is not None and os.path.realpath(found) not in seen:
            seen.add(os.path.realpath(found))
            yield found


def ask(python: str) -> PythonAnswer:
    """What `python` says of itself. Raises EnvironmentFault when it cannot be run."""
    try:
        done = subprocess.run(
            [python, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            # Not where the caller happens to stand: a folder dagdeck there would be taken for the package.
            cwd=os.path.abspath(os.sep),
            env=outside_environment(),
            check=False,
        )
        number, runner = json.loads(done.stdout)
        return PythonAnswer(version=(int(number[0]), int(number[1])), runner=runner)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"{python} cannot be run: {error}", transient=False) from error
    except (ValueError, TypeError, IndexError) as error:
        said = done.stderr.strip().rpartition("\n")[2][-200:]
        raise EnvironmentFault(
            f"{python} is no usable Python: {said or 'it does not answer'}", transient=False
        ) from error


def complaint_about(python: str) -> str:
    """Why `python` cannot run users' code for this version of DagDeck; "" when it can."""
    try:
        answer = ask(python)
    except DagDeckError as error:
        return error.message
    wanted = version("dagdeck")
    if answer.version < OLDEST:
        return f"it is Python {answer.version[0]}.{answer.version[1]}; 3.11 or newer is needed"
    if answer.runner is None:
        return "DagDeck's runner package is not installed in it"
    if answer.runner != wanted:
        return f"its runner package is of version {answer.runner}, this program of {wanted}"
    return ""


def _given(settings: Settings, given: str) -> str:
    found = shutil.which(os.path.expanduser(given))
    complaint = "there is no such program" if found is None else complaint_about(found)
    if complaint or found is None:
        raise UserError(
            f"this Python cannot run DAG files: {complaint}",
            file=str(settings.origins[FIELD]),
            field=FIELD,
            value=given,
            remedy="Install the runner package: `dagdeckd runner-env create FOLDER` makes an environment with it",
        )
    return found
