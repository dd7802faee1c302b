"""The queue on Redis Streams.

Decides keys, commands and trimming: a queue is one stream with one consumer group; a topic is a capped stream.
Does not decide how a connection is kept (`redis_link`). Made by `open_broker` for redis: and rediss: URLs.

A taken hint stays pending until it is acknowledged, then it is deleted. What a vanished worker left pending is
never delivered again (the database offers that work anew); it is deleted after `ABANDONED_SECONDS`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dagdeck_core.ports import CHANGES, LOGS, REPORTS, SAMPLES, Delivery
from dagdeck_core.wire import WIRE_VERSION, Hint, QueueMessage
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.messages import Reader, encode
from dagdeck_io.broker.redis_link import Command, RedisLink

_log = logging.getLogger(__name__)

GROUP = b"workers"
FIELD = b"d"
START = "0-0"
PIPELINE_COMMANDS = 500
"""Commands sent before their replies are read, so that neither side's buffers overflow."""
LASTING_TOPICS = frozenset({REPORTS, SAMPLES, CHANGES, LOGS})
PASSING_TOPIC_SECONDS = 86_400
"""Topics of single workers are forgotten so long after their last message."""
ABANDONED_SECONDS = 600.0
CONSUMER_SECONDS = 86_400.0
SWEEP_SECONDS = 300.0
WARN_SECONDS = 60.0


class RedisBroker:
    """One thread's adapter on Redis. Implements `dagdeck_core.ports.Broker`."""

    def __init__(
        self,
        url: str,
        *,
        cluster: str,
        connect_timeout: float = 3.0,
        answer_timeout: float = 5.0,
        limits: BrokerLimits | None = None,
    ) -> None:
        """Does not connect. Timeouts are seconds. Raises UserError for a bad URL."""
        self._link = RedisLink(url, connect_timeout=connect_timeout, answer_timeout=answer_timeout)
        self._limits = limits or BrokerLimits()
        # In braces: on a Redis Cluster all keys of one DagDeck lie together, as reading several streams needs.
        # With the version: a worker that cannot read these hints must not take them from those who can.
        self._prefix = f"{{dagdeck:{cluster}}}:{WIRE_VERSION}"
        # A server that stops answering is noticed at the end of a slice, not of a long timeout.
        self._slice = answer_timeout / 2
        self._reader = Reader()
        self._message_bytes: dict[str, float] = {}
        self._next_sweep = time.monotonic() + SWEEP_SECONDS
        self._next_warning = 0.0

    @property
    def poisoned(self) -> int:
        """Messages that could not be read."""
        return self._reader.poisoned

    # ------------------------------------------------------------ queues

    def offer(self, queue: str, hints: Sequence[Hint]) -> None:
        """See Broker."""
        payloads = encode(hints, limit=self._limits.max_message_bytes)
        if not payloads:
            return
        key = self._queue_key(queue)
        length = self._add(key, payloads, self._limits.max_hints, ("XLEN", key))
        if length >= self._limits.max_hints:
            self._warn_full(queue)

    def take(self, queues: Sequence[str], consumer: str, *, limit: int, timeout: float) -> list[Delivery]:
        """See Broker."""
        deadline = time.monotonic() + timeout
        while True:
            found = self._take_waiting(queues, consumer, limit) if len(queues) > 1 or timeout <= 0 else []
            remaining = deadline - time.monotonic()
            if found or remaining <= 0:
                return found
            if time.monotonic() > self._next_sweep:
                self._sweep(queues)
            found, interrupted = self._take_next(queues, consumer, limit, remaining)
            if found or interrupted or (len(queues) == 1 and time.monotonic() >= deadline):
                return found

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See Broker."""
        tokens: dict[str, list[str]] = {}
        for delivery in deliveries:
            tokens.setdefault(delivery.queue, []).append(delivery.token)
        commands: list[Command] = []
        for queue, ids in tokens.items():
            key = self._queue_key(queue)
            commands += [("XACK", key, GROUP, *ids), ("XDEL", key, *ids)]
        if commands:
            for reply in self._link.run(*commands):
                self._link.check(reply)

    def depth(self, queue: str) -> int:
        """See Broker."""
        key = self._queue_key(queue)
        length, pending = self._link.run(("XLEN", key), ("XPENDING", key, GROUP))
        taken = 0 if _lacks_group(pending) else int(self._link.check(pending)[0])
        return max(0, int(self._link.check(length)) - taken)

    def oldest_age(self, queue: str) -> float | None:
        """Seconds that the oldest hint of `queue` has waited; None when none waits."""
        key = self._queue_key(queue)
        [groups] = self._link.run(("XINFO", "GROUPS", key))
        delivered = b"0"
        for group in groups if isinstance(groups, list) else ():
            facts = dict(zip(group[::2], group[1::2], strict=True))
            if facts.get(b"name") == GROUP:
                delivered = facts[b"last-delivered-id"]
        entries, now = self._link.run(("XRANGE", key, b"(" + delivered, "+", "COUNT", 1), ("TIME",))
        if not self._link.check(entries):
            return None
        seconds, microseconds = self._link.check(now)
        return max(0.0, int(seconds) + int(microseconds) / 1e6 - _parse(entries[0][0])[0] / 1000)

    # ------------------------------------------------------------ topics

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """See Broker."""
        payloads = encode(messages, limit=self._limits.max_message_bytes)
        if not payloads:
            return
        key = self._topic_key(topic)
        expiry: list[Command] = [] if topic in LASTING_TOPICS else [("EXPIRE", key, PASSING_TOPIC_SECONDS)]
        self._add(key, payloads, self._topic_length(topic, payloads), *expiry)

    def last_position(self, topic: str) -> str:
        """See Broker."""
        [entries] = self._link.run(("XREVRANGE", self._topic_key(topic), "+", "-", "COUNT", 1))
        return _text(entries[0][0]) if self._link.check(entries) else START

    def read(
        self, positions: Mapping[str, str], *, limit: int, timeout: float
    ) -> tuple[list[QueueMessage], dict[str, str]]:
        """See Broker."""
        moved = dict(positions)
        deadline = time.monotonic() + timeout
        while True:
            remaining = deadline - time.monotonic()
            streams, interrupted = self._read_streams(moved, limit, remaining)
            messages = self._read_entries(streams, moved, limit)
            if messages or interrupted:
                return messages, moved
            if not streams and time.monotonic() >= deadline and not self._rewind(moved):
                return [], moved

    # ------------------------------------------------------------ the rest of the port

    def interrupt(self) -> None:
        """See Broker."""
        self._link.interrupt()

    def ping(self) -> None:
        """See Broker."""
        [reply] = self._link.run(("PING",))
        self._link.check(reply)

    def close(self) -> None:
        """See Broker."""
        self._link.close()

    # ------------------------------------------------------------ taking

    def _take_waiting(self, queues: Sequence[str], consumer: str, limit: int) -> list[Delivery]:
        """What waits now, queue by queue, so that earlier queues come first and the limit holds."""
        found: list[Delivery] = []
        for queue in queues:
            if len(found) < limit:
                reply = self._read_group([queue], consumer, limit - len(found), None)[0]
                found += self._deliveries([queue], reply)
        return found

    def _take_next(
        self, queues: Sequence[str], consumer: str, limit: int, remaining: float
    ) -> tuple[list[Delivery], bool]:
        """Wait a slice of time for hints; whether it was interrupted."""
        # The count holds for each stream, so with several of them only one hint each is safe, and not even that
        # when the limit is smaller: then what is too much is offered again.
        count = limit if len(queues) == 1 else 1
        reply, interrupted = self._read_group(queues, consumer, count, min(remaining, self._slice))
        found = self._deliveries(queues, reply)
        for surplus in found[limit:]:
            self.offer(surplus.queue, [surplus.hint])
        self.acknowledge(found[limit:])
        return found[:limit], interrupted

    def _read_group(self, queues: Sequence[str], consumer: str, count: int, block: float | None) -> tuple[Any, bool]:
        keys = [self._queue_key(queue) for queue in queues]
        wait = () if block is None else ("BLOCK", max(1, math.ceil(block * 1000)))
        command: Command = (
            *("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", max(1, count), *wait, "STREAMS"),
            *keys,
            *[">"] * len(keys),
        )
        reply, interrupted = self._read(command, block)
        if _lacks_group(reply):
            # New queues, or Redis was flushed. From the start of the stream: hints may be there already.
            for each in self._link.run(*[("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM") for key in keys]):
                if not str(each).startswith("BUSYGROUP"):
                    self._link.check(each)
            reply, interrupted = self._read(command, block)
            if _lacks_group(reply):
                return None, interrupted  # Flushed again in between: the caller's loop comes back.
        return self._link.check(reply), interrupted

    def _read(self, command: Command, block: float | None) -> tuple[Any, bool]:
        return (self._link.run(command)[0], False) if block is None else self._link.run_blocking(command)

    def _deliveries(self, queues: Sequence[str], reply: Any) -> list[Delivery]:
        """What Redis gave, decoded. Poison is acknowledged, so that nobody meets it again."""
        names = {self._queue_key(queue).encode(): queue for queue in queues}
        found: list[Delivery] = []
        poison: list[Command] = []
        for key, entries in reply or ():
            for entry_id, fields in entries:
                hint = self._reader.hint(names[key], _payload(fields))
                if hint is not None:
                    found.append(Delivery(names[key], _text(entry_id), hint))
                else:
                    poison += [("XACK", key, GROUP, entry_id), ("XDEL", key, entry_id)]
        if poison:
            self._link.run(*poison)
        return found

    def _sweep(self, queues: Sequence[str]) -> None:
        """Delete what vanished workers took and never acknowledged."""
        self._next_sweep = time.monotonic() + SWEEP_SECONDS
        for queue in queues:
            key = self._queue_key(queue)
            idle = int(ABANDONED_SECONDS * 1000)
            [reply] = self._link.run(("XAUTOCLAIM", key, GROUP, "sweeper", idle, START, "COUNT", 1000, "JUSTID"))
            if isinstance(reply, list) and reply[1]:
                ids = [entry_id for entry_id in reply[1] if entry_id is not None]
                self._link.run(("XACK", key, GROUP, *ids), ("XDEL", key, *ids))
                _log.info("queue %r: %d hints that vanished workers had taken were deleted", queue, len(ids))
            self._forget_consumers(key)

    def _forget_consumers(self, key: str) -> None:
        [consumers] = self._link.run(("XINFO", "CONSUMERS", key, GROUP))
        commands: list[Command] = []
        for consumer in consumers if isinstance(consumers, list) else ():
            facts = dict(zip(consumer[::2], consumer[1::2], strict=True))
            if facts[b"pending"] == 0 and facts[b"idle"] > CONSUMER_SECONDS * 1000:
                commands.append(("XGROUP", "DELCONSUMER", key, GROUP, facts[b"name"]))
        if commands:
            self._link.run(*commands)

    # ------------------------------------------------------------ adding and reading

    def _add(self, key: str, payloads: Sequence[bytes], length: int, *further: Command) -> Any:
        """Append to a stream and run `further` commands; gives the last reply."""
        commands: list[Command] = [("XADD", key, "MAXLEN", "~", length, "*", FIELD, payload) for payload in payloads]
        commands += further
        reply: Any = None
        for start in range(0, len(commands), PIPELINE_COMMANDS):
            for reply in self._link.run(*commands[start : start + PIPELINE_COMMANDS]):
                self._link.check(reply)
        return reply

    def _topic_length(self, topic: str, payloads: Sequence[bytes]) -> int:
        """How many messages the topic may keep so that about `topic_bytes` are not exceeded."""
        average = sum(map(len, payloads)) / len(payloads)
        known = self._message_bytes.get(topic, average)
        self._message_bytes[topic] = size = max(1.0, known + 0.1 * (average - known))
        if len(self._message_bytes) > self._limits.max_names:
            self._message_bytes.clear()
        return max(1, min(self._limits.length_of(topic), int(self._limits.topic_bytes / size)))

    def _read_streams(self, positions: Mapping[str, str], limit: int, remaining: float) -> tuple[Any, bool]:
        # Each topic has its share, so that a busy one does not hide the others.
        count = -(-limit // max(1, len(positions)))
        block = min(remaining, self._slice) if remaining > 0 else None
        wait = () if block is None else ("BLOCK", max(1, math.ceil(block * 1000)))
        keys = [self._topic_key(topic) for topic in positions]
        reply, interrupted = self._read(("XREAD", "COUNT", count, *wait, "STREAMS", *keys, *positions.values()), block)
        return self._link.check(reply) or [], interrupted

    def _read_entries(self, streams: Any, moved: dict[str, str], limit: int) -> list[QueueMessage]:
        """Decode up to `limit` entries and move the positions behind them."""
        names = {self._topic_key(topic).encode(): topic for topic in moved}
        messages: list[QueueMessage] = []
        seen = 0
        for key, entries in streams:
            topic = names[key]
            for entry_id, fields in entries[: limit - seen]:
                messages += self._reader.messages(topic, [_payload(fields)])
                moved[topic] = _text(entry_id)
                seen += 1
        return messages

    def _rewind(self, positions: dict[str, str]) -> bool:
        """Set positions back that lie beyond their topic's end; whether there was one.

        It happens when Redis was flushed and its clock has been set back since, or has not moved on.
        """
        topics = list(positions)
        replies = self._link.run(*[("XREVRANGE", self._topic_key(topic), "+", "-", "COUNT", 1) for topic in topics])
        rewound = False
        for topic, entries in zip(topics, replies, strict=True):
            if self._link.check(entries) and _parse(entries[0][0]) < _parse(positions[topic]):
                positions[topic] = START
                rewound = True
        return rewound

    def _warn_full(self, queue: str) -> None:
        if time.monotonic() >= self._next_warning:
            self._next_warning = time.monotonic() + WARN_SECONDS
            _log.warning(
                "queue %r holds %d hints (queue.max_hints): its oldest are dropped and will be offered again from the "
                "database. Are there workers for this queue?",
                queue,
                self._limits.max_hints,
            )

    def _queue_key(self, queue: str) -> str:
        return f"{self._prefix}:queue:{queue}"

    def _topic_key(self, topic: str) -> str:
        return f"{self._prefix}:topic:{topic}"


def _lacks_group(reply: Any) -> bool:
    """Whether the stream or its group is not there (any more); blocked readers hear of it as UNBLOCKED."""
    return isinstance(reply, Exception) and str(reply).startswith(("NOGROUP", "UNBLOCKED"))


def _payload(fields: Any) -> bytes:
    """The message in a stream entry; empty, and so poison, when a stranger wrote it."""
    if fields and fields[0] == FIELD and isinstance(fields[1], bytes):
        return fields[1]
    return b""


def _text(entry_id: Any) -> str:
    return entry_id.decode("ascii") if isinstance(entry_id, bytes) else str(entry_id)


def _parse(entry_id: bytes | str) -> tuple[int, int]:
    milliseconds, _, sequence = _text(entry_id).partition("-")
    return int(milliseconds), int(sequence or 0)
