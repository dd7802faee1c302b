"""One parsing child, seen from the DAG processor: started, spoken to, listened to, killed with its tree.

Decides what a child gets: an environment without DagDeck's settings, two pipes for messages, one for all that it
prints, a memory limit. Does not decide which file it parses (`pool`). Nothing here blocks on the child: user
code runs in it, so it may hang, flood its output or stop reading at any time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dagdeck_core.bundled import original_environment
from dagdeck_master.dag_processor.process_tree import kill_tree
from dagdeck_master.dag_processor.protocol import (
    FrameBuffer,
    FromChild,
    ToChild,
    frame,
    from_child_codec,
    to_child_codec,
)

if sys.platform.startswith("linux"):
    import fcntl

_READ = 256 * 1024
_REQUEST_PIPE_BYTES = 1024 * 1024
MAX_REPLY = _REQUEST_PIPE_BYTES // 2
"""Largest answer to a child's question: one that always fits its pipe, so that writing it never blocks."""
_DUMP_WAIT = 0.3
"""Seconds that a hanging child gets to write where it hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """How parsing children are started."""

    memory_limit: int
    """Bytes of private memory."""
    max_output: int
    """Bytes kept of what one child prints; the rest is read and dropped."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    handed_over: Mapping[str, str] = field(default_factory=dict)
    """Variables that the child gets besides those of the environment that are not DagDeck's own."""
    python: str = sys.executable
    """The Python that imports DAG files."""


def scrubbed_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without anything that is DagDeck's own: settings, and with them every credential."""
    original = original_environment(environ, getattr(sys, "_MEIPASS", None))
    return {name: value for name, value in original.items() if not name.upper().startswith("DAGDECK")}


def child_environment(options: ChildOptions) -> dict[str, str]:
    """The variables of a child that is started with `options`."""
    return scrubbed_environment(options.environ) | {"PYTHONUNBUFFERED": "1"} | dict(options.handed_over)


def child_command(options: ChildOptions, arguments: Sequence[object]) -> list[str]:
    """What to execute, with the arguments of `child.main`."""
    return [options.python, "-m", "dagdeck_master.dag_processor.child", *(str(argument) for argument in arguments)]


class CapturedOutput:
    """The beginning and the end of what a child prints, within a limit."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1024)
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Take what was printed."""
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        if (excess := len(self._tail) - self._half) > 0:
            del self._tail[:excess]
            self._dropped += excess

    def text(self) -> str:
        """All that was kept, with a line where something is missing."""
        gap = b"\n[... %d bytes dropped ...]\n" % self._dropped if self._dropped else b""
        return bytes(self._head + gap + self._tail).decode("utf-8", "replace")

    def clear(self) -> None:
        """Forget everything, before the next file."""
        self._head.clear()
        self._tail.clear()
        self._dropped = 0


class ParsingChild:
    """A running child. The owner waits on `filenos` and then calls `receive`."""

    def __init__(self, options: ChildOptions) -> None:
        request_read, self._request_fd = os.pipe()
        self._result_fd, result_write = os.pipe()
        self._output_fd, output_write = os.pipe()
        self._buffer = FrameBuffer()
        self._open = {self._result_fd, self._output_fd}
        self._returncode: int | None = None
        self.output = CapturedOutput(options.max_output)
        self.ready = False
        self.started_at = time.monotonic()
        _enlarge(self._request_fd)
        try:
            self._process = subprocess.Popen(
                child_command(options, [request_read, result_write, options.memory_limit, os.getpid()]),
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                env=child_environment(options),
                pass_fds=(request_read, result_write),
                start_new_session=True,
            )
        finally:
            for fd in (request_read, result_write, output_write):
                os.close(fd)
        for fd in (self._request_fd, self._result_fd, self._output_fd):
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def filenos(self) -> Collection[int]:
        """File descriptors to wait on for reading."""
        return self._open

    def send(self, message: ToChild) -> bool:
        """Give the child a message; False when it is gone or has stopped reading."""
        data = frame(to_child_codec.encode(message))
        try:
            return os.write(self._request_fd, data) == len(data)
        except OSError:
            return False

    def receive(self) -> list[FromChild]:
        """All messages that are there. Raises WireError when the child writes what is no message."""
        self._drain_output()
        messages = []
        while self._result_fd in self._open:
            piece = _read(self._result_fd)
            if piece is None:
                break
            if not piece:
                self._open.discard(self._result_fd)
                break
            messages += [from_child_codec.decode(data) for data in self._buffer.feed(piece)]
        return messages

    def has_ended(self) -> bool:
        """Whether the process is gone, whatever its descendants still do."""
        return self._returncode is not None or self._process.poll() is not None

    def dump_stacks(self) -> None:
        """Have the child write every thread's stack to its output, and give it a moment to do so."""
        if not self.ready or not hasattr(signal, "SIGUSR2") or self.has_ended():
            return
        self._drain_output()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR2)
        until = time.monotonic() + _DUMP_WAIT
        while time.monotonic() < until and not self.has_ended():
            time.sleep(0.01)
            self._drain_output()

    def kill(self) -> int:
        """End the child and all that it started, and release everything; its exit status (negative: a signal)."""
        if self._returncode is None:
            self._returncode = kill_tree(self._process)
            self._drain_output()
            for fd in (self._request_fd, self._result_fd, self._output_fd):
                os.close(fd)
            self._open.clear()
        return self._returncode

    def _drain_output(self) -> None:
        # Bounded per call: a child that prints without end must not keep the processor from seeing its deadline.
        for _ in range(64):
            if self._output_fd not in self._open:
                return
            piece = _read(self._output_fd)
            if piece is None:
                return
            if not piece:
                self._open.discard(self._output_fd)
                return
            self.output.feed(piece)


def _read(fd: int) -> bytes | None:
    """What the pipe has: None when nothing is there now, b"" when it has ended."""
    try:
        return os.read(fd, _READ)
    except BlockingIOError:
        return None


def _enlarge(fd: int) -> None:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _REQUEST_PIPE_BYTES)
