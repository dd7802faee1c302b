"""Hot statements as text: scripts of one transaction, row-count guards, and the contract of a hot connection.

Decides how literal values are written safely, how many rows go into one statement, and which questions a dialect
answers (mysql.py and sqlite.py answer them). Does not know tables. Called by the scheduler's and the workers'
stores; everything colder goes through SQLAlchemy Core (`Database.reading` and `Database.writing`).

A script is a list of statements. Each may say how many rows it has to hit; when one misses, nothing of the
transaction happens and `GuardMiss` names the statement. Integers and members of our own enums are written into the
text; strings, bytes and everything else that came from outside pass through `Script.text`, `blob` or `json`.
"""

from __future__ import annotations

import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from dagdeck_core.errors import Bug, DagDeckError
from dagdeck_io.db.faults import Contention
from dagdeck_io.db.types import to_json

Row = tuple[Any, ...]
Item = TypeVar("Item")
Result = TypeVar("Result")

INSERT = "INSERT INTO"
REPLACE = "REPLACE INTO"
_OF_ROW = re.compile(r"\bv\.(\w+)\b")
_STATEMENT_ROWS = 500
_STATEMENT_BYTES = 1 << 20


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. `expect` rows must be hit (None: any number); `reads` when it gives rows."""

    sql: str
    bound: tuple[Any, ...] = ()
    many: Sequence[tuple[Any, ...]] | None = None
    """Rows of bound values; the statement is run once for each."""
    expect: int | None = None
    what: str = ""
    subject: Any = None
    """What the statement is about, for whoever handles its DuplicateRow."""
    reads: bool = False


class GuardMiss(DagDeckError):
    """A statement hit another number of rows than it had to. Nothing of the transaction was written."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(f"{statement.what or 'a statement'} did not find the rows it expected")
        self.what = statement.what


class Dialect(ABC):
    """What differs between databases, for scripts."""

    name: str
    now: str
    """The database's own clock, as an expression that fits an instant's column."""
    connection_id: str
    """The number by which another connection can end this one, as an expression."""
    for_update: str
    skip_locked: str
    share_lock: str
    insert_ignore: str
    """The verb that leaves rows alone whose key exists already."""

    @abstractmethod
    def quote(self, value: str, bound: list[Any]) -> str:
        """`value` as a literal, or as a placeholder after adding it to `bound`."""

    @abstractmethod
    def quote_bytes(self, value: bytes, bound: list[Any]) -> str:
        """`value` as a literal, or as a placeholder after adding it to `bound`."""

    @abstractmethod
    def instant(self, value: datetime | None) -> str:
        """The literal of an instant."""

    @abstractmethod
    def read_instant(self, value: Any) -> datetime | None:
        """An instant as the driver returned it."""

    def known_instant(self, value: Any) -> datetime:
        """An instant of a column that is never NULL."""
        found = self.read_instant(value)
        if found is None:
            raise Bug("a row lacks an instant that it must have")
        return found

    binds: bool = False
    """Whether statements of equal text with values bound to them are cheaper than values written into the text."""

    def bind_instant(self, value: datetime, bound: list[Any]) -> str:
        """The instant as a literal, or as a placeholder after adding it to `bound`."""
        return self.instant(value)

    def ids(self, ids: Iterable[int], bound: list[Any]) -> str:
        """What stands between the brackets of IN (…) for these ids."""
        return id_list(ids)

    def bound_row(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Values as they are bound. Only where `binds`."""
        return tuple(row)

    few_rows: int = 0
    """Up to so many rows are updated one by one, because a join costs more."""

    @abstractmethod
    def update_from(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[str]], assign: str, where: str
    ) -> str:
        """UPDATE of `table` (alias t) joined with literal rows (alias v, columns `names`)."""

    def update_row(self, table: str, names: Sequence[str], row: Sequence[str], assign: str, where: str) -> str:
        """What `update_from` does, for one row: its values stand where `assign` and `where` name them."""
        return _update_of_row(table, names, row, assign, where)

    @abstractmethod
    def delete_joined(self, table: str, column: str, source: str, alias: str, where: str) -> str:
        """DELETE of the rows of `table` whose `column` is that of a row of `source` (its alias) with `where`."""

    @abstractmethod
    def seconds_since(self, column: str, now: str) -> str:
        """Float seconds from an instant's column to the instant `now` (a literal); 0 when the column is NULL."""

    @abstractmethod
    def add_counts(self, table: str, keys: Sequence[str], column: str, rows: Sequence[str]) -> str:
        """INSERT of rows (keys…, number) that adds the number to `column` where the keys exist already."""


def _update_of_row(table: str, names: Sequence[str], row: Sequence[str], assign: str, where: str) -> str:
    values = dict(zip(names, row, strict=True))
    assign, where = [_OF_ROW.sub(lambda found: values[found[1]], text) for text in (assign, where)]
    return f"UPDATE {table} AS t SET {assign} WHERE t.{names[0]} = {row[0]} AND {where}"


@lru_cache(maxsize=64)
def _bound_update(table: str, names: tuple[str, ...], assign: str, where: str) -> str:
    """The UPDATE of one row whose values are bound in the order of `names`."""
    return _update_of_row(table, names, [f"?{number}" for number in range(1, len(names) + 1)], assign, where)


class Script:
    """Builds the statements of one transaction."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.instant = dialect.instant
        self.statements: list[Statement] = []
        self._bound: list[Any] = []
        self._quoted: dict[str, str] = {}

    def text(self, value: str | None) -> str:
        """A string as SQL."""
        if value is None:
            return "NULL"
        quoted = self._quoted.get(value)
        if quoted is None:
            quoted = self._quoted[value] = self.dialect.quote(storable(value), self._bound)
        return quoted

    def blob(self, value: bytes) -> str:
        """Bytes as SQL."""
        return self.dialect.quote_bytes(value, self._bound)

    def json(self, value: Any) -> str:
        """A JSON value as SQL; None is NULL."""
        return "NULL" if value is None else self.text(to_json(value))

    def bind_instant(self, value: datetime) -> str:
        """An instant as SQL whose text is always the same where the dialect binds values."""
        return self.dialect.bind_instant(value, self._bound)

    def ids(self, ids: Iterable[int]) -> str:
        """Ids for IN (…), as SQL whose text is always the same where the dialect binds values."""
        return self.dialect.ids(ids, self._bound)

    def literal(self, value: Any) -> str:
        """A value of a row as SQL: None, a number, a string, bytes or an instant."""
        kind = type(value)
        if kind is int:
            return str(value)
        if kind is str:
            return self.text(value)
        if value is None:
            return "NULL"
        if kind is datetime:
            return self.instant(value)
        return self.blob(value) if kind is bytes else repr(float(value))

    def add(self, sql: str, *, expect: int | None = None, what: str = "") -> None:
        """Append a statement that writes."""
        self._append(Statement(sql=sql, bound=tuple(self._bound), expect=expect, what=what))

    def read(self, sql: str) -> None:
        """Append a statement that gives rows; `HotConnection.run` returns them in this order."""
        self._append(Statement(sql=sql, bound=tuple(self._bound), reads=True))

    def insert(
        self,
        table: str,
        columns: str,
        items: Iterable[Item],
        render: Callable[[Item], str],
        *,
        verb: str = INSERT,
        what: str = "",
        subject: Any = None,
    ) -> None:
        """Append INSERTs of one row "(…)" per item, in statements of bounded size; nothing for no items.

        A plain INSERT inserts every row or fails, so it needs no guard.
        """
        rows: list[str] = []
        size = 0
        for item in items:
            if self._bound and not rows:
                raise Bug("values were rendered before the insert that uses them")
            row = render(item)
            rows.append(row)
            size += len(row)
            if len(rows) >= _STATEMENT_ROWS or size > _STATEMENT_BYTES or len(self._bound) > 20_000:
                self._insert_rows(table, columns, rows, verb, what, subject)
                rows, size = [], 0
        if rows:
            self._insert_rows(table, columns, rows, verb, what, subject)

    def insert_rows(
        self, table: str, columns: str, rows: Sequence[Sequence[Any]], *, verb: str = INSERT, what: str = ""
    ) -> None:
        """Append INSERTs of rows of plain values (see `literal`); nothing for no rows."""
        if not self.dialect.binds:
            literal = self.literal
            self.insert(
                table, columns, rows, lambda row: f"({','.join([literal(v) for v in row])})", verb=verb, what=what
            )
        elif rows:
            places = ",".join("?" * len(rows[0]))
            self._append(
                Statement(
                    sql=f"{verb} {table} ({columns}) VALUES ({places})",
                    many=[self.dialect.bound_row(row) for row in rows],
                    what=what or f"insert into {table}",
                )
            )

    def update_rows(
        self, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]], assign: str, where: str, *, what: str
    ) -> None:
        """`update_from` for rows of plain values (see `literal`)."""
        dialect = self.dialect
        if not dialect.binds:
            self.update_from(
                table, names, rows, lambda row: [self.literal(value) for value in row], assign, where, what=what
            )
        elif rows:
            self._append(
                Statement(
                    sql=_bound_update(table, tuple(names), assign, where),
                    many=[dialect.bound_row(row) for row in rows],
                    expect=len(rows),
                    what=what,
                )
            )

    def _insert_rows(self, table: str, columns: str, rows: list[str], verb: str, what: str, subject: Any) -> None:
        self._append(
            Statement(
                sql=f"{verb} {table} ({columns}) VALUES {','.join(rows)}",
                bound=tuple(self._bound),
                what=what or f"insert into {table}",
                subject=subject,
            )
        )

    def update_from(
        self,
        table: str,
        names: Sequence[str],
        items: Sequence[Item],
        render: Callable[[Item], Sequence[str]],
        assign: str,
        where: str,
        *,
        what: str,
    ) -> None:
        """Append UPDATEs that join one literal row per item; every item has to hit exactly one row.

        `assign` and `where` must be made of numbers, columns and own enum members only, and no column may be read
        after it was assigned: databases differ in what it then is.
        """
        if len(items) <= self.dialect.few_rows:
            for item in items:
                self.add(self.dialect.update_row(table, names, render(item), assign, where), expect=1, what=what)
            return
        for start in range(0, len(items), _STATEMENT_ROWS):
            rows = [render(item) for item in items[start : start + _STATEMENT_ROWS]]
            self.add(self.dialect.update_from(table, names, rows, assign, where), expect=len(rows), what=what)

    def _append(self, statement: Statement) -> None:
        self.statements.append(statement)
        if self._bound:
            self._bound.clear()
            self._quoted.clear()


class HotConnection(ABC):
    """One connection for scripts. Used by one thread; connects when first used and again after it broke."""

    dialect: Dialect
    database: str
    """The database's name for people."""

    @abstractmethod
    def run(self, script: Script, *, begin: bool = True, commit: bool = True) -> list[list[Row]]:
        """Send `script` and return the rows of its reading statements.

        `begin` starts a transaction before, `commit` ends it after; with neither, each statement stands for
        itself. After any error no transaction is open. Raises GuardMiss, DuplicateRow and Contention (nothing
        written), CommitUnknown, EnvironmentFault (nothing written unless `begin` and `commit` are both False).
        """

    @abstractmethod
    def rollback(self) -> None:
        """End the open transaction without a trace. Never raises."""

    @abstractmethod
    def kill(self, connection_id: int) -> None:
        """End another connection, and what it has not committed, if the database can. Never raises."""

    @abstractmethod
    def check_durability(self) -> list[str]:
        """Plain warnings about settings that lose committed work when the machine fails."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""

    def script(self) -> Script:
        """A new, empty script."""
        return Script(self.dialect)


def prove_guard(connection: HotConnection) -> None:
    """Show on this very server that a missed guard leaves nothing. Raises Bug when it does not hold."""
    # A row of this process's own, in a table that masters and workers may write: others prove theirs at the same time.
    node = -1 - random.getrandbits(30)
    good, bad, after = connection.script(), connection.script(), connection.script()
    for expected, script in ((1, good), (2, bad)):
        script.add(f"INSERT INTO id_node (node, epoch, counter) VALUES ({node}, 0, 0)", expect=1)
        # To the value that is there: counting must be by rows found, not by rows changed.
        script.add(f"UPDATE id_node SET counter = 0 WHERE node = {node}", expect=expected)
    with_retry(lambda: connection.run(good, commit=False))
    connection.rollback()
    try:
        with_retry(lambda: connection.run(bad))
    except GuardMiss:
        pass
    else:
        raise Bug(f"the database {connection.database} does not keep row-count guards")
    after.read(f"SELECT COUNT(*) FROM id_node WHERE node = {node}")
    if with_retry(lambda: connection.run(after))[0][0][0] != 0:
        raise Bug(f"the database {connection.database} kept part of a transaction whose guard failed")


def with_retry(
    operation: Callable[[], Result],
    *,
    within: float = 6.0,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
    monotonic: Callable[[], float] = time.monotonic,
) -> Result:
    """Run a whole transaction again after deadlocks and lock waits, for at most about `within` seconds."""
    deadline = monotonic() + within
    pause = 0.002
    while True:
        try:
            return operation()
        except Contention:
            if monotonic() + pause >= deadline:
                raise
            sleep(pause * (0.5 + jitter()))
            pause = min(pause * 2, 0.25)


def storable(value: str) -> str:
    """`value` with lone surrogates (bytes that were no text) replaced, which no database stores."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="replace").decode()
    return value


def id_list(ids: Iterable[int]) -> str:
    """Ids for IN (…). The caller makes sure that there is one."""
    return ",".join(map(str, ids))
