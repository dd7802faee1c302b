"""The daemons' own log: one line per event, as text for people or JSON for collectors, without secrets.

Decides how a line looks, that every secret is masked before any sink sees it, and how often the same warning is
written. Does not decide what is logged: every module has its own logger and passes ids as
`extra={"cause": …, "dag_id": …}`. Called once per process by its composition root. Tasks' output is not its
business.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import msgspec

from dagdeck_io.masking import MASK, Masker, is_sensitive_name
from dagdeck_io.settings.shared_sections import LogFormat, LogLevel

REPEAT_MEMORY = 1000
"""Different warnings that are remembered."""
TEMPLATE_BURST = 20
"""Lines of one template, with different values, that are written per interval."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "left_out"}


def configure_logging(
    process: str,
    *,
    level: LogLevel = LogLevel.INFO,
    format: LogFormat = LogFormat.TEXT,
    stream: TextIO | None = None,
    masker: Masker | None = None,
    repeat_interval: float = 10.0,
) -> Masker:
    """Send all log lines of this process to `stream` (standard error when None).

    `process` is the name shown in each line, such as "scheduler"; `repeat_interval` seconds pass before the
    same warning is written again. Returns the masker in use, to which later secrets can be added. A second
    call replaces the first one's effect.
    """
    masker = masker or Masker()
    formatter = _JsonFormatter(process, masker) if format is LogFormat.JSON else _TextFormatter(process, masker)
    handler = _LimitingHandler(stream or sys.stderr, repeat_interval)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _LimitingHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.value.upper())
    logging.captureWarnings(True)
    return masker


def log_uncaught_exceptions() -> None:
    """Write exceptions that nobody catches, in any thread, to the log instead of standard error."""
    log = logging.getLogger("dagdeck")

    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("an error that nobody expected ends this process", exc_info=(kind, error, trace))

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is None or issubclass(found.exc_type, SystemExit):
            return
        name = found.thread.name if found.thread is not None else "?"
        details = (found.exc_type, found.exc_value, found.exc_traceback)
        log.critical("an error that nobody expected ends the thread %s", name, exc_info=details)

    sys.excepthook = in_main
    threading.excepthook = in_thread


class _Formatter(logging.Formatter):
    """What both formats share: time, context and exception of a record, masked."""

    def __init__(self, process: str, masker: Masker) -> None:
        super().__init__()
        self._process = process
        self._masker = masker

    def _moment(self, record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # Wrong arguments must not cost the line.
            message = f"{record.msg!r} with arguments {record.args!r}"
        left_out = vars(record).get("left_out", 0)
        return self._masker.mask(message) + (f" ({left_out} more like this were left out)" if left_out else "")

    def _context(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the caller passed as extra."""
        given = {key: value for key, value in vars(record).items() if key not in _STANDARD and value is not None}
        return {key: MASK if is_sensitive_name(key) else self._masked(value) for key, value in given.items()}

    def _exception(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._masker.mask("\n".join(parts))

    def _masked(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._masker.mask(value if isinstance(value, str) else str(value))


class _TextFormatter(_Formatter):
    """`2026-11-24T05:37:21.123Z INFO    scheduler[17] dagdeck_master.loop: message  dag_id=sales`."""

    def format(self, record: logging.LogRecord) -> str:
        context = "".join(f" {key}={_shown(value)}" for key, value in self._context(record).items())
        head = f"{self._moment(record)} {record.levelname:<8}{self._process}[{record.process}] {record.name}: "
        # A message of several lines must not look like several events.
        message = self._message(record).replace("\n", "\n    ")
        exception = self._exception(record)
        return f"{head}{message}{' ' + context if context else ''}" + (f"\n{exception}" if exception else "")


class _JsonFormatter(_Formatter):
    """One JSON object per line: time, level, process, pid, logger, message, the caller's extra, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = self._context(record)
        line |= {
            "time": self._moment(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "message": self._message(record),
        }
        exception = self._exception(record)
        if exception:
            line["exception"] = exception
        return msgspec.json.encode(line).decode()


@dataclass(slots=True)
class _Family:
    """When a template's interval began, the lines written in it, and those left out since the last one."""

    at: float
    count: int = 0
    left_out: int = 0


class _LimitingHandler(logging.StreamHandler[TextIO]):
    """Writes each warning or error at most once per interval, and says how many were left out."""

    def __init__(self, stream: TextIO, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._interval = interval
        self._clock = clock
        self._texts: OrderedDict[tuple[Any, ...], float] = OrderedDict()
        self._templates: OrderedDict[tuple[Any, ...], _Family] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        if self._interval > 0 and logging.WARNING <= record.levelno < logging.CRITICAL:
            left_out = self._left_out(record)
            if left_out is None:
                return
            if left_out:
                record.__dict__["left_out"] = left_out
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk or a closed pipe must not end the daemon, nor make it write more."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def _left_out(self, record: logging.LogRecord) -> int | None:
        """How many such lines were left out since the last one; None when this one is left out, too."""
        template = (record.name, record.levelno, str(record.msg))
        arguments = record.args.items() if isinstance(record.args, Mapping) else record.args or ()
        text = (*template, *map(str, arguments))
        now = self._clock()
        written_at, family = self._texts.get(text), self._templates.get(template)
        if family is None or now - family.at >= self._interval:
            family = self._templates[template] = _Family(now, left_out=family.left_out if family is not None else 0)
        if (written_at is not None and now - written_at < self._interval) or family.count >= TEMPLATE_BURST:
            family.left_out += 1
            return None
        family.count += 1
        left_out, family.left_out = family.left_out, 0
        self._texts[text] = now
        _remember_latest(self._texts, text)
        _remember_latest(self._templates, template)
        return left_out


def _remember_latest(memory: OrderedDict[tuple[Any, ...], Any], key: tuple[Any, ...]) -> None:
    memory.move_to_end(key)
    while len(memory) > REPEAT_MEMORY:
        memory.popitem(last=False)


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text) if not text or any(character.isspace() or character in "\"'" for character in text) else text
