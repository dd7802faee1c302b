"""What `dagdeckd doctor` looks at in the message queue: does it answer, how old is it, does it forget by itself.

Decides from which values on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from dagdeck_io.composition import broker_of
from dagdeck_io.settings import Settings
from dagdeckd.doctor.findings import Finding, failure, good, warning
from dagdeckd.doctor.of_database import is_remote

AREA = "queue"
OLDEST = (6, 2)


def queue(settings: Settings) -> Iterator[Finding]:
    """Everything about it, as far as it answers."""
    url = settings.queue.url
    parts = urlsplit(url)
    if url == "off":
        yield warning(AREA, "no queue is set: work is found in the database, slower", "Set queue.url to a Redis server")
        return
    if parts.scheme not in ("redis", "rediss", "unix"):
        yield good(AREA, "embedded in the standalone cluster")
        return
    broker = broker_of(settings)
    try:
        broker.ping()
    finally:
        broker.close()
    yield from _server(_facts(url, settings.queue.connect_timeout))
    if parts.scheme == "redis" and is_remote(parts.hostname):
        yield warning(
            AREA, f"the connection to {parts.hostname} is not encrypted", "Use rediss:// and a server with TLS"
        )
    if parts.scheme != "unix" and is_remote(parts.hostname) and not parts.password:
        yield failure(AREA, "the server asks for no password", "Set one (requirepass or ACLs) and add it to queue.url")


def _facts(url: str, timeout: float) -> dict[str, Any]:
    import redis

    client = redis.Redis.from_url(url, socket_connect_timeout=timeout, socket_timeout=timeout)
    try:
        facts: dict[str, Any] = client.info()
    finally:
        client.close()
    return facts


def _server(facts: dict[str, Any]) -> Iterator[Finding]:
    version = str(facts.get("redis_version", "?"))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        yield failure(AREA, f"Redis {version}", f"DagDeck needs {'.'.join(map(str, OLDEST))} or newer")
    else:
        yield good(AREA, f"Redis {version}")
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory") and policy != "noeviction":
        yield warning(
            AREA, f"the server evicts keys when memory is short ({policy})", "Set maxmemory-policy noeviction"
        )
    if not facts.get("aof_enabled"):
        yield good(AREA, "not written to disk, which is fine: nothing is lost when it forgets, the database knows all")
