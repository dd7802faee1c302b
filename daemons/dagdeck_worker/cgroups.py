"""Control groups (cgroup v2) for runners: memory and CPU limits that the kernel keeps.

Decides where this worker may make groups, and what is written into them. Does not decide who is limited. Called by the
keeper, in the order prepare, make, enter (by the runner itself), ran_out_of_memory, remove; single-threaded.

Groups are made only where that was delegated: in the folder that a setting names, or in the worker's own group when
systemd has marked it as delegated (`Delegate=` of the unit). As no group with groups below it may hold processes, those
of the daemons move to a group of their own first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dagdeck_core.process_port import RunnerSetup

AUTO, OFF = "auto", "off"
_DAEMONS = "dagdeck-daemons"
_PREFIX = "dagdeck-runner-"
_PERIOD = 100_000
"""Microseconds; a core for a whole period is one core."""
_NEEDED = ("cpu", "memory")
_MARKS = ("user.delegate", "trusted.delegate")


class NoGroups(Exception):
    """Why there are no groups here, for people."""


class RunnerGroups:
    """Groups below one folder. `where`: a folder, "auto" for the worker's own group if delegated, or "off"."""

    def __init__(self, where: str, *, proc: Path = Path("/proc/self")) -> None:
        self._where = where
        self._proc = proc
        self._root: Path | None = None
        self._complaint = ""

    def make(self, name: str, setup: RunnerSetup) -> Path:
        """A new group with the limits of `setup`. Raises NoGroups."""
        root = self._prepared()
        group = root / f"{_PREFIX}{os.getpid()}-{name}"
        try:
            group.mkdir()
            if setup.memory:
                _write(group / "memory.max", str(setup.memory))
                _write(group / "memory.oom.group", "1")
                with suppress(OSError):  # a kernel without swap accounting has no such file
                    _write(group / "memory.swap.max", "0")
            if setup.cores:
                _write(group / "cpu.max", f"{max(1000, round(setup.cores * _PERIOD))} {_PERIOD}")
        except OSError as error:
            self.remove(group)
            raise NoGroups(f"a control group cannot be made in {root}: {error.strerror}") from error
        return group

    @staticmethod
    def enter(group: Path) -> None:
        """Move the calling process, with all that it will start, into `group`. Raises OSError."""
        _write(group / "cgroup.procs", "0")

    @staticmethod
    def ran_out_of_memory(group: Path) -> bool:
        """Whether the kernel has killed something in `group` for its limit."""
        try:
            lines = (group / "memory.events").read_text().splitlines()
        except OSError:
            return False
        counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
        return any(counts.get(name, "0").strip() != "0" for name in ("oom_kill", "oom_group_kill"))

    @staticmethod
    def remove(group: Path) -> None:
        """Remove an empty group. One that is not is left to the next `prepare`."""
        with suppress(OSError):
            group.rmdir()

    def _prepared(self) -> Path:
        if self._root is None and not self._complaint:
            try:
                self._root = self._prepare()
            except NoGroups as reason:
                self._complaint = str(reason)
            except OSError as error:
                self._complaint = f"control groups cannot be used: {error.filename}: {error.strerror}"
        if self._root is None:
            raise NoGroups(self._complaint)
        return self._root

    def _prepare(self) -> Path:
        if self._where == OFF:
            raise NoGroups("worker.cgroup is off")
        root = _own_group(self._proc) if self._where == AUTO else Path(self._where)
        available = (root / "cgroup.controllers").read_text().split()
        missing = [name for name in _NEEDED if name not in available]
        if missing:
            raise NoGroups(f"the control group {root} has no controller {' and '.join(missing)}")
        self._move_daemons(root)
        _write(root / "cgroup.subtree_control", " ".join(f"+{name}" for name in _NEEDED))
        for left in root.glob(f"{_PREFIX}*"):
            self.remove(left)
        return root

    @staticmethod
    def _move_daemons(root: Path) -> None:
        for _ in range(10):  # some may fork meanwhile
            inside = (root / "cgroup.procs").read_text().split()
            if not inside:
                return
            (root / _DAEMONS).mkdir(exist_ok=True)
            for pid in inside:
                with suppress(ProcessLookupError):
                    _write(root / _DAEMONS / "cgroup.procs", pid)


def _own_group(proc: Path) -> Path:
    """The folder of this process's group. Raises NoGroups when there is none, or it was not delegated."""
    paths = [line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::")]
    mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines() if " - cgroup2 " in line]
    if not paths or not mounts:
        raise NoGroups("this system has no control groups of version 2")
    root = Path(mounts[0][4]) / paths[0].lstrip("/")
    if not any(_is_marked(root, mark) for mark in _MARKS):
        raise NoGroups(f"the control group {root} is not delegated to this worker (Delegate= of its systemd unit)")
    return root


def _is_marked(folder: Path, mark: str) -> bool:
    try:
        return os.getxattr(folder, mark) == b"1"
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    # One write: the kernel takes each as a whole.
    path.write_text(text)
