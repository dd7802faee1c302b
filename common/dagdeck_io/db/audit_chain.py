"""The chain over the audit log in the database: made by the leading scheduler, shortly after the records themselves.

Decides which records are chained next, in which batches, and how old ones are cut off. Records are written by many
processes at once and must not wait for each other, so none of them knows the chain: the leader puts what it finds
behind the last link, in transactions of bounded size. Two leaders cannot fork it: the number of a link is a key. Does
not decide what is hashed or signed (`dagdeck_io.audit`) or when a step is taken. Uses one connection, by one thread.

Ids are ordered by time but not by commit, so "behind the last one" finds not everything. New records are looked for
among the ids of the last minutes, at every step; what came late is found by going through the ids of the last days,
piece by piece, again and again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck_core.errors import DagDeckError
from dagdeck_core.ids import COUNTER_BITS, NODE_BITS, first_id_of
from dagdeck_io.audit.links import FIELDS, GENESIS, as_record, link_hash
from dagdeck_io.audit.seals import SealingKey, SealKind
from dagdeck_io.db.dialects import HotConnection, Row, Script, id_list, with_retry
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.types import from_json

_log = logging.getLogger(__name__)
BATCH = 500
"""Records of one transaction."""
RECENT = timedelta(minutes=2)
"""Between the making of an id and its commit lies less than this, but for clocks that go wrong."""
LATE = timedelta(days=2)
"""So far back the ids are gone through again."""
LAP = timedelta(minutes=10)
"""How often they are."""
_COLUMNS = ", ".join(f"a.`{name}`" for name in FIELDS)
_HEAD = "SELECT sequence, hash, event_log_id FROM audit_chain ORDER BY sequence DESC LIMIT 1"
_CUT = "SELECT sequence, hash FROM audit_seal WHERE kind = 'checkpoint' ORDER BY sequence DESC LIMIT 1"


@dataclass(slots=True, kw_only=True)
class AuditChain:
    """See the module. `key` gives the key to seal with, asked for when there is something to seal."""

    connection: HotConnection
    key: Callable[[], SealingKey]
    _signer: SealingKey | None = field(default=None, init=False)
    _cannot_sign: bool = field(default=False, init=False)
    _cursor: int | None = field(default=None, init=False)
    """How far the ids have been gone through in this lap."""
    _next_lap: datetime | None = field(default=None, init=False)

    def step(self, now: datetime) -> bool:
        """Chain and seal one batch; True when there may be more at once. Raises EnvironmentFault."""
        sequence, head, last_id = self._head()
        recent = first_id_of(now - RECENT)
        # Older ids first after a start: where the chain ends then tells how far it had come with them.
        found, more = self._late(now, recent, last_id)
        if self._next_lap is not None:
            fresh = self._unchained(recent)
            found, more = found + fresh, more or len(fresh) == BATCH
        if not found:
            return more
        return self._append(sequence, head, found, now) or more

    # -------------------------------------------------------------- finding

    def _head(self) -> tuple[int, str, int]:
        """Number and hash of the last link, and the id of its record; 0, GENESIS, 0 before the first."""
        links, cuts = self._read(_HEAD, _CUT)
        if links:
            return int(links[0][0]), str(links[0][1]), int(links[0][2])
        return (int(cuts[0][0]), str(cuts[0][1]), 0) if cuts else (0, GENESIS, 0)

    def _unchained(self, after: int) -> list[Row]:
        (rows,) = self._read(
            f"SELECT {_COLUMNS} FROM audit_log a LEFT JOIN audit_chain c ON c.event_log_id = a.event_log_id "
            f"WHERE a.event_log_id > {after} AND c.event_log_id IS NULL ORDER BY a.event_log_id LIMIT {BATCH}"
        )
        return list(rows)

    def _late(self, now: datetime, recent: int, last_id: int) -> tuple[list[Row], bool]:
        """Unchained records in the next piece of the older ids, and whether to go on at once."""
        if self._cursor is None:
            if self._next_lap is None:
                # The first lap after a start begins where the chain ends: before the chain was, that is everything.
                self._cursor = max(last_id - _span(LATE), 0)
            elif now < self._next_lap:
                return [], False
            else:
                self._cursor = first_id_of(now - LATE)
        (ids,) = self._read(
            "SELECT a.event_log_id, c.event_log_id FROM audit_log a "
            "LEFT JOIN audit_chain c ON c.event_log_id = a.event_log_id "
            f"WHERE a.event_log_id > {self._cursor} AND a.event_log_id <= {recent} "
            f"ORDER BY a.event_log_id LIMIT {BATCH}"
        )
        is_over = len(ids) < BATCH
        self._cursor = None if is_over else int(ids[-1][0])
        if is_over:
            self._next_lap = now + LAP
        missing = [row[0] for row in ids if row[1] is None]
        if not missing:
            return [], not is_over
        (rows,) = self._read(
            f"SELECT {_COLUMNS} FROM audit_log a WHERE a.event_log_id IN ({id_list(missing)}) ORDER BY a.event_log_id"
        )
        return list(rows), not is_over

    # -------------------------------------------------------------- writing

    def _append(self, sequence: int, head: str, rows: Sequence[Row], now: datetime) -> bool:
        """Write the links behind the head, and a seal. True when another leader was faster, so nothing was written."""
        links = []
        for row in rows:
            sequence += 1
            record = as_record(decoded(row, self.connection))
            head = link_hash(head, sequence, record)
            links.append((sequence, int(row[0]), head))
        script = self.connection.script()
        script.insert_rows("audit_chain", "sequence, event_log_id, hash", links)
        self._seal(script, SealKind.SEAL, sequence, head, now)
        try:
            with_retry(lambda: self.connection.run(script))
        except DuplicateRow:
            return True
        _log.info("audit log: record %d has the hash %s", sequence, head)
        return False

    def _seal(self, script: Script, kind: SealKind, sequence: int, head: str, now: datetime) -> None:
        """Append a seal; without a key there is none, and the log says so once."""
        signer = self._key()
        if signer is None:
            return
        seal = signer.sign(kind, sequence, head, now.astimezone(UTC).isoformat(timespec="microseconds"))
        script.insert_rows(
            "audit_seal",
            "sequence, kind, hash, sealed_at, public_key, signature",
            [(sequence, kind.value, head, seal.sealed_at, seal.public_key, seal.signature)],
        )

    def _key(self) -> SealingKey | None:
        if self._signer is None and not self._cannot_sign:
            try:
                self._signer = self.key()
            except DagDeckError as error:
                self._cannot_sign = True
                _log.warning("the audit log's chain is not sealed: %s", error)
        return self._signer

    # -------------------------------------------------------------- cutting

    def old_links(self, before: datetime, limit: int) -> list[Row]:
        """(sequence, event_log_id, hash) of the first links whose records were all made before `before`."""
        (rows,) = self._read(
            f"SELECT sequence, event_log_id, hash FROM audit_chain ORDER BY sequence LIMIT {int(limit)}"
        )
        oldest_kept = first_id_of(before)
        kept = next((number for number, row in enumerate(rows) if row[1] >= oldest_kept), len(rows))
        return list(rows[:kept])

    def cut(self, script: Script, links: Sequence[Row], now: datetime) -> bool:
        """Append the deletion of these first links with their records, and a checkpoint in their place.

        False, and nothing is appended, when there is no key to sign it with.
        """
        sequence, _, head = links[-1]
        if self._key() is None:
            return False
        script.add(f"DELETE FROM audit_log WHERE event_log_id IN ({id_list(row[1] for row in links)})")
        script.add(f"DELETE FROM audit_chain WHERE sequence <= {sequence}", expect=len(links), what="cutting the audit")
        script.add(f"DELETE FROM audit_seal WHERE sequence <= {sequence}")
        self._seal(script, SealKind.CHECKPOINT, sequence, head, now)
        return True

    def _read(self, *statements: str) -> list[list[Row]]:
        script = self.connection.script()
        for sql in statements:
            script.read(sql)
        return with_retry(lambda: self.connection.run(script, begin=False, commit=False))


def decoded(row: Row, connection: HotConnection) -> list[Any]:
    """A record's columns as values: instants and JSON as what they mean."""
    values = list(row)
    for name in ("when", "logical_date"):
        place = FIELDS.index(name)
        values[place] = connection.dialect.read_instant(values[place])
    extra = values[-1]
    values[-1] = None if extra is None else from_json(extra)
    return values


def _span(duration: timedelta) -> int:
    """How far ids go in this time."""
    return (duration // timedelta(milliseconds=1)) << (NODE_BITS + COUNTER_BITS)
