"""Closes this process to other processes of the same user, such as the tasks that its runners execute.

Decides how: on Linux the kernel then refuses /proc/PID/environ, mem, maps and fd, and tracing, to whoever has no
privilege over this process; it also writes no core, which would hold credentials. A process that is executed from this
one is open again; a forked one is not. Called where a daemon begins (`cli`, `master`, `standalone`).
"""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def close_to_tasks() -> None:
    """Let no other process of this user read this one. Does nothing where the system is not Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
