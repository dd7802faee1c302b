"""What processes use, read from /proc: CPU time and proportional memory, by the role of the process.

Decides which process plays which role. Called by `bed` before and after what is measured.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.e2e.daemon import role_of

_TICKS = os.sysconf("SC_CLK_TCK")
_KEEPER = "dagdeck_worker.keeper"
TRIGGERER = "dagdeck-trigger"
SERVERS = ("mariadb", "redis")


def roles(processes: Iterable[psutil.Process]) -> dict[psutil.Process, str]:
    """Each process with its role: a daemon's name, "keeper", "runner", "triggerer" or "other"."""
    found: dict[psutil.Process, str] = {}
    every = list(processes)
    keepers = {process.pid for process in every if _is_keeper(process)}
    for process in every:
        with contextlib.suppress(psutil.Error):
            if process.ppid() in keepers:
                # A runner is a fork of the keeper and looks like one.
                found[process] = "triggerer" if process.name() == TRIGGERER else "runner"
            elif process.pid in keepers:
                found[process] = "keeper"
            else:
                found[process] = role_of(process) or "other"
    return found


def _is_keeper(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        return _KEEPER in process.cmdline() and (parent is None or _KEEPER not in parent.cmdline())
    return False


def cpu_seconds(named: dict[psutil.Process, str]) -> Counter[str]:
    """CPU seconds by role so far. What ended children used is counted with runners if a keeper reaped them."""
    total: Counter[str] = Counter()
    for process, role in named.items():
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
            total[role] += own / _TICKS  # type: ignore[assignment]
            total["runner" if role == "keeper" else role] += children / _TICKS  # type: ignore[assignment]
    return total


def pss_bytes(named: dict[psutil.Process, str]) -> Counter[str]:
    """Proportional set size by role: shared pages are divided among those who share them."""
    total: Counter[str] = Counter()
    for process, role in named.items():
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total[role] += int(line.split()[1]) * 1024
    return total
