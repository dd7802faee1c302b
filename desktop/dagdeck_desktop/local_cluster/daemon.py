"""The `dagdeckd standalone` command on this computer: where it is, how it is started, what it leaves behind.

Decides that it becomes a process of its own session, so that neither a crash nor the end of the window touches it. Does
not wait for it (`cluster`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagdeck_client.profiles import token_file
from dagdeck_core.bundled import original_environment
from dagdeck_core.errors import EnvironmentFault

COMMAND_VARIABLE = "DAGDECK_DAEMON"
LOCK_FILE = "standalone.lock"
NO_PYTHON_EXIT_CODE = 4
"""How `dagdeckd` ends when this computer has no Python that could run DAG files."""
PYTHON_VARIABLE = "DAGDECK__CORE__RUNNER_PYTHON"
_TAIL_BYTES = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAccess:
    """How to get into the local cluster: what it wrote for this computer's user."""

    url: str
    token: str


def daemon_command(environ: Mapping[str, str]) -> list[str]:
    """The command that runs daemons: beside this program, or on the path. Raises EnvironmentFault without one."""
    given = environ.get(COMMAND_VARIABLE)
    if given:
        return [given]
    name = "dagdeckd.exe" if sys.platform == "win32" else "dagdeckd"
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return [str(beside)]
    if getattr(sys, "frozen", False):
        return [sys.executable, "dagdeckd"]
    found = shutil.which(name, path=environ.get("PATH"))
    if found is not None:
        return [found]
    raise EnvironmentFault(
        "the program dagdeckd is not installed on this computer",
        transient=False,
        remedy="Install it with pip install 'dagdeck[daemons]', or connect to a cluster elsewhere",
    )


def read_access(environ: Mapping[str, str]) -> LocalAccess | None:
    """What the local cluster wrote at its last start; None before the first."""
    try:
        found = json.loads(token_file(environ).read_text(encoding="utf-8"))
        return LocalAccess(url=str(found["url"]), token=str(found["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start(command: Sequence[str], log: Path, environ: Mapping[str, str], python: str = "") -> subprocess.Popen[bytes]:
    """Start a standalone cluster apart from this process, with `python` for DAG files unless that is "".

    Raises EnvironmentFault when that fails.
    """
    chosen = {PYTHON_VARIABLE: python} if python else {}
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("wb") as output:
            return subprocess.Popen(
                [*command, "standalone", "--samples"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(environ) | chosen,
                cwd=Path.home(),
                close_fds=True,
                **_apart(),
            )
    except OSError as error:
        raise EnvironmentFault(
            f"{command[0]} could not be started: {error.strerror or error}", transient=False
        ) from error


def running_pid(environ: Mapping[str, str]) -> int | None:
    """The process id of the local cluster's supervisor, as its lock file says; None when it does not run."""
    path = token_file(environ).parent / LOCK_FILE
    try:
        pid = int(path.read_text(encoding="ascii").strip() or "0")
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and _is_locked(path) else None


def stop(pid: int) -> None:
    """Ask a supervisor to end its cluster. Raises EnvironmentFault when that is refused."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except OSError as error:
        raise EnvironmentFault(f"process {pid} cannot be stopped: {error.strerror}", transient=False) from error


def log_tail(log: Path) -> str:
    """The last lines that a cluster printed."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return stream.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _is_locked(path: Path) -> bool:
    """True while a process holds the lock; a number in the file alone may be a dead process's."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(stream, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _apart() -> dict[str, Any]:
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        return {"creationflags": flags}
    return {"start_new_session": True}


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what concerns only this program: daemons and tasks would inherit it."""
    original = original_environment(environ, getattr(sys, "_MEIPASS", None))
    return {name: value for name, value in original.items() if not name.startswith("QT_")}
