"""SQLite: scripts over one file, with WAL, full synchronisation and a busy retry of a millisecond.

Decides how a connection to the file is set up (also for SQLAlchemy's) and how guards are checked: in this process,
between the statements of an immediate transaction. Called by engine.py.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_io.db.dialects import Dialect, GuardMiss, HotConnection, Row, Script, Statement, id_list, storable
from dagdeck_io.db.faults import Contention, DuplicateRow, translate
from dagdeck_io.db.types import from_micros, to_micros

BUSY_SECONDS = 5.0
BUSY_PAUSE = 0.001
MINIMUM_VERSION = (3, 35, 0)
_INLINE_LENGTH = 4096
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA mmap_size = 268435456",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
    "PRAGMA journal_size_limit = 67108864",
)


def prepare_file(path: Path) -> None:
    """Make the database's file, readable by its owner only. Raises EnvironmentFault when that cannot be."""
    if sqlite3.sqlite_version_info < MINIMUM_VERSION:
        raise EnvironmentFault(
            f"SQLite {sqlite3.sqlite_version} is too old", transient=False, remedy="3.35 or newer is needed"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise EnvironmentFault(
            f"the database {path} cannot be opened: {error.strerror}",
            transient=False,
            remedy="Its folder must exist and be writable for this user",
        ) from error


def set_up(connection: sqlite3.Connection, synchronous: str = "full") -> None:
    """Bring a new connection into the state that all of ours have. Retries while others set the file up.

    `synchronous` "full": every commit reaches the disk and survives a power failure; "normal": only a crash.
    """
    connection.isolation_level = None
    deadline = time.monotonic() + BUSY_SECONDS
    level = "NORMAL" if synchronous == "normal" else "FULL"
    for pragma in (*_PRAGMAS, f"PRAGMA synchronous = {level}"):
        while True:
            try:
                connection.execute(pragma)
                break
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(BUSY_PAUSE)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection's lock is the cause."""
    return ((getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteDialect(Dialect):
    """Texts for SQLite. Long strings, bytes and strings with NUL are bound by number."""

    name = "sqlite"
    now = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
    for_update = ""
    skip_locked = ""
    share_lock = ""
    insert_ignore = "INSERT OR IGNORE INTO"
    binds = True  # the library keeps prepared statements by their text; preparing costs more than most of them do

    def __init__(self) -> None:
        # Nobody can end another process's connection here; the number tells people whose it was.
        self.connection_id = str(os.getpid())

    def quote(self, value: str, bound: list[Any]) -> str:
        """A literal, or ?n."""
        if len(value) > _INLINE_LENGTH or "\0" in value:
            bound.append(value)
            return f"?{len(bound)}"
        return "'" + value.replace("'", "''") + "'"

    def quote_bytes(self, value: bytes, bound: list[Any]) -> str:
        """Always ?n."""
        bound.append(value)
        return f"?{len(bound)}"

    def instant(self, value: datetime | None) -> str:
        """Microseconds since 1970."""
        return "NULL" if value is None else str(to_micros(value))

    def bind_instant(self, value: datetime, bound: list[Any]) -> str:
        """Always ?n."""
        bound.append(to_micros(value))
        return f"?{len(bound)}"

    def ids(self, ids: Iterable[int], bound: list[Any]) -> str:
        """One text for any number of ids."""
        bound.append(f"[{id_list(ids)}]")
        return f"SELECT value FROM json_each(?{len(bound)})"

    def bound_row(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Instants as microseconds, strings without lone surrogates."""
        return tuple(
            [
                value
                if value is None or (kind := type(value)) is int or kind is float
                else storable(value)
                if kind is str
                else to_micros(value)
                if kind is datetime
                else value
                for value in row
            ]
        )

    def read_instant(self, value: Any) -> datetime | None:
        """From microseconds."""
        return None if value is None else from_micros(value)

    def update_from(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[str]], assign: str, where: str
    ) -> str:
        """UPDATE … FROM a common table expression."""
        literal = ",".join(f"({','.join(row)})" for row in rows)
        return (
            f"WITH v({', '.join(names)}) AS (VALUES {literal}) "
            f"UPDATE {table} AS t SET {assign} FROM v WHERE t.{names[0]} = v.{names[0]} AND {where}"
        )

    def delete_joined(self, table: str, column: str, source: str, alias: str, where: str) -> str:
        """By a subquery."""
        return f"DELETE FROM {table} WHERE {column} IN (SELECT {alias}.{column} FROM {source} WHERE {where})"

    def seconds_since(self, column: str, now: str) -> str:
        """By microseconds."""
        return f"COALESCE(({now} - {column}) / 1000000.0, 0)"

    def add_counts(self, table: str, keys: Sequence[str], column: str, rows: Sequence[str]) -> str:
        """By the key's conflict."""
        return (
            f"INSERT INTO {table} ({', '.join(keys)}, {column}) VALUES {','.join(rows)} "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {column} = {column} + excluded.{column}"
        )


class SqliteConnection(HotConnection):
    """One connection to the file."""

    def __init__(self, *, path: Path, dialect: SqliteDialect, synchronous: str = "full") -> None:
        self._synchronous = synchronous
        self.dialect: SqliteDialect = dialect
        self.database = str(path)
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def run(self, script: Script, *, begin: bool = True, commit: bool = True) -> list[list[Row]]:
        """See the contract. Writers wait for one another at BEGIN, never later."""
        connection = self._connect()
        found: list[list[Row]] = []
        subject: Any = None
        try:
            if begin:
                self._patiently(connection, "BEGIN IMMEDIATE")
            for statement in script.statements:
                subject = statement.subject
                self._execute(connection, statement, found, alone=not begin and not connection.in_transaction)
            if commit:
                connection.execute("COMMIT")
        except (sqlite3.Error, DagDeckError) as error:
            self.rollback()
            fault = translate(error, self.database)
            if isinstance(fault, DuplicateRow):
                fault.subject = subject
            if fault is error:
                raise
            raise fault from error
        return found

    def rollback(self) -> None:
        """By SQLite, or by dropping the connection."""
        if self._connection is None or not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def kill(self, connection_id: int) -> None:
        """Impossible here: the file's lock decides, and a dead process holds none."""

    def check_durability(self) -> list[str]:
        """Nothing to warn of: set_up decides it."""
        return []

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                # One thread at a time uses it; which one may change over its life.
                connection = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
                set_up(connection, self._synchronous)
            except sqlite3.Error as error:
                raise translate(error, self.database) from error
            self._connection = connection
        return self._connection

    def _execute(
        self, connection: sqlite3.Connection, statement: Statement, found: list[list[Row]], *, alone: bool
    ) -> None:
        before = connection.total_changes if statement.expect is not None else 0
        if statement.many is not None:
            cursor = connection.executemany(statement.sql, statement.many)
        elif alone:
            cursor = self._patiently(connection, statement.sql, statement.bound)
        else:
            cursor = connection.execute(statement.sql, statement.bound)
        if statement.reads:
            found.append(cursor.fetchall())
        elif statement.expect is not None and connection.total_changes - before != statement.expect:
            raise GuardMiss(statement)

    def _patiently(self, connection: sqlite3.Connection, sql: str, bound: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return connection.execute(sql, bound)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if time.monotonic() > deadline:
                    raise Contention(f"the database {self.database} is locked by another process") from error
                time.sleep(BUSY_PAUSE)
