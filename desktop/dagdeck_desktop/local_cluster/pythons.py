"""Finds and makes the Python that runs DAG files on this computer, for a packaged desktop that has none to lend.

Decides where the environment goes (the local cluster's own folder) and how answers of the daemons' program are read.
The daemons' program decides which Python is usable; it runs beside the window, which never waits. Called by the
connect flow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

from dagdeck_client.profiles import token_file
from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_desktop.local_cluster import daemon

_TICK_MILLISECONDS = 250
_LOOK = ("runner-env", "pythons")


class FoundPython(msgspec.Struct, frozen=True, kw_only=True):
    """A Python of this computer. `version` is as "3.12"; `is_usable` says whether it is new enough."""

    path: str
    version: str
    is_usable: bool


class LocalPython(QObject):
    """Looks for Pythons and makes environments, one thing at a time. GUI thread only.

    `found(list[FoundPython])` or `failed(error)` follows `look`; `made(interpreter)` or `failed(error)` follows `make`,
    and `progressed(text, seconds)` tells how that is going.
    """

    found = Signal(object)
    made = Signal(str)
    failed = Signal(object)
    progressed = Signal(str, float)

    def __init__(
        self,
        environ: Mapping[str, str],
        parent: QObject | None = None,
        command: Callable[[Mapping[str, str]], Sequence[str]] = daemon.daemon_command,
    ) -> None:
        super().__init__(parent)
        self._environ = environ
        self._command = command
        self._process: QProcess | None = None
        self._began = 0.0
        self._timer = QTimer(self, interval=_TICK_MILLISECONDS)
        self._timer.timeout.connect(self._tell_progress)

    @property
    def own_environment(self) -> Path:
        """The folder of the environment that a local cluster uses when no other is chosen."""
        return token_file(self._environ).parent / "runner-env"

    @property
    def is_busy(self) -> bool:
        """True while it looks or makes."""
        return self._process is not None

    def look(self) -> None:
        """Look for Pythons on this computer."""
        self._start(_LOOK, self._read_found)

    def make(self, folder: Path, python: str = "") -> None:
        """Make the environment `folder` from `python`, or bring the runner package into the one that is there."""
        chosen = ("--python", python) if python else ()
        self._start(("runner-env", "create", str(folder), *chosen), self._read_made)
        if self.is_busy:
            self._timer.start()
            self._tell_progress()

    def close(self) -> None:
        """Stop what is going on; a half-made environment is mended by the next `make`."""
        self._timer.stop()
        process, self._process = self._process, None
        if process is not None:
            process.finished.disconnect()
            process.errorOccurred.disconnect()
            process.kill()
            process.waitForFinished(2_000)

    def _start(self, arguments: Sequence[str], read: Callable[[str], None]) -> None:
        if self.is_busy:
            return
        try:
            program, *before = self._command(self._environ)
        except DagDeckError as error:
            QTimer.singleShot(0, self, lambda error=error: self.failed.emit(error))
            return
        process = QProcess(self)
        environment = QProcessEnvironment()
        for name, value in daemon.clean_environment(self._environ).items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory(str(Path.home()))
        process.setStandardInputFile(QProcess.nullDevice())
        process.finished.connect(lambda code, _status: self._ended(process, code, read))
        process.errorOccurred.connect(lambda kind: self._broke(process, kind))
        self._process, self._began = process, time.monotonic()
        process.start(program, [*before, *arguments])

    def _ended(self, process: QProcess, code: int, read: Callable[[str], None]) -> None:
        self._timer.stop()
        self._process = None
        said = bytes(process.readAllStandardOutput().data()).decode("utf-8", "replace")
        complaint = bytes(process.readAllStandardError().data()).decode("utf-8", "replace").strip()
        process.deleteLater()
        if code == 0:
            read(said)
        else:
            sentence = (complaint or said.strip()).rpartition("\n")[2].removeprefix("dagdeckd: ")
            self.failed.emit(EnvironmentFault(sentence or f"it ended with exit code {code}", transient=False))

    def _broke(self, process: QProcess, kind: QProcess.ProcessError) -> None:
        if kind is not QProcess.ProcessError.FailedToStart:
            return
        self._timer.stop()
        self._process = None
        process.deleteLater()
        self.failed.emit(EnvironmentFault(f"{process.program()} could not be started", transient=False))

    def _read_found(self, said: str) -> None:
        try:
            self.found.emit(msgspec.json.decode(said, type=list[FoundPython]))
        except msgspec.DecodeError as error:
            self.failed.emit(EnvironmentFault(f"dagdeckd does not answer as it should: {error}", transient=False))

    def _read_made(self, said: str) -> None:
        self.made.emit(said.strip().rpartition("\n")[2])

    def _tell_progress(self) -> None:
        self.progressed.emit("Making the Python environment…", time.monotonic() - self._began)
