"""What happens when something fails that nobody caught: it is logged, and shown with details to copy.

Decides that no traceback reaches a person unasked and none is lost. Does not decide about expected errors (views show
those). Installed by `app`.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import platform
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QMessageLogContext, QObject, QtMsgType, Signal, qInstallMessageHandler, qVersion

from dagdeck_desktop.transport.network import product_version

_logger = logging.getLogger(__name__)
LOG_BYTES = 2 * 1024 * 1024
LOG_FILES = 3
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def log_to(path: Path) -> None:
    """Write this process's log to a file that is kept small. A disk that refuses leaves only standard error."""
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler: logging.Handler
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8", delay=True
        )
    except OSError as error:
        handler = logging.StreamHandler()
        _logger.warning("%s cannot be written: %s", path, error)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    qInstallMessageHandler(_log_qt)
    _logger.info("DagDeck %s starts, process %d", product_version(), os.getpid())


def _log_qt(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
    logging.getLogger("qt").log(_LEVELS.get(kind, logging.INFO), "%s", message)


class Incidents(QObject):
    """Catches what nobody caught. `happened(summary, details)` comes in the GUI thread."""

    happened = Signal(str, str)

    def __init__(self, log: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._log = log
        self._previous: Callable[..., object] = sys.excepthook

    def install(self) -> None:
        """Catch from now on, in every thread."""
        sys.excepthook = self._caught
        threading.excepthook = lambda args: self._caught(
            args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
        )

    def remove(self) -> None:
        """Leave errors to Python again."""
        sys.excepthook = self._previous
        threading.excepthook = threading.__excepthook__

    def report(self, error: BaseException) -> str:
        """All that a report of this error needs."""
        versions = f"DagDeck {product_version()}, Python {platform.python_version()}, Qt {qVersion()}"
        return "\n".join(
            [
                f"{versions}, {platform.platform()}",
                f"log: {self._log}",
                "",
                *traceback.format_exception(error),
            ]
        ).strip()

    def _caught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._previous(kind, error, trace)
            return
        _logger.error("nobody caught this", exc_info=(kind, error, trace))
        try:
            self.happened.emit(f"{kind.__name__}: {error}"[:300], self.report(error))
        except RuntimeError:
            self._previous(kind, error, trace)
