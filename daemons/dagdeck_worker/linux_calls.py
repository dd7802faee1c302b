"""Linux system calls that Python 3.11 does not offer, through ctypes, and the reading of /proc.

Decides nothing. Called by the keeper, the runners and the Linux host; no other system imports it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_CLOCK_BOOTTIME = 7
_TFD_TIMER_ABSTIME = 1
_TFD_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _TimerSpec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def become_subreaper() -> None:
    """Orphans among this process's descendants become its children from now on. Lost by fork, kept by exec."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def die_with_parent(signal_number: int, parent: int) -> bool:
    """Receive `signal_number` when the parent thread dies; False when the process `parent` is dead already."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0))
    return os.getppid() == parent


def set_dumpable(dumpable: bool) -> None:
    """Whether other processes of this user may trace this one and read its memory, environment and open files."""
    _checked(_libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0))


def boot_timer() -> int:
    """A non-blocking timer descriptor on the clock that goes on while the machine sleeps."""
    return _checked(_libc.timerfd_create(_CLOCK_BOOTTIME, _TFD_FLAGS))


def set_boot_timer(descriptor: int, at: float) -> None:
    """Let the timer expire when CLOCK_BOOTTIME reaches `at` seconds; at once when that has passed."""
    nanoseconds = max(1, int(at * 1e9))
    spec = _TimerSpec(value=_Timespec(nanoseconds // 10**9, nanoseconds % 10**9))
    _checked(_libc.timerfd_settime(descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None))


def punch_hole(descriptor: int, start: int, end: int) -> None:
    """Free the whole pages between `start` and `end`; the file keeps its size and reads zeros there."""
    start = -(-start // PAGE_SIZE) * PAGE_SIZE
    end = end // PAGE_SIZE * PAGE_SIZE
    if end > start:
        mode = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
        _checked(_libc.fallocate(descriptor, mode, start, end - start))


def children_of(pid: int) -> list[int]:
    """Direct children of all threads of `pid`; [] when it is gone.

    Complete as long as nobody reaps a child of `pid` meanwhile, which holds for a single-threaded caller
    that asks for its own children.
    """
    children: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            children += map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split())
    except FileNotFoundError:
        if not os.path.exists(f"/proc/{pid}/task/{pid}/children") and os.path.exists(f"/proc/{pid}"):
            return _children_by_scan(pid)
    except (ProcessLookupError, PermissionError):
        return children
    return children


def _children_by_scan(pid: int) -> list[int]:
    """For kernels built without the children files."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields and int(fields[1]) == pid:
                found.append(int(name))
    return found


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/<pid>/stat after the command's name, beginning with the state; [] when it is gone."""
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return data[data.rindex(b")") + 2 :].split()


def tree_usage(root: int) -> tuple[float, int, int]:
    """(CPU seconds, resident bytes, processes) of `root` and its living descendants; zeros when it is gone.

    The seconds include those of children that have ended and were waited for.
    """
    cpu, resident, count = 0.0, 0, 0
    for _, fields in _tree(root):
        count += 1
        cpu += sum(map(int, fields[11:15])) / CLOCK_TICKS
        resident += int(fields[21]) * PAGE_SIZE
    return cpu, resident, count


def tree_memory(root: int) -> int:
    """Bytes of `root` and its living descendants, a page that several processes share counted in parts."""
    return sum(_shares(pid) or int(fields[21]) * PAGE_SIZE for pid, fields in _tree(root))


def _shares(pid: int) -> int:
    """The proportional set size of one process; 0 when it cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))


def _tree(root: int) -> Iterator[tuple[int, list[bytes]]]:
    """Each living process of the tree with its `stat_fields`."""
    waiting, count = [root], 0
    while waiting and count < 10_000:
        pid = waiting.pop()
        fields = stat_fields(pid)
        if fields:
            count += 1
            yield pid, fields
            waiting += children_of(pid)
