"""How much the queue keeps.

Decides the bounds that every adapter holds. Does not decide how an adapter trims (exactly in memory, about in
Redis). Composition roots make one from the settings; all adapters take one.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagdeck_core.ports import REPORTS


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLimits:
    """Bounds per queue, topic and message. Reaching one drops the oldest; the database still knows everything."""

    max_hints: int = 100_000
    """Hints waiting in one queue."""
    topic_length: int = 10_000
    """Messages in a topic."""
    reports_length: int = 100_000
    """Messages in the topic of reports."""
    topic_bytes: int = 64 * 1024 * 1024
    """Bytes of one topic, all its messages together."""
    max_message_bytes: int = 8 * 1024 * 1024
    """Bytes of one message."""
    max_names: int = 10_000
    """Queues, and topics, that an in-memory queue knows at the same time."""

    def length_of(self, topic: str) -> int:
        """Most messages that `topic` keeps."""
        return self.reports_length if topic == REPORTS else self.topic_length
