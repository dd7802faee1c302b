"""Measures the machine and the running tasks once a second, for live charts.

Decides what a `WorkerSample` holds. What is measured costs well under a millisecond when no task runs. Has a
thread of its own; what it sends may be lost.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import psutil

from dagdeck_core.ports import SAMPLES
from dagdeck_core.process_port import ProcessHost
from dagdeck_core.wire import WorkerSample
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.queue_link import Publisher
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

TASKS_PER_SAMPLE = 256


class Sampler(WorkerThread):
    """See the module. `running` gives runner_id → ti_id of the tasks that run now, `triggers` how many wait here."""

    def __init__(
        self,
        host: ProcessHost,
        publisher: Publisher,
        incarnation: Incarnation,
        *,
        interval: float,
        running: Callable[[], Mapping[int, int]],
        triggers: Callable[[], int] = lambda: 0,
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("samples", on_crash)
        self._host = host
        self._publisher = publisher
        self._incarnation = incarnation
        self._interval = interval
        self._running = running
        self._triggers = triggers
        self._before = time.monotonic()
        self._traffic = _traffic()
        self._cpu_before: dict[int, float] = {}

    def _run(self) -> None:
        psutil.cpu_percent()
        while not self.stopping.wait(self._interval):
            self._publisher.append(SAMPLES, [self._sample()])

    def _sample(self) -> WorkerSample:
        now = time.monotonic()
        elapsed = max(now - self._before, 1e-3)
        traffic = _traffic()
        received, sent = (max(0, new - old) / elapsed for new, old in zip(traffic, self._traffic, strict=True))
        memory = psutil.virtual_memory()
        running = self._running()
        tasks = self._tasks(running, elapsed)
        self._before, self._traffic = now, traffic
        return WorkerSample(
            worker_id=self._incarnation.worker_id,
            at=datetime.now(UTC),
            slots=self._incarnation.identity.slots,
            running=len(running),
            cpu=psutil.cpu_percent() / 100,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            load1=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
            net_received=received,
            net_sent=sent,
            tasks=tasks,
            triggers=self._triggers(),
        )

    def _tasks(self, running: Mapping[int, int], elapsed: float) -> tuple[tuple[int, float, int], ...]:
        used = self._host.usage(list(running)[:TASKS_PER_SAMPLE])
        tasks = []
        for runner_id, usage in used.items():
            # Descendants that have ended take their share with them, so the sum may fall.
            before = self._cpu_before.get(runner_id, usage.cpu_seconds)
            cpu = max(0.0, usage.cpu_seconds - before) / elapsed
            tasks.append((running[runner_id], cpu, usage.resident))
        self._cpu_before = {runner_id: usage.cpu_seconds for runner_id, usage in used.items()}
        return tuple(tasks)


def _traffic() -> tuple[int, int]:
    """Bytes received and sent by this machine since it started; zeros where that cannot be told."""
    try:
        counters = psutil.net_io_counters()
    except OSError:
        return 0, 0
    return (counters.bytes_recv, counters.bytes_sent) if counters is not None else (0, 0)
