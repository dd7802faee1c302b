"""The sub-processes of a daemon: how each enters, and which function it then runs.

Decides what happens before a daemon's own code: it dies with its supervisor, gets its settings, imports what is heavy,
waits at the gate, and reports when it is ready. Does not decide what it does. Called by `cli`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.lifeline import Lifeline
from dagdeck_io.settings import LogFormat, Settings, restore_settings
from dagdeckd.exit_codes import code_for
from dagdeckd.watching import SupervisedLife, take_service_manager

if TYPE_CHECKING:
    from dagdeckd.stdio_link import StdioLink

_PR_SET_PDEATHSIG = 1
_NURSERY_SECONDS = 10.0
"""How long a nursery may take to fork the others once it has begun to."""

Ready = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """What a supervisor passes on the command line: descriptors, its pid, its wishes. All None when started by hand."""

    settings_fd: int | None = None
    ready_fd: int | None = None
    gate_fd: int | None = None
    beat_ms: int | None = None
    """How often the supervisor wants a sign of life; None: never."""
    supervisor_pid: int | None = None
    over_stdio: str | None = None
    """The token of a supervisor that gives no descriptors: all goes over the standard streams (`stdio_link`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEntry:
    """A daemon's composition root: `function(settings, ready=…, lifeline=…)` in `module` runs it and returns its exit
    code."""

    name: str
    module: str
    function: str


SCHEDULER = ProcessEntry(name="scheduler", module="dagdeck_master.scheduler.app", function="run_scheduler")
DAG_PROCESSOR = ProcessEntry(
    name="dag-processor", module="dagdeck_master.dag_processor.app", function="run_dag_processor"
)
API = ProcessEntry(name="api", module="dagdeck_master.api.app", function="run_api")
WORKER = ProcessEntry(name="worker", module="dagdeck_worker.app", function="run_worker")
PREPARATION = ProcessEntry(name="preparation", module="dagdeckd.preparation", function="prepare_database")


def enter(options: ProcessOptions) -> tuple[Settings | None, StdioLink | None]:
    """Join this process to its supervisor: the settings that it passed, and the link to it where there is one.

    Both None when this process was started by hand. Raises EnvironmentFault when the supervisor has died already.
    """
    if options.over_stdio is not None:
        from dagdeckd.stdio_link import StdioLink

        link = StdioLink(options.over_stdio)
        return restore_settings(link.take_settings()), link
    if options.supervisor_pid is not None:
        die_with_supervisor(options.supervisor_pid)
    return take_settings(options), None


def run_process(entry: ProcessEntry, settings: Settings, options: ProcessOptions, link: StdioLink | None = None) -> int:
    """Run `entry` in this process until it ends; its exit code. Raises what it raises. `link` is what `enter` gave."""
    from dagdeck_io.log_setup import configure_logging, log_uncaught_exceptions
    from dagdeck_io.masking import Masker
    from dagdeck_io.settings.render import secret_values

    configure_logging(
        entry.name,
        level=settings.logging.level,
        format=settings.logging.format,
        masker=Masker(secret_values(settings)),
        repeat_interval=settings.logging.repeat_interval,
    )
    log_uncaught_exceptions()
    # Imported before the gate: with several processes starting at once this is where the time goes.
    run = getattr(importlib.import_module(entry.module), entry.function)
    if link is not None:
        link.wait_at_gate()
    elif options.gate_fd is not None:
        _wait_at_gate(options.gate_fd)
    ready, lifeline = _watchers(entry, options, link)
    try:
        return int(run(settings, ready=ready, lifeline=lifeline) or 0)
    except DagDeckError as error:
        if settings.logging.format is not LogFormat.JSON:
            raise
        # Printed as plain text it would not be a line of this log.
        logging.getLogger("dagdeckd").critical("%s", error)
        return code_for(error)


def take_settings(options: ProcessOptions) -> Settings | None:
    """The settings that the supervisor passed; None when this process was started by hand."""
    if options.settings_fd is None:
        return None
    with os.fdopen(options.settings_fd, "rb") as stream:
        return restore_settings(stream.read())


def die_with_supervisor(pid: int) -> None:
    """Be killed when the supervisor dies: nothing may go on under settings and a lock that it no longer holds.

    Raises EnvironmentFault when it has died already.
    """
    # A forked process begins as a child of the nursery (`forking`), which is about to end.
    parent, patience = os.getppid(), time.monotonic() + _NURSERY_SECONDS
    while parent != pid and os.getppid() == parent and time.monotonic() < patience:
        time.sleep(0.001)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != pid:
        raise EnvironmentFault("the supervisor ended before this process had started")


def stop_when_input_ends() -> None:
    """Have this process told to stop, as by SIGTERM, when its standard input ends: for who can send no signals."""

    from dagdeckd.stdio_link import stop_this_process

    def listen() -> None:
        while os.read(0, 4096):
            pass
        stop_this_process()

    threading.Thread(target=listen, name="input", daemon=True).start()


def _wait_at_gate(fd: int) -> None:
    opened = os.read(fd, 1)
    os.close(fd)
    if not opened:
        raise EnvironmentFault("the preparations failed; see above", transient=False)


def _watchers(entry: ProcessEntry, options: ProcessOptions, link: StdioLink | None) -> tuple[Ready, Lifeline]:
    """What says once that this process is ready, and what then says that it lives: to the supervisor that started it,
    else to the service manager."""
    pause = None if options.beat_ms is None else options.beat_ms / 1000
    supervised: SupervisedLife | None = None
    if link is not None:
        supervised = SupervisedLife(link.open_output(), pause, sign=link.mark)
    elif options.ready_fd is not None:
        os.set_blocking(options.ready_fd, False)
        supervised = SupervisedLife(options.ready_fd, pause)
    if supervised is not None:
        return _once(supervised.ready), supervised
    manager = take_service_manager(os.environ)
    return _once(lambda: manager.ready(f"the {entry.name} works")), manager


def _once(tell: Callable[[], None]) -> Ready:
    waiting = [tell]

    def ready() -> None:
        while waiting:
            waiting.pop()()
            release_free_memory()

    return ready


def release_free_memory() -> None:
    """Give back to the system what importing has left free in the C library's heap: about 10 MB of a daemon."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
