"""Hears of revocations at once, by the queue, and thereby notices whether the queue is up.

Decides nothing: the lease's renewals bring the same revocations a little later. Has a broker of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import Broker, revocation_topic
from dagdeck_core.wire import Revoked
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.queue_link import QueueHealth
from dagdeck_worker.worker_thread import WorkerThread

READ_SECONDS = 5.0
READ_LIMIT = 1000
FIRST_PROBE_PAUSE = 0.5
LONGEST_PROBE_PAUSE = 5.0


class RevocationListener(WorkerThread):
    """See the module. `on_revoked` is called from this thread with (ti_id, dispatch_no) pairs."""

    def __init__(
        self,
        broker: Broker,
        health: QueueHealth,
        incarnation: Incarnation,
        *,
        on_revoked: Callable[[list[tuple[int, int]]], None],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("revocations", on_crash)
        self._broker = broker
        self._health = health
        self._incarnation = incarnation
        self._on_revoked = on_revoked

    def stop(self) -> None:
        """See WorkerThread."""
        super().stop()
        self._broker.interrupt()

    def _run(self) -> None:
        positions: dict[str, str] = {}
        pause = FIRST_PROBE_PAUSE
        try:
            while not self.stopping.is_set():
                topic = revocation_topic(self._incarnation.worker_id)
                try:
                    if topic not in positions:
                        positions = {topic: self._broker.last_position(topic)}
                    if not self._health.is_up():
                        self._broker.ping()
                        self._health.came_up()
                    messages, positions = self._broker.read(positions, limit=READ_LIMIT, timeout=READ_SECONDS)
                    pause = FIRST_PROBE_PAUSE
                except EnvironmentFault as error:
                    self._health.went_down(error)
                    self.stopping.wait(pause)
                    pause = min(pause * 2, LONGEST_PROBE_PAUSE)
                    continue
                pairs = [pair for each in messages if isinstance(each, Revoked) for pair in each.dispatches]
                if pairs:
                    self._on_revoked(pairs)
        finally:
            self._broker.close()
