"""The worker's store: registration, lease renewal, and the one transaction that ends and claims dispatches.

Decides how a transaction runs: one round trip locks the rows of claims, the next one writes and commits; ends are
written without a look at their rows first, and judged row by row only when one is not as it nearly always is. What is
written stands in worker_writes.py. Implements `dagdeck_core.ports.WorkerStore`; made by `Database.worker_store` (for
the committing thread) and `Database.lease_store` (for the renewing one, on a connection of its own).
"""

from __future__ import annotations

import getpass
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import ClaimedTask, CommitUnknown, FinishWrite, LeaseLost, LogChunk
from dagdeck_core.records import DagVersionRecord, WorkerState
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import WIRE_VERSION, DagRunContext
from dagdeck_core.work import WorkRecord, hint_id
from dagdeck_io.db import rows as r
from dagdeck_io.db.dialects import GuardMiss, HotConnection, Row, Script, id_list, with_retry
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.tables import NAME
from dagdeck_io.db.task_writes import cut, free_triggers
from dagdeck_io.db.work_writes import SidePlan, claimed_work, plan_works, write_plan
from dagdeck_io.db.worker_writes import (
    ENDING,
    LOCKED_COLUMNS,
    WORKER_ALIVE,
    LockedTask,
    WorkerPlan,
    WorkerWriter,
    assumed_running,
    claimed_task,
    locked_tasks,
    plan,
    prove_alive,
)
from dagdeck_io.secrets import Vault

_log = logging.getLogger(__name__)
RUNS_KEPT = 512
RUN_TOLD_SECONDS = 25.0
"""Age at which the facts of a run are told again; the worker forgets them a little later."""
_ALIVE = "state IN ('active', 'draining')"

Result = TypeVar("Result")
NO_RUNS: Mapping[int, DagRunContext] = {}
MOST_KEY_IDS = 8
"""A worker tells so many of its keys, newest first."""
Ends = list[tuple[int, TaskInstanceState | None]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class SqlWorkerStore:
    """See the port for each method's contract."""

    connection: HotConnection
    ids: IdMaker
    vault: Vault | None = None
    now: Callable[[], datetime] = _utc_now
    _hosts: dict[int, tuple[str, str | None]] = field(default_factory=dict, init=False)
    _doubtful: list[tuple[int, int]] = field(default_factory=list, init=False)
    """Claims from `ready` whose COMMIT was not confirmed."""
    _announced: tuple[int, str] | None = field(default=None, init=False)
    """The worker's id and the keys that it has told to know."""
    _told: OrderedDict[int, float] = field(default_factory=OrderedDict, init=False)
    """Runs whose facts came with a claim, and when (monotonic)."""

    # -------------------------------------------------------------- lease

    def register(
        self,
        *,
        name: str,
        hostname: str,
        slots: int,
        queues: Sequence[str],
        version: str,
        pid: int,
        trigger_capacity: int = 0,
    ) -> int:
        """Insert a new incarnation; earlier ones of this name on this host are lost."""
        worker_id = self.ids.next()
        unixname = _user_name()
        script = self.connection.script()
        now, text = script.dialect.now, script.text
        script.add(
            f"UPDATE worker SET state = '{WorkerState.LOST}', ended_at = {now}, "
            f"reason = 'the worker was started again on the same machine' "
            f"WHERE name = {text(name)} AND hostname = {text(hostname)} AND {_ALIVE}"
        )
        free_triggers(script, f"SELECT worker_id FROM worker WHERE name = {text(name)} AND hostname = {text(hostname)}")
        script.add(
            "INSERT INTO worker (worker_id, name, hostname, state, slots, queues, counter, version, wire_version, "
            f"pid, unixname, trigger_capacity, started_at, last_seen_at) VALUES ({worker_id}, {text(name)}, "
            f"{text(hostname)}, '{WorkerState.ACTIVE}', {int(slots)}, {script.json(list(queues))}, 0, {text(version)}, "
            f"{WIRE_VERSION}, {int(pid)}, {text(unixname)}, {int(trigger_capacity)}, {now}, {now})",
            expect=1,
        )
        with_retry(lambda: self.connection.run(script))
        self._hosts[worker_id] = (cut(hostname, NAME), unixname)
        return worker_id

    def renew(self, worker_id: int) -> list[tuple[int, int]]:
        """Raise the counter and read the revocations, in one round trip."""
        script = self.connection.script()
        script.add(
            f"UPDATE worker SET counter = counter + 1, last_seen_at = {script.dialect.now} "
            f"WHERE worker_id = {worker_id} AND {_ALIVE}",
            expect=1,
        )
        script.read(f"SELECT ti_id, dispatch_no FROM revocation WHERE worker_id = {worker_id} ORDER BY dispatch_no")
        try:
            (found,) = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        except GuardMiss:
            raise LeaseLost(f"worker {worker_id} was declared lost") from None
        return [(row[0], row[1]) for row in found]

    def _announce_keys(self, worker_id: int) -> None:
        """Tell which keys this worker knows, when they have changed: a rotation waits for that."""
        if self.vault is None:
            return
        known = " ".join(self.vault.ids[:MOST_KEY_IDS])
        if self._announced != (worker_id, known):
            script = self.connection.script()
            script.add(f"UPDATE worker SET key_ids = {script.text(known)} WHERE worker_id = {worker_id}")
            with_retry(lambda: self.connection.run(script))
            self._announced = (worker_id, known)

    def is_draining(self, worker_id: int) -> bool:
        """Whether it is to take nothing new: an operator asked for it, or the scheduler speaks another wire version."""
        self._announce_keys(worker_id)
        found = self._read(
            "SELECT w.state, l.wire_version FROM worker w LEFT JOIN lease l ON l.name = 'scheduler' AND l.shard = 0 "
            f"WHERE w.worker_id = {worker_id}"
        )
        if not found:
            return False
        state, spoken = found[0]
        if spoken is not None and spoken != WIRE_VERSION:
            _log.warning(
                "this worker takes no work: it speaks wire version %d and the scheduler %d. Upgrade %s",
                WIRE_VERSION,
                spoken,
                "this worker" if spoken > WIRE_VERSION else "the master",
            )
            return True
        return bool(state == WorkerState.DRAINING)

    def stop(self, worker_id: int) -> None:
        """Mark it stopped."""
        script = self.connection.script()
        script.add(
            f"UPDATE worker SET state = '{WorkerState.STOPPED}', ended_at = {script.dialect.now} "
            f"WHERE worker_id = {worker_id} AND {_ALIVE}"
        )
        free_triggers(script, str(worker_id))
        with_retry(lambda: self.connection.run(script))

    # -------------------------------------------------------------- ending and claiming

    def transact(
        self,
        worker_id: int,
        finishes: Sequence[FinishWrite],
        claims: Sequence[tuple[int, int]],
        logs: Sequence[LogChunk] = (),
    ) -> tuple[Ends, list[ClaimedTask]]:
        """Finish, claim and store log pieces in one transaction."""
        if not (finishes or claims or logs):
            return [], []
        self.ids.keep()  # not later: inside the transaction, SQLite could not renew
        self._learn_host(worker_id)
        try:
            return self._whole(lambda: self._transact(worker_id, finishes, claims, logs))
        except GuardMiss as miss:
            if miss.what != WORKER_ALIVE:
                raise EnvironmentFault(f"{miss.message}; the transaction is tried again") from miss
            # A lost worker wins nothing more; what it has to report is judged dispatch by dispatch.
            return self._whole(lambda: self._transact(worker_id, finishes, (), logs))

    def _transact(
        self,
        worker_id: int,
        finishes: Sequence[FinishWrite],
        claims: Sequence[tuple[int, int]],
        logs: Sequence[LogChunk],
    ) -> tuple[Ends, list[ClaimedTask]]:
        ids = sorted({finish.ti_id for finish in finishes} | {ti_id for ti_id, _ in claims})
        if ids and ids[0] < 0:
            return self._transact_mixed(worker_id, finishes, claims, logs)
        if finishes and len(ids) == len(finishes) + len(claims):
            try:
                return self._attempt(worker_id, finishes, claims, logs, assumed_running(finishes, worker_id))
            except GuardMiss as miss:
                if miss.what != ENDING:
                    raise
        return self._attempt(worker_id, finishes, claims, logs, {})

    def _attempt(
        self,
        worker_id: int,
        finishes: Sequence[FinishWrite],
        claims: Sequence[tuple[int, int]],
        logs: Sequence[LogChunk],
        assumed: dict[int, LockedTask],
    ) -> tuple[Ends, list[ClaimedTask]]:
        """Lock the rows that are not assumed to be known, and write. Raises GuardMiss (ENDING) where one is not so."""
        wanted = {ti_id for ti_id, _ in claims} | {finish.ti_id for finish in finishes}
        ids = sorted(wanted - assumed.keys())
        rows = assumed | (locked_tasks(self._lock(ids, begin=True)) if ids else {})
        planned = plan(rows, finishes, claims, worker_id)
        script = self.connection.script()
        self._writer(script, worker_id, assumed=bool(assumed)).write(planned, logs)
        if planned.late:
            self._read_late(script, planned)
        untold = self._untold(planned)
        if untold:
            script.read(f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE run_key IN ({id_list(untold)})")
        found = self.connection.run(script, begin=not ids)
        runs = self._told_now(found[-1]) if untold else {}
        return self._ends(finishes, planned, rows, found), self._claimed(planned, runs)

    @staticmethod
    def _ends(
        finishes: Sequence[FinishWrite],
        planned: WorkerPlan,
        rows: Mapping[int, LockedTask],
        found: list[list[Row]],
    ) -> Ends:
        """The state now on the row of each finished dispatch; `found` begins with the histories of the late ones."""
        states = {finish.dispatch_no: state for finish, _, state in planned.ended}
        for dispatch_no, state, ended_by in found[0] if planned.late else ():
            # Only what a worker reported counts as done: a dispatch that the scheduler ended is void.
            if ended_by.startswith("worker:") and dispatch_no not in states:
                states[dispatch_no] = r.task_state(state)
        for row in rows.values():
            if row.dispatch_no in states and row.state not in ("running", "restarting"):
                states[row.dispatch_no] = r.task_state(row.state)
        return [(finish.dispatch_no, states.get(finish.dispatch_no)) for finish in finishes]

    def _transact_mixed(
        self,
        worker_id: int,
        finishes: Sequence[FinishWrite],
        claims: Sequence[tuple[int, int]],
        logs: Sequence[LogChunk],
    ) -> tuple[Ends, list[ClaimedTask]]:
        """A transaction that is about other work too: that goes first, then the task instances of the same one."""
        of_works = [finish for finish in finishes if finish.ti_id < 0]
        of_tasks = [finish for finish in finishes if finish.ti_id > 0]
        work_claims = [pair for pair in claims if pair[0] < 0]
        task_claims = [pair for pair in claims if pair[0] > 0]
        works = self._lock_works([*(f.ti_id for f in of_works), *(pair[0] for pair in work_claims)], begin=True)
        side = plan_works(works, of_works, work_claims, worker_id)
        ids = sorted({finish.ti_id for finish in of_tasks} | {ti_id for ti_id, _ in task_claims})
        rows = locked_tasks(self._lock(ids, begin=False)) if ids else {}
        planned = plan(rows, of_tasks, task_claims, worker_id)
        script = self.connection.script()
        write_plan(script, side, worker_id, self.now())
        self._writer(script, worker_id).write(planned, [*logs, *(f.log for f in side.ended if f.log is not None)])
        if side.won and not planned.won:
            prove_alive(script, worker_id)
        if planned.late:
            self._read_late(script, planned)
        found = self.connection.run(script, begin=False)
        states = dict(self._ends(of_tasks, planned, rows, found))
        ends: Ends = [(f.dispatch_no, states.get(f.dispatch_no) or side.states.get(f.dispatch_no)) for f in finishes]
        return ends, [*self._claimed(planned), *map(claimed_work, (*side.won, *side.held))]

    def _lock_works(self, hint_ids: Sequence[int], *, begin: bool) -> dict[int, WorkRecord]:
        script = self.connection.script()
        script.read(
            f"SELECT {r.WORK_COLUMNS} FROM work WHERE work_id IN ({id_list(sorted({-each for each in hint_ids}))}) "
            f"ORDER BY work_id{script.dialect.for_update}"
        )
        found = self.connection.run(script, begin=begin, commit=False)[0]
        return {row[0]: r.work_record(row) for row in found}

    @staticmethod
    def _read_late(script: Script, planned: WorkerPlan) -> None:
        script.read(
            "SELECT dispatch_no, state, ended_by FROM task_instance_history "
            f"WHERE dispatch_no IN ({id_list(finish.dispatch_no for finish in planned.late)})"
        )

    def _untold(self, planned: WorkerPlan) -> list[int]:
        """Runs of won claims whose facts the worker does not have yet."""
        since = time.monotonic() - RUN_TOLD_SECONDS
        keys = dict.fromkeys(row.run_key for row in planned.won)
        return [key for key in keys if self._told.get(key, 0.0) <= since]

    def _told_now(self, rows: Sequence[Row]) -> dict[int, DagRunContext]:
        runs = {row[0]: r.run_context(row, self.connection.dialect) for row in rows}
        for key in runs:
            self._told[key] = time.monotonic()
            self._told.move_to_end(key)
        while len(self._told) > RUNS_KEPT:
            self._told.popitem(last=False)
        return runs

    def take_ready(self, worker_id: int, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        """Claim from the `ready` table."""
        if self._doubtful:
            _, held = self.transact(worker_id, (), self._doubtful)
            self._doubtful = []
            if held:
                return held
        if limit < 1 or not queues:
            return []
        self.ids.keep()  # not later: inside the transaction, SQLite could not renew
        self._learn_host(worker_id)
        try:
            return self._whole(lambda: self._take_ready(worker_id, queues, limit))
        except GuardMiss as miss:
            if miss.what == WORKER_ALIVE:
                return []
            raise EnvironmentFault(f"{miss.message}; the transaction is tried again") from miss

    def _take_ready(self, worker_id: int, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        script = self.connection.script()
        script.read(
            f"SELECT ti_id, dispatch_no FROM ready WHERE `queue` IN ({','.join(map(script.text, queues))}) "
            f"ORDER BY priority DESC, dispatch_no LIMIT {int(limit)}{script.dialect.skip_locked}"
        )
        (offered,) = self.connection.run(script, commit=False)
        if not offered:
            self.connection.rollback()
            return []
        claims = [(row[0], row[1]) for row in offered]
        works = [pair for pair in claims if pair[0] < 0]
        side = SidePlan()
        if works:
            side = plan_works(self._lock_works([pair[0] for pair in works], begin=False), (), works, worker_id)
        ids = sorted({ti_id for ti_id, _ in claims if ti_id > 0})
        rows = locked_tasks(self._lock(ids, begin=False)) if ids else {}
        planned = plan(rows, (), claims, worker_id)
        # Held ones run here already: their row is as void as that of a dispatch that somebody else won.
        planned.held = []
        script = self.connection.script()
        self._writer(script, worker_id).write(planned, ())
        if side.won:
            write_plan(script, side, worker_id, self.now())
            if not planned.won:
                prove_alive(script, worker_id)
        script.add(f"DELETE FROM ready WHERE dispatch_no IN ({id_list(number for _, number in claims)})")
        try:
            self.connection.run(script, begin=False)
        except CommitUnknown:
            self._doubtful = [(row.ti_id, row.dispatch_no) for row in planned.won]
            self._doubtful += [(hint_id(row.work_id), row.dispatch_no) for row in side.won]
            raise
        by_dispatch = {task.dispatch_no: task for task in (*self._claimed(planned), *map(claimed_work, side.won))}
        return [by_dispatch[number] for _, number in claims if number in by_dispatch]

    def _whole(self, operation: Callable[[], Result]) -> Result:
        """Run a transaction of several round trips; nothing stays open whatever happens between them."""

        def attempt() -> Result:
            try:
                return operation()
            except BaseException:
                self.connection.rollback()
                raise

        return with_retry(attempt)

    def _lock(self, ti_ids: Sequence[int], *, begin: bool) -> list[Row]:
        script = self.connection.script()
        script.read(
            f"SELECT {LOCKED_COLUMNS} FROM task_instance WHERE ti_id IN ({script.ids(ti_ids)}) "
            f"ORDER BY ti_id{script.dialect.for_update}"
        )
        return self.connection.run(script, begin=begin, commit=False)[0]

    def _writer(self, script: Script, worker_id: int, *, assumed: bool = False) -> WorkerWriter:
        hostname, unixname = self._hosts[worker_id]
        return WorkerWriter(
            script=script,
            now=self.now(),
            ids=self.ids,
            worker_id=worker_id,
            hostname=hostname,
            unixname=unixname,
            assumed=assumed,
            vault=self.vault,
        )

    def _claimed(self, planned: WorkerPlan, runs: Mapping[int, DagRunContext] = NO_RUNS) -> list[ClaimedTask]:
        dialect = self.connection.dialect
        return [claimed_task(row, dialect, runs.get(row.run_key)) for row in (*planned.won, *planned.held)]

    # -------------------------------------------------------------- reading

    def run_context(self, run_key: int) -> DagRunContext:
        """The run's facts."""
        found = self._read(f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE run_key = {int(run_key)}")
        if not found:
            raise EnvironmentFault(f"dag run {run_key} is gone", transient=False)
        return r.run_context(found[0], self.connection.dialect)

    def version(self, version_id: int) -> DagVersionRecord:
        """A DAG version with its spec."""
        found = self._read(f"SELECT {r.VERSION_COLUMNS} FROM dag_version WHERE version_id = {int(version_id)}")
        if not found:
            raise EnvironmentFault(f"DAG version {version_id} is gone", transient=False)
        return r.version_record(found[0])

    def _read(self, sql: str) -> list[Row]:
        script = self.connection.script()
        script.read(sql)
        return with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]

    def _learn_host(self, worker_id: int) -> None:
        """Know where this worker runs, also when another store of this process registered it."""
        if worker_id not in self._hosts:
            found = self._read(f"SELECT hostname, unixname FROM worker WHERE worker_id = {int(worker_id)}")
            self._hosts[worker_id] = (found[0][0], found[0][1]) if found else ("", None)


def _user_name() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None  # an account without a name, as in some containers
