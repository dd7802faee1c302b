"""One daemon as a real process: started, signalled, frozen and killed by a test.

Decides how its output is kept and how every process it ever started is found again. Does not know what the daemon
does. Called by `harness`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

MARK = "DAGDECK_UNDER_TEST"
"""Environment variable by which the processes of one cluster are recognised, orphans included."""
COMMANDS = ("scheduler", "dag-processor", "api", "worker", "preparation", "master", "standalone")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class WaitedTooLong(AssertionError):
    """Something that had to happen did not happen in time."""


def wait_until(happened: Callable[[], object], timeout: float, what: str, *, pause: float = 0.02) -> float:
    """Return the seconds that passed until `happened()` was true. Raises WaitedTooLong naming `what`."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > timeout:
            raise WaitedTooLong(f"{what}: not within {timeout:g} s")
        time.sleep(pause)
    return time.monotonic() - began


class Daemon:
    """`python -m dagdeckd …` as a process of its own session; what it prints goes to a file."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log_path: Path) -> None:
        self.name = name
        self.arguments = tuple(arguments)
        self.environment = dict(environment)
        self.log_path = log_path
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self, preparation: Callable[[], None] | None = None) -> None:
        """Start it, again if it has ended. `preparation` runs in the new process before Python is replaced."""
        assert not self.is_running, f"{self.name} runs already"

        def prepare() -> None:
            _die_with_parent()
            if preparation is not None:
                preparation()

        self.started_at = time.monotonic()
        with self.log_path.open("ab") as log:
            log.write(f"--- {self.name} starts\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagdeckd", *self.arguments],
                env=self.environment,
                cwd=self.log_path.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=prepare,
            )

    @property
    def pid(self) -> int:
        """The process id of its current or last life."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon's own process only."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End the daemon's own process as a crash would; what it started is left to itself."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    def freeze(self) -> None:
        """Suspend the daemon's own process only."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to end and wait; the exit code. Raises WaitedTooLong."""
        if self.is_running:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float) -> int:
        """Wait for its end; the exit code. Raises WaitedTooLong."""
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WaitedTooLong(f"{self.name} did not end within {timeout:g} s") from None

    def part(self, command: str) -> psutil.Process:
        """The child process that runs `dagdeckd <command>`. Raises WaitedTooLong when there is none."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [child for child in self.children() if role_of(child) == command]
            return bool(found)

        wait_until(look, 15, f"{self.name} runs a {command}")
        return found[0]

    def children(self, *, recursive: bool = False) -> list[psutil.Process]:
        """The processes below it; [] when it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=recursive)
        return []

    def log(self) -> str:
        """All that it printed in all its lives."""
        with contextlib.suppress(OSError):
            return self.log_path.read_text("utf-8", "replace")
        return ""

    def log_tail(self, lines: int = 40) -> str:
        """The last lines that it printed."""
        return "\n".join(self.log().splitlines()[-lines:])


def role_of(process: psutil.Process) -> str:
    """Which daemon a process is ("scheduler", …), "" for none. A forked one shows it by its short name only."""
    with contextlib.suppress(psutil.Error):
        short = process.name()
        for command in COMMANDS:
            if short == f"dagdeck-{command}"[:15]:
                return command
        arguments = process.cmdline()
        if "dagdeckd" in arguments:
            return next((command for command in COMMANDS if command in arguments), "")
    return ""


def marked_processes(mark: str) -> list[psutil.Process]:
    """Every living process whose environment carries this cluster's mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    return found


def kill_marked(mark: str) -> None:
    """End every process of this cluster, whatever became of its parents."""
    for _ in range(20):
        alive = marked_processes(mark)
        if not alive:
            return
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
