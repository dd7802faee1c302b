"""The scheduler's store: leadership, what the machine loads, and the one commit through which state changes.

Decides how decisions become one transaction (with decision_writes.py and task_writes.py) and how its failures are
told apart. Does not decide anything about runs. Implements `dagdeck_core.ports.SchedulerStore`; made by
`Database.scheduler_store`, used by one thread.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from dagdeck_core.actions import ActionState, action_decoder
from dagdeck_core.asset_records import AssetChange, AssetState
from dagdeck_core.ports import GuardFailed, LeadershipLost, Snapshot
from dagdeck_core.records import (
    ActionRecord,
    DagRecord,
    DagVersionRecord,
    DeadlineRecord,
    PoolRecord,
    RunRecord,
    TaskRecord,
    WorkerRecord,
)
from dagdeck_core.scheduling.decisions import Decision, EndAction, RepinRun
from dagdeck_core.spec import DagSpec
from dagdeck_core.wire import FiredTrigger
from dagdeck_core.work import WorkRecord
from dagdeck_io.db import asset_rows
from dagdeck_io.db import rows as r
from dagdeck_io.db.audit import read_audits
from dagdeck_io.db.decision_writes import DecisionWriter, RunName
from dagdeck_io.db.dialects import GuardMiss, HotConnection, Row, Script, id_list, with_retry
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.leadership import LEASE, Leadership
from dagdeck_io.db.trigger_tables import TASK
from dagdeck_io.db.types import unpack_spec
from dagdeck_io.secrets import Vault

_log = logging.getLogger(__name__)
_UNFINISHED = "('queued', 'running')"
_KEYS_AT_ONCE = 500
_VERSIONS_KEPT = 1000
_DEADLINES = (
    f"SELECT {r.DEADLINE_COLUMNS} FROM deadline d JOIN dag_run r ON r.run_key = d.run_key "
    "WHERE d.callback_state IS NULL ORDER BY d.deadline_id"
)
WORKS_AT_ONCE = 500
"""Most unsettled pieces of work that the scheduler looks at together."""

Runs = list[tuple[RunRecord, tuple[TaskRecord, ...]]]


@dataclass(slots=True, kw_only=True)
class SqlSchedulerStore:
    """See the port for each method's contract."""

    connection: HotConnection
    leadership: Leadership
    ids: IdMaker
    vault: Vault | None = None
    _known: dict[int, DagVersionRecord] = field(default_factory=dict, init=False)
    _pending: dict[int, ActionRecord] = field(default_factory=dict, init=False)
    """The actions that were read last, for their audit records."""

    # -------------------------------------------------------------- leadership

    def acquire_leadership(self, owner: str) -> int | None:
        """Take the lease if it is free or its holder is silent."""
        return self.leadership.acquire(owner)

    def renew_leadership(self, epoch: int) -> None:
        """Raise the lease's counter."""
        self.leadership.renew(epoch)
        self.ids.keep()

    def release_leadership(self, epoch: int) -> None:
        """Give the lease up."""
        self.leadership.release(epoch)

    # -------------------------------------------------------------- loading

    def load(self, epoch: int) -> Snapshot:
        """Everything at once."""
        script = self.connection.script()
        script.read(f"SELECT {r.DAG_COLUMNS} FROM dag ORDER BY dag_id")
        script.read(f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE state IN {_UNFINISHED} ORDER BY run_key")
        columns = ", ".join(f"t.{column}" for column in r.TASK_COLUMNS.split(", "))
        script.read(
            f"SELECT {columns} FROM dag_run r JOIN task_instance t ON t.run_key = r.run_key "
            f"WHERE r.state IN {_UNFINISHED} ORDER BY t.run_key, t.ti_id"
        )
        script.read(
            f"SELECT {r.VERSION_COLUMNS} FROM dag_version WHERE version_id IN (SELECT version_id FROM dag) "
            f"OR version_id IN (SELECT version_id FROM dag_run WHERE state IN {_UNFINISHED}) ORDER BY version_id"
        )
        script.read(f"SELECT {r.POOL_COLUMNS} FROM pool ORDER BY name")
        script.read(self._workers_sql())
        script.read(self._works_sql(WORKS_AT_ONCE))
        script.read(_DEADLINES)
        script.read(
            "SELECT DISTINCT r.run_key FROM revocation v JOIN task_instance t ON t.ti_id = v.ti_id "
            f"JOIN dag_run r ON r.run_key = t.run_key WHERE r.state NOT IN {_UNFINISHED}"
        )
        asset_rows.read_names(script)
        asset_rows.read_waiting(script)
        dags, runs, tasks, versions, pools, workers, works, dues, revoking, *assets = self._read_as_leader(
            epoch, script
        )
        known = {row[0]: r.version_record(row) for row in versions}
        ended_versions, ended = self.load_runs(epoch, [row[0] for row in revoking])
        known.update((version.version_id, version) for version in ended_versions)
        pairs = self._pairs(dags, known)
        newest = {version.version_id for _, version in pairs}
        return Snapshot(
            dags=tuple(pairs),
            versions=tuple(version for key, version in known.items() if key not in newest),
            runs=(*self._with_tasks(runs, tasks), *ended),
            pools=tuple(map(r.pool_record, pools)),
            workers=tuple(map(r.worker_record, workers)),
            works=self._works(works),
            deadlines=self._deadlines(dues),
            assets=self._asset_state(assets),
        )

    def load_runs(self, epoch: int, run_keys: Sequence[int]) -> tuple[list[DagVersionRecord], Runs]:
        """These runs with all their task instances."""
        runs: list[Row] = []
        tasks: list[Row] = []
        keys = sorted(set(run_keys))
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = id_list(keys[start : start + _KEYS_AT_ONCE])
            script = self.connection.script()
            script.read(f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE run_key IN ({some}) ORDER BY run_key")
            script.read(f"SELECT {r.TASK_COLUMNS} FROM task_instance WHERE run_key IN ({some}) ORDER BY run_key, ti_id")
            found = self._read_as_leader(epoch, script)
            runs += found[0]
            tasks += found[1]
        version_ids = sorted({row[3] for row in runs})
        return self._versions(version_ids), self._with_tasks(runs, tasks)

    def unfinished_run_keys(self, epoch: int) -> list[int]:
        """Keys of runs in state queued or running."""
        script = self.connection.script()
        script.read(f"SELECT run_key FROM dag_run WHERE state IN {_UNFINISHED} ORDER BY run_key")
        return [row[0] for row in self._read_as_leader(epoch, script)[0]]

    def load_dags(self, epoch: int, dag_ids: Sequence[str] | None) -> list[tuple[DagRecord, DagVersionRecord]]:
        """These DAGs with their newest versions."""
        if dag_ids is not None and not dag_ids:
            return []
        script = self.connection.script()
        where = "" if dag_ids is None else f" WHERE dag_id IN ({','.join(map(script.text, dag_ids))})"
        script.read(f"SELECT {r.DAG_COLUMNS} FROM dag{where} ORDER BY dag_id")
        (dags,) = self._read_as_leader(epoch, script)
        versions = {v.version_id: v for v in self._versions(sorted({row[1] for row in dags}))}
        return self._pairs(dags, versions)

    def dag_revisions(self) -> dict[str, int]:
        """The change number of every DAG."""
        return {row[0]: row[1] for row in self._read("SELECT dag_id, revision FROM dag ORDER BY dag_id")}

    def previous_run_key(self, dag_id: str, before: datetime) -> int | None:
        """The run with the latest earlier logical date."""
        script = self.connection.script()
        script.read(
            f"SELECT run_key FROM dag_run WHERE dag_id = {script.text(dag_id)} "
            f"AND logical_date < {script.instant(before)} ORDER BY logical_date DESC LIMIT 1"
        )
        (found,) = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        return found[0][0] if found else None

    def run_record(self, run_key: int) -> RunRecord | None:
        """One run without its task instances."""
        found = self._read(f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE run_key = {int(run_key)}")
        return r.run_record(found[0], self.connection.dialect) if found else None

    def run_keys_of(self, dag_id: str, limit: int) -> list[int]:
        """Keys of runs of a DAG."""
        script = self.connection.script()
        script.read(f"SELECT run_key FROM dag_run WHERE dag_id = {script.text(dag_id)} LIMIT {int(limit)}")
        return [row[0] for row in with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]]

    def load_pools(self, epoch: int) -> list[PoolRecord]:
        """All pools."""
        script = self.connection.script()
        script.read(f"SELECT {r.POOL_COLUMNS} FROM pool ORDER BY name")
        return [r.pool_record(row) for row in self._read_as_leader(epoch, script)[0]]

    def load_workers(self) -> list[WorkerRecord]:
        """All workers that are not stopped or lost."""
        return [r.worker_record(row) for row in self._read(self._workers_sql())]

    def load_deadlines(self, epoch: int) -> tuple[DeadlineRecord, ...]:
        """Those that were neither missed nor met."""
        script = self.connection.script()
        script.read(_DEADLINES)
        return self._deadlines(self._read_as_leader(epoch, script)[0])

    def _deadlines(self, rows: Sequence[Row]) -> tuple[DeadlineRecord, ...]:
        return tuple(r.deadline_record(row, self.connection.dialect) for row in rows)

    def has_deadline(self, run_key: int, number: int) -> bool:
        """Whether the row is there, be it missed."""
        script = self.connection.script()
        script.read(f"SELECT 1 FROM deadline WHERE run_key = {int(run_key)} AND number = {int(number)} LIMIT 1")
        (found,) = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        return bool(found)

    def average_runtime(self, dag_id: str, runs: int, before: datetime) -> tuple[int, float]:
        """Of the last runs that had ended by then."""
        script = self.connection.script()
        script.read(
            f"SELECT start_date, end_date FROM dag_run WHERE dag_id = {script.text(dag_id)} "
            f"AND state IN ('success', 'failed') AND start_date IS NOT NULL AND end_date <= {script.instant(before)} "
            f"ORDER BY run_after DESC LIMIT {int(runs)}"
        )
        (found,) = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        instant = self.connection.dialect.read_instant
        spans = [(instant(end), instant(start)) for start, end in found]
        seconds = [(end - start).total_seconds() for end, start in spans if end is not None and start is not None]
        return len(seconds), sum(seconds) / len(seconds) if seconds else 0.0

    def load_works(self, epoch: int, limit: int = WORKS_AT_ONCE) -> tuple[WorkRecord, ...]:
        """Unsettled work, oldest first."""
        script = self.connection.script()
        script.read(self._works_sql(limit))
        return self._works(self._read_as_leader(epoch, script)[0])

    def pending_actions(self, limit: int) -> list[ActionRecord]:
        """Pending actions, oldest first. One that cannot be read is refused at once, so that it blocks nothing."""
        found = self._read(
            "SELECT action_id, payload, actor, source, requested_at, address, token_id FROM action "
            f"WHERE state = '{ActionState.PENDING}' ORDER BY action_id LIMIT {int(limit)}"
        )
        records = []
        for row in found:
            try:
                action = action_decoder.decode(row[1])
            except msgspec.MsgspecError as error:
                self._refuse_unreadable(row[0], error)
                continue
            records.append(
                ActionRecord(
                    action_id=row[0],
                    action=action,
                    actor=row[2],
                    source=row[3],
                    requested_at=self.connection.dialect.read_instant(row[4]),
                    address=row[5],
                    token_id=row[6],
                )
            )
        self._pending = {record.action_id: record for record in records}
        return records

    def load_assets(self, epoch: int) -> AssetState:
        """All assets, and everything that waits for DAGs."""
        script = self.connection.script()
        asset_rows.read_names(script)
        asset_rows.read_waiting(script)
        return self._asset_state(self._read_as_leader(epoch, script))

    def load_asset_names(self, epoch: int) -> asset_rows.Names:
        """All assets, and what aliases stand for."""
        script = self.connection.script()
        asset_rows.read_names(script)
        return asset_rows.names(*self._read_as_leader(epoch, script))

    def pending_asset_changes(self, limit: int) -> list[AssetChange]:
        """Changes that are not registered, oldest first. One that cannot be read is dropped, and the log says so."""
        found = []
        for row in self._read(asset_rows.changes_sql(limit)):
            try:
                found.append(asset_rows.change(row, self.connection.dialect))
            except msgspec.MsgspecError as error:
                _log.error("asset change %d cannot be read and is dropped: %s", row[0], error)
                script = self.connection.script()
                script.add(f"DELETE FROM asset_change WHERE change_id = {row[0]}")
                with_retry(functools.partial(self.connection.run, script))
        return found

    def trigger_events(self, limit: int) -> list[FiredTrigger]:
        """Events that are still to be carried out."""
        found = self._read(
            f"SELECT event_id, run_key, ti_id, dispatch_no, outcome FROM trigger_event WHERE owner = '{TASK}' "
            f"ORDER BY event_id LIMIT {int(limit)}"
        )
        return [FiredTrigger(*row) for row in found]

    def trigger_facts(
        self, dag_id: str, run_id: str | None, logical_date: datetime | None
    ) -> tuple[dict[str, int], bool]:
        """Whether a run with this run_id or this logical date exists."""
        script = self.connection.script()
        script.read(
            f"SELECT run_id, run_key FROM dag_run WHERE dag_id = {script.text(dag_id)} "
            f"AND run_id = {script.text(run_id)}"
        )
        script.read(
            f"SELECT 1 FROM dag_run WHERE dag_id = {script.text(dag_id)} "
            f"AND logical_date = {script.instant(logical_date)}"
        )
        same_id, same_date = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        return {row[0]: row[1] for row in same_id}, bool(same_date)

    # -------------------------------------------------------------- committing

    def commit(self, epoch: int, now: datetime, decisions: Sequence[Decision]) -> None:
        """All of it in one transaction, or nothing."""
        if not decisions:
            return
        ended = [x.action_id for x in decisions if isinstance(x, EndAction)]
        audits = read_audits(self.connection, ended, self._pending) if ended else {}
        specs = self._specs({x.version_id for x in decisions if isinstance(x, RepinRun)})
        script = self.connection.script()
        self.leadership.check(script, epoch)
        writer = DecisionWriter(script=script, now=now, ids=self.ids, specs=specs, audits=audits, vault=self.vault)
        writer.write(decisions)
        try:
            with_retry(lambda: self.connection.run(script))
        except GuardMiss as miss:
            if miss.what == LEASE:
                raise self.leadership.lost(epoch) from None
            raise GuardFailed(miss.message) from None
        except DuplicateRow as error:
            taken = error.subject if isinstance(error.subject, RunName) else None
            raise GuardFailed(f"a row exists already: {error.message}", taken=taken) from error

    # -------------------------------------------------------------- inside

    def _read_as_leader(self, epoch: int, script: Script) -> list[list[Row]]:
        """Run the reading `script` in one transaction under the lease row's lock."""
        key = script.text(self.leadership.name)
        locked = self.connection.script()
        locked.read(
            f"SELECT epoch, owner FROM lease WHERE name = {key} AND shard = {self.leadership.shard}"
            f"{script.dialect.for_update}"
        )
        locked.statements.extend(script.statements)
        held, *found = with_retry(lambda: self.connection.run(locked))
        if not held or held[0][0] != epoch or held[0][1] is None:
            raise self.leadership.lost(epoch)
        return found

    def _read(self, sql: str) -> list[Row]:
        script = self.connection.script()
        script.read(sql)
        return with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]

    def _asset_state(self, found: Sequence[list[Row]]) -> AssetState:
        assets, aliases, queued, partitions = found
        return asset_rows.state(asset_rows.names(assets, aliases), queued, partitions, self.connection.dialect)

    @staticmethod
    def _workers_sql() -> str:
        return f"SELECT {r.WORKER_COLUMNS} FROM worker WHERE state IN ('active', 'draining') ORDER BY worker_id"

    @staticmethod
    def _works_sql(limit: int) -> str:
        return f"SELECT {r.WORK_COLUMNS} FROM work WHERE settled = 0 ORDER BY work_id LIMIT {int(limit)}"

    def _works(self, rows: Sequence[Row]) -> tuple[WorkRecord, ...]:
        """Rows as records. Work that this release cannot read is settled at once, so that it blocks nothing."""
        found = []
        for row in rows:
            try:
                found.append(r.work_record(row))
            except msgspec.MsgspecError as error:
                _log.warning("work %d cannot be read and is dropped: %s", row[0], error)
                script = self.connection.script()
                message = script.text(f"this scheduler cannot read the order: {error}")
                script.add(f"UPDATE work SET settled = 1, state = 'failed', error = {message} WHERE work_id = {row[0]}")
                with_retry(lambda script=script: self.connection.run(script))  # type: ignore[misc]
        return tuple(found)

    def _versions(self, version_ids: Sequence[int]) -> list[DagVersionRecord]:
        """These versions. They never change, so each is read and decoded once (the reconciler asks again and again)."""
        missing = [version_id for version_id in version_ids if version_id not in self._known]
        if missing:
            if len(self._known) + len(missing) > _VERSIONS_KEPT:
                self._known.clear()
                missing = list(version_ids)
            found = self._read(f"SELECT {r.VERSION_COLUMNS} FROM dag_version WHERE version_id IN ({id_list(missing)})")
            self._known.update((row[0], r.version_record(row)) for row in found)
        return [self._known[version_id] for version_id in version_ids if version_id in self._known]

    def _specs(self, version_ids: set[int]) -> dict[int, DagSpec]:
        if not version_ids:
            return {}
        found = self._read(
            f"SELECT version_id, spec FROM dag_version WHERE version_id IN ({id_list(sorted(version_ids))})"
        )
        return {row[0]: unpack_spec(row[1]) for row in found}

    def _pairs(
        self, dags: Sequence[Row], versions: dict[int, DagVersionRecord]
    ) -> list[tuple[DagRecord, DagVersionRecord]]:
        records = (r.dag_record(row, self.connection.dialect) for row in dags)
        return [(dag, versions[dag.version_id]) for dag in records if dag.version_id in versions]

    def _with_tasks(self, runs: Sequence[Row], tasks: Sequence[Row]) -> Runs:
        dialect = self.connection.dialect
        by_run: dict[int, list[TaskRecord]] = {row[0]: [] for row in runs}
        for row in tasks:
            # A run created between the two reads is not in the first; the next load has it.
            if row[1] in by_run:
                by_run[row[1]].append(r.task_record(row, dialect))
        return [(r.run_record(row, dialect), tuple(by_run[row[0]])) for row in runs]

    def _refuse_unreadable(self, action_id: int, error: Exception) -> None:
        _log.warning("action %d cannot be read and is refused: %s", action_id, error)
        script = self.connection.script()
        script.add(
            f"UPDATE action SET state = '{ActionState.REFUSED}', ended_at = {script.dialect.now}, "
            f"refused = {script.text(f'this scheduler cannot read the action: {error}')} "
            f"WHERE action_id = {action_id} AND state = '{ActionState.PENDING}'"
        )
        with_retry(lambda: self.connection.run(script))


__all__ = ["LeadershipLost", "SqlSchedulerStore"]
