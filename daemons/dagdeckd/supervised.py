"""One supervised process: how it is started, what it says, how it is ended.

Decides what a child inherits: its settings by a pipe (never by arguments or environment, where others could read
secrets), a pipe to say that it is ready, a gate to wait at, a process group of its own, and its death with the
supervisor. Does not decide when it is started or ended (`supervisor`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dagdeckd.forking import Birth, ForkedProcess

_READ = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run. The command is completed with the descriptors that `processes.ProcessOptions` reads."""

    name: str
    command: tuple[str, ...]
    stop_phase: int = 0
    """Children of a later phase are told to stop when those of the earlier ones have ended."""
    one_shot: bool = False
    """True for a process that prepares something and ends; the gate opens when all of these have ended well."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    run: Callable[[Sequence[str]], int] | None = None
    """Does what `command` does, given only the completing options. With it, the first start is a fork from what has
    been imported for all children (`forking`); later ones are always new processes."""


class SupervisedChild:
    """One start of a `ChildSpec`."""

    process: subprocess.Popen[bytes] | ForkedProcess

    def __init__(self, spec: ChildSpec, *, gated: bool, beat_pause: float | None = None) -> None:
        """Make the pipes; `execute`, or `adopt` after a fork of `birth`, follows. Raises OSError.

        `beat_pause`: seconds between the signs of life that are wanted of it once it is ready; None: none.
        """
        self.spec = spec
        self._beat_pause = beat_pause
        self.is_ready = False
        self.heard_at = 0.0
        """When it last said that it lives, monotonic; 0 before it was ready."""
        self.started_at = time.monotonic()
        settings_read, self._settings_fd = os.pipe()
        self._ready_fd, ready_write = os.pipe()
        self._output_fd, self._output_write = os.pipe()
        gate_read, self._gate_fd = os.pipe() if gated else (-1, -1)
        given = {"settings-fd": settings_read, "ready-fd": ready_write, "gate-fd": gate_read}
        self._passed = {name: fd for name, fd in given.items() if fd >= 0}
        self.open_fds: set[int] = set()

    def execute(self) -> None:
        """Start a new process, which then waits for `give_settings`. Raises OSError when it cannot be started."""
        try:
            process = _execute(self.spec, self._options(), self._output_write, self._passed.values())
        except OSError:
            self.discard()
            raise
        self.adopt(process)

    def birth(self, run: Callable[[Sequence[str]], int]) -> Birth:
        """The process to fork, in which `run` is called."""
        options = self._options()
        return Birth(
            name=self.spec.name,
            run=lambda: run(options),
            environ=self.spec.environ,
            output_fd=self._output_write,
            keep=tuple(self._passed.values()),
        )

    def adopt(self, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
        """`process` has been started with this object's pipes; it waits for `give_settings`."""
        self.process = process
        self._close_passed()
        for fd in (self._settings_fd, self._ready_fd, self._output_fd):
            os.set_blocking(fd, False)
        self.open_fds = {self._ready_fd, self._output_fd}

    def discard(self) -> None:
        """There will be no process: close the pipes."""
        self._close_passed()
        self._close_own()

    def _options(self) -> list[str]:
        beats = [] if self._beat_pause is None else [f"--beat-ms={int(self._beat_pause * 1000)}"]
        return [
            *(f"--{name}={fd}" for name, fd in self._passed.items()),
            *beats,
            f"--supervisor-pid={os.getpid()}",
        ]

    def _close_passed(self) -> None:
        for fd in (*self._passed.values(), self._output_write):
            os.close(fd)

    def give_settings(self, settings: bytes) -> None:
        """Tell the process its settings, once; they must fit a pipe (64 KB)."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._settings_fd, settings)
        os.close(self._settings_fd)
        self._settings_fd = -1

    def open_gate(self) -> None:
        """Let a child go on that was started before what it needs was there."""
        if self._gate_fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self._gate_fd, b"1")
            os.close(self._gate_fd)
            self._gate_fd = -1

    def read_output(self) -> bytes:
        """What the process has printed since the last call; b"" when nothing is there."""
        return self._read(self._output_fd) if self._output_fd in self.open_fds else b""

    def hear_ready(self) -> bool:
        """True once, when the process has said that it is ready."""
        if self._ready_fd not in self.open_fds or not self._read(self._ready_fd):
            return False
        self.heard_at = time.monotonic()
        was_ready, self.is_ready = self.is_ready, True
        return not was_ready

    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self.process.poll()

    def terminate(self) -> None:
        """Ask it to end."""
        # A stopped process would not hear it.
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it and its process group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def release(self) -> None:
        """Close what belongs to a process that has ended, and end what it left in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._close_own()

    def _close_own(self) -> None:
        for fd in (self._ready_fd, self._output_fd, self._gate_fd, self._settings_fd):
            if fd >= 0:
                os.close(fd)
        self._gate_fd = self._settings_fd = -1
        self.open_fds = set()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def _read(self, fd: int) -> bytes:
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return b""
        if not data:
            self.open_fds.discard(fd)
        return data


def _execute(
    spec: ChildSpec, options: Sequence[str], output_fd: int, passed: Collection[int]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*spec.command, *options],
        stdin=subprocess.DEVNULL,
        stdout=output_fd,
        stderr=output_fd,
        env=dict(spec.environ),
        pass_fds=tuple(passed),
        process_group=0,
    )
