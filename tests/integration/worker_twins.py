"""In-memory twins of what a worker talks to, with switches for faults.

Decides what the database would answer, in the port's words. Used by test_worker.py; the queue's twin is
`dagdeck_io.broker.memory`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import (
    BundleFile,
    BundleManifest,
    BundleSignature,
    ClaimedTask,
    FinishWrite,
    KeySuccession,
    LeaseLost,
    LogChunk,
)
from dagdeck_core.records import DagVersionRecord
from dagdeck_core.spec import DagSpec, TaskSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import DagRunContext
from dagdeck_io.bundles.manifest import make_manifest
from dagdeck_io.db.faults import NotFound

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
VERSION_ID = 77
_S = TaskInstanceState


@dataclass(slots=True)
class Row:
    """One task instance."""

    ti_id: int
    run_key: int
    task_id: str
    dispatch_no: int
    max_tries: int = 0
    state: TaskInstanceState = _S.QUEUED
    worker_id: int | None = None
    revoke_to: TaskInstanceState | None = None
    finish: FinishWrite | None = None
    claims: int = 0


@dataclass
class MemoryDatabase:
    """The rows, and the faults to show. Thread-safe."""

    spec: DagSpec
    files: Mapping[str, bytes] = field(default_factory=lambda: {"dag.py": b"# nothing"})
    rows: dict[int, Row] = field(default_factory=dict)
    confs: dict[int, dict[str, Any]] = field(default_factory=dict)
    ready: list[tuple[int, int]] = field(default_factory=list)
    workers: dict[int, str] = field(default_factory=dict)
    logs: dict[int, bytes] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    signatures: list[BundleSignature] = field(default_factory=list)
    draining: bool = False
    down: bool = False
    refuse_xcoms: bool = False
    transactions: list[tuple[int, int]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, task_id: str, *, max_tries: int = 0, **conf: Any) -> tuple[int, int]:
        """A queued task instance whose run has `conf`; its (ti_id, dispatch_no)."""
        with self.lock:
            number = len(self.rows) + 1
            ti_id, run_key, dispatch_no = number, 1000 + number, 100_000 + number
            self.rows[ti_id] = Row(ti_id, run_key, task_id, dispatch_no, max_tries)
            self.confs[run_key] = conf
            return ti_id, dispatch_no

    def check(self) -> None:
        """Raises EnvironmentFault while the database is down."""
        if self.down:
            raise EnvironmentFault("the database is down")

    def log_text(self, ti_id: int) -> str:
        """The stored log of a task instance."""
        return self.logs.get(ti_id, b"").decode()

    def states(self) -> list[str]:
        """The states of all task instances."""
        return [row.state.value for row in self.rows.values()]

    def record(self) -> DagVersionRecord:
        """The one DAG version."""
        return DagVersionRecord(
            version_id=VERSION_ID,
            dag_id=self.spec.dag_id,
            version_number=1,
            bundle_name="main",
            bundle_version=self.manifest().version,
            spec=self.spec,
        )

    def manifest(self) -> BundleManifest:
        """The manifest of the one bundle."""
        files = [
            BundleFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
            for path, data in self.files.items()
        ]
        return make_manifest("main", files)


@dataclass
class MemoryStore:
    """The WorkerStore, BundleStore and RunnerQueries of one thread on a MemoryDatabase."""

    database: MemoryDatabase

    # ------------------------------------------------------------ WorkerStore

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
        """See WorkerStore."""
        with self.database.lock:
            self.database.check()
            for worker_id, state in self.database.workers.items():
                if state == "active":
                    self.database.workers[worker_id] = "lost"
            worker_id = len(self.database.workers) + 1
            self.database.workers[worker_id] = "active"
            return worker_id

    def renew(self, worker_id: int) -> list[tuple[int, int]]:
        """See WorkerStore."""
        with self.database.lock:
            self.database.check()
            if self.database.workers[worker_id] != "active":
                raise LeaseLost("declared lost")
            return [
                (row.ti_id, row.dispatch_no)
                for row in self.database.rows.values()
                if row.revoke_to is not None and row.worker_id == worker_id and row.state is _S.RUNNING
            ]

    def is_draining(self, worker_id: int) -> bool:
        """See WorkerStore."""
        self.database.check()
        return self.database.draining

    def transact(
        self,
        worker_id: int,
        finishes: Sequence[FinishWrite],
        claims: Sequence[tuple[int, int]],
        logs: Sequence[LogChunk] = (),
    ) -> tuple[list[tuple[int, TaskInstanceState | None]], list[ClaimedTask]]:
        """See WorkerStore."""
        with self.database.lock:
            self.database.check()
            if self.database.refuse_xcoms and any(finish.xcoms for finish in finishes):
                raise EnvironmentFault("the packet is too large", transient=False)
            for chunk in [*logs, *(finish.log for finish in finishes if finish.log is not None)]:
                known = self.database.logs.get(chunk.ti_id, b"")
                assert len(known) == chunk.offset, f"a log piece at {chunk.offset} comes after {len(known)} bytes"
                self.database.logs[chunk.ti_id] = known + chunk.data
            ends = [(finish.dispatch_no, self._finish(worker_id, finish)) for finish in finishes]
            won = [task for pair in claims if (task := self._claim(worker_id, *pair)) is not None]
            self.database.transactions.append((len(finishes), len(claims)))
            return ends, won

    def _finish(self, worker_id: int, finish: FinishWrite) -> TaskInstanceState | None:
        row = self.database.rows[finish.ti_id]
        if row.finish is not None and row.finish.dispatch_no == finish.dispatch_no:
            return row.state
        if row.dispatch_no != finish.dispatch_no or row.state is not _S.RUNNING or row.worker_id != worker_id:
            return None
        row.state = row.revoke_to or finish.state
        row.finish = finish
        return row.state

    def _claim(self, worker_id: int, ti_id: int, dispatch_no: int) -> ClaimedTask | None:
        row = self.database.rows.get(ti_id)
        if row is None or row.dispatch_no != dispatch_no:
            return None
        if row.state is _S.QUEUED:
            row.state, row.worker_id = _S.RUNNING, worker_id
            row.claims += 1
        elif row.state is not _S.RUNNING or row.worker_id != worker_id:
            return None
        return ClaimedTask(
            run_key=row.run_key,
            ti_id=ti_id,
            dispatch_no=dispatch_no,
            version_id=VERSION_ID,
            task_id=row.task_id,
            map_index=-1,
            try_number=1,
            max_tries=row.max_tries,
        )

    def take_ready(self, worker_id: int, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        """See WorkerStore."""
        with self.database.lock:
            self.database.check()
            pairs, self.database.ready = self.database.ready[:limit], self.database.ready[limit:]
            return [task for pair in pairs if (task := self._claim(worker_id, *pair)) is not None]

    def run_context(self, run_key: int) -> DagRunContext:
        """See WorkerStore."""
        self.database.check()
        conf = self.database.confs[run_key]
        dag_id = self.database.spec.dag_id
        return DagRunContext(
            run_key, dag_id, "run", "manual", "running", EPOCH, EPOCH, EPOCH, EPOCH, EPOCH, None, conf=conf
        )

    def version(self, version_id: int) -> DagVersionRecord:
        """See WorkerStore."""
        self.database.check()
        return self.database.record()

    def stop(self, worker_id: int) -> None:
        """See WorkerStore."""
        self.database.check()
        self.database.workers[worker_id] = "stopped"

    # ------------------------------------------------------------ BundleStore

    def put(self, manifest: BundleManifest, read: Any) -> None:
        """Nobody stores bundles here."""

    def manifest(self, name: str, version: str) -> BundleManifest:
        """See BundleStore."""
        self.database.check()
        return self.database.manifest()

    def contents(self, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """See BundleStore."""
        self.database.check()
        known = {hashlib.sha256(data).hexdigest(): data for data in self.database.files.values()}
        return {each: known[each] for each, size in sizes.items() if len(known.get(each, b"")) == size}

    def sign(self, name: str, version: str, signature: BundleSignature) -> None:
        """See BundleStore."""
        self.database.signatures.append(signature)

    def signatures(self, name: str, version: str) -> tuple[BundleSignature, ...]:
        """See BundleStore."""
        self.database.check()
        return tuple(self.database.signatures)

    def successions(self) -> tuple[KeySuccession, ...]:
        """See BundleStore."""
        return ()

    # ------------------------------------------------------------ RunnerQueries

    def answer(self, ti_id: int, method: str, arguments: Mapping[str, Any]) -> Any:
        """See RunnerQueries; Variables only."""
        self.database.check()
        if method == "variable_set":
            self.database.variables[arguments["key"]] = arguments["value"]
            return None
        if method != "variable_get":
            raise UserError(f"no {method} here")
        if arguments["key"] not in self.database.variables:
            raise NotFound(f"there is no Variable {arguments['key']!r}")
        return self.database.variables[arguments["key"]]


def dag_of(*tasks: TaskSpec) -> DagSpec:
    """A DAG of `tasks`, from dag.py."""
    return DagSpec(dag_id="dag", fileloc="dag.py", tasks=tasks)
