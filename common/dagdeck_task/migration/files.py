"""The DAG files of a folder, each loaded in a process of its own and looked at.

Decides which files are looked at, how long one may take, and that nothing it does reaches this process. Used by the
program `python -m dagdeck_task.migration`.
"""

from __future__ import annotations

import os
import select
import signal
import time
import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dagdeck.collect import load_file
from dagdeck.dags import DAG
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_task.migration import dates, imports
from dagdeck_task.migration.findings import DagFinding, FileFinding, Report, Use

LONGEST_LOAD = 30.0
"""Seconds that one file may take to load, unless told otherwise."""


def check(folder: Path, *, timeout: float = LONGEST_LOAD) -> Report:
    """All DAG files of a folder, or one file."""
    root = folder if folder.is_dir() else folder.parent
    paths = candidates(folder) if folder.is_dir() else [folder]
    return Report(folder=str(folder), files=tuple(_apart(path, root, timeout) for path in paths))


def candidates(folder: Path) -> list[Path]:
    """Python files in which both a DAG and the system it is for are mentioned."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        if any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace").lower()
        if "dag" in text and ("airflow" in text or "dagdeck" in text):
            found.append(path)
    return found


def look_at(path: Path, root: Path) -> FileFinding:
    """Load a file in this process and say what was found."""
    text = path.read_text(encoding="utf-8", errors="replace")
    tree = imports.parse(text)
    target = imports.written_for(tree)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", RemovedInAirflow3Warning)
        loaded = load_file(path, root)
        found = list(_dags(loaded.dags, target, root)) if not loaded.failures else []
    problems = [(failure.message, failure.line) for failure in loaded.failures]
    problems += [(problem, None) for problem in found if isinstance(problem, str)]
    return FileFinding(
        file=path.relative_to(root).as_posix(),
        written_for=target,
        error=problems[0][0] if problems else None,
        line=problems[0][1] if problems else None,
        unsupported=imports.unsupported(tree),
        outdated=(*_uses(heard), *imports.old_names(tree)),
        dags=tuple(each for each in found if isinstance(each, DagFinding)),
    )


def _dags(dags: Iterable[DAG], target: str, root: Path) -> Iterator[DagFinding | str]:
    """A finding for each DAG, or why it cannot be run."""
    now = datetime.now(UTC)
    for dag in dags:
        try:
            serialize_dag(dag, root=root)
        except UserError as error:
            yield str(error)
            continue
        yield dates.compare(dag, written_for=target, now=now)


def _uses(heard: list[warnings.WarningMessage]) -> Iterator[Use]:
    for each in heard:
        if issubclass(each.category, RemovedInAirflow3Warning):
            name, _, advice = str(each.message).partition(" is from an earlier Airflow. ")
            yield Use(line=each.lineno, name=name, advice=advice)


def _apart(path: Path, root: Path, timeout: float) -> FileFinding:
    """As `look_at`, in a child process where the system can fork one."""
    if not hasattr(os, "fork"):
        return look_at(path, root)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(path, root, reading, writing)
    os.close(writing)
    try:
        data = _read(reading, timeout)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if data:
        return msgspec.json.decode(data, type=FileFinding)
    code = os.waitstatus_to_exitcode(status)
    why = (
        f"it took longer than {timeout:g} s to load" if code == -signal.SIGKILL else f"loading it ended Python ({code})"
    )
    tree = imports.parse(path.read_text(encoding="utf-8", errors="replace"))
    return FileFinding(file=path.relative_to(root).as_posix(), written_for=imports.written_for(tree), error=why)


def _answer(path: Path, root: Path, reading: int, writing: int) -> None:
    """In the child: look at the file and end. What it prints is dropped."""
    code = 1
    try:
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        data = msgspec.json.encode(look_at(path, root))
        while data:
            data = data[os.write(writing, data) :]
        code = 0
    finally:
        os._exit(code)


def _read(descriptor: int, timeout: float) -> bytes:
    """All that comes until the other side closes; nothing when that takes too long."""
    deadline, found = time.monotonic() + timeout, b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            return b""
        piece = os.read(descriptor, 65_536)
        if not piece:
            return found
        found += piece
    return b""
