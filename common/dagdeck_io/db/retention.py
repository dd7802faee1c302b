"""Retention: what is older than it has to be kept is deleted, one bounded transaction at a time.

Decides the order of a pass (history, then DAG code) and how a pass that failed goes on: from the beginning, which
finds what is left. Does not decide what is old (sweeps.py, code_sweeps.py), for how long things are kept (settings)
nor when a step is taken: the leading scheduler's housekeeping does, or `dagdeckd db purge`. No lease is needed:
every deletion that could meet a change of somebody else is guarded by what it found, and may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from dagdeck_core.actions import ActionState, DeleteQueuedEvents, action_encoder
from dagdeck_io.db.audit_chain import AuditChain
from dagdeck_io.db.code_sweeps import CodeSweeps
from dagdeck_io.db.dialects import GuardMiss, HotConnection, with_retry
from dagdeck_io.db.purge import Archive, Purge
from dagdeck_io.db.sweeps import RetentionPeriods, Sweeps

__all__ = ["Retention", "RetentionPeriods"]
_log = logging.getLogger(__name__)
ACTOR = "retention"
"""Who asked, in the actions and the audit log."""
MOST_MISSES = 3
"""Passes in a row that may meet rows which somebody changed; then the rest is left to the next time."""


@dataclass(slots=True, kw_only=True)
class Retention:
    """Deletes over one connection; used by one thread. `archive` keeps rows before they go."""

    connection: HotConnection
    periods: RetentionPeriods
    archive: Archive | None = None
    audit: AuditChain | None = None
    """Cuts the audit log's chain, on the same connection; without it the audit log is kept."""
    new_id: Callable[[], int] | None = None
    """Makes ids for what it asks of the scheduler; without it nothing is asked."""
    _purge: Purge = field(init=False)
    _pass: Iterator[None] | None = field(default=None, init=False)
    _misses: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._purge = Purge(
            connection=self.connection,
            most_rows=self.periods.rows_per_step,
            longest=self.periods.longest_step,
            archive=self.archive,
        )

    @property
    def deleted(self) -> dict[str, int]:
        """Rows deleted since this object was made, by table."""
        return self._purge.deleted

    def step(self, now: datetime) -> bool:
        """One transaction of a pass; True while the pass is not at its end.

        Raises EnvironmentFault, when nothing was deleted that was to be archived and could not be; the next step
        begins a new pass.
        """
        if self._pass is None:
            self._pass = self._whole_pass(now)
        try:
            next(self._pass)
        except StopIteration:
            self._pass, self._misses = None, 0
            return False
        except GuardMiss as miss:
            _log.debug("housekeeping met a change and begins anew: %s", miss.message)
            self._begin_anew()
            self._misses += 1
            return self._misses < MOST_MISSES
        except BaseException:
            self._begin_anew()
            raise
        return True

    def preview(self, now: datetime) -> list[tuple[str, int]]:
        """What a pass would delete now: a name for people and how many rows, those of old runs' parts left out."""
        sweeps = Sweeps(self.connection, self.periods, self._purge, now)
        code = CodeSweeps(self.connection, self._purge, now, self.periods.code)
        script = self.connection.script()
        found = []
        expired = [sweeps.expired_where(state)(script) for state in ("success", "failed")]
        runs = sum(self._count(f"FROM dag_run r WHERE {where}") for where in expired)
        tasks = sum(
            self._count(f"FROM dag_run r JOIN task_instance t ON t.run_key = r.run_key WHERE {where}")
            for where in expired
        )
        found += [("dag runs", runs), ("task instances of these runs", tasks)]
        found.append(("runs and bundles that are gone, to be cleared away", self._count("FROM removal")))
        for sweep in sweeps.plain():
            found.append((sweep.name, self._count(f"FROM {sweep.rows.quoted} WHERE {sweep.rows.where(script)}")))
        found.append(("audit log", self._count(f"FROM audit_log WHERE {sweeps.audit_where()}")))
        found.append(("callbacks and questions", self._count(f"FROM work WHERE {sweeps.settled_where()}")))
        found.append(("asset events", self._count(f"FROM asset_event e WHERE {sweeps.asset_events_where()}")))
        states = f"FROM task_state_store WHERE expires_at < {script.instant(now)}"
        found.append(("expired values of state stores", self._count(states)))
        found.append(("DAGs that are gone", len(sweeps.stale_dags())))
        found += [("DAG versions", len(code.unused_versions())), ("DAG bundles", len(code.unused_bundles()))]
        return found

    def _whole_pass(self, now: datetime) -> Iterator[None]:
        self._forget_waiting_events(now - self.periods.asset_events)
        yield from Sweeps(self.connection, self.periods, self._purge, now, self.audit).all()
        yield from CodeSweeps(self.connection, self._purge, now, self.periods.code).all()
        self._purge.commit()
        if self.archive is not None:
            self.archive.prune(now)

    def _forget_waiting_events(self, before: datetime) -> None:
        """Ask the scheduler, who holds them in memory, to forget events with which DAGs have waited for too long.

        Once a day at most: what it could not forget then is not asked for every hour.
        """
        script = self.connection.script()
        old = f"FROM queued_asset_event WHERE partition_id = 0 AND queued_at < {script.instant(before)}"
        if self.new_id is None or not self._count(old):
            return
        payload = msgspec.json.decode(action_encoder.encode(DeleteQueuedEvents(before=before)))
        row = (
            f"({self.new_id()},{script.text(before.date().isoformat())},{script.text(payload['kind'])},"
            f"{script.json(payload)},'{ActionState.PENDING}','{ACTOR}','{ACTOR}',{script.dialect.now})"
        )
        script.add(
            f"{script.dialect.insert_ignore} action "
            f"(action_id, idempotency_key, kind, payload, state, actor, source, requested_at) VALUES {row}"
        )
        with_retry(lambda: self.connection.run(script))

    def _begin_anew(self) -> None:
        self._purge.drop()
        self._pass = None

    def _count(self, source: str) -> int:
        script = self.connection.script()
        script.read(f"SELECT COUNT(*) {source}")
        return int(with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0][0][0])
