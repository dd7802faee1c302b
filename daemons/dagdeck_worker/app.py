"""Composition root of the worker process.

Decides which adapters the worker gets and how the process begins: lock, keeper, database, registration, threads, in
this order, because the keeper must start before any thread and nothing may be claimed before registration.
Nothing else constructs adapters here. Called by `dagdeckd`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from importlib import metadata

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.process_port import ProcessHost
from dagdeck_io.bundles.manifest import limits_of
from dagdeck_io.bundles.trust import BundleTrust
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_io.composition import broker_of, database_of
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database
from dagdeck_io.db.problems import Problem, Problems
from dagdeck_io.settings import BundleSignatures, Settings
from dagdeck_io.settings.user_code import environment_for_user_code
from dagdeck_io.user_python import python_for_user_code
from dagdeck_worker.assembly import Adapters, AssembledWorker, Options
from dagdeck_worker.confinement import check_default_user, confinement_of
from dagdeck_worker.incarnation import Identity
from dagdeck_worker.name_lock import lock_name
from dagdeck_worker.worker import ExitCode

_log = logging.getLogger(__name__)

ENTRY = "dagdeck_task.runner_main:execute"
SWITCH_SECONDS = 0.001
"""How soon a waiting thread gets the interpreter: the default of 5 ms is longer than a whole hop."""
STALLED_STATEMENTS = 3
"""Statements in a row that may time out before a thread which waits for the database counts as hanging."""
FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0


def run_worker(settings: Settings, *, ready: Callable[[], None], lifeline: Lifeline = UNWATCHED) -> int:
    """Run a worker until SIGTERM or SIGINT (a second one ends its tasks at once); the exit code.

    Raises UserError or EnvironmentFault for what keeps it from starting at all; a database or a queue
    that is down is waited for.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    stopping = threading.Event()
    _on_signals(stopping.set)
    lock = lock_name(settings.paths.home, settings.worker.name, stopping)
    if lock is None:
        return ExitCode.STOPPED
    if settings.core.default_impersonation:
        check_default_user(settings.core.default_impersonation)
        _cache(settings).prepare()
    host = _host(settings, lock)
    database: Database | None = None
    try:
        database = database_of(settings)
        if not _wait_for(database, settings, stopping):
            return ExitCode.STOPPED
        return _serve(settings, host, database, stopping, ready, lifeline)
    finally:
        host.close()
        if database is not None:
            database.close()
        os.close(lock)


def _serve(
    settings: Settings,
    host: ProcessHost,
    database: Database,
    stopping: threading.Event,
    ready: Callable[[], None],
    lifeline: Lifeline,
) -> ExitCode:
    options = _options(settings)
    identity = options.identity
    adapters = _adapters(settings, host, database)
    worker_id = adapters.commits.register(
        name=identity.name,
        hostname=identity.hostname,
        slots=identity.slots,
        queues=identity.queues,
        version=identity.version,
        pid=identity.pid,
        trigger_capacity=identity.trigger_capacity,
    )
    assembled = AssembledWorker(adapters, options, worker_id, lifeline)
    _on_signals(assembled.worker.request_stop)
    if stopping.is_set():
        assembled.worker.request_stop()
    _log.info("worker %s (%s) takes %s with %s slots", identity.name, worker_id, identity.queues, identity.slots)
    ready()
    lifeline.status(f"takes {', '.join(identity.queues)} with {identity.slots} slots")
    # What was built until now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    return assembled.run()


def _host(settings: Settings, lock: int) -> ProcessHost:
    """The process host for this system; a keeper starts here."""
    handed_over = environment_for_user_code(settings)
    python = (python_for_user_code(settings), "-P")
    if sys.platform == "linux" and not settings.worker.portable_processes:
        from dagdeck_worker.hosts.linux import LinuxHost

        return LinuxHost(
            entry=ENTRY,
            sole_parent=True,
            held=(lock,),
            python=python,
            handed_over=handed_over,
            cgroup=settings.worker.cgroup,
            plain=confinement_of(settings).of_triggers,
        )
    from dagdeck_worker.hosts.portable import PortableHost

    return PortableHost(entry=ENTRY, held=(lock,), python=python, handed_over=handed_over)


def _adapters(settings: Settings, host: ProcessHost, database: Database) -> Adapters:
    return Adapters(
        host=host,
        commits=database.worker_store(),
        lease=database.lease_store(),
        preparation=database.lease_store(),
        bundles=database.bundle_store(),
        queries=database.worker_queries(state_retention=_state_retention(settings)),
        triggers=database.trigger_store() if settings.worker.triggerer else None,
        hints=broker_of(settings),
        revocations=broker_of(settings),
        reports=broker_of(settings),
        publishing=broker_of(settings),
        cache=_cache(settings),
        trust=_trust(settings),
        tell_unpacking=_tell_unpacking(database.problems(f"worker {settings.worker.name}")),
    )


def _cache(settings: Settings) -> BundleCache:
    own = settings.worker
    return BundleCache(own.bundle_cache, max_bytes=own.bundle_cache_bytes, limits=limits_of(settings.dag_processor))


def _tell_unpacking(problems: Problems) -> Callable[[str | None], None]:
    def tell(message: str | None) -> None:
        if message is None:
            problems.over(Problem.BUNDLES)
        else:
            problems.tell(Problem.BUNDLES, message)

    return tell


def _trust(settings: Settings) -> BundleTrust | None:
    own = settings.security
    if own.bundle_signatures is BundleSignatures.OFF:
        return None
    return BundleTrust(settings.paths.home, own.bundle_keys)


def _state_retention(settings: Settings) -> timedelta | None:
    days = settings.state_store.default_retention_days
    return timedelta(days=days) if days else None


def _options(settings: Settings) -> Options:
    own = settings.worker
    identity = Identity(
        name=own.name,
        hostname=socket.gethostname(),
        slots=own.slots,
        queues=own.queues,
        version=metadata.version("dagdeck"),
        pid=os.getpid(),
        trigger_capacity=own.trigger_capacity if own.triggerer else 0,
    )
    return Options(
        identity=identity,
        queue_off=settings.queue.url.partition(":")[0] == "off",
        lease_timeout=settings.scheduler.lease_timeout,
        recycle_after_tasks=own.recycle_after_tasks,
        memory_growth_limit=own.memory_growth_limit,
        term_grace=own.term_grace,
        drain_timeout=own.drain_timeout,
        prefetch_below=own.prefetch_below,
        prefetch_limit=own.prefetch_limit,
        poll_interval=own.poll_interval,
        poll_idle_interval=own.poll_idle_interval,
        trigger_poll_interval=own.trigger_poll_interval,
        trigger_block_limit=own.trigger_block_limit,
        log_ship_interval=own.log_ship_interval,
        log_ship_bytes=own.log_ship_bytes,
        log_bytes=settings.logs.max_bytes_per_try,
        xcom_bytes=settings.xcom.max_bytes,
        map_length=settings.core.max_map_length,
        metrics_interval=own.metrics_interval,
        stall_limit=STALLED_STATEMENTS * (settings.database.read_timeout + settings.database.connect_timeout),
        confinement=confinement_of(settings),
    )


def _wait_for(database: Database, settings: Settings, stopping: threading.Event) -> bool:
    """Wait until the database answers; False when the process was told to stop meanwhile.

    Raises EnvironmentFault or UserError for what no waiting mends: a wrong password, a schema of another revision.
    """
    pause = FIRST_WAIT
    while not stopping.is_set():
        try:
            migrations.check(settings.database.address)
            return True
        except EnvironmentFault as fault:
            if not fault.transient:
                raise
            _log.warning("waiting for the database %s, next attempt in %.1f s: %s", database.name, pause, fault)
            stopping.wait(pause)
            pause = min(pause * 2, LONGEST_WAIT)
    return False


def _on_signals(call: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: call())
