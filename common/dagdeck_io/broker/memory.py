"""The queue in memory: the twin of Redis for tests and for the embedded queue.

`MemoryQueues` is the thread-safe content, `MemoryBroker` one user's adapter on it. Decides order, bounds and
positions of the in-memory queue. Does not decide how other processes reach it (`embedded_server`). Made by
tests, the simulation of several users in one process, and the embedded server.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from dagdeck_core.ports import Delivery
from dagdeck_core.wire import Hint, QueueMessage
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.messages import Reader, encode

_log = logging.getLogger(__name__)
Wake = Callable[[], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken:
    """A hint that left its queue. `offered_at` is on this process's monotonic clock."""

    queue: str
    number: int
    payload: bytes
    offered_at: float


@dataclass(slots=True)
class _Topic:
    last: int
    """Number of the last message. The kept ones are numbered without gaps up to it."""
    entries: deque[bytes] = field(default_factory=deque)
    size: int = 0


class MemoryQueues:
    """Queues and topics that any number of threads share. No method blocks; `watch` tells of news."""

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self._limits = limits or BrokerLimits()
        self._lock = threading.Lock()
        self._queues: dict[str, deque[Taken]] = {}
        self._topics: OrderedDict[str, _Topic] = OrderedDict()
        self._watchers: dict[tuple[str, str], list[Wake]] = {}
        # Numbers grow over restarts too, so that positions from an earlier life lie before whatever comes now.
        self._number = time.time_ns() // 1000
        self._dropped = 0

    @property
    def limits(self) -> BrokerLimits:
        """The bounds that this queue holds."""
        return self._limits

    def offer(self, queue: str, payloads: Sequence[bytes]) -> None:
        """Append hints; the oldest go when there are too many."""
        now = time.monotonic()
        with self._lock:
            waiting = self._queues.get(queue)
            if waiting is None:
                waiting = self._queues[queue] = deque()
            for payload in payloads:
                self._number += 1
                waiting.append(Taken(queue, self._number, payload, now))
            surplus = len(waiting) - self._limits.max_hints
            for _ in range(surplus):
                waiting.popleft()
            if surplus > 0:
                self._report_dropped(queue, surplus)
            self._bound_queues()
            watchers = self._watchers_of("queue", queue)
        for wake in watchers:
            wake()

    def take_now(self, queues: Sequence[str], limit: int, *, max_bytes: int = sys.maxsize) -> list[Taken]:
        """Up to `limit` hints that wait now, earlier queues of the list first; no further ones after `max_bytes`."""
        taken: list[Taken] = []
        with self._lock:
            for queue in queues:
                waiting = self._queues.get(queue)
                while waiting and len(taken) < limit and max_bytes > 0:
                    taken.append(waiting.popleft())
                    max_bytes -= len(taken[-1].payload)
                if waiting is not None and not waiting:
                    del self._queues[queue]
        return taken

    def put_back(self, taken: Sequence[Taken]) -> None:
        """Return hints that never reached their taker to the front of their queues."""
        with self._lock:
            for each in reversed(taken):
                self._queues.setdefault(each.queue, deque()).appendleft(each)
            watchers = [wake for queue in {each.queue for each in taken} for wake in self._watchers_of("queue", queue)]
        for wake in watchers:
            wake()

    def depth(self, queue: str) -> int:
        """Hints that wait."""
        with self._lock:
            return len(self._queues.get(queue, ()))

    def oldest_age(self, queue: str) -> float | None:
        """Seconds that the oldest hint has waited; None when none waits."""
        with self._lock:
            waiting = self._queues.get(queue)
            return time.monotonic() - waiting[0].offered_at if waiting else None

    def append(self, topic: str, payloads: Sequence[bytes]) -> None:
        """Append messages to a topic; its oldest go when it is full."""
        with self._lock:
            content = self._topics.get(topic)
            if content is None:
                content = self._topics[topic] = _Topic(last=self._number)
            self._topics.move_to_end(topic)
            content.entries.extend(payloads)
            content.size += sum(map(len, payloads))
            content.last += len(payloads)
            self._number = max(self._number, content.last)
            length = self._limits.length_of(topic)
            while len(content.entries) > length or (
                content.size > self._limits.topic_bytes and len(content.entries) > 1
            ):
                content.size -= len(content.entries.popleft())
            while len(self._topics) > self._limits.max_names:
                self._topics.popitem(last=False)
            watchers = self._watchers_of("topic", topic)
        for wake in watchers:
            wake()

    def last_position(self, topic: str) -> str:
        """The position after which only what comes later is read."""
        with self._lock:
            content = self._topics.get(topic)
            return str(content.last if content is not None else self._number)

    def read_now(
        self, positions: Mapping[str, str], limit: int, *, max_bytes: int = sys.maxsize
    ) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
        """Messages after `positions` that are there now, and the positions after them.

        At most `limit`, and no further ones of a topic once it gave its share of `max_bytes`.
        """
        found: list[tuple[str, bytes]] = []
        moved = dict(positions)
        # Each topic has its share, so that a busy one does not hide the others.
        share = -(-limit // max(1, len(positions)))
        bytes_share = max_bytes // max(1, len(positions))
        with self._lock:
            for topic, position in positions.items():
                content = self._topics.get(topic)
                if content is None:
                    continue
                start, payloads = _after(content, _number_of(position), min(share, limit - len(found)), bytes_share)
                found.extend((topic, payload) for payload in payloads)
                moved[topic] = str(start + len(payloads))
        return found, moved

    def watch(self, kind: str, names: Iterable[str], wake: Wake) -> None:
        """Call `wake` whenever something comes to one of these queues or topics (`kind`: "queue", "topic").

        It is called from the thread that brings it and must not block.
        """
        with self._lock:
            for name in names:
                self._watchers.setdefault((kind, name), []).append(wake)

    def unwatch(self, kind: str, names: Iterable[str], wake: Wake) -> None:
        """Undo one `watch` of the same names."""
        with self._lock:
            for name in names:
                watchers = self._watchers.get((kind, name), [])
                if wake in watchers:
                    watchers.remove(wake)
                if not watchers:
                    self._watchers.pop((kind, name), None)

    def flush(self) -> None:
        """Lose everything, as a Redis that was flushed."""
        with self._lock:
            self._queues.clear()
            self._topics.clear()

    def _watchers_of(self, kind: str, name: str) -> list[Wake]:
        return list(self._watchers.get((kind, name), ()))

    def _report_dropped(self, queue: str, surplus: int) -> None:
        before, self._dropped = self._dropped, self._dropped + surplus
        if before // self._limits.max_hints != self._dropped // self._limits.max_hints or before == 0:
            _log.warning(
                "queue %r holds more than %d hints (queue.max_hints): its oldest were dropped and will be offered "
                "again from the database; %d dropped so far. Are there workers for this queue?",
                queue,
                self._limits.max_hints,
                self._dropped,
            )

    def _bound_queues(self) -> None:
        while len(self._queues) > self._limits.max_names:
            oldest = next(iter(self._queues))
            self._report_dropped(oldest, len(self._queues.pop(oldest)))


def _after(content: _Topic, position: int, limit: int, max_bytes: int) -> tuple[int, list[bytes]]:
    """The number before the first message to read, and the messages."""
    first = content.last - len(content.entries)
    if position > content.last:
        position = first  # It belongs to an earlier life of the queue whose clock was ahead: all is news.
    start = max(position, first)
    payloads: list[bytes] = []
    # By index, since readers are close to the end, which a deque reaches at once; it may hold 100,000.
    for index in range(start - first, min(start - first + limit, len(content.entries))):
        payloads.append(content.entries[index])
        max_bytes -= len(payloads[-1])
        if max_bytes <= 0:
            break
    return start, payloads


def _number_of(position: str) -> int:
    """Positions of Redis ("milliseconds-sequence") are read as the beginning: they were of another queue."""
    return int(position) if position.isdecimal() else 0


class MemoryBroker:
    """One thread's adapter on `MemoryQueues`. Implements `dagdeck_core.ports.Broker`."""

    def __init__(self, queues: MemoryQueues) -> None:
        self._queues = queues
        self._reader = Reader()
        self._wake = threading.Event()
        self._interrupted = False

    @property
    def poisoned(self) -> int:
        """Messages that could not be read."""
        return self._reader.poisoned

    def offer(self, queue: str, hints: Sequence[Hint]) -> None:
        """See Broker."""
        if hints:
            self._queues.offer(queue, encode(hints, limit=self._queues.limits.max_message_bytes))

    def take(self, queues: Sequence[str], consumer: str, *, limit: int, timeout: float) -> list[Delivery]:
        """See Broker."""

        def attempt() -> list[Delivery]:
            found: list[Delivery] = []
            while not found and (taken := self._queues.take_now(queues, limit)):
                hints = ((each, self._reader.hint(each.queue, each.payload)) for each in taken)
                found = [Delivery(each.queue, str(each.number), hint) for each, hint in hints if hint is not None]
            return found

        return self._wait("queue", queues, attempt, timeout)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See Broker. A taken hint is gone already."""

    def depth(self, queue: str) -> int:
        """See Broker."""
        return self._queues.depth(queue)

    def oldest_age(self, queue: str) -> float | None:
        """Seconds that the oldest hint of `queue` has waited; None when none waits."""
        return self._queues.oldest_age(queue)

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """See Broker."""
        if messages:
            self._queues.append(topic, encode(messages, limit=self._queues.limits.max_message_bytes))

    def last_position(self, topic: str) -> str:
        """See Broker."""
        return self._queues.last_position(topic)

    def read(
        self, positions: Mapping[str, str], *, limit: int, timeout: float
    ) -> tuple[list[QueueMessage], dict[str, str]]:
        """See Broker."""
        moved = dict(positions)

        def attempt() -> list[QueueMessage]:
            nonlocal moved
            messages: list[QueueMessage] = []
            while not messages:
                found, moved = self._queues.read_now(moved, limit)
                if not found:
                    break
                for topic, payload in found:
                    messages.extend(self._reader.messages(topic, [payload]))
            return messages

        return self._wait("topic", positions, attempt, timeout), moved

    def interrupt(self) -> None:
        """See Broker."""
        self._interrupted = True
        self._wake.set()

    def ping(self) -> None:
        """See Broker. Memory always answers."""

    def close(self) -> None:
        """See Broker. There is nothing to release."""

    def _wait(self, kind: str, names: Iterable[str], attempt: Callable[[], list[T]], timeout: float) -> list[T]:
        """What `attempt` finds, tried again at each news until `timeout` or `interrupt`."""
        found = attempt()
        if found or timeout <= 0:
            return found
        names = list(names)
        deadline = time.monotonic() + timeout
        self._queues.watch(kind, names, self._wake.set)
        try:
            while True:
                found = attempt()
                remaining = deadline - time.monotonic()
                if found or self._interrupted or remaining <= 0:
                    return found
                self._wake.wait(remaining)
                self._wake.clear()
        finally:
            self._queues.unwatch(kind, names, self._wake.set)
            self._interrupted = False
