"""Reading the audit log with its chain, in the chain's order.

Decides which part of the chain a time range means, and from when on a record should have been chained. Reads batch by
batch, so the log may be long. Called by `dagdeckd audit`, with any account that may read the three tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagdeck_core.ids import first_id_of
from dagdeck_io.audit.export import Beginning, Item, Stray
from dagdeck_io.audit.links import FIELDS, GENESIS, Link, as_record
from dagdeck_io.audit.seals import Seal, SealKind
from dagdeck_io.db.tables import audit_chain, audit_log, audit_seal

AT_ONCE = 500
SEALED_WITHIN = timedelta(minutes=15)
"""A record older than this is in the chain, and sealed, when a scheduler leads."""
_RECORD = [audit_log.c[name] for name in FIELDS]


def head_of(connection: sa.Connection) -> tuple[int, str]:
    """Number and hash of the last link; 0 and GENESIS when there is none."""
    statement = sa.select(audit_chain.c.sequence, audit_chain.c.hash).order_by(audit_chain.c.sequence.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    if row is not None:
        return int(row.sequence), str(row.hash)
    cut = _checkpoint(connection)
    return (0, GENESIS) if cut is None else (cut.sequence, cut.hash)


def read_items(
    connection: sa.Connection, now: datetime, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Item]:
    """The chain: all of it, or the links from the first to the last record of a time range, none left out between.

    A range goes on to the next seal, so that a signature covers it. Records outside the chain come last.
    """
    first, last = _range(connection, since, until)
    beginning = _beginning(connection, first, is_excerpt=since is not None)
    yield beginning
    place = beginning.sequence
    while place < last:
        end = min(place + AT_ONCE, last)
        seals = _seals(connection, place, end)
        links = list(_links(connection, place, end))
        for link in links:
            yield link
            yield from seals.pop(link.sequence, ())
        for rest in seals.values():  # seals of links that are not there
            yield from rest
        place = end
    yield from _strays(connection, now, since, until)


def unsigned_is_old(connection: sa.Connection, now: datetime, signed_to: int) -> bool:
    """Whether a link behind number `signed_to` is old enough to be sealed."""
    statement = sa.select(audit_chain.c.event_log_id).where(audit_chain.c.sequence > signed_to).limit(1)
    found = connection.execute(statement.order_by(audit_chain.c.sequence)).scalar_one_or_none()
    return found is not None and found < first_id_of(now - SEALED_WITHIN)


def _range(connection: sa.Connection, since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """The numbers of the first and the last link; the last is before the first when there is none."""
    lowest, highest = sa.func.min(audit_chain.c.sequence), sa.func.max(audit_chain.c.sequence)
    start, end = sa.select(lowest), sa.select(highest)
    if since is not None:
        start = start.where(audit_chain.c.event_log_id >= first_id_of(since))
    if until is not None:
        end = end.where(audit_chain.c.event_log_id < first_id_of(until))
    first, last = connection.execute(start).scalar(), connection.execute(end).scalar()
    if last is not None and until is not None:
        sealed = sa.select(sa.func.min(audit_seal.c.sequence)).where(audit_seal.c.sequence >= last)
        last = connection.execute(sealed).scalar() or last
    if first is None:  # everything is older
        sequence, _ = head_of(connection)
        return sequence + 1, sequence
    return int(first), int(last or 0)


def _beginning(connection: sa.Connection, first: int, *, is_excerpt: bool) -> Beginning:
    """What stands before the link number `first`."""
    before = connection.execute(sa.select(audit_chain).where(audit_chain.c.sequence == first - 1)).one_or_none()
    if before is not None:
        return Beginning(sequence=first - 1, hash=before.hash, is_excerpt=is_excerpt)
    cut = _checkpoint(connection)
    if cut is not None and cut.sequence == first - 1:
        return Beginning(sequence=cut.sequence, hash=cut.hash, seals=(cut,))
    if first == 1 or cut is None:
        return Beginning(sequence=0, hash=GENESIS)
    return Beginning(sequence=cut.sequence, hash=cut.hash, seals=(cut,))


def _checkpoint(connection: sa.Connection) -> Seal | None:
    statement = sa.select(audit_seal).where(audit_seal.c.kind == SealKind.CHECKPOINT.value)
    row = connection.execute(statement.order_by(audit_seal.c.sequence.desc()).limit(1)).one_or_none()
    return None if row is None else _seal(row)


def _links(connection: sa.Connection, after: int, to: int) -> Iterator[Link]:
    statement = (
        sa.select(audit_chain.c.sequence, audit_chain.c.event_log_id.label("chained"), audit_chain.c.hash, *_RECORD)
        .outerjoin(audit_log, audit_log.c.event_log_id == audit_chain.c.event_log_id)
        .where(audit_chain.c.sequence > after, audit_chain.c.sequence <= to)
        .order_by(audit_chain.c.sequence)
    )
    for row in connection.execute(statement):
        values = tuple(row)[3:]
        yield Link(
            sequence=row.sequence,
            event_log_id=row.chained,
            hash=row.hash,
            record=None if values[0] is None else as_record(values),
        )


def _seals(connection: sa.Connection, after: int, to: int) -> dict[int, list[Seal]]:
    statement = sa.select(audit_seal).where(audit_seal.c.sequence > after, audit_seal.c.sequence <= to)
    found: dict[int, list[Seal]] = {}
    for row in connection.execute(statement.order_by(audit_seal.c.sequence, audit_seal.c.kind)):
        found.setdefault(row.sequence, []).append(_seal(row))
    return found


def _seal(row: Any) -> Seal:
    return Seal(
        sequence=row.sequence,
        kind=SealKind(row.kind),
        hash=row.hash,
        sealed_at=row.sealed_at,
        public_key=row.public_key,
        signature=row.signature,
    )


def _strays(
    connection: sa.Connection, now: datetime, since: datetime | None, until: datetime | None
) -> Iterator[Stray]:
    """Records that no link leads to, by id."""
    old = first_id_of(now - SEALED_WITHIN)
    place = 0 if since is None else first_id_of(since) - 1
    while True:
        statement = (
            sa.select(*_RECORD)
            .outerjoin(audit_chain, audit_chain.c.event_log_id == audit_log.c.event_log_id)
            .where(audit_chain.c.sequence.is_(None), audit_log.c.event_log_id > place)
            .order_by(audit_log.c.event_log_id)
            .limit(AT_ONCE)
        )
        if until is not None:
            statement = statement.where(audit_log.c.event_log_id < first_id_of(until))
        rows = connection.execute(statement).all()
        for row in rows:
            yield Stray(record=as_record(tuple(row)), is_old=row[0] < old)
        if len(rows) < AT_ONCE:
            return
        place = rows[-1][0]
