"""`timeout`: an upper bound on the time of a `with` block.

Decides how the block is ended when time is up: by an exception in the main thread. Used in custom operators.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from dagdeck.exceptions import AirflowTaskTimeout


class timeout:
    """Raises AirflowTaskTimeout inside the block when it takes longer than `seconds`.

    Only the main thread of a system with alarms can be interrupted; elsewhere the block runs without a bound.
    """

    def __init__(self, seconds: float = 1, error_message: str = "Timeout") -> None:
        self.seconds = seconds
        self.error_message = error_message
        self._earlier: Any = None
        self._remaining = 0.0
        self._works = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()

    def handle_timeout(self, *_: int | FrameType | None) -> None:
        """Time is up. Raises AirflowTaskTimeout."""
        raise AirflowTaskTimeout(f"{self.error_message} after {self.seconds} s")

    def __enter__(self) -> timeout:
        if self._works:
            self._earlier = signal.signal(signal.SIGALRM, self.handle_timeout)
            self._remaining = signal.setitimer(signal.ITIMER_REAL, self.seconds)[0]
        return self

    def __exit__(self, *_: object) -> None:
        if self._works:
            # An outer limit, such as the task's execution_timeout, goes on (later by the time of the block at most).
            signal.setitimer(signal.ITIMER_REAL, self._remaining)
            signal.signal(signal.SIGALRM, self._earlier)
