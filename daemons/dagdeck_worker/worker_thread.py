"""What all threads of the worker have in common: a name, a stop, and that their death is never silent.

Decides how a thread ends. Base of the consumer, the committer and the others.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

_log = logging.getLogger(__name__)


class WorkerThread(ABC):
    """One thread. Subclasses implement `_run`, which returns soon after `stopping` is set.

    `on_crash` is called, from the thread, when `_run` raises: a worker without one of its threads must end.
    """

    def __init__(self, name: str, on_crash: Callable[[str], None]) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._heard_at = 0.0
        self._on_crash = on_crash
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. Subclasses wake whatever it waits for."""
        self.stopping.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end; whether it came within `timeout` seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def silent_for(self) -> float:
        """Seconds since the thread last came round its loop; 0 while it rests, or does not run."""
        return time.monotonic() - self._heard_at if self._heard_at else 0.0

    def _goes_on(self) -> None:
        """The thread has come round its loop; from now on it is missed when it does not."""
        self._heard_at = time.monotonic()

    def _rests(self) -> None:
        """The thread waits for something to do, however long."""
        self._heard_at = 0.0

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must hear of it
            _log.exception("the worker's thread %s died", self._thread.name)
            self._on_crash(f"thread {self._thread.name}: {type(error).__name__}: {error}")
        finally:
            self._rests()

    @abstractmethod
    def _run(self) -> None:
        """The thread's work."""
