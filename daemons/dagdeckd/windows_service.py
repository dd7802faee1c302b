"""A daemon as a Windows service: started, watched, ended in good order, and told of to the service manager.

Decides how the daemon's process is started and told to stop: its standard input is a pipe, and the end of that pipe
means "end what runs, then stop" (a service has no console, so it has no Ctrl+C either). Does not restart it: the
service manager does, by the recovery settings that the installer makes. The program `dagdeck-service` of the Windows
bundle; `ServiceProcess` knows nothing of Windows, `serve` needs pywin32.
"""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

STOP_WITH_INPUT = "--stop-with-input"
SERVICES = {
    "worker": ("DagDeckWorker", "DagDeck worker", "Runs tasks of a DagDeck cluster on this machine."),
    "master": ("DagDeckMaster", "DagDeck master", "Scheduler, DAG processor and control API of a DagDeck cluster."),
}
"""By the daemon's name: the service's own, the one for people, and what it is for."""
PATIENCE = 660.0
"""Seconds until a daemon that was told to stop is killed with all that it started: more than worker.drain_timeout."""
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class ServiceProcess:
    """One daemon below a service. Its output is appended to `log`."""

    def __init__(self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        """Raises OSError when the log cannot be written or the program not be started."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=None if environ is None else dict(environ),
                creationflags=_NO_WINDOW,
            )

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def stop(self, patience: float = PATIENCE) -> int:
        """Tell it to end, and end it with all below it when it has not after `patience` seconds; its exit code."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return self._kill()

    def _kill(self) -> int:
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return self._process.wait()


def command_for(daemon: str, folder: Path, program: Sequence[str]) -> list[str]:
    """The command line of `daemon`, with the settings file in `folder` and its state below it."""
    settings = ["--config", str(folder / "dagdeck.toml"), "--set", f"paths.home={folder / daemon}"]
    return [*program, *settings, daemon, STOP_WITH_INPUT]


def serve(daemon: str, folder: Path, program: Sequence[str]) -> None:
    """Be the service of `daemon` until the service manager ends it. Called in a process that it has started."""
    manager, framework, states = (importlib.import_module(name) for name in _PYWIN32)
    own, shown, _purpose = SERVICES[daemon]

    class Service(framework.ServiceFramework):  # type: ignore[name-defined]
        _svc_name_ = own
        _svc_display_name_ = shown

        def __init__(self, arguments: Any) -> None:
            super().__init__(arguments)
            self._child: ServiceProcess | None = None
            self._stopping = False

        def SvcStop(self) -> None:
            self._stopping = True
            self.ReportServiceStatus(states.SERVICE_STOP_PENDING, waitHint=int(PATIENCE * 1000))
            if self._child is not None:
                # The manager waits for this call; meanwhile `SvcDoRun` sees the process end.
                threading.Thread(target=self._child.stop, name="stop", daemon=True).start()

        SvcShutdown = SvcStop

        def SvcDoRun(self) -> None:
            command = command_for(daemon, folder, program)
            manager.LogInfoMsg(f"{shown}: {subprocess.list2cmdline(command)}")
            self._child = ServiceProcess(command, folder / "logs" / f"{daemon}.log")
            code = self._child.wait()
            if self._stopping:
                return
            manager.LogErrorMsg(f"{shown} ended with exit code {code}; see {folder / 'logs'}")
            # An end that is no failure would not be followed by the recovery settings.
            self.ReportServiceStatus(states.SERVICE_STOPPED, win32ExitCode=1066, svcExitCode=code or 1)

    manager.Initialize(own, None)
    manager.PrepareToHostSingle(Service)
    manager.StartServiceCtrlDispatcher()


_PYWIN32 = ("servicemanager", "win32serviceutil", "win32service")


def main(arguments: Sequence[str] | None = None) -> int:
    """`dagdeck-service DAEMON FOLDER`: the exit code. Meant for the service manager, not for people."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 2 or given[0] not in SERVICES:
        print(f"dagdeck-service: write one of {', '.join(SERVICES)} and the folder of its settings", file=sys.stderr)
        return 2
    if sys.platform != "win32":
        print(
            "dagdeck-service: services of this kind exist on Windows only; here systemd runs dagdeckd", file=sys.stderr
        )
        return 3
    serve(given[0], Path(given[1]), [sys.executable, "dagdeckd"])
    return 0
