"""Finds and ends processes by a mark in their environment, where no kernel feature ties a tree together.

Decides which processes belong to a runner or to a host: those whose environment carries the mark, and
their descendants. A process that cleared its environment *and* left its parent escapes; only the Linux
host's keeper catches such. Called by `hosts.portable` and `hosts.watchdog`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

MARK_VARIABLE = "DAGDECK_TREE"
_PAUSE = 0.02


def mark(host_token: str, runner_id: int) -> str:
    """The mark of one runner of the host `host_token`."""
    return f"{host_token}.{runner_id}"


def boot_clock() -> float:
    """Seconds of a clock that never goes back and, where the system has such, goes on during sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def processes_marked(wanted: str, *, prefix: bool = False) -> list[psutil.Process]:
    """Living processes with the mark `wanted` (or, with `prefix`, a mark that begins so), and their descendants."""
    roots = [process for process in psutil.process_iter() if _carries(process, wanted, prefix)]
    return with_descendants(roots)


def with_descendants(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    """`roots` and all living processes below them, each once."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        found[root.pid] = root
        with suppress(psutil.Error):
            found.update((child.pid, child) for child in root.children(recursive=True))
    return [process for process in found.values() if _is_alive(process)]


def kill_until_gone(wanted: str, known: Iterable[psutil.Process] = (), *, prefix: bool = False, within: float) -> bool:
    """Kill all that carry the mark, and `known`, until none is left; False when some live after `within` seconds."""
    give_up = time.monotonic() + within
    remembered = {process.pid: process for process in known}
    while True:
        for process in processes_marked(wanted, prefix=prefix):
            remembered.setdefault(process.pid, process)
        alive = [process for process in remembered.values() if _is_alive(process)]
        if not alive:
            return True
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        if time.monotonic() > give_up:
            return False
        time.sleep(_PAUSE)


def _carries(process: psutil.Process, wanted: str, prefix: bool) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        found = process.environ().get(MARK_VARIABLE, "")
    except (psutil.Error, OSError):
        return False
    return found.startswith(wanted) if prefix else found == wanted


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
