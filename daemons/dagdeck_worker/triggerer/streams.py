"""Whose line it is: output of many triggers in one process, told apart by the context that wrote it.

Decides that what a trigger prints or logs, in its coroutine or in a thread that it waits for, becomes part of its own
task's log, and that the rest goes where the process's output goes. Used by `process`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextvars import ContextVar
from typing import TextIO

from dagdeck_task.masking import Masker

LINE_LIMIT = 64 * 1024
"""Characters after which an unfinished line is handed over all the same."""


class Lines:
    """Lines that one trigger wrote and that were not sent yet."""

    __slots__ = ("_parts", "_size", "_unfinished", "trigger_id")

    def __init__(self, trigger_id: int) -> None:
        self.trigger_id = trigger_id
        self._parts: list[str] = []
        self._unfinished = ""
        self._size = 0

    def write(self, text: str) -> None:
        """Add text."""
        head, newline, tail = text.rpartition("\n")
        if newline:
            self._parts.append(self._unfinished + head + "\n")
            self._unfinished = tail
        else:
            self._unfinished += tail
        if len(self._unfinished) > LINE_LIMIT:
            self._parts.append(self._unfinished)
            self._unfinished = ""
        self._size += len(text)

    def take(self, *, is_end: bool = False) -> bytes:
        """What there is to be sent, whole lines unless it is the end."""
        if is_end and self._unfinished:
            self._parts.append(self._unfinished + "\n")
            self._unfinished = ""
        data = "".join(self._parts).encode(errors="backslashreplace")
        self._parts.clear()
        self._size = len(self._unfinished)
        return data

    @property
    def size(self) -> int:
        """Characters that wait."""
        return self._size


current: ContextVar[Lines | None] = ContextVar("current_trigger", default=None)
"""The lines of the trigger whose code runs now."""


class TriggerStream(io.TextIOBase):
    """Standard output and error of the triggerer, without the secrets that `masker` knows.

    `on_lines` is called when a trigger has written something.
    """

    def __init__(self, rest: TextIO, masker: Masker, on_lines: Callable[[Lines], None]) -> None:
        self._rest = rest
        self._masker = masker
        self._on_lines = on_lines

    def write(self, text: str) -> int:
        """Write on behalf of whose code runs now."""
        lines = current.get()
        shown = self._masker.mask(text)
        if lines is None:
            self._rest.write(shown)
            self._rest.flush()
        else:
            lines.write(shown)
            self._on_lines(lines)
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def flush(self) -> None:
        """Lines are sent by themselves."""

    def fileno(self) -> int:
        """The process's own output, for programs that a trigger starts."""
        return self._rest.fileno()
