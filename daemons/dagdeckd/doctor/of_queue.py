"""What `dagdeckd doctor` looks at in the message queue: does it answer, how old is it, does it forget by itself.

Decides from which values on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from dagdeck_io.server_tls import is_remote
from dagdeck_io.settings import Settings
from dagdeck_io.settings.shared_sections import Queue
from dagdeckd.doctor.findings import Finding, failure, good, warning

AREA = "queue"
OLDEST = (6, 2)
OLDEST_WITH_GRANTS = (7, 0)
"""Since then rights to read and to write a key can be told apart, which `admin grants` does."""


def queue(settings: Settings) -> Iterator[Finding]:
    """Everything about it, as far as it answers."""
    url = settings.queue.url
    parts = urlsplit(url)
    if url == "off":
        yield warning(AREA, "no queue is set: work is found in the database, slower", "Set queue.url to a Redis server")
        return
    if parts.scheme not in ("redis", "rediss"):
        yield good(AREA, "embedded in the standalone cluster")
        return
    yield from _server(_facts(settings.queue))
    if parts.scheme == "rediss":
        yield good(AREA, "encrypted connection")
    elif is_remote(parts.hostname):
        yield warning(AREA, f"plain connection to {parts.hostname}", "Use rediss:// and a server with TLS")
    else:
        yield good(AREA, "plain connection, which does not leave this machine")
    if is_remote(parts.hostname) and not parts.password and settings.queue.tls_certificate is None:
        yield failure(AREA, "the server asks for no password", "Set one (requirepass or ACLs) and add it to queue.url")


def _facts(queue: Queue) -> dict[str, str]:
    from dagdeck_io.broker.redis_link import RedisLink

    link = RedisLink(queue.address, connect_timeout=queue.connect_timeout, answer_timeout=queue.answer_timeout)
    try:
        (told,) = link.run(("INFO",))
        text = str(link.check(told), "utf-8", "replace")
    finally:
        link.close()
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _server(facts: dict[str, str]) -> Iterator[Finding]:
    version = str(facts.get("redis_version", "?"))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        yield failure(AREA, f"Redis {version}", f"DagDeck needs {'.'.join(map(str, OLDEST))} or newer")
    elif numbers < OLDEST_WITH_GRANTS:
        wanted = OLDEST_WITH_GRANTS[0]
        yield warning(
            AREA,
            f"Redis {version} works, but its access control lists are too coarse for `dagdeckd admin grants`",
            f"Upgrade to Redis {wanted}, or give master and workers accounts by hand",
        )
    else:
        yield good(AREA, f"Redis {version}")
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
        yield warning(
            AREA, f"the server evicts keys when memory is short ({policy})", "Set maxmemory-policy noeviction"
        )
    if facts.get("aof_enabled") != "1":
        yield good(AREA, "not written to disk, which is fine: nothing is lost when it forgets, the database knows all")
