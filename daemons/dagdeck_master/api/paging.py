"""Pages: limit and offset, order, and cursors, the same for every listing.

Decides how `order_by` becomes an ORDER BY that is total (the key is always its last column), how a cursor names a place
in it, and how many rows a page may hold. Does not decide which filters a listing has (`filters`). Used by `queries`.

NULLs are lowest in both directions on every database we support, and cursors rely on it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_io.db.types import UtcDateTime
from dagdeck_master.api.errors import ApiProblem

CURSOR_COUNT_LIMIT = 10_000
"""Up to so many rows are counted for a page that was asked for by cursor."""


class _CursorPayload(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a cursor holds: the order it belongs to, whether it leads backwards, and a row's sort values."""

    order: list[str]
    backwards: bool
    values: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SortColumn:
    """One column of an order, by its name on the wire."""

    name: str
    column: sa.ColumnElement[Any]
    descending: bool

    def clause(self, backwards: bool = False) -> sa.ColumnElement[Any]:
        """For ORDER BY; the other way round for a page before a cursor."""
        return self.column.desc() if self.descending is not backwards else self.column.asc()

    def beyond(self, value: Any, backwards: bool) -> sa.ColumnElement[bool]:
        """True for rows that come strictly after `value` in this order."""
        if self.descending is backwards:
            return self.column.is_not(None) if value is None else self.column > value
        return sa.false() if value is None else sa.or_(self.column < value, self.column.is_(None))

    def same(self, value: Any) -> sa.ColumnElement[bool]:
        """True for rows with this very value."""
        return self.column.is_(None) if value is None else self.column == value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """A total order: the columns asked for, then the key."""

    columns: tuple[SortColumn, ...]

    @property
    def names(self) -> list[str]:
        """Names with their direction, as a cursor stores them."""
        return [("-" if column.descending else "") + column.name for column in self.columns]

    def clauses(self, backwards: bool = False) -> list[sa.ColumnElement[Any]]:
        """For ORDER BY."""
        return [column.clause(backwards) for column in self.columns]

    def beyond(self, values: Sequence[Any], backwards: bool) -> sa.ColumnElement[bool]:
        """True for rows that come strictly after the row with these sort values."""
        alternatives = []
        for i, column in enumerate(self.columns):
            equal = [earlier.same(values[j]) for j, earlier in enumerate(self.columns[:i])]
            alternatives.append(sa.and_(*equal, column.beyond(values[i], backwards)))
        return sa.or_(*alternatives)


def sorting(
    order_by: Sequence[str],
    allowed: Mapping[str, sa.ColumnElement[Any]],
    key: Mapping[str, sa.ColumnElement[Any]],
    default: Sequence[str],
) -> Sorting:
    """The order that `order_by` asks for, ended by `key`.

    Raises ApiProblem 400 for an attribute that is not allowed.
    """
    columns: dict[str, SortColumn] = {}
    for text in order_by or default:
        name = text.removeprefix("-")
        if name not in allowed:
            raise ApiProblem(
                400,
                f"Ordering with '{name}' is disallowed or the attribute does not exist on the model. "
                f"It can be one of: {', '.join(allowed)}",
            )
        columns.setdefault(name, SortColumn(name=name, column=allowed[name], descending=text.startswith("-")))
    last = next(reversed(columns.values()), None)
    for name, column in key.items():
        columns.setdefault(name, SortColumn(name=name, column=column, descending=last is not None and last.descending))
    return Sorting(columns=tuple(columns.values()))


def encode_cursor(order: Sorting, values: Sequence[Any], *, backwards: bool) -> str:
    """A cursor that names the place of the row with these sort values."""
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    payload = msgspec.json.encode(_CursorPayload(order=order.names, backwards=backwards, values=plain))
    return base64.urlsafe_b64encode(payload).decode("ascii").rstrip("=")


def decode_cursor(order: Sorting, cursor: str) -> tuple[list[Any], bool]:
    """The sort values and the direction of a cursor.

    Raises ApiProblem 400 when it is damaged or belongs to another order.
    """
    try:
        payload = msgspec.json.decode(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True), type=_CursorPayload
        )
    except (ValueError, msgspec.MsgspecError):
        raise ApiProblem(400, "The cursor is not one of this server's; begin again with an empty cursor") from None
    if payload.order != order.names or len(payload.values) != len(order.columns):
        raise ApiProblem(400, "The cursor belongs to another order_by; begin again with an empty cursor")
    values = [_typed(column, value) for column, value in zip(order.columns, payload.values, strict=True)]
    return values, payload.backwards


def _typed(column: SortColumn, value: Any) -> Any:
    """A cursor's value as the column's type; cursors are data from outside, so it is checked."""
    stored_as = column.column.type
    try:
        if value is None:
            return None
        if isinstance(stored_as, UtcDateTime):
            return _aware(msgspec.convert(value, datetime))
        if isinstance(stored_as, (sa.Integer, sa.Boolean)):
            return msgspec.convert(value, int)
        return msgspec.convert(value, float if isinstance(stored_as, (sa.Numeric, sa.Float)) else str)
    except msgspec.ValidationError:
        raise ApiProblem(400, "The cursor is not one of this server's; begin again with an empty cursor") from None


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise msgspec.ValidationError("an instant without a zone")
    return instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page: `limit` already lies within the server's cap. With `cursor`, `offset` does not count."""

    limit: int
    offset: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of one page and where it stands. Without a cursor only `rows` and `total` say anything."""

    rows: list[Any]
    total: int | None
    total_limit: int | None = None
    next_cursor: str | None = None
    previous_cursor: str | None = None


def fetch_page(
    connection: sa.Connection,
    statement: sa.Select[Any],
    order: Sorting,
    page: PageRequest,
    count: Callable[[], int] | None = None,
) -> Page:
    """One page of `statement`, which has its filters but no order. `count` gives a cheaper exact count."""
    if page.cursor is not None:
        return _fetch_by_cursor(connection, statement, order, page)
    rows = list(connection.execute(statement.order_by(*order.clauses()).limit(page.limit).offset(page.offset)))
    if page.offset == 0 and len(rows) < page.limit:
        return Page(rows=rows, total=len(rows))
    return Page(rows=rows, total=count() if count is not None else exact_count(connection, statement, order))


def exact_count(connection: sa.Connection, statement: sa.Select[Any], order: Sorting) -> int:
    """How many rows `statement` has; only the last column of `order`, which is the key, is read."""
    counted = statement.with_only_columns(order.columns[-1].column.label("counted")).order_by(None)
    return int(connection.execute(sa.select(sa.func.count()).select_from(counted.subquery())).scalar_one())


def _fetch_by_cursor(connection: sa.Connection, statement: sa.Select[Any], order: Sorting, page: PageRequest) -> Page:
    """A page after (or before) a cursor, with one row more to know whether there is a further page."""
    backwards = False
    keyed = statement.add_columns(*(c.column.label(f"_sort_{i}") for i, c in enumerate(order.columns)))
    if page.cursor:
        values, backwards = decode_cursor(order, page.cursor)
        keyed = keyed.where(order.beyond(values, backwards))
    rows = list(connection.execute(keyed.order_by(*order.clauses(backwards)).limit(page.limit + 1)))
    has_more = len(rows) > page.limit
    del rows[page.limit :]
    if backwards:
        rows.reverse()
    width = len(order.columns)
    has_next = has_more if not backwards else True
    has_previous = has_more if backwards else bool(page.cursor)
    return Page(
        rows=rows,
        total=exact_count(connection, statement.limit(CURSOR_COUNT_LIMIT), order),
        total_limit=CURSOR_COUNT_LIMIT,
        next_cursor=encode_cursor(order, rows[-1][-width:], backwards=False) if rows and has_next else None,
        previous_cursor=encode_cursor(order, rows[0][-width:], backwards=True) if rows and has_previous else None,
    )
