"""Worker leases: who is alive, without comparing clocks.

Decides when a worker counts as lost: its lease counter was seen unchanged for the lease time, on the
reader's own monotonic clock, in reads without a gap. Does not free tasks (the machine does).

A read carries the moment at which it began, and may have taken long: the counter that it saw may have been
raised at any time until the next read began. So a lease is counted from the read after the one that saw
the counter move.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from dagdeck_core.records import WorkerRecord, WorkerState
from dagdeck_core.wire import WIRE_VERSION


@dataclass(slots=True)
class _Watch:
    record: WorkerRecord
    still_since: float | None = None
    """When the counter surely stood where it stands; None until the read after the one that saw it move."""


class LeaseWatch:
    """The workers as last read, each with the moment since which its counter stands still. Times in seconds."""

    __slots__ = ("_last_read", "_watches", "lease_time")

    def __init__(self, lease_time: float) -> None:
        self.lease_time = lease_time
        self._watches: dict[int, _Watch] = {}
        self._last_read: float | None = None

    def seen(self, workers: Iterable[WorkerRecord], mono: float) -> list[WorkerRecord]:
        """Take in one read of all live worker rows; returns the workers whose lease has run out.

        A gap of more than half the lease time between reads restarts every lease, since what
        happened meanwhile was not seen.
        """
        gap = self._last_read is not None and mono - self._last_read > self.lease_time / 2
        self._last_read = mono
        known, self._watches = self._watches, {}
        expired = []
        for record in workers:
            watch = known.pop(record.worker_id, None)
            if watch is None or gap or watch.record.counter != record.counter:
                watch = _Watch(record)
            else:
                watch.record = record
                if watch.still_since is None:
                    watch.still_since = mono
                elif mono - watch.still_since >= self.lease_time:
                    expired.append(record)
            self._watches[record.worker_id] = watch
        return expired

    def forget(self, worker_id: int) -> None:
        """Stop watching a worker that was declared lost."""
        self._watches.pop(worker_id, None)

    def restart(self) -> None:
        """Begin every lease anew (after a database outage or a failover)."""
        self._last_read = None
        self._watches = {}

    def set_state(self, worker_id: int, state: WorkerState) -> None:
        """Take over a worker's state that was just decided."""
        watch = self._watches.get(worker_id)
        if watch is not None:
            watch.record = msgspec.structs.replace(watch.record, state=state)

    def is_live(self, worker_id: int) -> bool:
        """Whether the last read had this worker."""
        return worker_id in self._watches

    def slots_of(self, queue: str) -> int:
        """Slots of all workers that may take new work of `queue`."""
        return sum(
            watch.record.slots
            for watch in self._watches.values()
            if watch.record.state == WorkerState.ACTIVE
            and queue in watch.record.queues
            and watch.record.wire_version == WIRE_VERSION
        )

    @property
    def records(self) -> list[WorkerRecord]:
        """The workers as last read."""
        return [watch.record for watch in self._watches.values()]
