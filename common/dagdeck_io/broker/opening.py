"""Makes the broker that a URL names.

Decides which URLs there are. Called by composition roots only; everything else gets its broker handed in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from dagdeck_core.errors import UserError
from dagdeck_core.ports import Broker
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.off import OffBroker
from dagdeck_io.broker.socket_broker import SocketBroker
from dagdeck_io.settings.shared_sections import Queue


class QueueBroker(Broker, Protocol):
    """A broker with what people want to see of its queues."""

    @property
    def poisoned(self) -> int:
        """Messages that this adapter could not read."""

    def oldest_age(self, queue: str) -> float | None:
        """Seconds that the oldest waiting hint has waited; None when none waits."""


def open_broker(
    url: str,
    *,
    cluster: str,
    limits: BrokerLimits | None = None,
    connect_timeout: float = 3.0,
    answer_timeout: float = 5.0,
) -> QueueBroker:
    """The broker of `url`, which connects on first use.

    URLs: redis://, rediss://, embedded+unix:///path?token_file=…, embedded+tcp://host:port?token_file=…, off.
    `cluster` sets keys on a shared Redis apart. Timeouts are seconds. Raises UserError for other URLs.
    """
    scheme = url.partition(":")[0]
    if scheme == "off":
        return OffBroker()
    if scheme in ("redis", "rediss"):
        # Only who uses Redis pays for importing its client.
        from dagdeck_io.broker.redis_broker import RedisBroker

        return RedisBroker(
            url, cluster=cluster, connect_timeout=connect_timeout, answer_timeout=answer_timeout, limits=limits
        )
    if scheme in ("embedded+unix", "embedded+tcp"):
        address, token_file = _embedded_address(urlsplit(url))
        return SocketBroker(
            address, token_file, connect_timeout=connect_timeout, answer_timeout=answer_timeout, limits=limits
        )
    if scheme == "embedded":
        raise UserError(
            "the embedded queue exists in standalone only",
            field="queue.url",
            value=url,
            remedy="Write redis://host:port/0, or off to do without a queue",
        )
    raise UserError(
        f"there is no queue of the kind {scheme!r}",
        field="queue.url",
        remedy="Write redis://host:port/0, rediss://host:port/0 or off",
    )


def limits_of(queue: Queue) -> BrokerLimits:
    """The bounds that the settings ask for."""
    return BrokerLimits(
        max_hints=queue.max_hints,
        topic_length=queue.topic_length,
        reports_length=queue.reports_length,
        topic_bytes=queue.topic_bytes,
    )


def broker_for(queue: Queue) -> QueueBroker:
    """The broker that the settings ask for; see `open_broker`."""
    return open_broker(
        queue.address,
        cluster=queue.cluster,
        limits=limits_of(queue),
        connect_timeout=queue.connect_timeout,
        answer_timeout=queue.answer_timeout,
    )


def _embedded_address(parts: SplitResult) -> tuple[str | tuple[str, int], Path]:
    token_files = parse_qs(parts.query).get("token_file", [])
    try:
        port = parts.port
    except ValueError:
        port = None
    is_unix = parts.scheme == "embedded+unix"
    if len(token_files) != 1 or (not parts.path if is_unix else not (parts.hostname and port)):
        raise UserError(
            "this address of an embedded queue is incomplete",
            field="queue.url",
            remedy="It is embedded+unix:///path?token_file=/path or embedded+tcp://127.0.0.1:port?token_file=/path",
        )
    address = unquote(parts.path) if is_unix else (str(parts.hostname), int(port or 0))
    return address, Path(token_files[0])
