"""SqlHook: statements on the database that a connection names, through Python's DB-API.

Decides the driver by the connection's type (sqlite, mysql, mariadb; others by `driver` in its extra) and that several
statements are one transaction. Used by SQL operators and sensors and in tasks.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowException
from dagdeck.hook import BaseHook

Handler = Callable[[Any], Any]
"""Makes a result of a cursor that has executed a statement."""


def fetch_all_handler(cursor: Any) -> list[tuple[Any, ...]] | None:
    """All rows as tuples; None after a statement that has none."""
    return None if cursor.description is None else [tuple(row) for row in cursor.fetchall()]


def fetch_one_handler(cursor: Any) -> tuple[Any, ...] | None:
    """The first row as a tuple; None when there is none."""
    row = None if cursor.description is None else cursor.fetchone()
    return None if row is None else tuple(row)


class SqlHook(BaseHook):
    """The database of connection `conn_id`; `database` replaces its schema."""

    conn_name_attr = "conn_id"
    default_conn_name = "sql_default"

    def __init__(self, conn_id: str = default_conn_name, database: str | None = None, **kwargs: str | None) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.database = database

    def get_conn(self) -> Any:
        """An open DB-API connection; the caller closes it. Raises AirflowException for an unknown type."""
        connection = self.get_connection(self.conn_id)
        connect = _CONNECTORS.get(connection.conn_type or "", _by_driver)
        return connect(connection, self.database or connection.schema)

    def run(
        self,
        sql: str | Sequence[str],
        autocommit: bool = False,
        parameters: Any = None,
        handler: Handler | None = None,
        split_statements: bool = False,
        return_last: bool = True,
    ) -> Any:
        """Execute statements in one transaction (`autocommit`: each by itself); what `handler` makes of them.

        With several statements the last one's result, or a list of all unless `return_last`. Raises AirflowException
        when there is no statement, and what the driver raises.
        """
        texts = [sql] if isinstance(sql, str) else list(sql)
        statements = [part for text in texts for part in (split(text) if split_statements else [text.strip()]) if part]
        if not statements:
            raise AirflowException("there is no SQL statement to execute")
        results = []
        with contextlib.closing(self.get_conn()) as opened:
            for statement in statements:
                self.log.info("Running statement: %s", statement)
                with contextlib.closing(opened.cursor()) as cursor:
                    cursor.execute(statement, *(() if parameters is None else (parameters,)))
                    self.log.info("Rows affected: %s", cursor.rowcount)
                    if handler is not None:
                        results.append(handler(cursor))
                if autocommit:
                    opened.commit()
            opened.commit()
        if handler is None:
            return None
        return results[-1] if return_last or (isinstance(sql, str) and not split_statements) else results

    def get_records(self, sql: str | Sequence[str], parameters: Any = None) -> Any:
        """All rows."""
        return self.run(sql, parameters=parameters, handler=fetch_all_handler)

    def get_first(self, sql: str | Sequence[str], parameters: Any = None) -> Any:
        """The first row."""
        return self.run(sql, parameters=parameters, handler=fetch_one_handler)

    def insert_rows(self, table: str, rows: Sequence[Sequence[Any]], target_fields: Sequence[str] = ()) -> None:
        """Insert rows, all or none."""
        with contextlib.closing(self.get_conn()) as opened, contextlib.closing(opened.cursor()) as cursor:
            mark = "?" if type(opened).__module__.startswith("sqlite3") else "%s"
            columns = f" ({', '.join(target_fields)})" if target_fields else ""
            for row in rows:
                places = ", ".join(mark for _ in row)
                cursor.execute(f"INSERT INTO {table}{columns} VALUES ({places})", tuple(row))
            opened.commit()

    def test_connection(self) -> tuple[bool, str]:
        """Whether the database answers, and a sentence about it."""
        try:
            self.get_first("SELECT 1")
        except Exception as error:  # noqa: BLE001 - drivers raise what they like
            return False, str(error)
        return True, "Connection successfully tested"


def split(text: str) -> list[str]:
    """The statements of a text, cut at semicolons that are in no quotes and no comment."""
    return [part for part in (piece.strip() for piece in _pieces(text)) if part]


def _pieces(text: str) -> Iterator[str]:
    begin = place = 0
    while place < len(text):
        char = text[place]
        if char in "'\"`":
            closing = text.find(char, place + 1)
            place = len(text) if closing < 0 else closing
        elif text.startswith("--", place) or char == "#":
            closing = text.find("\n", place)
            place = len(text) if closing < 0 else closing
        elif text.startswith("/*", place):
            closing = text.find("*/", place)
            place = len(text) if closing < 0 else closing + 1
        elif char == ";":
            yield text[begin:place]
            begin = place + 1
        place += 1
    yield text[begin:]


def _sqlite(connection: Connection, database: str | None) -> Any:
    import sqlite3

    # A path stands in the host or, from a URI, behind it.
    path = connection.host or ""
    if database:
        path = f"{path}/{database}" if path else f"/{database.lstrip('/')}"
    return sqlite3.connect(path or ":memory:")


def _mysql(connection: Connection, database: str | None) -> Any:
    try:
        driver = importlib.import_module("pymysql")
    except ImportError as error:
        raise AirflowException("the driver pymysql is not installed on this worker") from error
    return driver.connect(
        host=connection.host or "localhost",
        port=connection.port or 3306,
        user=connection.login,
        password=connection.password or "",
        database=database,
        charset=connection.extra_dejson.get("charset", "utf8mb4"),
    )


def _by_driver(connection: Connection, database: str | None) -> Any:
    """Any DB-API module that takes host, port, user, password and database."""
    extra = connection.extra_dejson
    name = extra.pop("driver", None)
    if name is None:
        known = ", ".join(sorted(_CONNECTORS))
        raise AirflowException(
            f"Connection {connection.conn_id!r} has the type {connection.conn_type!r}, which is none of {known}; name "
            'a DB-API module as "driver" in its extra'
        )
    try:
        driver = importlib.import_module(str(name))
    except ImportError as error:
        raise AirflowException(f"the driver {name} is not installed on this worker: {error}") from error
    parts = {"host": connection.host, "port": connection.port, "user": connection.login, "database": database}
    parts["password"] = connection.password
    return driver.connect(**{key: value for key, value in parts.items() if value is not None}, **extra)


_CONNECTORS: dict[str, Callable[[Connection, str | None], Any]] = {
    "sqlite": _sqlite,
    "mysql": _mysql,
    "mariadb": _mysql,
}
