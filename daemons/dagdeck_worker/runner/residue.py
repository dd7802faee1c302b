"""What a task changed in its runner's process: put back what can be, name what cannot.

Decides which process-wide settings are restored between tasks (environment, working directory, umask,
signal handlers and mask, timers, standard streams) and what counts as left behind (threads, child processes,
open files): a runner with such leftovers is replaced by its parent. Called by `runner.process` after each task.

All of it costs about 20 µs when nothing was changed.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

LISTING_EVERY = 16
"""Open files are counted one by one only every so many tasks; the cheap probe runs after each."""
NAMED_AT_MOST = 5
_ON_LINUX = sys.platform == "linux"
_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGALRM", "SIGCHLD", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGQUIT")
    if hasattr(signal, name)
)
# Without turning numbers into enums, which takes twenty times as long as the question itself.
_handler_of = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)


def open_streams(output: int) -> None:
    """Let standard input be empty and standard output and error append to `output`, line by line."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    _point_streams_at(output)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]


def _point_streams_at(output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)


def _stream(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
    )


def _environment_now() -> dict[Any, Any]:
    """The environment as os.environ stores it, which is ten times cheaper to compare than its decoded form."""
    stored = getattr(os.environ, "_data", None)
    return dict(os.environ) if stored is None else dict(stored)


class Baseline:
    """The process as it was before the first task."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._environment = _environment_now()
        self._environ = dict(os.environ)
        self._folder = os.getcwd()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._handlers = {number: _handler_of(number) for number in _SIGNALS}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else None
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._lowest_free = _lowest_free_descriptor()
        self._files = _open_files()
        self._tasks = 0

    def restore(self) -> tuple[str, ...]:
        """Put everything back; the answer names what the task left behind."""
        self._tasks += 1
        self._restore_signals()
        self._restore_streams()
        self._restore_surroundings()
        return (*_leftover_threads(), *_leftover_children(), *self._leftover_files())

    def _restore_signals(self) -> None:
        for number, handler in self._handlers.items():
            if _handler_of(number) is not handler and handler is not None:
                signal.signal(number, handler)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _restore_streams(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        _point_streams_at(self._output)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        if sys.stdout.closed or sys.stderr.closed:
            open_streams(self._output)
            self._streams = (sys.stdin, sys.stdout, sys.stderr)
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()

    def _restore_surroundings(self) -> None:
        if _environment_now() != self._environment:
            os.environ.clear()
            os.environ.update(self._environ)
            if hasattr(time, "tzset"):
                time.tzset()
        try:
            moved = os.getcwd() != self._folder
        except OSError:
            moved = True
        if moved:
            with suppress(OSError):
                os.chdir(self._folder)
        os.umask(self._umask)

    def _leftover_files(self) -> tuple[str, ...]:
        # A new descriptor always takes the lowest free number, so a leak almost always moves that number.
        if _lowest_free_descriptor() == self._lowest_free and self._tasks % LISTING_EVERY:
            return ()
        extra = {number: name for number, name in _open_files().items() if number not in self._files}
        if not extra and _lowest_free_descriptor() == self._lowest_free:
            return ()
        named = ", ".join(sorted(set(extra.values()))[:NAMED_AT_MOST]) or "closed standard descriptors"
        return (f"{max(1, len(extra))} open file(s): {named}",)


def _lowest_free_descriptor() -> int:
    probe = os.dup(0)
    os.close(probe)
    return probe


def _open_files() -> dict[int, str]:
    """Open descriptors and what they are; {} where the system has no listing."""
    if not _ON_LINUX:
        return {}
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own descriptor is closed by now
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _leftover_threads() -> tuple[str, ...]:
    if threading.active_count() == 1:
        return ()
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return (f"{len(names)} thread(s): {', '.join(names[:NAMED_AT_MOST])}",) if names else ()


def _leftover_children() -> tuple[str, ...]:
    if not hasattr(os, "waitid"):
        return ()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return ()
    pids = _children()
    named = [f"{_command_of(pid)} (pid {pid})" for pid in pids[:NAMED_AT_MOST]]
    return (f"{max(1, len(pids))} child process(es): {', '.join(named) or 'unnamed'}",)


def _children() -> list[int]:
    if not _ON_LINUX:
        return []
    from dagdeck_worker import linux_calls

    return linux_calls.children_of(os.getpid())


def _command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "process"


class Resident:
    """This process's resident memory, asked for after every task: its file stays open, since opening costs most.

    Made before `Baseline`, which would otherwise take the file for one that a task left open.
    """

    def __init__(self) -> None:
        self._statm = -1
        self._page = 1
        if _ON_LINUX:
            from dagdeck_worker import linux_calls

            self._page = linux_calls.PAGE_SIZE
            with suppress(OSError):
                self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def bytes(self) -> int:
        """Resident bytes; 0 where the system does not say cheaply, or a task has closed the file."""
        if self._statm < 0:
            return 0
        try:
            return int(os.pread(self._statm, 256, 0).split()[1]) * self._page
        except (OSError, ValueError, IndexError):
            return 0
