"""Starts the local cluster from the window and tells when it is ready.

Decides how long to wait, and what to say when it ends before it was ready. Does not own the processes: they go on
without the window. Called by the connect page.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from dagdeck_client.models import DagPage
from dagdeck_client.requests.dags import list_dags
from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_desktop.local_cluster import daemon
from dagdeck_desktop.local_cluster.daemon import LocalAccess
from dagdeck_desktop.transport.api import Api
from dagdeck_desktop.transport.endpoint import Endpoint
from dagdeck_desktop.transport.trust import PinStore

START_SECONDS = 60.0
_LOOK_MILLISECONDS = 150


class StartFailed(EnvironmentFault):
    """The local cluster ended or did not get ready; `details` is what it printed last.

    `needs_python` is True when what it lacks is a Python for DAG files: a person can choose one.
    """

    def __init__(self, message: str, *, details: str, remedy: str = "", needs_python: bool = False) -> None:
        super().__init__(message, transient=False, remedy=remedy)
        self.details = details
        self.needs_python = needs_python


class LocalCluster(QObject):
    """The cluster on this computer. GUI thread only.

    `ready(LocalAccess)` or `failed(error)` follows each `start`; `progressed(text, seconds)` tells how it is going.
    """

    ready = Signal(object)
    failed = Signal(object)
    progressed = Signal(str, float)
    stopped = Signal()

    def __init__(
        self,
        pins: PinStore,
        log: Path,
        environ: Mapping[str, str],
        parent: QObject | None = None,
        command: Callable[[Mapping[str, str]], Sequence[str]] = daemon.daemon_command,
    ) -> None:
        super().__init__(parent)
        self._log = log
        self._environ = environ
        self._command = command
        self._api = Api(pins, self)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._timer = QTimer(self, interval=_LOOK_MILLISECONDS)
        self._timer.timeout.connect(self._look)
        self._asks = False

    @property
    def is_starting(self) -> bool:
        """True between `start` and its end."""
        return self._timer.isActive()

    @property
    def is_running(self) -> bool:
        """True while its supervisor runs, whoever started it."""
        return daemon.running_pid(self._environ) is not None

    @property
    def access(self) -> LocalAccess | None:
        """How to get in, as of its last start."""
        return daemon.read_access(self._environ)

    def start(self, python: str = "") -> None:
        """Start it unless it runs, with `python` for DAG files unless that is "", and wait until it answers."""
        if self.is_starting:
            return
        self._began = time.monotonic()
        try:
            self._process = None
            if not self.is_running:
                self._process = daemon.start(self._command(self._environ), self._log, self._environ, python)
        except DagDeckError as error:
            QTimer.singleShot(0, self, lambda error=error: self.failed.emit(error))
            return
        self.progressed.emit("Starting…", 0.0)
        self._timer.start()

    def stop(self) -> None:
        """Ask it to end; `stopped` follows when its processes are gone. Raises EnvironmentFault."""
        pid = daemon.running_pid(self._environ)
        if pid is None:
            self.stopped.emit()
            return
        daemon.stop(pid)
        self._await_end()

    def close(self) -> None:
        """Stop waiting. The cluster goes on."""
        self._timer.stop()
        self._api.close()

    def _await_end(self) -> None:
        if self._process is not None:
            self._process.poll()
        if self.is_running:
            QTimer.singleShot(_LOOK_MILLISECONDS, self, self._await_end)
        else:
            self.stopped.emit()

    def _look(self) -> None:
        seconds = time.monotonic() - self._began
        if self._process is not None and self._process.poll() == daemon.NO_PYTHON_EXIT_CODE:
            self._fail("there is no Python on this computer that could run DAG files", needs_python=True)
        elif self._process is not None and self._process.poll() is not None:
            self._fail(f"the local cluster ended while it started (exit code {self._process.returncode})")
        elif seconds > START_SECONDS:
            self._fail(f"the local cluster was not ready after {START_SECONDS:.0f} s")
        else:
            self.progressed.emit("Starting…", seconds)
            self._ask()

    def _ask(self) -> None:
        """See whether it answers to its own token: an older file's would be refused or go nowhere."""
        access = self.access
        # Our own process is watched already; looking at the lock while it takes it could get in its way.
        if self._asks or access is None or (self._process is None and not self.is_running):
            return
        self._asks = True
        self._api.set_endpoint(Endpoint(url=access.url, token=access.token))
        self._api.call(list_dags(limit=1), lambda page: self._answered(access, page), self._not_yet, owner=self)

    def _answered(self, access: LocalAccess, _page: DagPage) -> None:
        self._asks = False
        if self.is_starting:
            self._timer.stop()
            self.ready.emit(access)

    def _not_yet(self, _error: DagDeckError) -> None:
        self._asks = False

    def _fail(self, message: str, *, needs_python: bool = False) -> None:
        self._timer.stop()
        details = daemon.log_tail(self._log)
        remedy = "Choose or install one" if needs_python else f"What it said is in {self._log}"
        self.failed.emit(StartFailed(message, details=details, remedy=remedy, needs_python=needs_python))
