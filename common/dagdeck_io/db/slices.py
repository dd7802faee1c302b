"""Slices: which rows of a table go next, as bounded ranges of its primary key.

Decides how rows are found in the order of their key, how many of them one transaction takes, and the conditions that
mean exactly these rows. Does not decide which rows are old (sweeps.py) nor what is done with a slice (purge.py).
Databases differ in how well they delete by lists of composite keys, so a slice is written as ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dagdeck_io.db.dialects import HotConnection, Row, Script, id_list, with_retry

Condition = Callable[[Script], str]
"""Writes a condition into a script that is being built, so that its values are bound there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of `table` that are to go: those with `where`, which must not change of a row while it is looked at.

    `keys` are the columns of the primary key in order. `size` says as SQL how many bytes a row holds beside the
    usual; 0 when it never holds many.
    """

    table: str
    keys: tuple[str, ...]
    where: Condition
    size: str = "0"

    @property
    def quoted(self) -> str:
        """The table's name in SQL; some are reserved words."""
        return f"`{self.table}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows of `of` that one transaction takes: those of `found`, key columns first. `whole`: none are left."""

    of: Rows
    found: Sequence[Row]
    whole: bool

    def conditions(self) -> list[Condition]:
        """One condition for each statement; together they mean these rows and no others."""
        if not self.found:
            return []
        keys = self.of.keys
        if len(keys) == 1:
            ids = [row[0] for row in self.found]
            if isinstance(ids[0], int):
                return [self._with(lambda script: f"{keys[0]} IN ({id_list(ids)})")]
            return [self._with(lambda script: f"{keys[0]} IN ({','.join(map(script.text, ids))})")]
        last = self.found[-1]
        complete = list(dict.fromkeys(row[0] for row in self.found if self.whole or row[0] != last[0]))
        made: list[Condition] = []
        if complete:
            made.append(self._with(lambda script: f"{keys[0]} IN ({','.join(_literal(script, v) for v in complete)})"))
        if not self.whole:
            made += [self._with(part) for part in _up_to(keys, last[: len(keys)])]
        return made

    def _with(self, range_: Condition) -> Condition:
        return lambda script: f"{range_(script)} AND {self.of.where(script)}"


def read_slice(connection: HotConnection, rows: Rows, *, limit: int, max_bytes: int) -> Slice:
    """The first rows of `rows`, at most `limit` and about `max_bytes` of them, but one at least if there is one."""
    script = connection.script()
    columns = ", ".join(_column(key) for key in rows.keys)
    script.read(
        f"SELECT {columns}, {rows.size} FROM {rows.quoted} WHERE {rows.where(script)} ORDER BY {columns} LIMIT {limit}"
    )
    found = with_retry(lambda: connection.run(script, begin=False, commit=False))[0]
    taken: list[Row] = []
    total = 0
    for row in found:
        total += int(row[-1] or 0)
        if taken and total > max_bytes:
            break
        taken.append(row)
    return Slice(of=rows, found=taken, whole=len(found) < limit and len(taken) == len(found))


def plain(text: str) -> Condition:
    """A condition without values that come from outside."""
    return lambda script: text


def _up_to(keys: Sequence[str], last: Row) -> list[Condition]:
    """Everything of the last row's first key value up to that row, as one range for each further key column."""
    made: list[Condition] = []
    for depth in range(1, len(keys)):
        operator = "<=" if depth == len(keys) - 1 else "<"

        def condition(script: Script, depth: int = depth, operator: str = operator) -> str:
            same = [f"{_column(keys[at])} = {_literal(script, last[at])}" for at in range(depth)]
            return " AND ".join([*same, f"{_column(keys[depth])} {operator} {_literal(script, last[depth])}"])

        made.append(condition)
    return made


def _column(name: str) -> str:
    return f"`{name}`"


def _literal(script: Script, value: Any) -> str:
    return str(value) if isinstance(value, int) else script.text(value)
