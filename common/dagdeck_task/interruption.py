"""What may break into a running task: its execution_timeout and SIGTERM.

Decides how each becomes an exception inside the task's code. Does not enforce anything against code that
catches everything: the worker kills such a task's processes. Both need the main thread; elsewhere (a
debugger's thread, Windows) they are left out with a warning. Used by `dagdeck_task.execution`.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dagdeck.exceptions import AirflowTaskTerminated, AirflowTaskTimeout

_log = logging.getLogger("dagdeck.task")
# Around every task: without turning numbers into enums, which takes ten times as long as the call itself.
_set_handler = getattr(sys.modules.get("_signal"), "signal", signal.signal)
_SIGTERM = int(signal.SIGTERM)
Handler = Callable[[int, FrameType | None], Any]


def can_interrupt() -> bool:
    """Whether this thread can be interrupted by signals."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def terminable(on_kill: Callable[[], None]) -> Iterator[None]:
    """Within the block SIGTERM calls `on_kill` and then raises AirflowTaskTerminated, once."""
    if not can_interrupt():
        yield
        return

    def terminate(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _log.error("SIGTERM: the task is to end now")
        _call_on_kill(on_kill)
        raise AirflowTaskTerminated("the task was ended from outside (SIGTERM)")

    before = _set_handler(_SIGTERM, terminate)
    try:
        yield
    finally:
        _set_handler(_SIGTERM, before)


@contextmanager
def time_limit(seconds: float | None, on_kill: Callable[[], None]) -> Iterator[None]:
    """Within the block AirflowTaskTimeout is raised when `seconds` have passed, after `on_kill`."""
    if seconds is None:
        yield
        return
    if not can_interrupt() or not hasattr(signal, "setitimer"):
        _log.warning("execution_timeout cannot be watched here: the task does not run in the main thread")
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise AirflowTaskTimeout(f"the task ran longer than its execution_timeout of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    begun = time.monotonic()
    other, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except AirflowTaskTimeout:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _call_on_kill(on_kill)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if other:
            # Somebody around the task (a test's time limit) was counting as well.
            signal.setitimer(signal.ITIMER_REAL, max(other - (time.monotonic() - begun), 0.001))


def _call_on_kill(on_kill: Callable[[], None]) -> None:
    try:
        on_kill()
    except Exception:  # noqa: BLE001 - the task ends whatever its on_kill does
        _log.exception("on_kill failed")
