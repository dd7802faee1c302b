"""Makes sure that one worker of a name runs from one state folder, its processes included.

Decides when a predecessor is dead: its lock file is locked by the worker *and* by its keeper, which holds on until the
last process of the last task is gone. So whoever gets the lock may declare the predecessor lost. Called by the
composition root.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

from dagdeck_core.errors import EnvironmentFault, UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_log = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds in which a predecessor's processes must have died."""
_PAUSE = 0.05


def lock_name(home: Path, name: str, stopping: threading.Event) -> int | None:
    """A locked descriptor to hold until the process ends; None when `stopping` was set meanwhile.

    Raises UserError when another worker of this name lives, EnvironmentFault when the state folder cannot be
    written.
    """
    path = home / "workers" / f"{quote(name, safe='')}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EnvironmentFault(
            f"the state folder {home} cannot be written: {error.strerror}",
            transient=False,
            remedy="Make it writable, or set paths.home to another folder",
        ) from error
    give_up = time.monotonic() + PATIENCE
    told = False
    while not stopping.is_set():
        if _try_lock(descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0) if hasattr(os, "pwrite") else None
            return descriptor
        if time.monotonic() > give_up:
            owner = path.read_text().strip() if sys.platform != "win32" else ""
            os.close(descriptor)
            raise UserError(
                "another worker of this name runs on this machine" + (f" (pid {owner})" if owner else ""),
                field="worker.name",
                value=name,
                remedy="Stop it, or give this worker another name",
            )
        if not told:
            told = True
            _log.info("waiting until every process of the previous worker %s has ended", name)
        stopping.wait(_PAUSE)
    os.close(descriptor)
    return None


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
