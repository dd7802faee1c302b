"""The scheduler's lease: one row, fenced by its epoch.

Decides when a lease may be taken: nobody holds it, or its counter stood still for the takeover time on this process's
own monotonic clock. The taker first ends the connection that the row names, so that a frozen holder's open
transaction cannot block it or commit later. Called by scheduler_store.py; the DAG processor uses a lease of its own
name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dagdeck_core.ports import CommitUnknown, LeadershipLost
from dagdeck_core.wire import WIRE_VERSION
from dagdeck_io.db.dialects import GuardMiss, HotConnection, Row, Script, with_retry
from dagdeck_io.db.faults import Contention, DuplicateRow

LEASE = "lease"
"""`what` of the statement that checks the epoch."""


@dataclass(slots=True, kw_only=True)
class Leadership:
    """One candidate's or holder's view of the lease row `name`. Used by one thread, on one connection."""

    connection: HotConnection
    name: str
    takeover: float
    """Seconds without a change after which the holder counts as dead."""
    shard: int = 0
    monotonic: Callable[[], float] = time.monotonic
    is_dead: Callable[[str], bool] = lambda owner: False
    """Whether this owner is known to be dead, as a process of this very machine can be: then nobody has to wait."""
    _seen: tuple[int, int] | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    def acquire(self, owner: str) -> int | None:
        """See `SchedulerStore.acquire_leadership`."""
        asked = self.monotonic()
        script = self.connection.script()
        script.read(f"SELECT owner, epoch, counter, connection_id FROM lease WHERE {self._key(script)}")
        (rows,) = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        row = rows[0] if rows else None
        if not self._may_take(row, owner, asked):
            return None
        if row is not None and row[0] is not None and row[0] != owner and row[3] is not None:
            self.connection.kill(int(row[3]))
        return self._take(row, owner)

    def renew(self, epoch: int) -> None:
        """Raise the counter. Raises LeadershipLost."""
        script = self.connection.script()
        self.check(script, epoch)
        try:
            with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        except GuardMiss:
            raise self.lost(epoch) from None

    def release(self, epoch: int) -> None:
        """Give the lease up if `epoch` holds it."""
        script = self.connection.script()
        script.add(f"UPDATE lease SET owner = NULL, connection_id = NULL WHERE {self._key(script)} AND epoch = {epoch}")
        with_retry(lambda: self.connection.run(script))

    def check(self, script: Script, epoch: int) -> None:
        """Append the statement that locks the row, fails unless `epoch` holds it, and counts as a renewal."""
        now, connection_id = script.dialect.now, script.dialect.connection_id
        script.add(
            f"UPDATE lease SET counter = counter + 1, renewed_at = {now}, connection_id = {connection_id} "
            f"WHERE {self._key(script)} AND epoch = {epoch} AND owner IS NOT NULL",
            expect=1,
            what=LEASE,
        )

    def lost(self, epoch: int) -> LeadershipLost:
        """The error that says so."""
        return LeadershipLost(f"epoch {epoch} no longer holds the lease {self.name}: another process took it over")

    def _key(self, script: Script) -> str:
        return f"name = {script.text(self.name)} AND shard = {self.shard}"

    def _may_take(self, row: Row | None, owner: str, asked: float) -> bool:
        if row is None or row[0] is None or row[0] == owner or self.is_dead(row[0]):
            return True
        # Who holds it and how often it was raised, together, change whenever the holder lives.
        seen = (int(row[1]), int(row[2]))
        if seen != self._seen:
            self._seen, self._since = seen, asked
            return False
        return asked - self._since >= self.takeover

    def _take(self, row: Row | None, owner: str) -> int | None:
        epoch = 1 if row is None else int(row[1]) + 1
        script = self.connection.script()
        now, connection_id = script.dialect.now, script.dialect.connection_id
        if row is None:
            script.add(
                "INSERT INTO lease (name, shard, owner, epoch, counter, connection_id, acquired_at, renewed_at, "
                "wire_version) "
                f"VALUES ({script.text(self.name)}, {self.shard}, {script.text(owner)}, 1, 1, {connection_id}, "
                f"{now}, {now}, {WIRE_VERSION})",
                expect=1,
            )
        else:
            script.add(
                f"UPDATE lease SET owner = {script.text(owner)}, epoch = {epoch}, counter = counter + 1, "
                f"connection_id = {connection_id}, acquired_at = {now}, renewed_at = {now}, "
                f"wire_version = {WIRE_VERSION} "
                f"WHERE {self._key(script)} AND epoch = {epoch - 1} AND counter = {int(row[2])}",
                expect=1,
            )
        try:
            with_retry(lambda: self.connection.run(script), within=10.0)
        except (GuardMiss, DuplicateRow, Contention):
            return None  # somebody else was faster, or the killed holder's rollback still goes on
        except CommitUnknown:
            return None  # the next call finds out: the owner is this one, if it was committed
        self._seen = None
        return epoch
