"""The triggerer's dealings with the database: claiming triggers, storing what they yield, noticing what was cancelled.

Decides when the database is asked, and that nothing a trigger yielded is lost while it is down. Has a thread and a
connection of its own, so that waiting triggers never hold up tasks' results. Does not talk to the triggerer's process
(`trigger_host` does, in the main loop).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ports import LOGS, REPORTS, ClaimedTrigger, TriggerFiring, TriggerLog, TriggerStore
from dagdeck_core.wire import FiredTrigger, LogTail, Nudge, Report
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.queue_link import Publisher
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

CLAIMS_PER_TRANSACTION = 200
FIRINGS_PER_TRANSACTION = 200
LOG_BYTES_PER_TRANSACTION = 2 * 1024 * 1024
LOG_BACKLOG_BYTES = 8 * 1024 * 1024
"""With this much waiting, further lines are dropped rather than kept without bound."""
FIRST_RETRY_DELAY = 0.1
LONGEST_RETRY_DELAY = 2.0


@dataclass(slots=True)
class _Work:
    firings: list[TriggerFiring] = field(default_factory=list)
    logs: list[TriggerLog] = field(default_factory=list)


class TriggerDesk(WorkerThread):
    """See the module. Callbacks run in this thread: `on_claimed` gets the worker_id and claimed triggers, `on_gone` ids
    of triggers that are this worker's no more without having fired here, `on_committed` ids of those that have fired,
    `on_released` nothing once everything is free for others.
    """

    def __init__(
        self,
        store: TriggerStore,
        incarnation: Incarnation,
        publisher: Publisher,
        *,
        poll_interval: float,
        on_claimed: Callable[[int, Sequence[ClaimedTrigger]], None],
        on_gone: Callable[[Sequence[int]], None],
        on_committed: Callable[[Sequence[int]], None],
        on_released: Callable[[], None],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("triggers", on_crash)
        self._store = store
        self._incarnation = incarnation
        self._publisher = publisher
        self._poll_interval = poll_interval
        self._on_claimed = on_claimed
        self._on_gone = on_gone
        self._on_committed = on_committed
        self._on_released = on_released
        self._changed = threading.Condition()
        self._firings: list[TriggerFiring] = []
        self._logs: list[TriggerLog] = []
        self._log_bytes = 0
        self._look_now = False
        self._release_wanted = False
        self._room = 0
        self._known: dict[int, int] = {}
        """trigger_id → claim_no of what this worker holds, as far as this thread knows."""
        self._worker_id = incarnation.worker_id

    # ------------------------------------------------------------ from the main loop

    def set_room(self, room: int) -> None:
        """How many more triggers may be claimed now; 0 while none shall be."""
        with self._changed:
            if room > 0 and self._room <= 0:
                self._look_now = True
                self._changed.notify()
            self._room = room

    def look(self) -> None:
        """Something was deferred here: claim it at once. Thread-safe."""
        with self._changed:
            self._look_now = True
            self._changed.notify()

    def fire(self, firing: TriggerFiring) -> None:
        """Have an event stored."""
        with self._changed:
            self._firings.append(firing)
            self._changed.notify()

    def log(self, log: TriggerLog) -> bool:
        """Have lines stored; False when so many wait already that these are dropped."""
        with self._changed:
            if self._log_bytes > LOG_BACKLOG_BYTES:
                return False
            self._logs.append(log)
            self._log_bytes += len(log.data)
            self._changed.notify()
        return True

    def release(self) -> None:
        """Let others claim everything, after what waits has been stored."""
        with self._changed:
            self._release_wanted = True
            self._changed.notify()

    def is_idle(self) -> bool:
        """Whether nothing waits to be stored."""
        with self._changed:
            return not (self._firings or self._logs or self._release_wanted)

    def stop(self) -> None:
        """End after what waits has been stored, or at once while the database is down."""
        with self._changed:
            super().stop()
            self._changed.notify()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        next_look = time.monotonic() + self._poll_interval
        delay = FIRST_RETRY_DELAY
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, max(0.0, next_look - time.monotonic()))
                if self.stopping.is_set() and not (self._firings or self._logs or self._release_wanted):
                    return
                look, self._look_now = self._look_now, False
            try:
                self._follow_incarnation()
                self._store_what_waits()
                self._release_all()
                if look or time.monotonic() >= next_look:
                    next_look = time.monotonic() + self._poll_interval
                    self._look()
                delay = FIRST_RETRY_DELAY
            except EnvironmentFault as error:
                _log.warning("the database does not answer the triggerer; trying again: %s", error.message)
                if self.stopping.wait(delay):
                    return
                delay = min(delay * 2, LONGEST_RETRY_DELAY)
                self._look_now = True

    def _has_work(self) -> bool:
        return bool(self._firings or self._logs or self._look_now or self._release_wanted or self.stopping.is_set())

    def _follow_incarnation(self) -> None:
        """What an earlier registration held belongs to others now."""
        if self._worker_id != self._incarnation.worker_id or self._incarnation.lost:
            self._worker_id = self._incarnation.worker_id
            self._known = {}
            with self._changed:
                self._firings, self._logs, self._log_bytes = [], [], 0

    # ------------------------------------------------------------ events and lines

    def _store_what_waits(self) -> None:
        while True:
            with self._changed:
                for number, firing in enumerate(self._firings[:FIRINGS_PER_TRANSACTION]):
                    if not firing.event_id:  # kept from now on, so that a repeated commit stores no second event
                        self._firings[number] = replace(firing, event_id=self._store.new_id())
                work = _Work(firings=self._firings[:FIRINGS_PER_TRANSACTION], logs=self._next_logs())
            if not (work.firings or work.logs):
                return
            self._commit(work)
            with self._changed:
                del self._firings[: len(work.firings)]
                del self._logs[: len(work.logs)]
                self._log_bytes -= sum(len(log.data) for log in work.logs)

    def _next_logs(self) -> list[TriggerLog]:
        size = 0
        for number, log in enumerate(self._logs):
            size += len(log.data)
            if size > LOG_BYTES_PER_TRANSACTION and number:
                return self._logs[:number]
        return list(self._logs)

    def _commit(self, work: _Work) -> None:
        try:
            fired = self._store.commit(self._worker_id, work.firings, work.logs)
        except EnvironmentFault as error:
            if error.transient:
                raise
            fired = self._commit_singly(work, error)
        except DagDeckError as error:
            fired = self._commit_singly(work, error)
        over = [firing.trigger.trigger_id for firing in work.firings if firing.ends]
        for trigger_id in over:
            self._known.pop(trigger_id, None)
        if fired:
            self._publisher.append(REPORTS, [Report(self._worker_id, fired=tuple(fired))])
        if len(fired) < len(work.firings):
            # Events of others than tasks are read by the scheduler.
            self._publisher.append(REPORTS, [Nudge("trigger"), Nudge("asset")])
        if work.logs:
            self._publisher.append(
                LOGS, [LogTail(t.ti_id, t.dispatch_no, log.offset, log.data) for log in work.logs if (t := log.trigger)]
            )
        if over:
            self._on_committed(over)

    def _commit_singly(self, work: _Work, refusal: DagDeckError) -> list[FiredTrigger]:
        """Store each part by itself, so that one that the database refuses does not take the others with it."""
        _log.error("events of triggers are refused, so each is stored by itself: %s", refusal.message)
        fired: list[FiredTrigger] = []
        parts = [_Work(logs=[log]) for log in work.logs] + [_Work(firings=[firing]) for firing in work.firings]
        for part in parts:
            try:
                fired += self._store.commit(self._worker_id, part.firings, part.logs)
            except DagDeckError as error:
                if isinstance(error, EnvironmentFault) and error.transient:
                    raise
                for firing in part.firings:
                    _log.error("an event of trigger %s cannot be stored: %s", firing.trigger.classpath, error.message)
                    bare = TriggerFiring(
                        trigger=firing.trigger,
                        event_id=firing.event_id,
                        outcome=firing.outcome,
                        failed={"error": f"its event could not be stored: {error.message}"[:2000]},
                        ends=firing.ends,
                    )
                    fired += self._store.commit(self._worker_id, [bare])
        return fired

    # ------------------------------------------------------------ claims

    def _release_all(self) -> None:
        if not self._release_wanted:
            return
        if not self._incarnation.lost:
            self._store.release(self._worker_id)
        self._known = {}
        self._release_wanted = False
        self._on_released()

    def _look(self) -> None:
        """Claim what is free, and find what was cancelled."""
        if self._incarnation.lost:
            return
        counts = self._store.look(self._worker_id)
        if counts.held != len(self._known):
            self._compare()
        if counts.are_free and self._room > 0:
            claimed = self._store.claim(self._worker_id, min(self._room, CLAIMS_PER_TRANSACTION))
            self._known.update((trigger.trigger_id, trigger.claim_no) for trigger in claimed)
            if claimed:
                with self._changed:
                    self._room -= len(claimed)
                self._on_claimed(self._worker_id, claimed)
            if len(claimed) == CLAIMS_PER_TRANSACTION:
                self._look_now = True

    def _compare(self) -> None:
        held = self._store.held(self._worker_id)
        gone = [trigger_id for trigger_id, claim_no in self._known.items() if held.get(trigger_id) != claim_no]
        for trigger_id in gone:
            del self._known[trigger_id]
        if gone:
            self._on_gone(gone)
        strange = [trigger_id for trigger_id in held if trigger_id not in self._known]
        if strange:
            # A claim whose commit was not confirmed: give it back, so that it is claimed as a new one.
            _log.info("%d triggers were claimed without its being known here; all are claimed anew", len(strange))
            self._on_gone(list(self._known))
            self._known = {}
            self._store.release(self._worker_id)
            self._look_now = True
