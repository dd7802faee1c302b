"""Drivers' errors, translated: what happened, whether trying again may help, and what a person can do.

Decides which branch of DagDeck's errors an error of PyMySQL, sqlite3 or SQLAlchemy is. Does not decide what the
caller does about it. Called where a driver is called: the hot connections and `Database.reading/writing`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from dagdeck_core.errors import Bug, DagDeckError, DiskFull, EnvironmentFault, UserError
from dagdeck_io.server_tls import ServerTls


class Contention(EnvironmentFault):
    """Another transaction held a lock for too long, or a deadlock was broken. Nothing was written."""


class ConnectionLost(EnvironmentFault):
    """The connection broke; the transaction that was open on it did not commit unless COMMIT was already sent."""


class NotFound(UserError):
    """What was asked for does not exist."""


class DuplicateRow(DagDeckError):
    """A row with this key exists already. Nothing of the transaction was written.

    `subject` is what the failed statement of a script was about, where it said so.
    """

    subject: object = None


_SCHEMA = "Run `dagdeckd db upgrade`"
_SPACE = "Free space on the database's disk; nothing is lost, work goes on by itself"
# MySQL error numbers by what they mean.
_LOCKS = {1205, 1213, 1020}
_LOST = {2006, 2013, 2014, 2055, 1927, 1053, 1077, 1079, 1080, 4031, 1159, 1161, 1158, 1160}
_UNREACHABLE = {2002, 2003, 2005}
_NO_TLS, _PLAIN_REFUSED = 2026, 3159
_ABOUT_TLS = {2003, 2013, _NO_TLS, _PLAIN_REFUSED}
"""Errors that may come from a TLS handshake."""
_CROWDED = {1040, 1203, 1226}
_FULL = {1114, 1021}
_NO_SPACE = re.compile(r"\b(?:errno|errcode|error):? (?:28|122)\b|\((?:28|122) ", re.IGNORECASE)
"""How servers tell ENOSPC and EDQUOT below other errors, such as of a temporary file."""
_READ_ONLY = {1290, 1836, 1792, 3100}
_FORBIDDEN = {1044, 1142, 1143, 1227, 1370}
_NO_SCHEMA = {1146, 1054}
_TOO_BIG = {1153, 1301, 2020}


def translate(error: BaseException, database: str) -> DagDeckError:
    """The DagDeck error that says what `error` means; `database` names the database for people."""
    if isinstance(error, DagDeckError):
        return error
    if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
        return translate(error.orig, database)
    if isinstance(error, sa.exc.TimeoutError):
        return EnvironmentFault(f"no free connection to the database {database}")
    if _is_mysql(error):
        return _mysql(error, database)
    if isinstance(error, sqlite3.Error):
        return _sqlite(error, database)
    if isinstance(error, OSError):
        return ConnectionLost(f"the connection to the database {database} broke: {error}")
    return Bug(f"unexpected error from the database {database}: {type(error).__name__}: {error}")


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Raise DagDeck's errors instead of the drivers'."""
    try:
        yield
    except Exception as error:
        ours = isinstance(error, sa.exc.DBAPIError | sa.exc.TimeoutError | sqlite3.Error) or _is_mysql(error)
        if not ours:
            raise
        raise translate(error, database) from error


def _is_mysql(error: BaseException) -> bool:
    """Whether PyMySQL raised it; asked by name, so that a process on SQLite need not import the driver."""
    return any(kind.__module__ == "pymysql.err" for kind in type(error).__mro__)


def _is_a(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _mysql(error: BaseException, database: str) -> DagDeckError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    fault = _about_tls(code, error, database) if code in _ABOUT_TLS else None
    if fault is not None:
        return fault
    if code in _LOCKS:
        return Contention(f"the database {database} is busy: {text}")
    if code in _LOST or _is_a(error, "InterfaceError") or "Packet sequence" in str(error):
        return ConnectionLost(f"the connection to the database {database} broke: {text or 'closed'}")
    if code in _UNREACHABLE:
        return EnvironmentFault(f"the database {database} cannot be reached: {text}", remedy="Is the server running?")
    if code == 1045:
        return EnvironmentFault(
            f"the database {database} refused the user or password: {text}",
            transient=False,
            remedy="Correct user and password in database.url; an account may also insist on TLS (database.tls) or "
            "on a client's certificate (database.tls_certificate)",
        )
    if code == 1049:
        return EnvironmentFault(
            f"the database {database} does not exist",
            transient=False,
            remedy="Create it (CREATE DATABASE … CHARACTER SET utf8mb4) or correct database.url",
        )
    if code in _CROWDED:
        return EnvironmentFault(
            f"the database {database} accepts no more connections: {text}", remedy="Raise its max_connections"
        )
    return _mysql_condition(code, text, error, database)


def _about_tls(code: int, error: BaseException, database: str) -> DagDeckError | None:
    """The fault of a handshake, or None when the connection failed for another reason."""
    where, tls = f"the database {database}", ServerTls(section="database")
    if code == _NO_TLS:
        return tls.refused_plain(where)
    if code == _PLAIN_REFUSED:
        return EnvironmentFault(f"{where} insists on TLS", transient=False, remedy='Set database.tls = "required"')
    return tls.fault(error, where)


def _mysql_condition(code: int, text: str, error: BaseException, database: str) -> DagDeckError:
    if code in _FULL or _NO_SPACE.search(text):
        return DiskFull(f"the disk of the database {database} is full: {text}", remedy=_SPACE)
    if code in _READ_ONLY:
        return EnvironmentFault(
            f"the database {database} is read-only: {text}", remedy="Point database.url at the primary server"
        )
    if code in _FORBIDDEN:
        return EnvironmentFault(
            f"the database user may not do this: {text}",
            transient=False,
            remedy=f"Give {database} its rights: `dagdeckd admin grants --keep-passwords` prints them",
        )
    if code in _NO_SCHEMA:
        return EnvironmentFault(
            f"the tables of {database} are missing or too old: {text}", transient=False, remedy=_SCHEMA
        )
    if code in _TOO_BIG:
        return EnvironmentFault(
            f"a value is too large for the database {database}: {text}",
            transient=False,
            remedy="Raise the server's max_allowed_packet or store less",
        )
    if code in (1062, 1586):
        return DuplicateRow(text)
    if code in (1406, 1264):
        return UserError(f"a value does not fit: {text}")
    if _is_a(error, "OperationalError") and code not in (1242,):
        return EnvironmentFault(f"the database {database} answered: {text} ({code})")
    return Bug(f"the database {database} refused a statement: {text} ({code})")


def _sqlite(error: sqlite3.Error, database: str) -> DagDeckError:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    text = str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Contention(f"the database {database} is locked by another process")
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"the disk of the database {database} is full", remedy=_SPACE)
    if code == sqlite3.SQLITE_READONLY:
        return EnvironmentFault(
            f"the database {database} is read-only", transient=False, remedy="Make the file and its folder writable"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return EnvironmentFault(
            f"the database {database} cannot be opened",
            transient=False,
            remedy="Its folder must exist and be writable for this user",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return EnvironmentFault(
            f"the file {database} is damaged or no database: {text}", transient=False, remedy="Restore a backup"
        )
    if code == sqlite3.SQLITE_IOERR:
        return EnvironmentFault(f"the disk of the database {database} failed: {text}", remedy=_SPACE)
    if isinstance(error, sqlite3.IntegrityError):
        return DuplicateRow(text)
    if code == sqlite3.SQLITE_TOOBIG:
        return UserError(f"a value is too large for the database {database}")
    if "no such table" in text or "no such column" in text or "has no column" in text:
        return EnvironmentFault(
            f"the tables of {database} are missing or too old: {text}", transient=False, remedy=_SCHEMA
        )
    return Bug(f"the database {database} refused a statement: {text}")
