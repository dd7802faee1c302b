"""The output of several processes as one stream of whole lines, each with the process's name in front, or as JSON.

Decides how lines are told apart and coloured, and that in a JSON log every line is JSON, whoever wrote it.
Does not read pipes (`supervised`). Called by `supervisor`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

_MAX_LINE = 64 * 1024
"""A line that grows longer is written in pieces."""
SUPERVISOR = "supervisor"
_COLOURS = (36, 33, 32, 35, 34)


class OutputRelay:
    """Collects pieces per process and writes whole lines to one file descriptor."""

    def __init__(self, fd: int, *, prefixed: bool = True, coloured: bool = False) -> None:
        """Without `prefixed` the log is JSON: its lines name their process themselves, and any other becomes one."""
        self._fd = fd
        self._prefixed = prefixed
        self._coloured = coloured
        self._pieces: dict[str, bytearray] = {}
        self._prefixes: dict[str, bytes] = {}

    def feed(self, name: str, data: bytes) -> None:
        """Write the lines that are complete with `data`, output of the process `name`."""
        pending = self._pieces.setdefault(name, bytearray())
        pending += data
        end = pending.rfind(b"\n") + 1
        if not end and len(pending) >= _MAX_LINE:
            pending += b"\n"
            end = len(pending)
        if end:
            lines = bytes(pending[:end])
            del pending[:end]
            self._write(self._prefix(name, lines))

    def finish(self, name: str) -> None:
        """Write what a process that ended left without a line's end."""
        if self._pieces.get(name):
            self.feed(name, b"\n")

    def note(self, text: str) -> None:
        """Write a line of the supervisor's own."""
        self.feed(SUPERVISOR, text.encode("utf-8", "replace") + b"\n")

    def _prefix(self, name: str, lines: bytes) -> bytes:
        if not self._prefixed:
            return b"".join(
                line if line.startswith(b"{") else _as_json(name, line) for line in lines.splitlines(keepends=True)
            )
        prefix = self._prefixes.get(name)
        if prefix is None:
            prefix = self._prefixes[name] = self._make_prefix(name)
        return b"".join(prefix + line for line in lines.splitlines(keepends=True))

    def _make_prefix(self, name: str) -> bytes:
        label = f"{name:<13} | "
        if self._coloured:
            label = f"\x1b[{_COLOURS[len(self._prefixes) % len(_COLOURS)]}m{label}\x1b[0m"
        return label.encode()

    def _write(self, data: bytes) -> None:
        # A closed terminal or a full disk below the log must not stop the cluster.
        with contextlib.suppress(OSError):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]


def _as_json(name: str, line: bytes) -> bytes:
    """A line of the log's form out of plain output: a supervisor's note, a last traceback."""
    told = {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "level": "info" if name == SUPERVISOR else "warning",
        "process": name,
        "logger": "dagdeckd.output",
        "message": line.decode("utf-8", "replace").rstrip("\r\n"),
    }
    return json.dumps(told).encode() + b"\n"


def wants_colour(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether `fd` is a terminal on which colours are welcome."""
    return os.isatty(fd) and "NO_COLOR" not in environ and environ.get("TERM") != "dumb"
