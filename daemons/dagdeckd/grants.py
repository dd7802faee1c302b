"""`dagdeckd admin grants`: accounts of the master and of the workers on the database's and the queue's servers.

Decides passwords, what is printed and what is applied in which order. Does not decide the rights
(`dagdeck_io.db.grants`, `dagdeck_io.broker.grants`). The settings name the servers with an account that may make
others. Called by `admin_command`.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.broker import grants as queue_grants
from dagdeck_io.db import grants as database_grants
from dagdeck_io.db.faults import translated
from dagdeck_io.db.grants import Role
from dagdeck_io.db.url import DatabaseUrl, encrypt, parse_url
from dagdeck_io.settings import Settings
from dagdeck_io.settings.shared_sections import Queue

PASSWORD_BYTES = 24
OLDEST_REDIS = 7
_QUEUES = ("redis", "rediss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One role's account on both servers. `password` None leaves it as it is."""

    role: Role
    name: str
    password: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What is to be granted, and where."""

    settings: Settings
    accounts: Sequence[Account]
    host: str
    reset: bool

    def sql(self) -> Iterator[str]:
        """The database server's statements. Raises UserError when the settings name no server."""
        database = str(self._server().url.database)
        for account in self.accounts:
            yield from database_grants.statements(
                account.role,
                database=database,
                account=account.name,
                host=self.host,
                password=account.password,
                reset=self.reset,
            )

    def acl(self) -> Iterator[list[str]]:
        """The queue server's commands; none when the queue is not on Redis."""
        if urlsplit(self.settings.queue.url).scheme not in _QUEUES:
            return
        cluster = self.settings.queue.cluster
        for account in self.accounts:
            rules = queue_grants.master_rules if account.role is Role.MASTER else queue_grants.worker_rules
            yield ["ACL", "SETUSER", account.name, *rules(cluster, account.password)]

    def apply(self) -> list[str]:
        """Carry everything out; what a person has to know about it.

        Raises EnvironmentFault when a server refuses; what was granted before stays, and a second time is harmless.
        """
        server = self._server()
        self._apply_sql(server)
        notes = [f"the accounts on {server.shown} have their rights"]
        commands = list(self.acl())
        if commands:
            notes.append(_apply_acl(self.settings.queue, commands))
        return notes

    def urls(self) -> Iterator[tuple[Role, str, str]]:
        """(role, database.url, queue.url) of each account whose password is known here."""
        import sqlalchemy as sa

        self._server()
        given = sa.make_url(self.settings.database.url)  # with what it says about TLS
        for account in self.accounts:
            if account.password is not None:
                url = given.set(username=account.name, password=account.password)
                yield account.role, url.render_as_string(hide_password=False), self._queue_url(account)

    def _queue_url(self, account: Account) -> str:
        parts = urlsplit(self.settings.queue.url)
        if parts.scheme not in _QUEUES or account.password is None:
            return self.settings.queue.url
        place = parts.netloc.rpartition("@")[2]
        signed = f"{quote(account.name, safe='')}:{quote(account.password, safe='')}@{place}"
        return urlunsplit(parts._replace(netloc=signed))

    def _server(self) -> DatabaseUrl:
        server = parse_url(self.settings.database.address)
        if server.kind != "mysql":
            raise UserError(
                "a SQLite file has no accounts: whoever may open the file may do everything",
                field="database.url",
                value=server.shown,
                remedy="Name a MySQL or MariaDB server, with an account that may create users and grant",
            )
        return server

    def _apply_sql(self, server: DatabaseUrl) -> None:
        import sqlalchemy as sa

        engine = sa.create_engine(server.url, poolclass=sa.NullPool, hide_parameters=True)
        encrypt(engine, server)
        with translated(server.shown):
            connection = engine.raw_connection()
            try:
                cursor = connection.cursor()
                for statement in self.sql():
                    cursor.execute(statement)
            finally:
                connection.close()


def accounts(prefix: str, passwords: Sequence[str] | None, *, keep: bool) -> tuple[Account, ...]:
    """The two accounts; passwords are given in the order master, worker, or made, or kept as they are."""
    if passwords is not None and (len(passwords) != len(Role) or not all(passwords)):
        raise UserError(
            "two passwords are needed", field="--passwords-stdin", remedy="Write the master's, then the worker's line"
        )
    made = passwords or [secrets.token_urlsafe(PASSWORD_BYTES) for _ in Role]
    return tuple(
        Account(role=role, name=f"{prefix}_{role}", password=None if keep else password)
        for role, password in zip(Role, made, strict=True)
    )


def as_redis_line(command: Sequence[str]) -> str:
    """A command as redis-cli reads it."""
    return shlex.join(command)


def _apply_acl(queue: Queue, commands: Sequence[Sequence[str]]) -> str:
    from dagdeck_io.broker.redis_link import RedisLink

    link = RedisLink(queue.address, connect_timeout=queue.connect_timeout, answer_timeout=queue.answer_timeout)
    try:
        _check_redis(str(link.check(link.run(("INFO", "server"))[0]), "utf-8", "replace"))
        for command in commands:
            _accepted(link.run(tuple(command))[0])
        (saved,) = link.run(("ACL", "SAVE"))
    finally:
        link.close()
    if isinstance(saved, Exception):
        return (
            "the accounts on the queue's server have their rights until it restarts: it has no ACL file. Set "
            "aclfile in its configuration, or put the printed lines there as `user …`"
        )
    return "the accounts on the queue's server have their rights, and its ACL file knows them"


def _check_redis(told: str) -> None:
    """Raise EnvironmentFault for a server that is too old; before anything is changed."""
    found = re.search(r"^redis_version:(\d+)\.(\S*)", told, re.MULTILINE)
    if found is not None and int(found[1]) < OLDEST_REDIS:
        raise EnvironmentFault(
            f"the queue's server is Redis {found[1]}.{found[2]}, which cannot tell reading a key from writing it",
            transient=False,
            remedy=f"Upgrade it to Redis {OLDEST_REDIS}, or give master and workers accounts by hand",
        )


def _accepted(reply: object) -> None:
    if isinstance(reply, Exception):
        raise EnvironmentFault(
            f"the queue's server refuses: {reply}",
            transient=False,
            remedy="queue.url must name an account that may set access control lists",
        ) from reply
