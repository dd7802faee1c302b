"""Ids for this process: a node number leased from the database, and a maker that several threads share.

Decides who owns a node number: whoever holds its row in id_node. The row is renewed by the maker itself, now and
then, while it makes ids; a node is handed out again only when its row was not touched for NODE_LEASE_SECONDS by the
database's own clock, or QUARANTINE_SECONDS after it was given back, and a maker that could not renew in time refuses
to make ids. So no two live processes ever share a node. Does not know what the ids are for. Called by engine.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ids import MAX_NODES, IdSource
from dagdeck_io.db.dialects import GuardMiss, HotConnection, Script, with_retry
from dagdeck_io.db.faults import DuplicateRow

NODE_LEASE_SECONDS = 3600
QUARANTINE_SECONDS = 120
RENEW_AFTER = 1200.0
REFUSE_AFTER = 3000.0


def _boot_seconds() -> float:
    """A clock that goes on while the machine sleeps, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(slots=True, kw_only=True)
class NodeLease:
    """This process's row of id_node. Uses `connection` alone; `owner` says for people who holds it."""

    connection: HotConnection
    owner: str
    node: int = -1
    epoch: int = 0

    def take(self) -> int:
        """Lease a node and return it. Raises EnvironmentFault when all are held."""
        for _ in range(20):
            found = with_retry(self._candidate)
            if found is None:
                break
            node, epoch = found
            try:
                with_retry(lambda node=node, epoch=epoch: self._claim(node, epoch))  # type: ignore[misc]
            except (GuardMiss, DuplicateRow):
                continue  # another process was faster
            self.node, self.epoch = node, epoch + 1
            return node
        raise EnvironmentFault(
            f"all {MAX_NODES} node numbers for ids are in use",
            remedy="Processes that ended give theirs back after an hour; find out what starts so many",
        )

    def renew(self) -> bool:
        """Touch the row; False when it is no longer ours."""
        script = self.connection.script()
        script.add(
            f"UPDATE id_node SET renewed_at = {script.dialect.now}, counter = counter + 1 "
            f"WHERE node = {self.node} AND epoch = {self.epoch} AND owner IS NOT NULL",
            expect=1,
        )
        try:
            with_retry(lambda: self.connection.run(script))
        except GuardMiss:
            return False
        return True

    def give_back(self) -> None:
        """Let others have it after the quarantine."""
        script = self.connection.script()
        script.add(
            f"UPDATE id_node SET owner = NULL, renewed_at = {script.dialect.now} "
            f"WHERE node = {self.node} AND epoch = {self.epoch}"
        )
        self.connection.run(script)

    def _candidate(self) -> tuple[int, int] | None:
        """The next unused node, else the one that has been free for longest; with its epoch."""
        script = self.connection.script()
        script.read("SELECT COUNT(*), MAX(node) FROM id_node")
        script.read(
            f"SELECT node, epoch FROM id_node WHERE {_age(script)} > "
            f"CASE WHEN owner IS NULL THEN {QUARANTINE_SECONDS} ELSE {NODE_LEASE_SECONDS} END "
            "ORDER BY renewed_at LIMIT 1"
        )
        totals, free = self.connection.run(script, begin=False, commit=False)
        highest = totals[0][1]
        if highest is None or highest + 1 < MAX_NODES:
            return (0 if highest is None else int(highest) + 1), 0
        return (int(free[0][0]), int(free[0][1])) if free else None

    def _claim(self, node: int, epoch: int) -> None:
        script = self.connection.script()
        now = script.dialect.now
        if epoch == 0:
            script.add(
                "INSERT INTO id_node (node, owner, epoch, counter, leased_at, renewed_at) "
                f"VALUES ({node}, {script.text(self.owner)}, 1, 0, {now}, {now})",
                expect=1,
            )
        else:
            script.add(
                f"UPDATE id_node SET owner = {script.text(self.owner)}, epoch = {epoch + 1}, "
                f"leased_at = {now}, renewed_at = {now} WHERE node = {node} AND epoch = {epoch} AND {_age(script)} > "
                f"CASE WHEN owner IS NULL THEN {QUARANTINE_SECONDS} ELSE {NODE_LEASE_SECONDS} END",
                expect=1,
            )
        self.connection.run(script)


def _age(script: Script) -> str:
    """Seconds since renewed_at, as an expression."""
    if script.dialect.name == "sqlite":
        return f"(({script.dialect.now} - renewed_at) / 1000000)"
    return f"TIMESTAMPDIFF(SECOND, renewed_at, {script.dialect.now})"


@dataclass(slots=True, kw_only=True)
class IdMaker:
    """Makes ids; any thread may call it. Leases its node when it makes the first one.

    `wall_ms` gives Unix milliseconds, `seconds` a clock that never goes back.
    """

    lease: NodeLease
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    seconds: Callable[[], float] = _boot_seconds
    _source: IdSource | None = field(default=None, init=False, repr=False)
    _renewed: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def next(self) -> int:
        """A new id, larger than every one this maker made before.

        Raises EnvironmentFault when the node's lease ran out and the database cannot be reached.
        """
        with self._lock:
            return self._ready().next(self.wall_ms())

    def take(self, count: int) -> list[int]:
        """`count` new ids, ascending."""
        with self._lock:
            source, now = self._ready(), self.wall_ms()
            return [source.next(now) for _ in range(count)]

    def keep(self) -> None:
        """Renew the node's lease when it is time; whoever uses `source` calls this now and then."""
        with self._lock:
            self._ready()

    def source(self) -> IdSource:
        """A source of ids on this process's node, for code that may not wait for a database."""
        return _SharedSource(maker=self, node=self._node())

    def _node(self) -> int:
        with self._lock:
            return self._ready().node

    def draw(self, now_ms: int) -> int:
        """A new id without asking the database. Raises EnvironmentFault when nobody called `keep` for too long."""
        with self._lock:
            if self._source is None or self.seconds() - self._renewed >= REFUSE_AFTER:
                raise EnvironmentFault("the lease of this process's node number for ids ran out")
            return self._source.next(now_ms)

    def close(self) -> None:
        """Give the node back."""
        with self._lock:
            if self._source is not None:
                self._source = None
                self.lease.give_back()

    def _ready(self) -> IdSource:
        asked = self.seconds()
        source = self._source
        if source is not None and (asked - self._renewed < RENEW_AFTER or self._renew(asked)):
            return source
        fresh = self._source = IdSource(node=self.lease.take())
        # From before the statement was sent: the database cannot have counted less.
        self._renewed = asked
        return fresh

    def _renew(self, asked: float) -> bool:
        """Whether the node may still be used; False when another process has it by now."""
        try:
            if not self.lease.renew():
                return False
            self._renewed = asked
        except EnvironmentFault:
            if asked - self._renewed >= REFUSE_AFTER:
                raise
        return True


@dataclass(slots=True, kw_only=True)
class _SharedSource(IdSource):
    """An IdSource that draws from a maker, so that one node serves all of a process."""

    maker: IdMaker

    def next(self, now_ms: int) -> int:
        """See IdSource."""
        return self.maker.draw(now_ms)
