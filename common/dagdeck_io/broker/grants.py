"""Which commands on which keys the master and the workers need on a Redis server, as its access control lists say it.

Decides the rules. Does not set them (`dagdeckd admin grants`) and makes no passwords. Needs Redis 7, which tells
reading from writing a key.
"""

from __future__ import annotations

from hashlib import sha256

_QUEUE = ("xadd", "xack", "xdel", "xlen", "xreadgroup", "xautoclaim", "xgroup|create", "xgroup|delconsumer")
_TOPIC = ("xadd", "xread", "xrevrange")
_BOTH = ("ping", "select", "xinfo|consumers")
_MASTER = ("expire", "time", "xinfo|groups", "xpending", "xrange", "info")


def master_rules(cluster: str, password: str | None) -> list[str]:
    """The words after ACL SETUSER <name> of the master: everything that the queue does, on this cluster's keys."""
    commands = dict.fromkeys((*_QUEUE, *_TOPIC, *_BOTH, *_MASTER))
    return [*_beginning(password), f"~{_keys(cluster, '*')}", *_allowed(commands)]


def worker_rules(cluster: str, password: str | None) -> list[str]:
    """The words of a worker: hints to take and to put back, topics to append to, its revocations to read.

    It cannot read what other workers report or what tasks print.
    """
    appended = [f"%W~{_keys(cluster, f'topic:{topic}')}" for topic in ("reports", "samples", "changes", "logs")]
    keys = [f"~{_keys(cluster, 'queue:*')}", *appended, f"%R~{_keys(cluster, 'topic:revoked.*')}"]
    return [*_beginning(password), *keys, *_allowed(dict.fromkeys((*_QUEUE, *_TOPIC, *_BOTH)))]


def _beginning(password: str | None) -> list[str]:
    # As a digest: the password itself would stand in the server's slow log and in a terminal's history.
    given = ["reset", "#" + sha256(password.encode()).hexdigest()] if password is not None else []
    return [*given, "on", "resetkeys", "resetchannels", "nocommands"]


def _keys(cluster: str, rest: str) -> str:
    """Keys of any wire version, so that an upgrade needs no new rules (see `redis_broker`)."""
    return f"{{dagdeck:{cluster}}}:*:{rest}"


def _allowed(commands: dict[str, None]) -> list[str]:
    return [f"+{command}" for command in commands]
