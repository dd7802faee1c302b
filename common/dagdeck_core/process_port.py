"""Port: how a worker starts runner processes, talks to them, and makes sure that they end.

Decides what a host of processes promises: framed messages both ways, captured output, a deadline after
which nothing lives, and notices of *confirmed* death. Does not decide which task runs where, nor how an
operating system does it: `dagdeck_worker.hosts.linux` (a keeper process that is a subreaper) and
`dagdeck_worker.hosts.portable` (subprocesses and psutil) do, and pass one contract suite.
Called by the worker's main loop.

All methods belong to the one thread that calls `poll`, except those marked thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

FRAME_LIMIT = 64 * 1024 * 1024
"""Largest frame in bytes, either way; a runner that announces a larger one is ended."""


class EndCause(StrEnum):
    """Why a runner ended."""

    ITSELF = "itself"
    """It exited or died without the host's doing: os._exit, a segmentation fault, the out-of-memory killer."""
    TERMINATED = "terminated"
    """`terminate` was called for it."""
    DEADLINE = "deadline"
    """The deadline passed."""
    HOST_LOST = "host_lost"
    """The host's own helper process died, and the runner with it."""
    NOT_STARTED = "not_started"
    """The system gave no process for it."""
    BROKEN = "broken"
    """It sent something that is not a frame, or more than FRAME_LIMIT, and was ended for it."""
    REFUSED = "refused"
    """It could not be set up as was asked; `reason` says why, for people. It has executed nothing."""
    MEMORY = "memory"
    """The system killed it because its setup's memory was used up."""


class RunnerSetup(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, cache_hash=True):
    """How a runner differs from the worker itself."""

    user: str = ""
    """Whose rights, groups and home it has; "" the worker's own."""
    readable: str = ""
    """A folder that this user must be able to enter: that of the unpacked code."""
    memory: int = 0
    """Bytes after which the system ends it, where the system can; 0 no limit."""
    cores: float = 0.0
    """CPU cores that it gets at most, where the system can; 0 no limit."""


PLAIN_SETUP = RunnerSetup()
"""A runner as the worker itself is."""


class RunnerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One frame from a runner, without its length prefix."""

    runner_id: int
    frame: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerEnded:
    """A runner and every process that descends from it are dead. Nothing of it comes after this.

    Exactly one of `exit_code` and `signal` is set, or neither when the operating system cannot tell. Its
    captured output stays readable until `release`.
    """

    runner_id: int
    cause: EndCause
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    """Why it was REFUSED or NOT_STARTED, if that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed:
    """The deadline `at` (boot clock, seconds) passed. The runners' deaths are reported one by one."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLost:
    """The host's helper process died. Every runner is reported as ended before this; the host is of no more use."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUnlimited:
    """The system could not give the runner the memory or CPU limits of its setup, so it runs without.

    `reason` is for people.
    """

    runner_id: int
    reason: str


HostEvent = RunnerMessage | RunnerEnded | RunnerUnlimited | DeadlinePassed | HostLost


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUsage:
    """What a runner and its descendants use.

    CPU seconds so far, of those alive and those that they have waited for; resident bytes, in which memory that several
    of them share counts for each; how many processes they are.
    """

    cpu_seconds: float
    resident: int
    processes: int


class ProcessHost(Protocol):
    """Starts, feeds, watches and ends runner processes.

    A runner is a process without credentials that leads a session of its own where the system has such. No
    runner, and no descendant of one, outlives the process that owns this host, nor the deadline.
    Every call about a runner that has ended, or was never there, is harmless and does nothing.
    """

    def spawn(self, setup: RunnerSetup = PLAIN_SETUP) -> int:
        """Begin to start a runner and return its id at once. Frames sent meanwhile wait for it.

        While a passed deadline stands, the start waits for a new one. When the system gives no process,
        `RunnerEnded` with NOT_STARTED follows; when it cannot run as the setup's user, one with REFUSED. Where the
        system has no limits for memory or CPU, `RunnerUnlimited` follows and the runner starts. Raises
        EnvironmentFault after `HostLost`.
        """

    def send(self, runner_id: int, frame: bytes) -> None:
        """Queue `frame` for the runner, in order. Never blocks."""

    def send_ahead(self, runner_id: int, frame: bytes) -> bool:
        """Queue a task's `frame` behind the task that the runner executes, so that it goes on without being woken.

        False, and nothing is sent, when it cannot be taken back from this runner, or does not fit. The caller sends
        nothing else before the runner has taken it or it was taken back.
        """

    def take_back(self, runner_id: int, at_most: int) -> int:
        """Withdraw frames sent ahead that the runner has not taken: the last so many, and `at_most` of them.

        What was sent before those stays for the runner, even if it has not taken that either.
        """

    def terminate(self, runner_id: int, *, grace: float) -> None:
        """Ask the runner to end (SIGTERM where there is one) and kill its whole tree after `grace` seconds.

        Called again, the earlier end counts. 0 kills at once. `RunnerEnded` follows.
        """

    def poll(self, timeout: float) -> list[HostEvent]:
        """Events since the last call; waits up to `timeout` seconds for the first. Returns early after `wake`.

        Frames of a runner come in order, all before its `RunnerEnded`.
        """

    def wake(self) -> None:
        """Make the current or next `poll` return now. Thread-safe, and allowed in signal handlers."""

    def boot_clock(self) -> float:
        """Seconds of the clock that deadlines are given in: never goes back, goes on while the machine sleeps.

        Thread-safe.
        """

    def set_deadline(self, at: float) -> None:
        """Every runner is killed when `boot_clock()` reaches `at`, whatever this process does then. Thread-safe.

        A later call replaces the deadline. Until the first call there is none.
        """

    def output_size(self, runner_id: int) -> int:
        """Bytes that the runner's tree has written to its standard output and error since `reset_output`."""

    def read_output(self, runner_id: int, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; zero bytes may stand where output was discarded."""

    def discard_output(self, runner_id: int, upto: int) -> None:
        """Give up the first `upto` bytes; where the system can, their memory is freed. Offsets stay as they are."""

    def reset_output(self, runner_id: int, written: int | None = None, *, goes_on: bool = False) -> None:
        """Start the output of a new task at offset 0. Only for an idle runner, unless it `goes_on`.

        `written` is how much output the last task is known to have made; the host need not ask for it then. With
        `goes_on` the next task was sent ahead and may have written already, behind those bytes.
        """

    def usage(self, runner_ids: Sequence[int]) -> dict[int, TreeUsage]:
        """What these runners' trees use now; those that are gone are left out. Thread-safe."""

    def memory(self, runner_id: int) -> int:
        """Bytes that the runner's tree uses now, shared ones counted once; 0 when it is gone.

        At most what `usage` says, and slower to find out. Thread-safe.
        """

    def release(self, runner_id: int) -> None:
        """Forget an ended runner and its output."""

    def close(self) -> None:
        """Kill every tree, wait until they are dead, and release everything."""


def describe_end(ended: RunnerEnded) -> str:
    """A sentence for people on how a runner's process ended by itself."""
    if ended.signal == 9:
        return "the task's process was killed by signal 9 (SIGKILL): out of memory, or killed from outside"
    if ended.signal is not None:
        name = _SIGNAL_NAMES.get(ended.signal)
        shown = f"signal {ended.signal} ({name})" if name else f"signal {ended.signal}"
        return f"the task's process was killed by {shown}"
    if ended.exit_code is not None:
        return f"the task's process exited with code {ended.exit_code} in the middle of the task (os._exit?)"
    return "the task's process ended in the middle of the task"


_SIGNAL_NAMES = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL: illegal instruction",
    6: "SIGABRT: it aborted itself",
    8: "SIGFPE",
    11: "SIGSEGV: segmentation fault in native code",
    15: "SIGTERM",
    24: "SIGXCPU: its CPU time limit",
    25: "SIGXFSZ: its file size limit",
}
