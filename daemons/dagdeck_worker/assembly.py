"""Puts a worker together from its adapters: which thread gets which of them, and how all of it ends.

Decides the wiring only. Called by the composition root with real adapters, and by tests with their twins.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.ports import REPORTS, Broker, BundleStore, TriggerStore, WorkerStore
from dagdeck_core.process_port import ProcessHost
from dagdeck_core.wire import Nudge
from dagdeck_io.bundles.trust import BundleTrust
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_worker.committer import Committer
from dagdeck_worker.confinement import Confinement
from dagdeck_worker.consumer import Consumer
from dagdeck_worker.execution import Execution, ExecutionLimits, Services
from dagdeck_worker.incarnation import Identity, Incarnation
from dagdeck_worker.lease import LeaseKeeper
from dagdeck_worker.limit_watch import LimitWatch
from dagdeck_worker.preparation import Preparer
from dagdeck_worker.queue_link import Publisher, QueueHealth, ReportSender
from dagdeck_worker.revocations import RevocationListener
from dagdeck_worker.runner_requests import RequestDesk, RunnerQueries
from dagdeck_worker.runners import RunnerPool
from dagdeck_worker.samples import Sampler
from dagdeck_worker.slots import Durations, SlotGate
from dagdeck_worker.trigger_desk import TriggerDesk
from dagdeck_worker.trigger_host import TriggerHost, TriggerLimits
from dagdeck_worker.worker import ExitCode, Inbox, StopLimits, Worker
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

JOIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """What the worker talks to. Every store and broker here is used by one thread and is an object of its own."""

    host: ProcessHost
    commits: WorkerStore
    lease: WorkerStore
    preparation: WorkerStore
    bundles: BundleStore
    queries: RunnerQueries
    hints: Broker
    revocations: Broker
    reports: Broker
    publishing: Broker
    cache: BundleCache
    triggers: TriggerStore | None = None
    """None: this worker runs no triggers."""
    trust: BundleTrust | None = None
    """Whose bundles it runs; None: all that the database holds."""
    tell_unpacking: Callable[[str | None], None] = lambda message: None
    """Gets why DAG code cannot be unpacked on this machine, and None when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The worker's settings. Seconds and bytes."""

    identity: Identity
    queue_off: bool = False
    lease_timeout: float = 20.0
    recycle_after_tasks: int = 500
    recycle_age: float = 60.0
    memory_growth_limit: int = 256 * 1024**2
    term_grace: float = 5.0
    start_timeout: float = 300.0
    drain_timeout: float = 600.0
    prefetch_below: float = 0.05
    prefetch_limit: int = 128
    poll_interval: float = 0.2
    poll_idle_interval: float = 1.0
    log_ship_interval: float = 2.0
    log_ship_bytes: int = 256 * 1024
    log_bytes: int = 64 * 1024**2
    xcom_bytes: int = 4 * 1024**2
    map_length: int = 1024
    metrics_interval: float = 1.0
    trigger_poll_interval: float = 2.0
    trigger_block_limit: float = 0.5
    trigger_cleanup_limit: float = 5.0
    stall_limit: float = 120.0
    """Seconds without a sign of life after which a thread counts as hanging."""
    confinement: Confinement = field(default_factory=Confinement)


class AssembledWorker:
    """A registered worker with its threads. `run` in one thread; `request_stop` from anywhere."""

    def __init__(self, adapters: Adapters, options: Options, worker_id: int, lifeline: Lifeline = UNWATCHED) -> None:
        """`lifeline` hears of the worker as long as its loop, its lease and its commits go on."""
        self._adapters = adapters
        self._lifeline = lifeline
        self._stall_limit = options.stall_limit
        self._stalled = False
        host, identity = adapters.host, options.identity
        self.incarnation = incarnation = Incarnation(identity, worker_id)
        health = QueueHealth()
        gate = SlotGate(identity.slots)
        durations = Durations(short_below=options.prefetch_below, limit=options.prefetch_limit, slots=identity.slots)
        self._pool = pool = RunnerPool(
            host,
            slots=identity.slots,
            recycle_after=options.recycle_after_tasks,
            recycle_age=options.recycle_age,
            memory_growth=options.memory_growth_limit,
            plain=options.confinement.plain,
        )
        self._inbox = inbox = Inbox(host)
        self._execution = execution = Execution(host, pool, gate, durations, incarnation, _execution_limits(options))
        limits = StopLimits(drain_timeout=options.drain_timeout, term_grace=options.term_grace)
        self._triggers = TriggerHost(host, incarnation, _trigger_limits(options)) if adapters.triggers else None
        self.worker = worker = Worker(host, inbox, execution, gate, incarnation, limits, self._triggers)
        self._reports = ReportSender(adapters.reports, health)
        self._publisher = Publisher(adapters.publishing, health, on_crash=worker.crashed)
        self._committer = Committer(
            adapters.commits,
            incarnation,
            gate,
            self._reports,
            self._publisher,
            on_claimed=inbox.poster(execution.claimed),
            on_committed=inbox.poster(execution.committed),
            on_lease_lost=inbox.poster(worker.lease_lost),
            on_crash=worker.crashed,
        )
        worker.connect(self._committer)
        self._lease = self._make_lease(options)
        self._takers = self._make_takers(options, health, gate)
        self._watch = LimitWatch(
            host, limited=execution.limited, on_excess=inbox.poster(execution.exceeded), on_crash=worker.crashed
        )
        self._helpers = self._make_helpers(options)
        if lifeline is not UNWATCHED:
            worker.watched_by(self._alive, lifeline)

    def _alive(self) -> None:
        """The worker's loop has come round: told on unless one of the threads hangs without which it is no worker."""
        silent = max((self._lease, self._committer), key=lambda thread: thread.silent_for())
        stalled = silent.silent_for() > self._stall_limit
        if stalled and not self._stalled:
            _log.error("the thread %s has hung for %g s", silent.name, self._stall_limit)
        self._stalled = stalled
        if not stalled:
            self._lifeline.alive()

    def _make_lease(self, options: Options) -> LeaseKeeper:
        return LeaseKeeper(
            self._adapters.lease,
            self._adapters.host,
            self.incarnation,
            lease_timeout=options.lease_timeout,
            on_revoked=self._inbox.poster(self._execution.revoke),
            on_drain=self._inbox.poster(self.worker.drain),
            on_lost=self._inbox.poster(self.worker.lease_lost),
            on_registered=self._inbox.poster(self.worker.registered),
            on_crash=self.worker.crashed,
        )

    def _make_takers(self, options: Options, health: QueueHealth, gate: SlotGate) -> Sequence[WorkerThread]:
        """What listens to the queue."""
        identity = options.identity
        consumer = Consumer(
            self._adapters.hints,
            health,
            gate,
            self._committer,
            queues=identity.queues,
            name=f"{identity.name}.{identity.pid}",
            queue_off=options.queue_off,
            poll_interval=options.poll_interval,
            poll_idle_interval=options.poll_idle_interval,
            on_crash=self.worker.crashed,
        )
        listener = RevocationListener(
            self._adapters.revocations,
            health,
            self.incarnation,
            on_revoked=self._inbox.poster(self._execution.revoke),
            on_crash=self.worker.crashed,
        )
        return consumer, listener

    def _make_helpers(self, options: Options) -> Sequence[WorkerThread]:
        """What prepares tasks, answers them and measures; the execution is complete after this."""
        adapters, execution = self._adapters, self._execution
        inbox, triggers = self._inbox, self._triggers
        preparer = Preparer(
            adapters.preparation,
            adapters.bundles,
            adapters.cache,
            trust=adapters.trust,
            tell=adapters.tell_unpacking,
            in_use=lambda: execution.bundles_in_use() | (triggers.bundles_in_use() if triggers else set()),
            on_prepared=inbox.poster(execution.prepared),
            on_failed=inbox.poster(execution.not_prepared),
            on_trigger_prepared=inbox.poster(triggers.prepared) if triggers else None,
            on_trigger_failed=inbox.poster(triggers.not_prepared) if triggers else None,
            on_crash=self.worker.crashed,
        )
        desk = RequestDesk(
            adapters.queries,
            xcom_limit=options.xcom_bytes,
            on_reply=inbox.poster(lambda asker, reply: self._asker(asker).reply(asker, reply)),
            is_live=lambda asker: self._asker(asker).is_live(asker),
            on_action=lambda action_id: self._publisher.append(REPORTS, [Nudge("action", str(action_id))]),
            on_crash=self.worker.crashed,
        )
        trigger_desk = self._make_trigger_desk(options, preparer, desk)
        services = Services(committer=self._committer, preparer=preparer, desk=desk, limited=self._watch.look)
        if trigger_desk is not None:
            services = replace(services, deferred=trigger_desk.look)
        execution.connect(services)
        sampler = Sampler(
            adapters.host,
            self._publisher,
            self.incarnation,
            interval=options.metrics_interval,
            running=execution.running,
            triggers=triggers.count if triggers else lambda: 0,
            on_crash=self.worker.crashed,
        )
        return (preparer, desk, sampler) if trigger_desk is None else (preparer, desk, sampler, trigger_desk)

    def _asker(self, asker: int) -> Execution | TriggerHost:
        """Who waits for the reply to a request: a dispatch, or, with a negative number, the triggerer."""
        return self._triggers if asker < 0 and self._triggers is not None else self._execution

    def _make_trigger_desk(self, options: Options, preparer: Preparer, requests: RequestDesk) -> TriggerDesk | None:
        """What claims triggers and stores their events; the trigger host is complete after this."""
        store, triggers, post = self._adapters.triggers, self._triggers, self._inbox.poster
        if store is None or triggers is None:
            return None
        desk = TriggerDesk(
            store,
            self.incarnation,
            self._publisher,
            poll_interval=options.trigger_poll_interval,
            on_claimed=post(triggers.claimed),
            on_gone=post(triggers.gone),
            on_committed=post(triggers.committed),
            on_released=post(triggers.released),
            on_crash=self.worker.crashed,
        )
        triggers.connect(desk, preparer, requests)
        return desk

    def run(self) -> ExitCode:
        """Serve until stopped, end every thread, and say goodbye to the database; why it ended.

        The caller closes host and stores.
        """
        ending = (*self._takers, *self._helpers, self._committer, self._publisher)
        for thread in (self._lease, *reversed(ending)):
            thread.start()
        ending = (self._watch, *ending)  # it begins by itself
        self._pool.keep_spare()
        try:
            code = self.worker.run()
        finally:
            for thread in ending:
                thread.stop()
            for thread in ending:
                if not thread.join(JOIN_SECONDS):
                    _log.warning("a thread of the worker does not end; the process ends without it")
            # The lease goes last: until here tasks or results may still depend on it.
            self._lease.stop()
            self._lease.join(JOIN_SECONDS)
            self._reports.close()
        if code is ExitCode.STOPPED:
            with contextlib.suppress(EnvironmentFault):  # the scheduler then finds the lease silent
                self._adapters.commits.stop(self.incarnation.worker_id)
        return code


def _execution_limits(options: Options) -> ExecutionLimits:
    return ExecutionLimits(
        term_grace=options.term_grace,
        start_timeout=options.start_timeout,
        log_ship_interval=options.log_ship_interval,
        log_ship_bytes=options.log_ship_bytes,
        log_bytes=options.log_bytes,
        xcom_bytes=options.xcom_bytes,
        map_length=options.map_length,
        hostname=options.identity.hostname,
        confinement=options.confinement,
    )


def _trigger_limits(options: Options) -> TriggerLimits:
    return TriggerLimits(
        capacity=options.identity.trigger_capacity,
        log_bytes=options.log_bytes,
        log_ship_interval=options.log_ship_interval,
        block_limit=options.trigger_block_limit,
        cleanup_limit=options.trigger_cleanup_limit,
    )
