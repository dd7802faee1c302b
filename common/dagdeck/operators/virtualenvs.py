"""Virtual environments for tasks: how they are made, and kept for the next task that needs the same.

Decides what tells two environments apart, and that only one task at a time makes one. Used by
PythonVirtualenvOperator.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagdeck.exceptions import AirflowException
from dagdeck.hooks.subprocess import SubprocessHook

_log = logging.getLogger("dagdeck.task")
MARKER = "install_complete_marker.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentPlan:
    """What an environment is made of. Two equal plans may share one. `cache_key` is the administrator's own."""

    requirements: tuple[str, ...] = ()
    python_version: str | None = None
    system_site_packages: bool = True
    pip_install_options: tuple[str, ...] = ()
    index_urls: tuple[str, ...] | None = None
    cache_key: str = ""

    def text(self) -> str:
        """The plan as canonical text, passwords in URLs included only as a hash."""
        hidden = None
        if self.index_urls is not None:
            hidden = [hashlib.sha256(url.encode()).hexdigest() for url in self.index_urls]
        parts: dict[str, Any] = {
            "requirements": sorted(self.requirements),
            "python_version": self.python_version,
            "system_site_packages": self.system_site_packages,
            "pip_install_options": list(self.pip_install_options),
            "index_urls": hidden,
            "cache_key": self.cache_key,
            "interpreter": None if self.python_version else sys.version,
        }
        return json.dumps(parts, sort_keys=True)

    def name(self) -> str:
        """The folder's name in a cache."""
        return f"venv-{hashlib.sha256(self.text().encode()).hexdigest()[:12]}"


def python_in(venv: Path) -> Path:
    """The environment's interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make(venv: Path, plan: EnvironmentPlan, hook: SubprocessHook, *, interpreter: str | None = None) -> None:
    """Make the environment in the folder `venv`, with `interpreter` or that of the plan's version.

    Raises AirflowException saying which step failed.
    """
    python = interpreter or _interpreter(plan.python_version)
    command = [python, "-m", "venv", str(venv)]
    if plan.system_site_packages:
        command.append("--system-site-packages")
    if not plan.requirements:
        command.append("--without-pip")
    _step(hook, command, "the virtual environment cannot be made")
    if plan.system_site_packages and python == sys.executable:
        _share_own_packages(venv)
    if plan.requirements:
        listed = venv / "requirements.txt"
        listed.write_text("\n".join(plan.requirements) + "\n", encoding="utf-8")
        pip = [str(python_in(venv)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        _step(
            hook,
            [*pip, *plan.pip_install_options, "-r", str(listed)],
            "the requirements cannot be installed",
            _index_variables(plan.index_urls),
        )


def cached(cache: Path, plan: EnvironmentPlan, hook: SubprocessHook) -> Path:
    """The environment of `plan` under the folder `cache`, made if it is not there whole. Raises AirflowException."""
    venv = cache / plan.name()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(Path(f"{venv}.lock")):
        marker = venv / MARKER
        if marker.exists() and marker.read_text(encoding="utf-8") == plan.text():
            _log.info("Using the virtual environment %s again", venv)
            return venv
        if venv.exists():
            _log.warning("The virtual environment %s is not whole; it is made anew", venv)
            shutil.rmtree(venv)
        try:
            make(venv, plan, hook)
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)
            raise
        marker.write_text(plan.text(), encoding="utf-8")
    return venv


def _interpreter(version: str | None) -> str:
    if version is None:
        return sys.executable
    running = ".".join(map(str, sys.version_info[:3]))
    if running == version or running.startswith(version + "."):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        raise AirflowException(f"this worker has no python{version}; install it, or leave python_version out")
    return found


def _share_own_packages(venv: Path) -> None:
    """Where this process runs in a virtual environment itself, let the new one see its packages too."""
    if sys.prefix == sys.base_prefix:
        return
    folders = [folder for folder in site.getsitepackages() if folder.startswith(sys.prefix)]
    answer = subprocess.run(
        [str(python_in(venv)), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # `site.addsitedir` also reads the .pth files there, such as those of editable installations.
    lines = [f"import site; site.addsitedir({folder!r})" for folder in folders]
    Path(answer.stdout.strip(), "_dagdeck_system_packages.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _index_variables(urls: Sequence[str] | None) -> dict[str, str] | None:
    """Where pip looks, as variables: a command line with passwords would be visible to everybody on the machine."""
    if urls is None:
        return None
    variables = {"PIP_INDEX_URL": urls[0], "PIP_EXTRA_INDEX_URL": " ".join(urls[1:])} if urls else {"PIP_NO_INDEX": "1"}
    return {**os.environ, **variables}


def _step(hook: SubprocessHook, command: list[str], problem: str, env: dict[str, str] | None = None) -> None:
    result = hook.run_command(command, env=env)
    if result.exit_code != 0:
        raise AirflowException(f"{problem}: exit code {result.exit_code}, {result.output or 'without output'}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; others wait."""
    with path.open("w") as file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
