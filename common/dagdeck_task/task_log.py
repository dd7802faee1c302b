"""A task's log: how records of Python's logging become lines of its output.

Decides the form of a line: `2026-11-24T05:37:21.123456Z INFO  logger.name  message`, traceback lines
following. Prints pass as they are. Does not ship anything: the worker captures the output. One handler
serves the whole process; each task brings its masker.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import dagdeck
import dagdeck_task
from dagdeck_task.masking import MaskedStream, Masker

_log = logging.getLogger("dagdeck.task")
_OWN_FOLDERS = tuple(str(Path(package.__path__[0])) for package in (dagdeck, dagdeck_task))
"""Frames in these folders are left out where a traceback begins, since they say nothing to its reader."""


class LineFormatter(logging.Formatter):
    """Formats a record as one line, and its traceback below."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._prefix = ""

    def line(self, created: float, level: str, name: str, message: str) -> str:
        """One line; `created` is Unix time in seconds."""
        second = int(created)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{int((created - second) * 1_000_000):06}Z {level:<5} {name}  {message}"

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines of `record`, without the last newline."""
        line = self.line(record.created, record.levelname, record.name, record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + describe_exception(record.exc_info[1])
        if record.stack_info:
            line += "\n" + record.stack_info
        return line


class TaskLogHandler(logging.Handler):
    """Writes records to the standard output of now, masked by the current task's masker."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = LineFormatter()
        self.setFormatter(self.lines)
        self.masker: Masker | None = None

    def write(self, text: str) -> None:
        """Write `text`, masked, to the standard output of now."""
        stream = sys.stdout
        if self.masker is not None and not isinstance(stream, MaskedStream):
            text = self.masker.mask(text)
        stream.write(text)
        stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Never raises: a broken record is reported by logging's own way."""
        try:
            self.write(self.format(record) + "\n")
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - logging's contract
            self.handleError(record)


_handler = TaskLogHandler()


def begin(masker: Masker) -> None:
    """Make the handler serve a task: also again after user code took it away."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    if root.level in (logging.NOTSET, logging.WARNING):
        root.setLevel(logging.INFO)
    _handler.masker = masker


def say(message: str) -> None:
    """A line of DagDeck's own, at level INFO. Between `begin` and `end` it does without the detour through logging,
    which would cost more than a short task does. A standard output that the task broke loses it.
    """
    if _handler.masker is None:
        _log.info("%s", message)
        return
    with suppress(OSError, ValueError):
        _handler.write(_handler.lines.line(time.time(), "INFO", _log.name, message) + "\n")


def formatted(level: str, name: str, message: str) -> str:
    """A line as a log has it, with its newline."""
    return _handler.lines.line(time.time(), level, name, message) + "\n"


def end() -> None:
    """The task is over; its masker is let go."""
    _handler.masker = None


def remove() -> None:
    """Take the handler off the root logger."""
    logging.getLogger().removeHandler(_handler)


def describe_exception(error: BaseException) -> str:
    """The traceback of `error`, beginning where its author's code begins."""
    trace = _outside(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")


def _outside(trace: TracebackType | None) -> TracebackType | None:
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OWN_FOLDERS):
        found = found.tb_next
    return found or trace
