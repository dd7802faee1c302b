"""The consumer: takes hints from the queues while there is room, and looks in the database while it cannot.

Decides how much is taken, puts the rest of a hint back before the hint is acknowledged, and chooses between
queue and `ready` table. Does not claim: the committer does, in its next transaction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import Broker, Delivery
from dagdeck_core.wire import Hint
from dagdeck_worker.committer import Committer
from dagdeck_worker.queue_link import QueueHealth
from dagdeck_worker.slots import SlotGate
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

TAKE_SECONDS = 1.0
"""Longest wait for a hint before the ready table is thought of again."""
READY_WHILE_UP_SECONDS = 5.0
"""How often the ready table is looked at although the queue is up: the master may not reach a queue that we do."""
_HINT_SIZE_WEIGHT = 0.2


class Consumer(WorkerThread):
    """See the module. `queue_off` says that there is no queue at all."""

    def __init__(
        self,
        broker: Broker,
        health: QueueHealth,
        gate: SlotGate,
        committer: Committer,
        *,
        queues: Sequence[str],
        name: str,
        queue_off: bool,
        poll_interval: float,
        poll_idle_interval: float,
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("consumer", on_crash)
        self._broker = broker
        self._health = health
        self._gate = gate
        self._committer = committer
        self._queues = tuple(queues)
        self._name = name
        self._queue_off = queue_off
        self._poll_interval = poll_interval
        self._poll_idle_interval = poll_idle_interval
        self._hint_size = 1.0
        self._next_ready = time.monotonic() + READY_WHILE_UP_SECONDS

    def stop(self) -> None:
        """See WorkerThread."""
        super().stop()
        self._gate.set_open(False)
        self._broker.interrupt()

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                if not self._gate.await_room(TAKE_SECONDS):
                    continue
                if self._queue_off or not self._health.is_up():
                    self._poll_ready()
                else:
                    self._take()
        finally:
            self._broker.close()

    def _take(self) -> None:
        limit = max(1, int(self._gate.room() / self._hint_size))
        try:
            deliveries = self._broker.take(self._queues, self._name, limit=limit, timeout=TAKE_SECONDS)
            if deliveries:
                self._claim(deliveries)
        except EnvironmentFault as error:
            self._health.went_down(error)
            return
        if not deliveries and time.monotonic() >= self._next_ready:
            self._next_ready = time.monotonic() + READY_WHILE_UP_SECONDS
            self._take_ready()

    def _claim(self, deliveries: Sequence[Delivery]) -> None:
        """Claim what there is room for; the rest goes back to its queue."""
        room = self._gate.room()
        wanted: list[tuple[int, int]] = []
        rest: dict[str, list[Hint]] = {}
        for delivery in deliveries:
            dispatches = delivery.hint.dispatches
            self._hint_size += _HINT_SIZE_WEIGHT * (len(dispatches) - self._hint_size)
            fitting = room - len(wanted)
            wanted += dispatches[:fitting]
            if dispatches[fitting:]:
                rest.setdefault(delivery.queue, []).append(Hint(dispatches[fitting:]))
        self._hint_size = max(1.0, self._hint_size)
        self._gate.hold(len(wanted))
        # Back in the queue before the hint is acknowledged, which the committer does after its commit.
        acknowledged = list(deliveries)
        for queue, hints in rest.items():
            try:
                self._broker.offer(queue, hints)
            except EnvironmentFault as error:
                # Left unacknowledged; the scheduler offers again what nobody claims.
                self._health.went_down(error)
                acknowledged = [delivery for delivery in acknowledged if delivery.queue != queue]
        self._committer.claim(wanted, acknowledged)

    def _poll_ready(self) -> None:
        taken = self._take_ready()
        busy = taken > 0 or self._gate.free_slots() < self._gate.slots
        pause = 0.0 if taken else self._poll_interval if busy else self._poll_idle_interval
        if pause and not self._queue_off:
            self._health.await_up(pause)
        elif pause:
            self.stopping.wait(pause)

    def _take_ready(self) -> int:
        room = self._gate.room()
        if not room:
            return 0
        self._gate.hold(room)
        return self._committer.take_ready(room)
