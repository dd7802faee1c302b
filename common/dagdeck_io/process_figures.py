"""What the system says of this very process: its age, its processor time, its memory and its open files.

Decides where that is read. Does not decide who shows it. Called when a daemon publishes its figures and when the
control API is asked for its own.
"""

from __future__ import annotations

import os
import time

from dagdeck_core.measures import ProcessFigures

_STARTED_AT = time.time()
"""When this was imported: a daemon's start, to a second."""


def process_figures() -> ProcessFigures:
    """The figures of now."""
    return ProcessFigures(
        started_at=_STARTED_AT,
        cpu_seconds=time.process_time(),
        resident_bytes=_resident(),
        open_files=_open_files(),
    )


def _resident() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None
