"""One transaction of deletion at a time, of bounded size: how much of what is old goes now.

Decides how many rows and bytes one transaction deletes, adapts that to how long the last ones took, and has rows
archived before they go. Does not decide which rows are old (sweeps.py). Called by retention.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dagdeck_core.errors import DagDeckError
from dagdeck_core.ports import CommitUnknown
from dagdeck_io.db.dialects import HotConnection, Row, Script, with_retry
from dagdeck_io.db.slices import Condition, Rows, read_slice

BYTES = 16 << 20
"""About so many bytes of logs and values go in one transaction."""
FEWEST_ROWS = 10
FIRST_ROWS = 100
"""Rows of the first transaction, before it is known how fast the database is."""


class Archive(Protocol):
    """Where rows are kept before they are deleted."""

    def columns(self, table: str) -> Sequence[str]:
        """The columns that are kept of this table's rows; none: they are not kept."""

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Note rows with the values of `columns`, as the driver gave them."""

    def store(self) -> None:
        """Make everything that was noted durable. Raises EnvironmentFault, and then nothing of it is kept."""

    def undo(self) -> None:
        """What was stored last is not to be kept: its rows were not deleted. Harmless when there is nothing."""

    def forget(self) -> None:
        """Drop what was noted and not stored."""

    def prune(self, now: datetime) -> int:
        """Remove what has been kept for long enough; how many files."""


@dataclass(slots=True, kw_only=True)
class Purge:
    """Collects what one transaction deletes. `most_rows` and `longest` (seconds) bound it."""

    connection: HotConnection
    most_rows: int
    longest: float
    archive: Archive | None = None
    monotonic: Callable[[], float] = time.monotonic
    deleted: dict[str, int] = field(default_factory=dict)
    """Rows that have gone, by table."""
    _rows: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _script: Script | None = field(default=None, init=False)
    _noted: dict[str, int] = field(default_factory=dict, init=False)
    _budget: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._budget = min(FIRST_ROWS, self.most_rows)

    @property
    def room(self) -> int:
        """Rows that may still be added to this transaction."""
        return max(self._budget - self._rows, 0) if self._bytes < BYTES else 0

    def take_all(self, rows: Rows, *, archived: bool = True) -> Iterator[None]:
        """Have all of `rows` deleted, in as many transactions as it takes; yields after each that was committed."""
        while True:
            if not self.room:
                self.commit()
                yield
            if self._take(rows, archived):
                return

    def note(self, table: str, count: int) -> None:
        """Count rows whose deletion was written into `script`."""
        self._rows += count
        self._noted[table] = self._noted.get(table, 0) + count

    def keep(self, table: str, condition: Condition) -> None:
        """Have rows that are about to be deleted archived, where that is asked for."""
        columns = self.archive.columns(table) if self.archive is not None else ()
        if self.archive is None or not columns:
            return
        script = self.connection.script()
        named = ", ".join(f"`{column}`" for column in columns)
        script.read(f"SELECT {named} FROM `{table}` WHERE {condition(script)}")
        self.archive.add(table, with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0])

    @property
    def script(self) -> Script:
        """The transaction that is being collected."""
        if self._script is None:
            self._script = self.connection.script()
        return self._script

    def commit(self) -> bool:
        """Archive and delete what was collected; whether there was anything. Raises what the database or disk says."""
        script, self._script = self._script, None
        noted, self._noted = self._noted, {}
        self._rows = self._bytes = 0
        if script is None or not script.statements:
            return False
        if self.archive is not None:
            self.archive.store()
        began = self.monotonic()
        try:
            with_retry(lambda: self.connection.run(script))
        except CommitUnknown:
            raise  # the rows may be gone: what was archived of them is kept
        except DagDeckError:
            if self.archive is not None:
                self.archive.undo()
            raise
        self._adapt(self.monotonic() - began)
        for table, count in noted.items():
            self.deleted[table] = self.deleted.get(table, 0) + count
        return True

    def drop(self) -> None:
        """Forget what was collected and not committed."""
        self._script, self._noted = None, {}
        self._rows = self._bytes = 0
        if self.archive is not None:
            self.archive.forget()

    def _take(self, rows: Rows, archived: bool) -> bool:
        part = read_slice(self.connection, rows, limit=self.room, max_bytes=BYTES - self._bytes)
        for condition in part.conditions():
            if archived:
                self.keep(rows.table, condition)
            self.script.add(f"DELETE FROM {rows.quoted} WHERE {condition(self.script)}")
        if part.found:
            self.note(rows.table, len(part.found))
            self._bytes += sum(int(row[-1] or 0) for row in part.found)
        return part.whole

    def _adapt(self, seconds: float) -> None:
        if seconds > self.longest:
            self._budget = max(self._budget // 2, min(FEWEST_ROWS, self.most_rows))
        elif seconds < self.longest / 2:
            self._budget = min(self._budget * 2, self.most_rows)
