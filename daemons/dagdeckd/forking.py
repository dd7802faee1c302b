"""Starts processes by forking them from one that has imported what they share: it is imported and held only once.

Decides what a forked process keeps: standard streams of its own, the descriptors that it is given, nothing else
of the supervisor's. Does not decide what runs in it. Called by `supervisor`, only while this process has one thread.

The importing is done by a nursery, a process between the supervisor and its children that ends when all of them have
been forked. They then become the supervisor's own children; it would otherwise hold until its end what only they
need, about 15 MB.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

CAN_FORK = sys.platform.startswith("linux")
"""Elsewhere nobody can adopt another one's children, and forking is unsafe for some systems' libraries."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A process to fork: `run` is called in it, in a process group of its own; its result is the exit code.

    Standard output and error go to `output_fd`; of all other descriptors only those in `keep` stay open.
    """

    name: str
    run: Callable[[], int]
    environ: Mapping[str, str]
    output_fd: int
    keep: Collection[int]


class ForkedProcess:
    """The part of `subprocess.Popen` that a supervisor needs, for a forked child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status (negative for a signal), None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has been seen to end."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def fork_together(births: Sequence[Birth], prepare: Callable[[], None]) -> list[ForkedProcess]:
    """Fork every one of `births`, in this order, from a nursery in which `prepare` has been called.

    Raises OSError when the nursery ended before it had forked all; what it had forked by then has been killed.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    announced, announce = os.pipe()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        supervisor = os.getpid()
        nursery = os.fork()
        if nursery == 0:
            _be_nursery(births, prepare, announce, supervisor)
        os.close(announce)
        with os.fdopen(announced) as stream:
            pids = [int(line) for line in stream]
        # Only with its end do its children become ours.
        os.waitpid(nursery, 0)
    finally:
        # From now on what a child leaves behind goes to the system's own init, as ever.
        _prctl(_PR_SET_CHILD_SUBREAPER, 0)
    processes = [ForkedProcess(pid) for pid in pids]
    if len(processes) < len(births):
        for process in processes:
            process.kill()
        raise OSError(f"the process that starts {births[len(pids)].name} ended too early")
    return processes


def _be_nursery(births: Sequence[Birth], prepare: Callable[[], None], announce: int, supervisor: int) -> None:
    """Fork all, tell their process ids, and end."""
    code = 1
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        prepare()
        if os.getppid() == supervisor:
            for birth in births:
                pid = os.fork()
                if pid == 0:
                    _live(birth)
                os.write(announce, f"{pid}\n".encode())
            code = 0
    except BaseException:  # noqa: BLE001 - nothing may return into the supervisor's own code
        traceback.print_exc()
    finally:
        os._exit(code)


def _live(birth: Birth) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        _become(birth.name, birth.environ, birth.output_fd, birth.keep)
        code = birth.run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may return into the nursery's code
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _become(name: str, environ: Mapping[str, str], output_fd: int, keep: Collection[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    start = 3
    for fd in [*sorted(keep), _highest_fd() + 1]:
        os.closerange(start, fd)
        start = fd + 1
    os.environ.clear()
    os.environ.update(environ)
    # What `top` and `ps -o comm` show; the command line stays the supervisor's.
    _prctl(_PR_SET_NAME, f"dagdeck-{name}"[:15].encode())


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _highest_fd() -> int:
    try:
        return max(int(fd) for fd in os.listdir("/dev/fd"))
    except OSError:
        return 1024
