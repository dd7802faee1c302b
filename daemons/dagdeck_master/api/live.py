"""What only the queue knows of the cluster: workers' last samples and how many hints wait.

Decides that the samples topic is read only while somebody asks (a thread that ends by itself), and that a queue which
is down leaves gaps instead of failing a request. Does not store anything. Asked by the cluster routes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dagdeck_core.errors import DagDeckError
from dagdeck_core.ports import SAMPLES, Broker
from dagdeck_core.wire import WorkerSample

_logger = logging.getLogger(__name__)

READ_ON_FOR = 60.0
"""Seconds for which samples are still read after they were asked for last."""
READ_TIMEOUT = 1.0
MAX_WORKERS_KEPT = 10_000


class LiveCluster:
    """Samples and queue depths, as far as the queue answers. `connect` gives a queue adapter of our own, or None."""

    def __init__(self, connect: Callable[[], Broker] | None) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._samples: dict[int, WorkerSample] = {}
        self._asked_at = 0.0
        self._reader: threading.Thread | None = None
        self._reading: Broker | None = None
        self._closing = threading.Event()
        self._depth_broker: Broker | None = None
        self._depth_lock = threading.Lock()

    def samples(self) -> dict[int, WorkerSample]:
        """The last sample of each worker heard of while somebody was asking; the first call begins to listen."""
        if self._connect is None:
            return {}
        with self._lock:
            self._asked_at = time.monotonic()
            if (self._reader is None or not self._reader.is_alive()) and not self._closing.is_set():
                self._samples.clear()
                self._reader = threading.Thread(target=self._read, name="samples", daemon=True)
                self._reader.start()
            return dict(self._samples)

    def depth(self, queue: str) -> int | None:
        """Hints that wait in `queue`; None when the queue cannot be asked."""
        if self._connect is None:
            return None
        with self._depth_lock:
            try:
                if self._depth_broker is None:
                    self._depth_broker = self._connect()
                return self._depth_broker.depth(queue)
            except DagDeckError as error:
                _logger.warning("the depth of queue %s is unknown: %s", queue, error)
                return None

    def close(self) -> None:
        """Stop listening and release connections."""
        self._closing.set()
        reader, reading = self._reader, self._reading
        if reading is not None:
            reading.interrupt()
        if reader is not None:
            reader.join(timeout=2 * READ_TIMEOUT)
        with self._depth_lock:
            if self._depth_broker is not None:
                self._depth_broker.close()
                self._depth_broker = None

    def _is_wanted(self) -> bool:
        return not self._closing.is_set() and time.monotonic() - self._asked_at < READ_ON_FOR

    def _read(self) -> None:
        """Read samples until nobody has asked for a while."""
        assert self._connect is not None
        broker = None
        try:
            broker = self._reading = self._connect()
            positions = {SAMPLES: broker.last_position(SAMPLES)}
            while self._is_wanted():
                messages, positions = broker.read(positions, limit=500, timeout=READ_TIMEOUT)
                self._note([each for each in messages if isinstance(each, WorkerSample)])
        except DagDeckError as error:
            _logger.warning("workers' samples cannot be read: %s", error)
        finally:
            self._reading = None
            if broker is not None:
                broker.close()

    def _note(self, samples: list[WorkerSample]) -> None:
        with self._lock:
            for sample in samples:
                self._samples.pop(sample.worker_id, None)
                self._samples[sample.worker_id] = sample
            while len(self._samples) > MAX_WORKERS_KEPT:
                self._samples.pop(next(iter(self._samples)))
