"""The worker's sending side of the queue, and what is known of the queue's health.

Decides that nobody waits for a queue that is down (what is sent then is dropped, for it only repeats what the database
holds), that reports of ends leave at once, and that everything else leaves in the background, many messages with one
call.
Constructed by the composition root; used by the committer and the metrics.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import REPORTS, Broker, Delivery
from dagdeck_core.wire import QueueMessage, Report
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

WAITING_LIMIT = 10_000
"""Messages of one topic that wait to be sent; what comes on top is dropped."""


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

    def attempt(self, call: Callable[[], None]) -> None:
        """Make a call to the queue unless it is down, and note when it fails."""
        if self.is_up():
            try:
                call()
            except EnvironmentFault as error:
                self.went_down(error)


class ReportSender:
    """Sends reports from the committer's thread, without a detour: a task's successors wait for them."""

    def __init__(self, broker: Broker, health: QueueHealth) -> None:
        self._broker = broker
        self._health = health

    def send(self, report: Report) -> None:
        """Send `report`, or drop it when the queue is down. Never raises for the queue."""
        self._health.attempt(lambda: self._broker.append(REPORTS, [report]))

    def close(self) -> None:
        """Release the broker."""
        self._broker.close()


class Publisher(WorkerThread):
    """Appends to the topics of live views and acknowledges hints, by a thread and a broker of its own.

    `append` and `acknowledge` never wait and never raise for the queue; what waits is sent together.
    """

    def __init__(self, broker: Broker, health: QueueHealth, *, on_crash: Callable[[str], None]) -> None:
        super().__init__("publisher", on_crash)
        self._broker = broker
        self._health = health
        self._changed = threading.Condition()
        self._messages: dict[str, list[QueueMessage]] = {}
        self._deliveries: list[Delivery] = []

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """Have `messages` sent soon. Thread-safe."""
        if not messages or not self._health.is_up():
            return
        with self._changed:
            waiting = self._messages.setdefault(topic, [])
            waiting.extend(messages[: WAITING_LIMIT - len(waiting)])
            self._changed.notify()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Have taken hints forgotten soon; a queue that is down forgets them by itself later. Thread-safe."""
        if deliveries and self._health.is_up():
            with self._changed:
                self._deliveries.extend(deliveries)
                self._changed.notify()

    def stop(self) -> None:
        """End after what waits has been sent."""
        with self._changed:
            super().stop()
            self._changed.notify()

    def _run(self) -> None:
        try:
            while self._await_work():
                self._send_waiting()
        finally:
            self._broker.close()

    def _await_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._deliveries or self.stopping.is_set())
            return bool(self._messages or self._deliveries)

    def _send_waiting(self) -> None:
        with self._changed:
            messages, self._messages = self._messages, {}
            deliveries, self._deliveries = self._deliveries, []
        if deliveries:
            self._health.attempt(lambda: self._broker.acknowledge(deliveries))
        for topic, each in messages.items():
            self._append(topic, each)

    def _append(self, topic: str, messages: list[QueueMessage]) -> None:
        self._health.attempt(lambda: self._broker.append(topic, messages))
