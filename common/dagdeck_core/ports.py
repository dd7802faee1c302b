"""Ports: what the daemons need from a queue and a database, as contracts.

Decides eligibility, ownership, idempotency and errors of each call. Does not decide how an adapter
does it (`dagdeck_io.broker`, `dagdeck_io.db`, the simulation's twins). One contract suite in
tests/contract runs over every adapter of a port.

Every method may raise `EnvironmentFault` when the other side cannot be reached or does not answer in
time; after that the caller may simply call again. Adapters are not thread-safe unless a
method says so: each thread has its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from dagdeck_core.asset_records import AssetChange, AssetRecord, AssetState
from dagdeck_core.deferral import TriggerOutcome
from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.human_input import Question
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
from dagdeck_core.scheduling.decisions import Decision
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import DagRunContext, Deferral, Effects, FiredTrigger, Hint, QueueMessage
from dagdeck_core.work import Order, UnheardEnd, WorkRecord

# ---------------------------------------------------------------- queue

REPORTS = "reports"
"""Topic that the scheduler reads: `Report` and `Nudge`."""
SAMPLES = "samples"
"""Topic of `WorkerSample`, for live views."""
CHANGES = "changes"
"""Topic of `Changed`, for live views."""
LOGS = "logs"
"""Topic of `LogTail`, for live views."""


def revocation_topic(worker_id: int) -> str:
    """Topic on which worker `worker_id` hears of `Revoked`."""
    return f"revoked.{worker_id}"


class Delivery(msgspec.Struct, frozen=True):
    """One hint taken from a queue. `token` is the adapter's own and good for one acknowledge."""

    queue: str
    token: str
    hint: Hint


class Broker(Protocol):
    """Queues of hints and capped topics. Carries nothing that the DB does not know as well.

    It may lose, repeat and reorder everything. `take`, `read` block at most `timeout` seconds and
    return early when `interrupt` is called from another thread (the one thread-safe method).
    """

    def offer(self, queue: str, hints: Sequence[Hint]) -> None:
        """Append `hints` to `queue`; each is delivered to one taker. Creates the queue if needed."""

    def take(self, queues: Sequence[str], consumer: str, *, limit: int, timeout: float) -> list[Delivery]:
        """Up to `limit` hints, earlier queues of the list first; [] after `timeout` seconds without any.

        A taken hint is never delivered again by itself, acknowledged or not.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forget taken hints. Doing it twice, or after a flush, is harmless."""

    def depth(self, queue: str) -> int:
        """How many hints of `queue` wait to be taken; 0 for a queue nobody knows."""

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """Append to a topic, which keeps about its last 10,000 messages (REPORTS 100,000)."""

    def last_position(self, topic: str) -> str:
        """Where the topic ends now: reading from there gives only what comes later. Works on unknown topics."""

    def read(
        self, positions: Mapping[str, str], *, limit: int, timeout: float
    ) -> tuple[list[QueueMessage], dict[str, str]]:
        """Messages after `positions` (topic → position) and the new positions to read on from.

        Waits up to `timeout` seconds for the first. Messages that cannot be read are passed over
        and logged. After a flush, positions from before keep working.
        """

    def interrupt(self) -> None:
        """Make a blocked `take` or `read` of this adapter return now. Thread-safe."""

    def ping(self) -> None:
        """Return when the other side answers; raise EnvironmentFault when not."""

    def close(self) -> None:
        """Release connections. A closed adapter is not used again."""


# ---------------------------------------------------------------- database, scheduler's side


class LeadershipLost(EnvironmentFault):
    """This process is no longer the scheduler: another epoch holds the lease. Nothing was written."""


class GuardFailed(DagDeckError):
    """A row was not in the state a decision expected. Nothing of the transaction was written.

    The caller drops and reloads the runs concerned. `taken` names (dag_id, run_id) of a run that could not
    be created because its run_id or its logical date exists already.
    """

    def __init__(self, message: str, *, taken: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.taken = taken


class CommitUnknown(EnvironmentFault):
    """The connection broke while COMMIT was under way: it may or may not have happened.

    The caller drops and reloads everything the batch touched.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that the machine needs at start, read in one transaction under the leadership lock."""

    dags: tuple[tuple[DagRecord, DagVersionRecord], ...]
    versions: tuple[DagVersionRecord, ...]
    """Older versions that these runs are pinned to."""
    runs: tuple[tuple[RunRecord, tuple[TaskRecord, ...]], ...]
    """Every unfinished run with all its task instances, and every ended one in which a dispatch is still being
    revoked: it holds its slots until its end, and its worker may be lost."""
    pools: tuple[PoolRecord, ...]
    workers: tuple[WorkerRecord, ...]
    assets: AssetState
    deadlines: tuple[DeadlineRecord, ...] = ()
    """Those that were neither missed nor met."""
    works: tuple[WorkRecord, ...] = ()
    """Other work that is not settled, the oldest first, as far as one read goes."""


class SchedulerStore(Protocol):
    """The one door through which the scheduler reads and writes state. Used by one thread."""

    def acquire_leadership(self, owner: str) -> int | None:
        """Take the scheduler lease and return its new epoch; None while another owner's lease is alive.

        Alive is judged without comparing clocks: the caller calls repeatedly, and the lease is taken
        over when its counter did not change for the takeover time on the caller's monotonic
        clock. The taker kills the connection that the row names.
        """

    def renew_leadership(self, epoch: int) -> None:
        """Raise the lease's counter. Raises LeadershipLost when `epoch` no longer holds it."""

    def release_leadership(self, epoch: int) -> None:
        """Give the lease up so that a standby need not wait. Harmless when it is no longer held."""

    def load(self, epoch: int) -> Snapshot:
        """Everything at once. Raises LeadershipLost."""

    def load_runs(
        self, epoch: int, run_keys: Sequence[int]
    ) -> tuple[list[DagVersionRecord], list[tuple[RunRecord, tuple[TaskRecord, ...]]]]:
        """These runs, finished ones too, with the versions they are pinned to; unknown keys are left out."""

    def unfinished_run_keys(self, epoch: int) -> list[int]:
        """Keys of all runs in state queued or running, ascending."""

    def load_dags(self, epoch: int, dag_ids: Sequence[str] | None) -> list[tuple[DagRecord, DagVersionRecord]]:
        """These DAGs (None: all that have a version)."""

    def dag_revisions(self) -> dict[str, int]:
        """dag_id → a number that changes with every change that the DAG processor or a person makes to its row."""

    def previous_run_key(self, dag_id: str, before: datetime) -> int | None:
        """Key of the run of `dag_id` with the latest logical date before `before`; None when there is none."""

    def run_record(self, run_key: int) -> RunRecord | None:
        """One run without its task instances; None when there is none."""

    def run_keys_of(self, dag_id: str, limit: int) -> list[int]:
        """Keys of runs of a DAG, in no order."""

    def load_pools(self, epoch: int) -> list[PoolRecord]:
        """All pools."""

    def load_workers(self) -> list[WorkerRecord]:
        """All workers that are not stopped or lost, with their lease counters."""

    def load_works(self, epoch: int) -> tuple[WorkRecord, ...]:
        """Other work than task instances that is not settled: the oldest, as far as one bounded read goes."""

    def load_deadlines(self, epoch: int) -> tuple[DeadlineRecord, ...]:
        """All deadlines that were neither missed nor met."""

    def has_deadline(self, run_key: int, number: int) -> bool:
        """Whether a run's deadline of this number was set, be it missed since."""

    def average_runtime(self, dag_id: str, runs: int, before: datetime) -> tuple[int, float]:
        """How many of the last `runs` runs of a DAG that had ended by then there are, and their average seconds."""

    def pending_actions(self, limit: int) -> list[ActionRecord]:
        """Pending actions, oldest first."""

    def load_assets(self, epoch: int) -> AssetState:
        """All assets, what aliases stand for, and everything that waits for DAGs."""

    def load_asset_names(self, epoch: int) -> tuple[tuple[AssetRecord, ...], tuple[tuple[str, int], ...]]:
        """All assets, and what aliases stand for."""

    def pending_asset_changes(self, limit: int) -> list[AssetChange]:
        """Asset events that were committed and are not registered yet, oldest first."""

    def trigger_events(self, limit: int) -> list[FiredTrigger]:
        """Stored events of deferred task instances' triggers, oldest first."""

    def trigger_facts(
        self, dag_id: str, run_id: str | None, logical_date: datetime | None
    ) -> tuple[dict[str, int], bool]:
        """Whether a trigger's names are taken: ({run_id: run_key} of an existing run, logical date taken)."""

    def commit(self, epoch: int, now: datetime, decisions: Sequence[Decision]) -> None:
        """Write all `decisions` in one transaction, after locking the lease row and checking `epoch`.

        Raises LeadershipLost or GuardFailed (nothing written), CommitUnknown (either), EnvironmentFault
        (nothing written). `Offer` with as_rows becomes rows of `ready`; other offers are not its business.
        """


# ---------------------------------------------------------------- database, worker's side


class XComWrite(msgspec.Struct, frozen=True, kw_only=True):
    """One XCom value: JSON text.

    A value in which known secrets occur has `shown`, the same JSON with these hidden: that is what people see, and the
    value itself is stored encrypted, together with `secrets`, which its readers must not write either.
    """

    key: str
    value: str
    shown: str | None = None
    secrets: tuple[str, ...] = ()


class Revealing(msgspec.Struct, frozen=True):
    """An answer to a task's request whose value holds secrets: the task's process has to hide them from now on."""

    value: Any
    secrets: tuple[str, ...]


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a dispatch's output. `offset` counts uncompressed bytes from the dispatch's start."""

    ti_id: int
    dispatch_no: int
    try_number: int
    offset: int
    data: bytes


class FinishWrite(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one dispatch, as a worker wants it committed. Guard: dispatch_no, state running or restarting.

    A negative ti_id means a piece of work: success, failed, or up_for_reschedule to hand it back.

    `state` already is what core's `outcome()` made of the result. When a revocation with a target is on the
    row, the target wins over `state`, also when the task had ended before its worker heard of the revocation.
    """

    run_key: int
    ti_id: int
    dispatch_no: int
    state: TaskInstanceState
    start_date: datetime
    end_date: datetime
    duration: float
    next_at: datetime | None = None
    effects: Effects | None = None
    outlet_events: tuple[dict[str, Any], ...] = ()
    """What a success emits (`OutletEvent` as JSON): stored as one asset change in the same transaction, unless a
    revocation's target wins."""
    error: str | None = None
    xcoms: tuple[XComWrite, ...] = ()
    rendered_fields: Mapping[str, Any] | None = None
    rendered_map_index: str | None = None
    log: LogChunk | None = None
    pid: int | None = None
    unheard: UnheardEnd | None = None
    """What must be called because the task's process could not; stored with the end. None for almost every end."""
    answer: Any = None
    """What user code answered, when this is the end of a piece of work (its ti_id is negative)."""
    revoked: bool = False
    """True when the worker ended it because of a revocation: then the row takes the revocation's target."""
    question: Question | None = None
    """What it asks a person, with the state awaiting_input; `next_at` is then until when it waits."""
    deferral: Deferral | None = None
    """What it waits for, with the state deferred; `next_at` is then when the waiting has taken too long."""
    log_end: int = 0
    """Bytes of its log, for a trigger that goes on writing it."""
    forgets_next_method: bool = False
    """It had gone on after a deferral; whatever comes next begins anew."""


class ClaimedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One dispatch that this worker has won, with what is needed to run it."""

    run_key: int
    ti_id: int
    dispatch_no: int
    version_id: int
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    first_start_date: datetime | None = None
    next_method: str | None = None
    next_kwargs: str | None = None
    """As `wire.RunTask` has it."""
    order: Order | None = None
    """What is to be done when this is other work than a task instance; `ti_id` is negative then."""
    run: DagRunContext | None = None
    """The run's facts, with the first claims of a run; the worker remembers them for a while."""


class LeaseLost(DagDeckError):
    """This incarnation of the worker was declared lost; it ends its tasks and registers anew."""


class WorkerStore(Protocol):
    """What a worker reads and writes. `transact` is used by one thread, `renew` by another with a store of its own."""

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
        """Insert a new incarnation and return its worker_id. `trigger_capacity` 0 means that it runs no triggers.

        Earlier incarnations of the same name on the same host are declared lost at once: the caller
        asserts that their keeper, and with it every process of theirs, is dead.
        """

    def renew(self, worker_id: int) -> list[tuple[int, int]]:
        """Raise the lease counter; the answer lists the live revocations (ti_id, dispatch_no). Raises LeaseLost."""

    def is_draining(self, worker_id: int) -> bool:
        """Whether this worker is to take nothing new: an operator asked for it, or the scheduler that leads speaks
        another wire version, which is told in the log."""

    def transact(
        self,
        worker_id: int,
        finishes: Sequence[FinishWrite],
        claims: Sequence[tuple[int, int]],
        logs: Sequence[LogChunk] = (),
    ) -> tuple[list[tuple[int, TaskInstanceState | None]], list[ClaimedTask]]:
        """Finish, claim and store log pieces in one transaction.

        Returns for every finish (dispatch_no, state now on the row) — None when the dispatch was no
        longer live and nothing was written for it — and the claims that were won. Repeating
        a call after an EnvironmentFault is harmless: a finish that is already there counts as success,
        a claim that this worker already holds is returned as won.
        """

    def take_ready(self, worker_id: int, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        """Claim from the `ready` table, highest priority first; rows whose dispatch is void are deleted."""

    def run_context(self, run_key: int) -> DagRunContext:
        """The run's facts. Raises EnvironmentFault(transient=False) when it is gone."""

    def version(self, version_id: int) -> DagVersionRecord:
        """A DAG version with its spec."""

    def stop(self, worker_id: int) -> None:
        """Mark this incarnation stopped after all its tasks have ended."""


# ---------------------------------------------------------------- database, triggerer's side


class ClaimedTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger that this worker may run and fire, until another claim of it.

    `owner` is "task" for a deferred task instance, with `ti_id`, `dispatch_no` and so on; the others name theirs in
    `owner_key`. `kwargs` is a dict as JSON text in the form of XComs; None when it cannot be decrypted here.
    """

    trigger_id: int
    claim_no: int
    owner: str
    classpath: str
    kwargs: str | None
    owner_key: str | None = None
    version_id: int = 0
    run_key: int = 0
    run_id: str = ""
    ti_id: int = 0
    dispatch_no: int = 0
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    log_offset: int = 0


class TriggerFiring(msgspec.Struct, frozen=True, kw_only=True):
    """What one trigger yielded, to be stored. `event_id` is new, and the same when the write is repeated; 0 until then.

    `payload` is JSON in the form of XComs. For a task it becomes the argument `event` of its next method, which
    `failed` replaces by FAILED_DEFERRAL with these arguments. `ends` says whether the trigger is over, as a task's
    always is.
    """

    trigger: ClaimedTrigger
    outcome: TriggerOutcome
    event_id: int = 0
    payload: str | None = None
    failed: Mapping[str, Any] | None = None
    xcoms: tuple[XComWrite, ...] = ()
    ends: bool = True


class TriggerLog(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that a trigger wrote, at `offset` of its dispatch's log."""

    trigger: ClaimedTrigger
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerCounts:
    """Whether triggers are to be claimed, and how many this worker holds."""

    are_free: bool
    held: int


class TriggerStore(Protocol):
    """What a worker's triggerer reads and writes. Used by one thread."""

    def new_id(self) -> int:
        """A new event_id."""

    def look(self, worker_id: int) -> TriggerCounts:
        """How things stand; cheap enough for every other second."""

    def claim(self, worker_id: int, limit: int) -> list[ClaimedTrigger]:
        """Claim up to `limit` free triggers, oldest first; none when this worker was declared lost."""

    def held(self, worker_id: int) -> dict[int, int]:
        """trigger_id → claim_no of all that this worker holds; what is missing was cancelled or has fired."""

    def commit(
        self, worker_id: int, firings: Sequence[TriggerFiring], logs: Sequence[TriggerLog] = ()
    ) -> list[FiredTrigger]:
        """Store events and lines of triggers that this worker still holds, in one transaction.

        Returns the tasks' events that took effect; those of triggers that are gone, or that were stored before, are
        left out. Repeating a call is harmless.
        """

    def release(self, worker_id: int) -> None:
        """Let others claim everything that this worker holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """One file of a bundle: POSIX path relative to its root, SHA-256 of its bytes, size in bytes."""

    path: str
    sha256: str
    size: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """An immutable snapshot of a DAG folder. `version` is the hash of its sorted file list."""

    name: str
    version: str
    files: tuple[BundleFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSignature:
    """Who vouches for a bundle's name and version: an Ed25519 public key and its signature, both in base64."""

    public_key: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySuccession:
    """The announcement, signed by `old_key`, that `new_key` signs bundles from now on. All in base64."""

    old_key: str
    new_key: str
    signature: str


class BundleStore(Protocol):
    """Content-addressed code: written by the DAG processor, read by workers."""

    def put(self, manifest: BundleManifest, read: Any) -> None:
        """Store a manifest and the contents nobody has yet; `read(path) -> bytes`. Idempotent."""

    def manifest(self, name: str, version: str) -> BundleManifest:
        """Raises UserError when it is unknown."""

    def contents(self, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """Bytes by SHA-256, of those that are as long as `sizes` says; callers verify the hash again.

        What is stored longer than that is neither fetched nor decompressed, whatever it claims to be.
        """

    def sign(self, name: str, version: str, signature: BundleSignature) -> None:
        """Keep a signature beside a stored bundle. Idempotent. Raises UserError when the bundle is unknown."""

    def signatures(self, name: str, version: str) -> tuple[BundleSignature, ...]:
        """What was kept, unverified, oldest first; () when the bundle is unknown."""

    def successions(self) -> tuple[KeySuccession, ...]:
        """All announcements, unverified, oldest first."""
