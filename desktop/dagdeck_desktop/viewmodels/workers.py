"""What the Workers page shows: workers with their load over time, what they run, and the queues.

Decides what of a sample is kept as series, and draining. Does not draw. Used by
`views.workers_page`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from PySide6.QtCore import QObject, Signal

from dagdeck_client.models import Queue, QueuePage, TaskInstance, TaskInstancePage, Worker, WorkerPage
from dagdeck_client.requests.admin import list_queues, list_workers, set_worker_drain
from dagdeck_client.requests.runs import list_all_running
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.charts.ring import Floats, Ring
from dagdeck_desktop.live import Feed
from dagdeck_desktop.live.topics import WORKERS
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import ViewModel, items_of, number_of, time_of

KEPT_SAMPLES = 900
"""A quarter of an hour at one sample a second."""
SERIES = ("cpu", "memory", "load", "received", "sent", "running")
_GONE = frozenset({"stopped", "lost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTask:
    """A task that a worker runs now; the names are None until they are known. `cpu` in cores, `memory` in bytes."""

    ti_id: str
    cpu: float
    memory: int
    instance: TaskInstance | None = None


class WorkersModel(ViewModel):
    """All workers. `sampled(worker_id)` follows each sample, `tasks_changed` another set of running tasks."""

    WHAT = "Workers could not be loaded"
    sampled = Signal(object)
    tasks_changed = Signal()

    def __init__(
        self, api: Api, feed: Feed, parent: QObject | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(api, feed, parent)
        self.workers: dict[int, Worker] = {}
        self.queues: tuple[Queue, ...] = ()
        self.rings: dict[int, Ring] = {}
        self.tasks: dict[int, tuple[RunningTask, ...]] = {}
        self.switching: set[int] = set()
        self._instances: dict[str, TaskInstance] = {}
        self._is_asking_names = False
        self._clock = clock
        feed.worker_sample.connect(self._sample_came)

    @property
    def topic(self) -> str | None:
        return WORKERS

    # ------------------------------------------------------------ state

    def listed(self) -> list[Worker]:
        """Workers by name, then by age."""
        return sorted(self.workers.values(), key=lambda worker: (worker.name.casefold(), worker.worker_id))

    @property
    def slots(self) -> tuple[int, int]:
        """Slots in use and slots there are, of active workers."""
        active = [worker for worker in self.workers.values() if worker.state == "active"]
        return sum(worker.running for worker in self.workers.values()), sum(worker.slots for worker in active)

    @property
    def waiting(self) -> int | None:
        """What waits in all queues; None while no queue tells."""
        depths = [queue.depth for queue in self.queues if queue.depth is not None]
        return sum(depths) if depths else None

    def share(self, name: str) -> float | None:
        """The mean of the workers' last values of "cpu", or memory in use over memory there is for "memory"."""
        present = [worker for worker in self.workers.values() if worker.state not in _GONE]
        if name == "memory":
            total = sum(worker.memory_total or 0 for worker in present)
            return sum(worker.memory_used or 0 for worker in present) / total if total else None
        loads = [worker.cpu for worker in present if worker.cpu is not None]
        return sum(loads) / len(loads) if loads else None

    def series(self, worker_id: int, name: str) -> Floats:
        """A worker's values of one of `SERIES`, oldest first; empty before its first sample."""
        ring = self.rings.get(worker_id)
        return ring.series(SERIES.index(name)) if ring is not None else np.empty(0)

    def moments(self, worker_id: int) -> Floats:
        """When a worker's samples came, in seconds since 1970."""
        ring = self.rings.get(worker_id)
        return ring.moments if ring is not None else np.empty(0)

    def mean_series(self, name: str) -> Floats:
        """The mean over workers of their latest values, oldest first, as long as the shortest series is."""
        columns = [self.series(worker_id, name) for worker_id, ring in self.rings.items() if len(ring)]
        if not columns:
            return np.empty(0)
        length = min(len(column) for column in columns)
        stacked = np.vstack([column[-length:] for column in columns])
        known = np.isfinite(stacked)
        return np.where(known, stacked, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)

    # ------------------------------------------------------------ intents

    def set_draining(self, worker_id: int, drain: bool) -> None:
        """Let a worker take nothing new, or let it take work again."""
        worker = self.workers.get(worker_id)
        if worker is None or worker_id in self.switching:
            return
        self.switching.add(worker_id)
        self.changed.emit()

        def done(answer: Worker) -> None:
            self.switching.discard(worker_id)
            self._put(answer)
            self.changed.emit()

        def refused(_error: DagDeckError) -> None:
            self.switching.discard(worker_id)
            self.changed.emit()

        if drain:
            what, said = f"{worker.name} could not be drained", f"{worker.name} takes nothing new"
        else:
            what, said = f"{worker.name} could not be resumed", f"{worker.name} takes work again"
        self.act(set_worker_drain(worker_id, drain), what, said, done, refused)

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        self.ask(list_workers(), self._workers_came, self.not_loaded)
        self.ask(list_queues(), self._queues_came, lambda _error: None)

    def _workers_came(self, page: WorkerPage) -> None:
        if not self.follows_stream:
            self.workers = {}
            for worker in page.workers:
                self._put(worker)
                if worker.cpu is not None:
                    self._keep_sample(worker.worker_id, msgspec.structs.asdict(worker))
        self.ready()

    def _queues_came(self, page: QueuePage) -> None:
        if not self.follows_stream:
            self.queues = page.queues
            self.changed.emit()

    # ------------------------------------------------------------ the feed

    def take_snapshot(self, data: Any) -> None:
        if isinstance(data, dict):
            self.workers = {}
            self._take(data)
            self.ready()

    def take_diff(self, data: dict[str, Any]) -> None:
        for worker_id in items_of(data, "removed_workers"):
            if isinstance(worker_id, int):
                self._forget(worker_id)
        self._take(data)
        self.changed.emit()

    def _take(self, data: dict[str, Any]) -> None:
        for item in items_of(data, "workers"):
            try:
                self._put(msgspec.convert(item, Worker))
            except msgspec.ValidationError:
                continue
        queues = data.get("queues")
        if isinstance(queues, list):
            try:
                self.queues = tuple(msgspec.convert(queues, list[Queue]))
            except msgspec.ValidationError:
                return

    def _put(self, worker: Worker) -> None:
        if worker.state in _GONE:
            self._forget(worker.worker_id)
            return
        before = self.workers.get(worker.worker_id)
        if before is not None and worker.cpu is None and before.cpu is not None:
            worker = msgspec.structs.replace(
                worker,
                cpu=before.cpu,
                memory_used=before.memory_used,
                memory_total=before.memory_total,
                load1=before.load1,
                net_received=before.net_received,
                net_sent=before.net_sent,
            )
        self.workers[worker.worker_id] = worker

    def _forget(self, worker_id: int) -> None:
        for store in (self.workers, self.rings, self.tasks):
            store.pop(worker_id, None)

    def _sample_came(self, sample: dict[str, Any]) -> None:
        worker_id = sample.get("worker_id")
        if not self.is_active or not isinstance(worker_id, int):
            return
        self._keep_sample(worker_id, sample)
        worker = self.workers.get(worker_id)
        if worker is not None:
            told = {name: number_of(sample, name) for name in ("cpu", "load1", "net_received", "net_sent")}
            known: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
            whole = {name: number_of(sample, name) for name in ("running", "memory_used", "memory_total")}
            known |= {name: int(value) for name, value in whole.items() if value is not None}
            at = time_of(sample, "at")
            if at is not None:
                known["last_seen_at"] = at
            self.workers[worker_id] = msgspec.structs.replace(worker, **known)
        self._take_tasks(worker_id, sample.get("tasks"))
        self.sampled.emit(worker_id)

    def _keep_sample(self, worker_id: int, sample: dict[str, Any]) -> None:
        total, used = number_of(sample, "memory_total"), number_of(sample, "memory_used")
        values = {
            "cpu": number_of(sample, "cpu"),
            "memory": used / total if total and used is not None else None,
            "load": number_of(sample, "load1"),
            "received": number_of(sample, "net_received"),
            "sent": number_of(sample, "net_sent"),
            "running": number_of(sample, "running"),
        }
        numbers = {name: value for name, value in values.items() if value is not None}
        ring = self.rings.setdefault(worker_id, Ring(KEPT_SAMPLES, len(SERIES)))
        ring.append(self._clock(), [numbers.get(name, float("nan")) for name in SERIES])

    # ------------------------------------------------------------ running tasks

    def _take_tasks(self, worker_id: int, told: object) -> None:
        found = []
        for item in told if isinstance(told, list) else ():
            if isinstance(item, list) and len(item) >= 3 and isinstance(item[0], str):
                ti_id = item[0]
                cpu, memory = (number_of({"value": value}, "value") or 0.0 for value in item[1:3])
                found.append(
                    RunningTask(ti_id=ti_id, cpu=float(cpu), memory=int(memory), instance=self._instances.get(ti_id))
                )
        before = self.tasks.get(worker_id, ())
        self.tasks[worker_id] = tuple(found)
        if before != self.tasks[worker_id]:
            self.tasks_changed.emit()
        if any(task.instance is None for task in found) and not self._is_asking_names:
            self._is_asking_names = True
            self.ask(list_all_running(), self._names_came, self._names_missing)

    def _names_came(self, page: TaskInstancePage) -> None:
        self._is_asking_names = False
        self._instances = {ti.id: ti for ti in page.task_instances if ti.id is not None}

    def _names_missing(self, _error: DagDeckError) -> None:
        self._is_asking_names = False
