"""The worker's sending side of the queue, shared by its threads, and what is known of the queue's health.

Decides that nobody waits for a queue that is down: what is sent then is dropped, for it only repeats what the
database holds. Constructed by the composition root; used by the committer, the metrics and the main loop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import Broker, Delivery
from dagdeck_core.wire import QueueMessage

_log = logging.getLogger(__name__)


class QueueHealth:
    """Whether the queue answered last time. Thread-safe; said once per change."""

    def __init__(self) -> None:
        self._up = threading.Event()
        self._up.set()

    def is_up(self) -> bool:
        """Whether the queue is thought to answer."""
        return self._up.is_set()

    def went_down(self, error: EnvironmentFault) -> None:
        """A call failed."""
        if self._up.is_set():
            self._up.clear()
            _log.warning("the queue is down; work is looked for in the database until it is back: %s", error.message)

    def came_up(self) -> None:
        """A call succeeded."""
        if not self._up.is_set():
            self._up.set()
            _log.info("the queue is back")

    def await_up(self, timeout: float) -> bool:
        """Wait until the queue is up, at most `timeout` seconds."""
        return self._up.wait(timeout)


class Publisher:
    """Appends to topics and acknowledges hints through a broker of its own. Thread-safe; never raises for the queue."""

    def __init__(self, broker: Broker, health: QueueHealth) -> None:
        self._broker = broker
        self._health = health
        self._lock = threading.Lock()

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """Append `messages`, or drop them when the queue is down."""
        if messages:
            self._attempt(lambda: self._broker.append(topic, messages))

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forget taken hints; a queue that is down forgets them by itself later."""
        if deliveries:
            self._attempt(lambda: self._broker.acknowledge(deliveries))

    def close(self) -> None:
        """Release the broker."""
        with self._lock:
            self._broker.close()

    def _attempt(self, call: Callable[[], None]) -> None:
        if not self._health.is_up():
            return
        with self._lock:
            try:
                call()
            except EnvironmentFault as error:
                self._health.went_down(error)
