"""From settings to adapters: what every composition root does in the same way.

Decides which settings become which argument of an adapter. Does not decide which adapters a process has. Called by
composition roots (`app.py` of each daemon) only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from dagdeck_io.broker import QueueBroker, broker_for
from dagdeck_io.db.engine import Database, DatabaseOptions, open_database
from dagdeck_io.db.url import parse_url
from dagdeck_io.key_source import keys_of
from dagdeck_io.settings import Settings

if TYPE_CHECKING:
    from dagdeck_io.audit.seals import SealingKey
    from dagdeck_io.db.retention import Retention


def database_of(settings: Settings) -> Database:
    """The metadata database that the settings name; it connects when first used.

    Raises UserError for a bad URL or key, and when a database that is no file on this machine has no key.
    """
    own = settings.database
    options = DatabaseOptions(
        lock_wait=own.lock_wait,
        connect_timeout=own.connect_timeout,
        read_timeout=own.read_timeout,
        pool_size=own.pool_size,
        pool_overflow=own.pool_overflow,
        pool_recycle=own.pool_recycle,
        sqlite_synchronous=own.sqlite_synchronous,
    )
    return open_database(own.address, key=keys_of(settings), options=options)


def secret_key_of(settings: Settings) -> str:
    """The keys that encrypt variables and connections, as they are now. Raises UserError when there are none."""
    return keys_of(settings).current()


def import_adapters(settings: Settings) -> None:
    """Import what the two functions above and below import on demand, for whoever forks processes that call them.

    Connects to nothing. Raises UserError for a bad database URL.
    """
    url = parse_url(settings.database.address)
    url.url.get_dialect().import_dbapi()
    if url.kind == "mysql":
        importlib.import_module("dagdeck_io.db.mysql")
    if settings.queue.address.startswith(("redis:", "rediss:")):
        importlib.import_module("dagdeck_io.broker.redis_broker")


def broker_of(settings: Settings) -> QueueBroker:
    """One more adapter of the queue that the settings name; each thread that blocks has its own."""
    return broker_for(settings.queue)


def retention_of(database: Database, settings: Settings) -> Retention:
    """What deletes old rows of this database."""
    # Imported here: most processes delete nothing.
    from dagdeck_io.db.sweeps import RetentionPeriods

    own = settings.retention
    periods = RetentionPeriods(
        dag_runs=timedelta(days=own.dag_runs_days),
        transitions=timedelta(days=own.transitions_days),
        rendered_fields=timedelta(days=own.rendered_fields_days),
        xcoms=timedelta(days=own.xcoms_days),
        logs=timedelta(days=settings.logs.retention_days),
        audit=timedelta(days=own.audit_days),
        actions=timedelta(days=own.actions_days),
        callbacks=timedelta(days=own.callbacks_days),
        asset_events=timedelta(days=own.asset_events_days),
        workers=timedelta(days=own.workers_days),
        tokens=timedelta(days=own.tokens_days),
        code=timedelta(days=own.code_days),
        stale_dags=timedelta(days=own.stale_dags_days),
        rows_per_step=own.rows_per_transaction,
        longest_step=own.transaction_time,
    )
    archive = None
    if own.archive_folder is not None:
        from dagdeck_io.archive import ArchiveWriter

        keep = timedelta(days=own.archive_days) if own.archive_days else None
        archive = ArchiveWriter(folder=own.archive_folder, keep=keep)
    return database.retention(periods, archive, audit_key_of(settings))


def audit_key_of(settings: Settings) -> Callable[[], SealingKey]:
    """How to get the key that seals the audit log: this master's own, made when it is asked for the first time."""
    from dagdeck_io.audit.seals import sealing_key_of

    return lambda: sealing_key_of(settings.paths.home)
