"""Who a scheduler process is, in the lease it holds, and whether such a holder is known to be dead.

Decides the owner's name: host, process and, where the system tells them, the boot and the process namespace, so that
a process number is only ever looked up where it means something. Does not decide who leads (the store does). Called
by `app`.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PLACE_LENGTH = 12


def owner_name() -> str:
    """This process: `host:pid@place`; unique while it lives."""
    return f"{socket.gethostname()}:{os.getpid()}@{_place()}"


def is_dead_owner(owner: str) -> bool:
    """True when `owner` was a process of this machine, boot and namespace, and no longer is one.

    Not knowing is False: a holder elsewhere is only ever judged by its lease. A process number that was given to
    another process meanwhile counts as alive, which only costs the wait.
    """
    process, _, place = owner.rpartition("@")
    _, _, pid = process.rpartition(":")
    if not pid.isdigit() or place != _place() or place == "":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _place() -> str:
    """Boot and process namespace of this process; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""
    return f"{boot[:_PLACE_LENGTH]}.{namespace}"
