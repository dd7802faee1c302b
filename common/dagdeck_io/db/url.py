"""Database URLs: which are understood, and how one is shown without its password.

Decides the accepted forms, and how a session on a server begins. Does not connect. Called by engine.py and the
migrations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from dagdeck_core.errors import UserError
from dagdeck_io.server_tls import PARAMETERS, ServerTls, tls_of
from dagdeck_io.settings.shared_sections import TlsMode

REMEDY = "Write sqlite:////path/to/file.db or mysql://user:password@host:3306/database"
_FIELD = "database.url"
_DRIVERS = {
    "mysql": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb": "mysql",
    "mariadb+pymysql": "mysql",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}
_TLS_NAMES = PARAMETERS | {
    "ssl_ca": "tls_ca",
    "ssl_cert": "tls_certificate",
    "ssl_key": "tls_key",
    "ssl_verify_identity": "tls_verify_identity",
    "ssl_check_hostname": "tls_verify_identity",
}
"""DagDeck's own parameters and those that users of SQLAlchemy and PyMySQL know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """A checked URL. `kind` is "mysql" (MariaDB too) or "sqlite"; `path` is the SQLite file.

    `url` is what SQLAlchemy is given: without what it says about TLS, which is `tls`.
    """

    kind: str
    url: sa.URL
    path: Path | None = None
    tls: ServerTls = field(default_factory=lambda: ServerTls(section="database"))

    @property
    def shown(self) -> str:
        """The URL for people, its password hidden."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    @property
    def is_encrypted(self) -> bool:
        """Whether connections speak TLS with a server that has been verified."""
        socket = self.url.query.get("unix_socket")
        return self.kind == "mysql" and not socket and self.tls.is_due(self.url.host)

    def encryption(self) -> dict[str, Any]:
        """The driver's arguments about TLS, for one more connection. Raises EnvironmentFault for a file of no use."""
        if self.is_encrypted:
            return {"ssl": self.tls.context()}
        # Otherwise the driver encrypts where the server can, without knowing whom it speaks to: no harm on loopback.
        return {"ssl_disabled": True} if self.tls.mode is TlsMode.OFF else {}


def parse_url(text: str) -> DatabaseUrl:
    """The checked form of `text`. Raises UserError for anything but SQLite and MySQL or MariaDB URLs."""
    try:
        url = sa.make_url(text)
    except ArgumentError:
        raise UserError("this is not a database URL", field=_FIELD, remedy=REMEDY) from None
    kind = _DRIVERS.get(url.drivername)
    if kind is None:
        raise UserError("this kind of database is not supported", field=_FIELD, value=url.drivername, remedy=REMEDY)
    return _sqlite(url) if kind == "sqlite" else _mysql(url)


def _sqlite(url: sa.URL) -> DatabaseUrl:
    if not url.database or url.database == ":memory:":
        raise UserError("the SQLite URL names no file, which several processes share", field=_FIELD, remedy=REMEDY)
    if url.host:
        raise UserError("the SQLite URL needs a third slash before its path", field=_FIELD, remedy=REMEDY)
    path = Path(url.database).expanduser().absolute()
    return DatabaseUrl(kind="sqlite", url=sa.URL.create("sqlite+pysqlite", database=str(path)), path=path)


def _mysql(url: sa.URL) -> DatabaseUrl:
    if not url.database:
        raise UserError("the URL names no database", field=_FIELD, remedy=REMEDY)
    unknown = sorted(set(url.query) - {"charset", "unix_socket", *_TLS_NAMES})
    if unknown:
        raise UserError(
            "the URL has an unknown parameter",
            field=_FIELD,
            value=unknown[0],
            remedy=f"Known are unix_socket, {', '.join(PARAMETERS)}",
        )
    tls = tls_of("database", {name: str(value) for name, value in url.query.items()}, _TLS_NAMES)
    # The driver's character set is ours to choose, and so is its TLS.
    query = {name: value for name, value in url.query.items() if name == "unix_socket"}
    return DatabaseUrl(kind="mysql", url=url.set(drivername="mysql+pymysql", query=query), tls=tls)


def encrypt(engine: sa.Engine, target: DatabaseUrl) -> None:
    """Let the engine's connections speak TLS as `target` wants it."""

    def connecting(dialect: Any, entry: Any, positional: Any, arguments: dict[str, Any]) -> None:
        arguments.update(target.encryption())

    if target.kind == "mysql":
        sa.event.listen(engine, "do_connect", connecting)


def mysql_session(lock_wait: float) -> tuple[str, ...]:
    """What every connection to MySQL or MariaDB begins with; `lock_wait` is seconds.

    Scripts escape strings with backslashes, so NO_BACKSLASH_ESCAPES must be off whatever the server's default is.
    """
    return (
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
        f"innodb_lock_wait_timeout = {max(1, round(lock_wait))}, lock_wait_timeout = 10",
    )
