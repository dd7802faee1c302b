"""Starts a process by forking this one, so that what is imported here is neither imported nor held again.

Decides what a forked process keeps: standard streams of its own, the descriptors that it is given, nothing else
of the supervisor's. Does not decide what runs in it. Called by `supervised`, only while this process has one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Mapping

_PR_SET_NAME = 15


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


def fork_process(
    run: Callable[[], int], *, name: str, environ: Mapping[str, str], output_fd: int, keep: Collection[int]
) -> ForkedProcess:
    """Run `run` in a forked process, in a process group of its own; its result is the exit code.

    Standard output and error go to `output_fd`; of all other descriptors only those in `keep` stay open.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):
            # In both processes, so that it holds for whichever goes on first.
            os.setpgid(pid, pid)
        return ForkedProcess(pid)
    code = 1
    try:
        os.setpgid(0, 0)
        _become(name, environ, output_fd, keep)
        code = run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may return into the supervisor's own code
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
    if sys.platform.startswith("linux"):
        # What `top` and `ps -o comm` show; the command line stays the supervisor's.
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"dagdeck-{name}"[:15].encode(), 0, 0, 0)


def _highest_fd() -> int:
    try:
        return max(int(fd) for fd in os.listdir("/dev/fd"))
    except OSError:
        return 1024
