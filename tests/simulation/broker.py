"""The simulation's queue: hints and reports that may be dropped, repeated, delayed and reordered.

Messages become visible at a simulated time; a flush forgets all; while it is down every call fails.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.wire import Hint, QueueMessage


@dataclass
class SimBroker:
    """Queues by name and one report stream. Rates are per message; `hints_down_until` is about `offer` alone."""

    clock: Callable[[], float]
    rng: random.Random
    drop: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    down_until: float = -1.0
    hints_down_until: float = -1.0
    _hints: list[tuple[float, int, str, Hint]] = field(default_factory=list)
    _reports: list[tuple[float, int, QueueMessage]] = field(default_factory=list)
    _number: int = 0

    def reach(self) -> None:
        """Raise when the queue cannot be reached now."""
        if self.clock() < self.down_until:
            raise EnvironmentFault("simulated: the queue is down")

    def offer(self, queue: str, hints: Sequence[Hint]) -> None:
        self.reach()
        if self.clock() < self.hints_down_until:
            raise EnvironmentFault("simulated: the queue takes no hints")
        for hint in hints:
            for at in self._arrivals():
                heapq.heappush(self._hints, (at, self._next(), queue, hint))

    def report(self, message: QueueMessage) -> None:
        self.reach()
        for at in self._arrivals():
            heapq.heappush(self._reports, (at, self._next(), message))

    def take(self, queues: Sequence[str]) -> Hint | None:
        self.reach()
        if self._hints and self._hints[0][0] <= self.clock() and self._hints[0][2] in queues:
            return heapq.heappop(self._hints)[3]
        return None

    def read_reports(self) -> list[QueueMessage]:
        self.reach()
        found = []
        while self._reports and self._reports[0][0] <= self.clock():
            found.append(heapq.heappop(self._reports)[2])
        return found

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does."""
        self._hints.clear()
        self._reports.clear()

    def _arrivals(self) -> list[float]:
        if self.rng.random() < self.drop:
            return []
        count = 2 if self.rng.random() < self.repeat else 1
        return [self.clock() + (self.rng.expovariate(1 / self.delay) if self.delay else 0.0) for _ in range(count)]

    def _next(self) -> int:
        self._number += 1
        return self._number
