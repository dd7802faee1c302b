"""Composition root of the scheduler process.

Decides which adapters the loop gets and how the process begins and ends. Nothing else constructs adapters here.
Called by `dagdeckd`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

from dagdeck_io.db.engine import open_database

from dagdeck_core.scheduling.world import MachineSettings
from dagdeck_io.broker.opening import open_broker
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.settings import Settings
from dagdeck_io.zones import load_zone
from dagdeck_master.scheduler.loop import LoopSettings, SchedulerLoop
from dagdeck_master.scheduler.rounds import RoundSettings

log = logging.getLogger(__name__)


class _SharedIds:
    """The process's id maker in the shape of the machine's source: the maker's own clock decides."""

    def __init__(self, maker: IdMaker) -> None:
        self._maker = maker

    def next(self, now_ms: int) -> int:
        """A new id; `now_ms` is about what the maker's clock says."""
        return self._maker.next()


def run_scheduler(settings: Settings, *, ready: Callable[[], None]) -> int:
    """Run a scheduler until SIGTERM or SIGINT; the exit code.

    Raises UserError or EnvironmentFault for what keeps it from starting at all; a database or a queue
    that goes away later is waited for.
    """
    sys.setswitchinterval(0.001)
    database = open_database(settings, process="scheduler")
    reader = open_broker(settings.queue.url, cluster=settings.queue.cluster)
    sender = open_broker(settings.queue.url, cluster=settings.queue.cluster)
    ids = database.id_maker()
    loop = SchedulerLoop(
        store=database.scheduler_store(),
        reader=reader,
        sender=sender,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        ids=lambda: _SharedIds(ids),
        zones=load_zone,
        settings=loop_settings(settings),
    )

    def stop(number: int, frame: FrameType | None) -> None:
        loop.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    ready()
    try:
        loop.run()
    finally:
        reader.close()
        sender.close()
        database.close()
    return 0


def loop_settings(settings: Settings) -> LoopSettings:
    """The loop's settings out of all settings."""
    own = settings.scheduler
    return LoopSettings(
        machine=MachineSettings(
            lease_time=own.lease_timeout,
            max_rows=own.max_rows_per_transaction,
            reoffer_after=own.reoffer_after,
            most_runs_per_step=own.max_runs_created_per_dag_per_loop,
        ),
        rounds=RoundSettings(
            worker_interval=min(own.lease_timeout / 10, 2.0),
            action_interval=own.action_poll,
            dag_interval=min(own.action_poll * 2, 10.0),
            reconcile_interval=own.reconcile_interval,
            reconcile_interval_without_queue=min(own.reconcile_interval, 1.0),
        ),
        takeover_timeout=own.takeover_timeout,
        queue_probe_interval=own.queue_probe_interval,
    )
