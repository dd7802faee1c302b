"""Composition root of the DAG processor process.

Decides which adapters the loop gets and how the process begins and ends. Called by `dagdeckd`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_io.bundles.manifest import limits_of
from dagdeck_io.bundles.scan import FolderScanner
from dagdeck_io.bundles.signing import signing_key_of
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_io.composition import broker_of, database_of
from dagdeck_io.db.measurements import DAG_PROCESSOR
from dagdeck_io.settings import Settings
from dagdeck_io.settings.user_code import environment_for_user_code
from dagdeck_io.user_python import python_for_user_code
from dagdeck_io.zones import load_zone
from dagdeck_master.dag_processor.answers import answer_request
from dagdeck_master.dag_processor.child_process import ChildOptions, ParsingChild
from dagdeck_master.dag_processor.meter import Meter
from dagdeck_master.dag_processor.pool import ParsingPool
from dagdeck_master.dag_processor.process_tree import adopt_orphans
from dagdeck_master.dag_processor.processor import DagProcessor, ParseDefaults
from dagdeck_master.dag_processor.publisher import DatabasePublisher

if TYPE_CHECKING:
    from dagdeck_master.dag_processor.portable_child import PortableParsingChild

BUNDLE_NAME = "dags-folder"

logger = logging.getLogger(__name__)


def child_class(settings: Settings) -> type[ParsingChild | PortableParsingChild]:
    """The form of parsing children for this system and these settings."""
    if not settings.supervisor.is_portable:
        return ParsingChild
    from dagdeck_master.dag_processor.portable_child import PortableParsingChild

    return PortableParsingChild


def run_dag_processor(settings: Settings, *, ready: Callable[[], None], lifeline: Lifeline = UNWATCHED) -> int:
    """Watch the DAG folder until SIGTERM or SIGINT; the exit code.

    Raises UserError or EnvironmentFault for what keeps it from starting; a database or queue that goes away
    later is waited for. `ready` is called after the first look at the folder.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    own = settings.dag_processor
    limits = limits_of(own)
    options = ChildOptions(
        memory_limit=own.memory_limit,
        max_output=own.max_output_bytes,
        handed_over=environment_for_user_code(settings),
        python=python_for_user_code(settings),
    )
    signing_key = partial(signing_key_of, settings.paths.home, settings.security.bundle_signing_key)
    signing_key()  # a key that cannot be used is told now, not with the first bundle
    database = database_of(settings)
    broker = broker_of(settings)
    try:
        queries = database.worker_queries()
        pool = ParsingPool(
            launch=partial(child_class(settings), options),
            answer=lambda request: answer_request(queries, request),
            parallel=own.parallel_children,
            timeout=own.parse_timeout,
            owns_children=not settings.supervisor.is_portable and adopt_orphans(),
            lifeline=lifeline,
        )
        store = database.processor_store()
        store.paused_at_creation = own.paused_at_creation
        measurements = database.measurements(DAG_PROCESSOR, f"{socket.gethostname()}:{os.getpid()}")
        processor = DagProcessor(
            scanner=FolderScanner(name=BUNDLE_NAME, root=settings.paths.dags_folder, limits=limits),
            # Only the current version is needed, and the one before it, from which unchanged files are linked.
            cache=BundleCache(settings.paths.home / "dag_processor", max_bytes=0, limits=limits),
            pool=pool,
            publisher=DatabasePublisher(
                bundle_name=BUNDLE_NAME,
                host=socket.gethostname(),
                pid=os.getpid(),
                store_of_dags=store,
                bundles=database.bundle_store(),
                broker=broker,
                zones=load_zone,
                signing_key=signing_key,
            ),
            refresh_interval=own.refresh_interval,
            defaults=ParseDefaults(
                cron_data_intervals=settings.scheduler.create_cron_data_intervals,
                delta_data_intervals=settings.scheduler.create_delta_data_intervals,
                catchup=settings.scheduler.catchup_by_default,
            ),
            lifeline=lifeline,
            meter=Meter(measurements.publish, settings.metrics.interval),
        )
        logger.info("watching %s every %g s", settings.paths.dags_folder, own.scan_interval)
        gc.collect()
        gc.freeze()
        processor.run(stop, scan_interval=own.scan_interval, first_round_done=ready)
    finally:
        broker.close()
        database.close()
    return 0
