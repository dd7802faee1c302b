"""The topic that shows the workers and the queues they serve.

Decides what of them is new. Workers' samples are no part of it: they are live only and pass by without being kept
(`sample_frame`). Made by `topics.live_topic`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from dagdeck_core.wire import WorkerSample
from dagdeck_master.api.identity import uuid_of
from dagdeck_master.api.models.own import QueueResponse, WorkerResponse
from dagdeck_master.api.push.news import News, Update
from dagdeck_master.api.push.protocol import Event, event
from dagdeck_master.api.queries import cluster

POLL_SECONDS = 1.0
MOST_WORKERS = 10_000


class WorkersTopic:
    """Workers that are active or draining, and queues with their depth."""

    can_resume = True

    def __init__(self, samples: Mapping[int, WorkerSample], depth: Callable[[str], int | None]) -> None:
        self._samples = samples
        self._depth = depth
        self._workers: dict[int, WorkerResponse] = {}
        self._queues: list[QueueResponse] = []
        self.poll_interval: float | None = POLL_SECONDS

    def load(self, connection: sa.Connection) -> None:
        """See LiveTopic."""
        self._workers = self._read_workers(connection)
        self._queues = self._read_queues()

    def snapshot(self) -> Any:
        """See LiveTopic."""
        return {"workers": list(self._workers.values()), "queues": self._queues}

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """See LiveTopic. Nothing of it is announced row by row."""
        return None

    def poll(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        found = self._read_workers(connection)
        queues = self._read_queues(found)
        diff: dict[str, Any] = {}
        news = [each for key, each in found.items() if _differ(self._workers.get(key), each)]
        gone = sorted(self._workers.keys() - found.keys())
        news += cluster.workers_by_id(connection, gone, self._samples)
        if news:
            diff["workers"] = news
        if gone:
            diff["removed_workers"] = gone
        if queues != self._queues:
            diff["queues"] = queues
        self._workers, self._queues = found, queues
        return Update(diff=diff) if diff else None

    def compare(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        return self.poll(connection)

    def _read_workers(self, connection: sa.Connection) -> dict[int, WorkerResponse]:
        found = cluster.list_workers(connection, self._samples, include_gone=False, limit=MOST_WORKERS)
        return {each.worker_id: each for each in found}

    def _read_queues(self, workers: Mapping[int, WorkerResponse] | None = None) -> list[QueueResponse]:
        served: Counter[str] = Counter()
        for each in (self._workers if workers is None else workers).values():
            if each.state == "active":
                served.update(each.queues)
        return [QueueResponse(name=name, depth=self._depth(name), workers=served[name]) for name in sorted(served)]


def _differ(old: WorkerResponse | None, new: WorkerResponse) -> bool:
    """Whether a worker changed in more than what each of its samples and lease renewals changes."""
    if old is None:
        return True
    return any(getattr(old, name) != getattr(new, name) for name in _STEADY)


_STEADY = tuple(
    field
    for field in WorkerResponse.__struct_fields__
    if field
    not in (
        "last_seen_at",
        "sampled_at",
        "cpu",
        "memory_used",
        "memory_total",
        "load1",
        "net_received",
        "net_sent",
        "triggers",
    )
)


def sample_frame(sample: WorkerSample) -> bytes:
    """A worker's sample as an event."""
    data = {name: getattr(sample, name) for name in WorkerSample.__struct_fields__}
    data["tasks"] = [(str(uuid_of(ti_id)), cpu, resident) for ti_id, cpu, resident in sample.tasks]
    return event(Event.SAMPLE, data)
