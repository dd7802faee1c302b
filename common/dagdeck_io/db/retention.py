"""Retention: what is older than it has to be kept is deleted, a bounded number of rows at a time.

Decides which rows are old and in which order they go. Does not decide for how long they are kept (settings) nor
when a step is taken: the leading scheduler calls `step` between its rounds, so no run is deleted while somebody
queues it again. Ids are ordered by time, so "older than" is a range of the primary key and needs no index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagdeck_core.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS
from dagdeck_io.db.dialects import HotConnection, Row, Script, id_list, with_retry
from dagdeck_io.db.removal import delete_run, delete_tasks

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPeriods:
    """How long each kind of row is kept, and how many go in one transaction."""

    dag_runs: timedelta
    transitions: timedelta
    audit: timedelta
    actions: timedelta
    rows_per_step: int = 1000


@dataclass(slots=True, kw_only=True)
class Retention:
    """Deletes over one connection; used by one thread."""

    connection: HotConnection
    periods: RetentionPeriods

    def step(self, now: datetime) -> bool:
        """One bounded transaction per kind of row; True when there may be more to delete at once.

        Raises EnvironmentFault; calling again later goes on where it stopped.
        """
        periods = self.periods
        full = [
            self._by_id("transition", "transition_id", now - periods.transitions),
            self._by_id("task_instance_history", "dispatch_no", now - periods.transitions),
            self._by_id("audit_log", "event_log_id", now - periods.audit),
            self._by_id("action", "action_id", now - periods.actions, "state <> 'pending'"),
            self._by_id("work", "work_id", now - periods.transitions, "settled = 1", logs=True),
            self._one_run(now - periods.dag_runs),
            self._asset_events(now - periods.dag_runs),
        ]
        return any(full)

    def _by_id(self, table: str, key: str, before: datetime, condition: str = "1 = 1", *, logs: bool = False) -> bool:
        limit = self.periods.rows_per_step
        found = self._read(
            f"SELECT {key} FROM {table} WHERE {key} < {_first_id_of(before)} AND {condition} "
            f"ORDER BY {key} LIMIT {limit}"
        )
        if found:
            script = self.connection.script()
            if logs:
                script.add(f"DELETE FROM log_chunk WHERE ti_id IN ({id_list(-row[0] for row in found)})")
            script.add(f"DELETE FROM {table} WHERE {key} IN ({id_list(row[0] for row in found)})")
            with_retry(lambda: self.connection.run(script))
        return len(found) == limit

    def _asset_events(self, before: datetime) -> bool:
        """Delete the oldest events that no run consumed, or whose runs are gone, and that no DAG waits with."""
        limit = self.periods.rows_per_step
        found = self._read(
            f"SELECT e.asset_event_id FROM asset_event e WHERE e.asset_event_id < {_first_id_of(before)} "
            "AND NOT EXISTS (SELECT 1 FROM dag_run_asset_event x WHERE x.asset_event_id = e.asset_event_id) "
            "AND e.asset_event_id NOT IN (SELECT asset_event_id FROM queued_asset_event) "
            f"ORDER BY e.asset_event_id LIMIT {limit}"
        )
        if found:
            script = self.connection.script()
            ids = id_list(row[0] for row in found)
            for table in ("asset_event_alias", "asset_event"):
                script.add(f"DELETE FROM {table} WHERE asset_event_id IN ({ids})")
            with_retry(lambda: self.connection.run(script))
        return len(found) == limit

    def _one_run(self, before: datetime) -> bool:
        """Delete the oldest finished run, or some of its task instances when it has many."""
        instant = self.connection.script().instant(before)
        found = self._read(
            "SELECT run_key, dag_id FROM dag_run WHERE state IN ('success', 'failed') "
            f"AND run_after < {instant} AND end_date < {instant} ORDER BY run_after LIMIT 1"
        )
        if not found:
            return False
        run_key, dag_id = found[0]
        limit = self.periods.rows_per_step
        tasks = self._read(f"SELECT ti_id FROM task_instance WHERE run_key = {run_key} ORDER BY ti_id LIMIT {limit}")
        script = self.connection.script()
        if len(tasks) == limit:
            delete_tasks(script, [row[0] for row in tasks])
        else:
            delete_run(script, run_key, dag_id)
        with_retry(lambda: self.connection.run(script))
        return True

    def _read(self, sql: str) -> Sequence[Row]:
        script: Script = self.connection.script()
        script.read(sql)
        return with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]


def _first_id_of(moment: datetime) -> int:
    """The smallest id that could have been made at `moment`."""
    ms = max((moment - _EPOCH) // timedelta(milliseconds=1) - EPOCH_MS, 0)
    return ms << (NODE_BITS + COUNTER_BITS)
