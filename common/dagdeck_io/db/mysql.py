"""MySQL 8 and MariaDB 10.11: scripts in as few round trips as possible over PyMySQL.

Decides how a script becomes multi-statement texts with guards inside them: after a statement that has to hit n rows
follows one that fails when ROW_COUNT() differs, and the server then stops before the COMMIT that ends the same text.
(The failing expression must stand in SET: MariaDB swallows errors inside DO.) MULTI_STATEMENTS is on for these
connections only. Called by engine.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysql.constants import CLIENT
from pymysql.converters import escape_bytes, escape_string

from dagdeck_core.errors import DagDeckError
from dagdeck_core.ports import CommitUnknown
from dagdeck_io.db.dialects import Dialect, GuardMiss, HotConnection, Row, Script, Statement
from dagdeck_io.db.faults import ConnectionLost, DuplicateRow, translate
from dagdeck_io.db.types import to_naive_utc
from dagdeck_io.db.url import mysql_session

_GUARD = "SET @dagdeck_guard = IF(ROW_COUNT() = {}, 1, (SELECT 1 UNION SELECT 2))"
_SUBQUERY_ROWS = 1242
"""Of the failing guard: "subquery returns more than 1 row"."""
_PACKET_RESERVE = 4096
_Piece = tuple[str, Statement | None]


class MySqlDialect(Dialect):
    """Texts for MySQL and MariaDB, which differ only in how literal rows are written."""

    name = "mysql"
    now = "UTC_TIMESTAMP(6)"
    connection_id = "CONNECTION_ID()"
    for_update = " FOR UPDATE"
    skip_locked = " FOR UPDATE SKIP LOCKED"
    share_lock = " LOCK IN SHARE MODE"
    insert_ignore = "INSERT IGNORE INTO"
    few_rows = 6  # a derived table costs 0.6 ms, however few its rows are; a plain update 0.08

    def __init__(self) -> None:
        self.row_word = ""
        """"ROW" on MySQL, nothing on MariaDB; known after the first connection."""

    def quote(self, value: str, bound: list[Any]) -> str:
        """A literal; backslash escapes are on (mysql_session)."""
        return f"'{escape_string(value)}'"

    def quote_bytes(self, value: bytes, bound: list[Any]) -> str:
        """A literal that the driver turns back into the same bytes."""
        return escape_bytes(value)

    def instant(self, value: datetime | None) -> str:
        """A literal with microseconds."""
        return "NULL" if value is None else f"'{to_naive_utc(value).isoformat(' ', 'microseconds')}'"

    def read_instant(self, value: Any) -> datetime | None:
        """The driver gives naive datetimes."""
        return None if value is None else value.replace(tzinfo=UTC)

    def update_from(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[str]], assign: str, where: str
    ) -> str:
        """A join with a derived table, whose first, empty part only names the columns."""
        head = ",".join(f"NULL AS {name}" for name in names)
        word = self.row_word
        literal = ",".join(f"{word}({','.join(row)})" for row in rows)
        source = f"(SELECT {head} FROM DUAL WHERE FALSE UNION ALL VALUES {literal}) v"
        return f"UPDATE {source} STRAIGHT_JOIN {table} t ON t.{names[0]} = v.{names[0]} SET {assign} WHERE {where}"

    def delete_joined(self, table: str, column: str, source: str, alias: str, where: str) -> str:
        """A multi-table DELETE: MariaDB 10.11 would read all of `table` for a subquery."""
        return f"DELETE x FROM {source} STRAIGHT_JOIN {table} x ON x.{column} = {alias}.{column} WHERE {where}"

    def seconds_since(self, column: str, now: str) -> str:
        """By microseconds."""
        return f"COALESCE(TIMESTAMPDIFF(MICROSECOND, {column}, {now}) / 1000000.0, 0)"

    def add_counts(self, table: str, keys: Sequence[str], column: str, rows: Sequence[str]) -> str:
        """By the unique key."""
        return (
            f"INSERT INTO {table} ({', '.join(keys)}, {column}) VALUES {','.join(rows)} "
            f"ON DUPLICATE KEY UPDATE {column} = {column} + VALUES({column})"
        )


class MySqlConnection(HotConnection):
    """One PyMySQL connection with MULTI_STATEMENTS."""

    def __init__(
        self,
        *,
        arguments: dict[str, Any],
        dialect: MySqlDialect,
        database: str,
        encryption: Callable[[], dict[str, Any]] = dict,
        lock_wait: float = 2.0,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
    ) -> None:
        """`arguments` are the driver's, `encryption` makes further ones for each connection; waits are seconds."""
        self._encryption = encryption
        self.dialect: MySqlDialect = dialect
        self.database = database
        self._lock_wait = lock_wait
        flags = arguments.get("client_flag", 0) | CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS
        self._arguments = {
            **arguments,
            "client_flag": flags,
            "charset": "utf8mb4",
            "autocommit": True,
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "write_timeout": read_timeout,
        }
        self._connection: pymysql.Connection[Any] | None = None
        self._text_limit = 1 << 20

    def run(self, script: Script, *, begin: bool = True, commit: bool = True) -> list[list[Row]]:
        """See the contract. Texts longer than the server takes go in several round trips."""
        if begin or self._connection is None:
            self._connect()
        found: list[list[Row]] = []
        texts = self._texts(script.statements, begin, commit)
        for number, pieces in enumerate(texts, start=1):
            ends = commit and number == len(texts)
            try:
                self._send(pieces, found)
            except (pymysql.err.Error, OSError) as error:
                raise self._failed(error, ends) from error
            except (GuardMiss, DuplicateRow):
                self.rollback()
                raise
        return found

    def rollback(self) -> None:
        """By the server, or by dropping the connection."""
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except (pymysql.err.Error, OSError):
            self.close()

    def kill(self, connection_id: int) -> None:
        """By KILL, which a user may do to its own connections."""
        with suppress(pymysql.err.Error, OSError, DagDeckError):
            connection = self._connect()
            # Numbers begin anew when the server is restarted: an old one may be this connection's.
            if connection.thread_id() != connection_id:  # type: ignore[no-untyped-call]
                connection.query(f"KILL {int(connection_id)}")

    def check_durability(self) -> list[str]:
        """About the settings that decide whether a commit survives a power failure."""
        script = self.script()
        script.read("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'sync_binlog')")
        script.read("SHOW GLOBAL VARIABLES LIKE 'log_bin'")
        settings, log_bin = self.run(script, begin=False, commit=False)
        values = {str(name): str(value) for name, value in settings}
        warnings = []
        if values.get("innodb_flush_log_at_trx_commit", "1") != "1":
            warnings.append("innodb_flush_log_at_trx_commit is not 1: a crash of the machine loses committed work")
        if values.get("sync_binlog", "1") != "1" and log_bin and str(log_bin[0][1]).upper() == "ON":
            warnings.append("sync_binlog is not 1: a crash of the machine may lose work on replicas and in restores")
        return warnings

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(pymysql.err.Error, OSError):
                connection.close()

    def _connect(self) -> pymysql.Connection[Any]:
        if self._connection is not None:
            return self._connection
        try:
            connection = pymysql.connect(**self._arguments, **self._encryption())
            self._connection = connection
            with connection.cursor() as cursor:
                cursor.execute(";".join((*mysql_session(self._lock_wait), "SELECT VERSION(), @@max_allowed_packet")))
                while cursor.nextset():
                    pass
                version, packet = cursor.fetchall()[0]
        except (pymysql.err.Error, OSError) as error:
            self.close()
            raise translate(error, self.database) from error
        self.dialect.row_word = "" if "mariadb" in str(version).lower() else "ROW"
        self._text_limit = min(4 << 20, int(packet) - _PACKET_RESERVE)
        return connection

    def _texts(self, statements: Sequence[Statement], begin: bool, commit: bool) -> list[list[_Piece]]:
        """The script's pieces, grouped into texts of bounded size."""
        pieces: list[_Piece] = [("BEGIN", None)] if begin else []
        texts = [pieces]
        size = 0
        for statement in statements:
            if size and size + len(statement.sql) > self._text_limit:
                pieces, size = [], 0
                texts.append(pieces)
            pieces.append((statement.sql, statement))
            if statement.expect is not None:
                pieces.append((_GUARD.format(statement.expect), statement))
            size += len(statement.sql) + 70
        if commit:
            pieces.append(("COMMIT", None))
        return [pieces for pieces in texts if pieces]

    def _send(self, pieces: list[_Piece], found: list[list[Row]]) -> None:
        assert self._connection is not None
        cursor = self._connection.cursor()
        position = 0
        try:
            cursor.execute(";".join([sql for sql, _ in pieces]))
            for position, (_, statement) in enumerate(pieces):
                if position:
                    cursor.nextset()
                if statement is not None and statement.reads:
                    found.append(list(cursor.fetchall()))
        except pymysql.err.Error as error:
            # Results arrive in order, so the one that is an error names its piece.
            statement = pieces[position][1]
            if error.args and error.args[0] == _SUBQUERY_ROWS and statement is not None:
                raise GuardMiss(statement) from error
            fault = translate(error, self.database)
            if isinstance(fault, DuplicateRow):
                fault.subject = statement.subject if statement is not None else None
                raise fault from error
            raise

    def _failed(self, error: BaseException, ends: bool) -> DagDeckError:
        fault = translate(error, self.database)
        if not isinstance(fault, ConnectionLost):
            self.rollback()
            return fault
        self.close()
        if ends:
            return CommitUnknown(f"{fault.message}; whether the transaction was committed is not known")
        return fault
