"""One supervised process on a system without fork, inherited descriptors and SIGCHLD: its standard streams are all.

Decides the same as `supervised`, by other means: settings and orders go to standard input, output and signs of life
come by standard output (`stdio_link`), threads serve both and wake the supervisor, and the tree of a process that must
end is found by psutil. Does not decide when it is started or ended (`supervisor`). Used everywhere but on
Linux, and there with the setting supervisor.portable_processes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from dagdeck_io.pumped_pipes import InputFeed, OutputPump
from dagdeckd.stdio_link import LENGTH, OPEN_GATE, STOP, mark_of

if TYPE_CHECKING:
    from dagdeckd.supervised import ChildSpec

_LAST_WORDS = 0.2
"""Seconds that the output of a process that has ended may still take, where others hold it open."""
_APART = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""Windows: an interrupt at the supervisor's console is for the supervisor, and nobody needs a console of their own."""


class PortableChild:
    """One start of a `ChildSpec`; for its methods see `SupervisedChild`."""

    def __init__(
        self, spec: ChildSpec, *, gated: bool, wake: Callable[[], None], beat_pause: float | None = None
    ) -> None:
        """`wake` has the supervisor look at this child; it is called in other threads and must not block."""
        self.spec = spec
        self.is_ready = False
        self.heard_at = 0.0
        self.started_at = time.monotonic()
        self.open_fds: Collection[int] = ()
        """Nothing to wait on: `wake` is called."""
        self._gated = gated
        self._wake = wake
        self._beat_pause = beat_pause
        self._token = secrets.token_hex(16)
        self._signs = SignFilter(mark_of(self._token))
        self._returncode: int | None = None
        self._process: subprocess.Popen[bytes]
        self._input: InputFeed
        self._output: OutputPump

    def execute(self) -> None:
        """Start a new process, which then waits for `give_settings`. Raises OSError when it cannot be started."""
        beats = [] if self._beat_pause is None else [f"--beat-ms={int(self._beat_pause * 1000)}"]
        self._process = subprocess.Popen(
            [*self.spec.command, f"--over-stdio={self._token}", *beats],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=dict(self.spec.environ),
            creationflags=_APART,
            process_group=0 if os.name == "posix" else None,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = InputFeed(self._process.stdin)
        self._output = OutputPump(self._process.stdout, self._wake)
        threading.Thread(target=self._await_end, name="process", daemon=True).start()

    def give_settings(self, settings: bytes) -> None:
        """Tell the process its settings, once."""
        self._input.give(LENGTH.pack(len(settings)) + settings)
        if not self._gated:
            self._input.give(OPEN_GATE)

    def open_gate(self) -> None:
        """See SupervisedChild."""
        if self._gated:
            self._gated = False
            self._input.give(OPEN_GATE)

    def read_output(self) -> bytes:
        """See SupervisedChild."""
        output = self._signs.feed(self._output.take())
        return output + self._signs.rest() if self._output.ended else output

    def hear_ready(self) -> bool:
        """See SupervisedChild. What `read_output` has read counts."""
        if not self._signs.take():
            return False
        self.heard_at = time.monotonic()
        was_ready, self.is_ready = self.is_ready, True
        return not was_ready

    def returncode(self) -> int | None:
        """See SupervisedChild. Known only when its output has been read."""
        return self._returncode

    def terminate(self) -> None:
        """See SupervisedChild."""
        self._input.give(STOP)

    def kill(self) -> None:
        """End it and all that it started at once."""
        import psutil

        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(OSError):
            self._process.kill()
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def release(self) -> None:
        """Close what belongs to a process that has ended. What it started sees that, by pipes of its own."""
        self._input.end()
        self._output.abandon()

    def _await_end(self) -> None:
        code = self._process.wait()
        self._output.wait_for_end(_LAST_WORDS)
        self._returncode = code
        self._wake()


class SignFilter:
    """Takes the signs of life out of a process's output, wherever they stand in it and however it is cut."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._held = b""
        self._heard = 0

    def feed(self, data: bytes) -> bytes:
        """The output without signs; what may be the beginning of one is held back until more comes."""
        pieces = (self._held + data).split(self._mark)
        self._heard += len(pieces) - 1
        output = b"".join(pieces[:-1])
        last = pieces[-1]
        begun = last.rfind(self._mark[:1], max(len(last) - len(self._mark) + 1, 0))
        if begun < 0 or not self._mark.startswith(last[begun:]):
            begun = len(last)
        self._held = last[begun:]
        return output + last[:begun]

    def rest(self) -> bytes:
        """What is held back, once nothing more can come."""
        held, self._held = self._held, b""
        return held

    def take(self) -> int:
        """How many signs came since the last call."""
        heard, self._heard = self._heard, 0
        return heard
