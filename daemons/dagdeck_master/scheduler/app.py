"""Composition root of the scheduler process.

Decides which adapters the loop gets and how the process begins and ends. Nothing else constructs adapters here.
Called by `dagdeckd`.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_io.broker import OffBroker
from dagdeck_io.composition import audit_key_of, broker_of, database_of, retention_of
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database
from dagdeck_io.db.measurements import SCHEDULER
from dagdeck_io.db.problems import Problem
from dagdeck_io.settings import Settings
from dagdeck_io.zones import load_zone
from dagdeck_master.scheduler.housekeeping import Housekeeping
from dagdeck_master.scheduler.identity import is_dead_owner, owner_name
from dagdeck_master.scheduler.loop import LoopSettings, SchedulerLoop
from dagdeck_master.scheduler.rounds import RoundSettings

log = logging.getLogger(__name__)


def run_scheduler(settings: Settings, *, ready: Callable[[], None], lifeline: Lifeline = UNWATCHED) -> int:
    """Run a scheduler until SIGTERM or SIGINT; the exit code.

    Raises UserError or EnvironmentFault for what keeps it from starting at all; a database or a queue
    that goes away later is waited for.
    """
    sys.setswitchinterval(0.001)
    # Every job that it fires is a line at INFO; what follows from it is told by the loop.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    database = database_of(settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopping.set())
    if not wait_for(database, settings, stopping):
        return 0
    reader, sender = broker_of(settings), broker_of(settings)
    owner = owner_name()
    loop = SchedulerLoop(
        store=database.scheduler_store(takeover=settings.scheduler.takeover_timeout, is_dead=is_dead_owner),
        reader=reader,
        sender=sender,
        owner=owner,
        ids=database.id_source,
        zones=load_zone,
        settings=loop_settings(settings),
        housekeeping=_housekeeping(settings, database),
        sealing=Housekeeping(
            database.audit_chain(audit_key_of(settings)).step,
            settings.security.audit_seal_interval,
            name="audit chain",
            failed="new audit records are not chained yet",
        ),
        lifeline=lifeline,
        has_queue=not isinstance(reader, OffBroker),
        publish=database.measurements(SCHEDULER, owner).publish,
    )

    def stop(number: int, frame: FrameType | None) -> None:
        loop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    ready()
    try:
        if not stopping.is_set():
            loop.run()
    finally:
        reader.close()
        sender.close()
        database.close()
    return 0


def _housekeeping(settings: Settings, database: Database) -> Housekeeping:
    problems = database.problems(f"scheduler on {socket.gethostname()}")

    def tell(message: str | None) -> None:
        if message is None:
            problems.over(Problem.RETENTION)
        else:
            problems.tell(Problem.RETENTION, message)

    return Housekeeping(retention_of(database, settings).step, settings.retention.interval, tell=tell)


def wait_for(database: Database, settings: Settings, stopping: threading.Event) -> bool:
    """Wait until the database answers; False when the process was told to stop meanwhile.

    Raises EnvironmentFault for what no waiting mends (a wrong password, a schema of another release).
    """
    pause = 0.2
    while not stopping.is_set():
        try:
            if database.schema_revision() != migrations.HEAD:
                migrations.check(settings.database.address)
            for warning in database.check_durability():
                log.warning("%s", warning)
            return True
        except EnvironmentFault as fault:
            if not fault.transient:
                raise
            log.warning("waiting for the database, next attempt in %.1f s: %s", pause, fault)
            stopping.wait(pause)
            pause = min(pause * 2, 5.0)
    return False


def loop_settings(settings: Settings) -> LoopSettings:
    """The loop's settings out of all settings."""
    own = settings.scheduler
    return LoopSettings(
        machine=MachineSettings(
            lease_time=own.lease_timeout,
            max_rows=own.max_rows_per_transaction,
            reoffer_after=own.reoffer_after,
            most_runs_per_step=own.max_runs_created_per_dag_per_loop,
            most_instances=own.max_mapped_instances,
            most_downstream_keys=own.partition_mapper_max_downstream_keys,
        ),
        rounds=RoundSettings(
            worker_interval=min(own.lease_timeout / 10, 2.0),
            action_interval=own.action_poll,
            dag_interval=min(own.action_poll * 2, 10.0),
            asset_interval=min(own.action_poll * 2, 10.0),
            reconcile_interval=own.reconcile_interval,
            reconcile_interval_without_queue=min(own.reconcile_interval, 1.0),
        ),
        takeover_timeout=own.takeover_timeout,
        queue_probe_interval=own.queue_probe_interval,
        publish_interval=settings.metrics.interval,
    )
