"""A task that looks for a secret wherever a task can look; it knows the secret's digest only."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagdeck import DAG, task

KEY = re.compile(rb"[A-Za-z0-9_-]{43}=")
PTRACE_ATTACH = 16
PTRACE_DETACH = 17
LARGEST = 256 << 20


def _texts(pid: str) -> Iterator[tuple[str, bytes]]:
    """(place, what stands there) of a process, as far as it can be opened."""
    for name in ("environ", "cmdline"):
        yield from _content(f"/proc/{pid}/{name}")
    for number in _listed(f"/proc/{pid}/fd"):
        try:
            is_file = os.path.isfile(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        if is_file:
            yield from _content(f"/proc/{pid}/fd/{number}")
    yield from _memory(pid)


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _content(path: str) -> Iterator[tuple[str, bytes]]:
    try:
        with open(path, "rb") as file:
            yield path, file.read(LARGEST)
    except OSError:
        return


def _memory(pid: str) -> Iterator[tuple[str, bytes]]:
    try:
        with open(f"/proc/{pid}/maps", "rb") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                start, end = (int(part, 16) for part in span.split(b"-"))
                if not rights.startswith(b"rw") or end - start > LARGEST:
                    continue
                try:
                    memory.seek(start)
                    yield f"/proc/{pid}/mem", memory.read(end - start)
                except (OSError, ValueError, OverflowError):
                    continue
    except OSError:
        return


def _may_trace(pid: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        return False
    os.waitpid(pid, 0x40000000)
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return True


def _ancestors() -> list[int]:
    found = []
    pid = os.getppid()
    while pid > 1:
        found.append(pid)
        with open(f"/proc/{pid}/stat", "rb") as file:
            pid = int(file.read().rpartition(b")")[2].split()[1])
    return found


with DAG("prying", start_date=datetime(2025, 1, 1, tzinfo=UTC), is_paused_upon_creation=False):

    @task
    def look(params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Where the secret is, which processes were readable or traceable, and what this process has open."""
        wanted, mark = dag_run.conf["sha256"], dag_run.conf["mark"].encode()
        found: set[str] = set()
        readable: dict[str, str] = {}
        for pid in _listed("/proc"):
            if not pid.isdigit():
                continue
            name = Path(f"/proc/{pid}/comm")
            for place, text in _texts(pid):
                if place.endswith("/environ") and text:
                    if mark not in text:
                        break  # of another cluster or of nobody
                    readable[pid] = name.read_text().strip()
                if any(hashlib.sha256(key).hexdigest() == wanted for key in KEY.findall(text)):
                    found.add(place)
        for folder, _, files in os.walk(dag_run.conf.get("home", "/nowhere")):
            for place, text in (each for name in files for each in _content(f"{folder}/{name}")):
                if any(hashlib.sha256(key).hexdigest() == wanted for key in KEY.findall(text)):
                    found.add(place)
        ancestors = _ancestors()
        names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in ancestors]
        ours = [pid for pid, name in zip(ancestors, names, strict=True) if name.startswith("dagdeck")]
        return {
            "found": sorted(found),
            "readable": sorted(set(readable.values())),
            "ancestors": names,
            "traceable": [pid for pid in ours if _may_trace(pid)],
            "environment": sorted(name for name in os.environ if name.startswith("DAGDECK__")),
            "open": sorted({os.readlink(f"/proc/self/fd/{n}") for n in _listed("/proc/self/fd") if _is_open(n)}),
        }

    def _is_open(number: str) -> bool:
        return os.path.lexists(f"/proc/self/fd/{number}")

    look()
