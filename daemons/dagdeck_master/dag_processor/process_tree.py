"""Ends a child process together with everything it started.

Decides how descendants are found: by the process group, by walking the tree, and, where the system lets a
process adopt orphans (Linux), by adopting those that detached themselves. Does not decide when. Called by
`child_process` and `pool`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Collection

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 20


def adopt_orphans() -> bool:
    """Make orphaned descendants children of this process from now on; False where the system cannot do that."""
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def kill_tree(process: subprocess.Popen[bytes]) -> int:
    """Kill `process`, started as leader of its own session, with its descendants; its `returncode`."""
    victims = _descendants(process.pid) if process.poll() is None else []
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()
    return process.wait()


def kill_orphans(children: Collection[int]) -> int:
    """Kill and reap every child of this process whose pid is not in `children`; how many there were.

    Only for a process that owns all its children and adopts orphans. Killing one may orphan further ones, so it
    looks again until none is left.
    """
    killed = 0
    for _ in range(_ROUNDS):
        orphans = [pid for pid in _own_children() if pid not in children]
        if not orphans:
            break
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
                killed += 1
    return killed


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _own_children() -> list[int]:
    found: list[int] = []
    try:
        # The kernel lists children by the thread that made or adopted them.
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as stream:
                found += [int(pid) for pid in stream.read().split()]
    except OSError:
        return [child.pid for child in psutil.Process().children()]
    return found
