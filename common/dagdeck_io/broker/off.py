"""The queue that is switched off: work is found in the database alone.

Decides nothing. Made by `open_broker` for the URL "off".
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from dagdeck_core.ports import Delivery
from dagdeck_core.wire import Hint, QueueMessage


class OffBroker:
    """Offers vanish, nothing ever comes. Implements `dagdeck_core.ports.Broker`."""

    poisoned = 0

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def offer(self, queue: str, hints: Sequence[Hint]) -> None:
        """See Broker."""

    def take(self, queues: Sequence[str], consumer: str, *, limit: int, timeout: float) -> list[Delivery]:
        """See Broker."""
        self._wait(timeout)
        return []

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See Broker."""

    def depth(self, queue: str) -> int:
        """See Broker."""
        return 0

    def oldest_age(self, queue: str) -> float | None:
        """Nothing waits."""
        return None

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """See Broker."""

    def last_position(self, topic: str) -> str:
        """See Broker."""
        return "0"

    def read(
        self, positions: Mapping[str, str], *, limit: int, timeout: float
    ) -> tuple[list[QueueMessage], dict[str, str]]:
        """See Broker."""
        self._wait(timeout)
        return [], dict(positions)

    def interrupt(self) -> None:
        """See Broker."""
        self._interrupted.set()

    def ping(self) -> None:
        """See Broker."""

    def close(self) -> None:
        """See Broker."""

    def _wait(self, timeout: float) -> None:
        if timeout > 0:
            self._interrupted.wait(timeout)
            self._interrupted.clear()
