"""The committer: the only thread that finishes, claims and stores logs in the database.

Decides what goes into one transaction: everything that waits, up to the bounds below. It commits at once when
idle and in natural batches under load; only while ends come by the dozen it lets a moment pass between two
transactions, since each costs the database and the scheduler about as much as ten ends. After the commit it hands
over the won claims, then reports (ends at once, mere claims in the background), then acknowledges. Does not decide
what is finished or claimed (main loop, consumer).

While the database is down the batch is kept and tried again: nothing is lost as long as the process lives.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ports import (
    CHANGES,
    LOGS,
    REPORTS,
    ClaimedTask,
    Delivery,
    FinishWrite,
    LeaseLost,
    LogChunk,
    WorkerStore,
)
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Changed, FinishedDispatch, LogTail, Nudge, Report
from dagdeck_worker.dispatches import ERROR_LENGTH
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.queue_link import Publisher, ReportSender
from dagdeck_worker.slots import SlotGate
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

FINISHES_PER_TRANSACTION = 256
UNDER_LOAD = 8
"""Ends in one transaction from which on the next one is given time to fill."""
FILLING_SECONDS = 0.002
LOG_BYTES_PER_TRANSACTION = 4 * 1024 * 1024
LOG_BACKLOG_BYTES = 16 * 1024 * 1024
"""With this much waiting, running tasks' output stays where it is."""
FIRST_RETRY_DELAY = 0.05
LONGEST_RETRY_DELAY = 2.0


@dataclass(slots=True)
class _Claim:
    dispatches: tuple[tuple[int, int], ...]
    deliveries: Sequence[Delivery]


@dataclass(slots=True)
class ReadyRequest:
    """A wish to claim from the `ready` table; `taken` holds after `done` how many were won."""

    limit: int
    done: threading.Event = field(default_factory=threading.Event)
    taken: int = 0


@dataclass(slots=True)
class _Batch:
    finishes: list[FinishWrite] = field(default_factory=list)
    claims: list[_Claim] = field(default_factory=list)
    logs: list[LogChunk] = field(default_factory=list)
    ready: ReadyRequest | None = None

    def pairs(self) -> list[tuple[int, int]]:
        """Every dispatch to claim, once."""
        return list(dict.fromkeys(pair for claim in self.claims for pair in claim.dispatches))

    def asked(self) -> int:
        """How much room the claims hold."""
        return sum(len(claim.dispatches) for claim in self.claims)


class _Void(Exception):
    """What is being committed is of no more use: the lease is lost, or the worker ends while the database is down."""


class Committer(WorkerThread):
    """See the module. `on_claimed` and `on_committed` are called from this thread with the worker_id and what was won,
    and with the dispatch numbers that were finished; `on_lease_lost` when the database says that the lease is gone.
    """

    def __init__(
        self,
        store: WorkerStore,
        incarnation: Incarnation,
        gate: SlotGate,
        reports: ReportSender,
        publisher: Publisher,
        *,
        on_claimed: Callable[[int, list[ClaimedTask]], None],
        on_committed: Callable[[list[int]], None],
        on_lease_lost: Callable[[int], None],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("committer", on_crash)
        self._store = store
        self._incarnation = incarnation
        self._gate = gate
        self._reports = reports
        self._publisher = publisher
        self._on_claimed = on_claimed
        self._on_committed = on_committed
        self._on_lease_lost = on_lease_lost
        self._changed = threading.Condition()
        self._finishes: deque[FinishWrite] = deque()
        self._claims: deque[_Claim] = deque()
        self._logs: deque[LogChunk] = deque()
        self._log_bytes = 0
        self._ready: ReadyRequest | None = None
        self._working = False

    # ------------------------------------------------------------ from other threads

    def finish(self, writes: Sequence[FinishWrite], logs: Sequence[LogChunk] = ()) -> None:
        """Have dispatches finished, their last `logs` stored before that."""
        with self._changed:
            self._add_logs(logs)
            self._finishes.extend(writes)
            self._changed.notify()

    def claim(self, dispatches: Sequence[tuple[int, int]], deliveries: Sequence[Delivery]) -> None:
        """Have dispatches claimed and the hints acknowledged after that. The caller has taken room at the gate."""
        with self._changed:
            self._claims.append(_Claim(tuple(dispatches), deliveries))
            self._changed.notify()

    def take_ready(self, limit: int) -> int:
        """Claim up to `limit` dispatches from the ready table; how many were won.

        Waits while the database is down. The caller has taken room at the gate.
        """
        request = ReadyRequest(limit)
        with self._changed:
            self._ready = request
            self._changed.notify()
        while not request.done.wait(1.0) and self.is_alive():
            pass
        return request.taken

    def log(self, chunks: Sequence[LogChunk]) -> None:
        """Have pieces of running tasks' output stored."""
        with self._changed:
            self._add_logs(chunks)
            self._changed.notify()

    def has_log_room(self) -> bool:
        """Whether running tasks' output should be handed over now."""
        return self._log_bytes < LOG_BACKLOG_BYTES

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        with self._changed:
            return not (self._working or self._has_work())

    def discard(self) -> None:
        """Drop everything that waits: it belongs to a lost registration."""
        with self._changed:
            asked = sum(len(claim.dispatches) for claim in self._claims)
            self._finishes.clear()
            self._claims.clear()
            self._logs.clear()
            self._log_bytes = 0
        self._gate.free(asked)

    def stop(self) -> None:
        """End after what waits has been committed, or at once while the database is down."""
        with self._changed:
            super().stop()
            self._changed.notify()

    def _add_logs(self, chunks: Sequence[LogChunk]) -> None:
        self._logs.extend(chunks)
        self._log_bytes += sum(len(chunk.data) for chunk in chunks)

    def _has_work(self) -> bool:
        return bool(self._finishes or self._claims or self._logs or self._ready)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        ends = 0
        while True:
            if ends >= UNDER_LOAD and len(self._finishes) < 4 * UNDER_LOAD:
                self.stopping.wait(FILLING_SECONDS)
            with self._changed:
                self._working = False
                self._rests()
                self._changed.wait_for(lambda: self._has_work() or self.stopping.is_set())
                if not self._has_work():
                    return
                batch = self._next_batch()
                ends = len(batch.finishes)
                self._working = True
            worker_id = self._incarnation.worker_id
            try:
                if self._incarnation.lost:
                    raise _Void
                self._commit(worker_id, batch)
            except _Void:
                self._abandon(batch)

    def _next_batch(self) -> _Batch:
        batch = _Batch(ready=self._ready)
        self._ready = None
        size = 0
        while self._logs and size < LOG_BYTES_PER_TRANSACTION:
            chunk = self._logs.popleft()
            size += len(chunk.data)
            batch.logs.append(chunk)
        self._log_bytes -= size
        # A finish never overtakes its own log, so finishes wait until all earlier log pieces fit.
        while self._finishes and not self._logs and len(batch.finishes) < FINISHES_PER_TRANSACTION:
            batch.finishes.append(self._finishes.popleft())
        batch.claims.extend(self._claims)
        self._claims.clear()
        return batch

    def _commit(self, worker_id: int, batch: _Batch) -> None:
        """Commit the batch, however long it takes. Raises _Void when it can never be."""
        refusal = self._attempt(worker_id, batch)
        if refusal is not None:
            _log.error("a batch of results is refused, so each is stored by itself: %s", refusal.message)
            self._commit_singly(worker_id, batch)

    def _attempt(self, worker_id: int, batch: _Batch) -> DagDeckError | None:
        """Try until the database answers; its refusal, or None when the batch is stored."""
        delay = FIRST_RETRY_DELAY
        while True:
            self._goes_on()
            try:
                self._transact(worker_id, batch)
                return None
            except LeaseLost as error:
                self._on_lease_lost(worker_id)
                raise _Void from error
            except EnvironmentFault as error:
                if not error.transient and (batch.finishes or batch.logs):
                    return error
                _log.warning("the database does not take results; trying again: %s", error.message)
                if self.stopping.is_set() or self._incarnation.lost:
                    raise _Void from error
                self.stopping.wait(delay)
                delay = min(delay * 2, LONGEST_RETRY_DELAY)
            except DagDeckError as error:
                return error

    def _transact(self, worker_id: int, batch: _Batch) -> None:
        pairs = batch.pairs()
        finished: list[tuple[int, TaskInstanceState | None]] = []
        won: list[ClaimedTask] = []
        if batch.finishes or pairs or batch.logs:
            finished, won = self._store.transact(worker_id, batch.finishes, pairs, batch.logs)
        self._gate.free(batch.asked() - len(won))
        deliveries = [delivery for claim in batch.claims for delivery in claim.deliveries]
        batch.claims = []
        ready = self._take_ready(worker_id, batch)
        if won or ready:
            self._on_claimed(worker_id, won + ready)
        if batch.finishes:
            self._on_committed([write.dispatch_no for write in batch.finishes])
        self._publish(worker_id, batch, dict(finished), won + ready)
        self._publisher.acknowledge(deliveries)

    def _take_ready(self, worker_id: int, batch: _Batch) -> list[ClaimedTask]:
        request = batch.ready
        if request is None:
            return []
        batch.ready = None
        try:
            taken = self._store.take_ready(worker_id, self._incarnation.identity.queues, request.limit)
            request.taken = len(taken)
        except EnvironmentFault as error:
            _log.warning("the database cannot be asked for work: %s", error.message)
            taken = []
        self._gate.free(request.limit - len(taken))
        request.done.set()
        return taken

    def _publish(
        self,
        worker_id: int,
        batch: _Batch,
        states: dict[int, TaskInstanceState | None],
        won: Sequence[ClaimedTask],
    ) -> None:
        finished = [_finished(write, state) for write in batch.finishes if (state := states.get(write.dispatch_no))]
        if finished or won:
            claimed = tuple([(task.run_key, task.ti_id, task.dispatch_no) for task in won])
            report = Report(worker_id, tuple(finished), claimed, self._gate.free_slots())
            if finished:
                self._reports.send(report)
            else:
                # Nobody waits for this one, and a short task's end must not wait for it here.
                self._publisher.append(REPORTS, [report])
            items = [(each.run_key, each.ti_id, each.state.value) for each in finished if each.ti_id > 0]
            items += [(task.run_key, task.ti_id, "running") for task in won if task.ti_id > 0]
            if any(write.outlet_events for write in batch.finishes):
                self._publisher.append(REPORTS, [Nudge("asset")])
            self._publisher.append(CHANGES, [Changed(tuple(items))])
            if any(write.unheard is not None for write in batch.finishes):
                self._publisher.append(REPORTS, [Nudge("work")])
        self._publisher.append(
            LOGS, [LogTail(chunk.ti_id, chunk.dispatch_no, chunk.offset, chunk.data) for chunk in batch.logs]
        )

    # ------------------------------------------------------------ when a batch cannot be stored

    def _commit_singly(self, worker_id: int, batch: _Batch) -> None:
        """Store each part by itself, so that one that the database refuses does not take the others with it."""
        parts = [_Batch(logs=[chunk]) for chunk in batch.logs]
        parts += [_Batch(finishes=[write]) for write in batch.finishes]
        parts.append(_Batch(claims=batch.claims, ready=batch.ready))
        for part in parts:
            refusal = self._attempt(worker_id, part)
            if refusal is not None:
                self._replace_refused(worker_id, part, refusal)

    def _replace_refused(self, worker_id: int, part: _Batch, refusal: DagDeckError) -> None:
        """Store the bare end of a dispatch whose full result is refused: without one it would seem to run for ever."""
        _log.error("this cannot be stored: %s", refusal.message)
        self._abandon(part)
        for write in part.finishes:
            bare = FinishWrite(
                run_key=write.run_key,
                ti_id=write.ti_id,
                dispatch_no=write.dispatch_no,
                state=TaskInstanceState.FAILED,
                start_date=write.start_date,
                end_date=write.end_date,
                duration=write.duration,
                error=f"its result could not be stored: {refusal.message}"[:ERROR_LENGTH],
                revoked=write.revoked,
            )
            while (again := self._attempt(worker_id, _Batch(finishes=[bare]))) is not None:
                _log.error("the end of dispatch %s cannot be stored: %s", write.dispatch_no, again.message)
                if self.stopping.wait(LONGEST_RETRY_DELAY):
                    raise _Void

    def _abandon(self, batch: _Batch) -> None:
        """The batch is void; give back the room that its claims hold. Harmless when it holds none any more."""
        self._gate.free(batch.asked())
        batch.claims = []
        if batch.ready is not None:
            self._gate.free(batch.ready.limit)
            batch.ready.done.set()
            batch.ready = None


def _finished(write: FinishWrite, state: TaskInstanceState) -> FinishedDispatch:
    own = state is write.state
    return FinishedDispatch(
        write.run_key,
        write.ti_id,
        write.dispatch_no,
        state,
        write.duration,
        write.next_at if own else None,
        write.effects if own else None,
    )
