"""Reads large answers away from the GUI thread.

Decides which answers are large enough for that. Does not decide what an answer means (`dagdeck_client`). Called by
`api`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QThreadPool, Signal

from dagdeck_client.errors import ServerFault
from dagdeck_client.requests.base import Request, Response
from dagdeck_core.errors import DagDeckError

_logger = logging.getLogger(__name__)
INLINE_BYTES = 16_384
"""Answers up to this size are read at once: that takes less than a change of threads."""

Deliver = Callable[[Any, DagDeckError | None], None]


class Decoder(QObject):
    """Parses answers in a thread of its own and delivers them in the GUI thread, in any order."""

    _decoded = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(1)
        self._decoded.connect(self._deliver)

    def decode(self, request: Request[Any], response: Response, deliver: Deliver) -> None:
        """Call `deliver(value, None)` or `deliver(None, error)`, at once for a small answer and later for others."""
        if len(response.content) <= INLINE_BYTES:
            deliver(*parse(request, response))
            return
        self._pool.start(lambda: self._decoded.emit((deliver, parse(request, response))))

    def close(self) -> None:
        """Wait for what is being read."""
        self._pool.clear()
        self._pool.waitForDone(2_000)

    def _deliver(self, work: tuple[Deliver, tuple[Any, DagDeckError | None]]) -> None:
        deliver, outcome = work
        deliver(*outcome)


def parse(request: Request[Any], response: Response) -> tuple[Any, DagDeckError | None]:
    """The answer's value, or the error that it stands for."""
    try:
        return request.parse(response), None
    except DagDeckError as error:
        return None, error
    except Exception as error:
        _logger.exception("the answer to %s %s could not be read", request.method, request.path)
        return None, ServerFault(
            f"the answer to {request.method} {request.path} could not be read ({error})",
            status=response.status,
            transient=False,
        )
