"""Turns messages into bytes and back, and deals with those that cannot be read.

Decides what happens to a poison message: it is passed over, counted, and reported in the log with falling
frequency. Does not decide how messages travel. Called by every adapter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from dagdeck_core.wire import Hint, QueueMessage, WireError, queue_codec

_log = logging.getLogger(__name__)


def encode(messages: Iterable[QueueMessage], *, limit: int) -> list[bytes]:
    """The messages as bytes. Raises WireError when one cannot travel or has more than `limit` bytes."""
    payloads = [queue_codec.encode(message) for message in messages]
    for payload in payloads:
        if len(payload) > limit:
            raise WireError(f"a message of {len(payload)} bytes is larger than the queue takes ({limit} bytes)")
    return payloads


class Reader:
    """Decodes what one adapter receives. `poisoned` counts what could not be read."""

    def __init__(self) -> None:
        self.poisoned = 0

    def hint(self, queue: str, payload: bytes) -> Hint | None:
        """The hint in `payload`; None when it is poison."""
        message = self._message(f"queue {queue!r}", payload)
        if message is None or isinstance(message, Hint):
            return message
        self._count(f"queue {queue!r}", f"a {type(message).__name__} is no hint")
        return None

    def messages(self, topic: str, payloads: Sequence[bytes]) -> list[QueueMessage]:
        """What can be read of `payloads`."""
        read = (self._message(f"topic {topic!r}", payload) for payload in payloads)
        return [message for message in read if message is not None]

    def _message(self, place: str, payload: bytes) -> QueueMessage | None:
        try:
            return queue_codec.decode(payload)
        except WireError as error:
            self._count(place, str(error))
            return None

    def _count(self, place: str, reason: str) -> None:
        self.poisoned += 1
        # The 1st, 10th, 100th …: a foreign writer on the same Redis must not fill the log.
        if str(self.poisoned).rstrip("0") == "1":
            _log.warning("%s: message dropped: %s (%d dropped so far)", place, reason, self.poisoned)
