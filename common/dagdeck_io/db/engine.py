"""One process's access to the metadata database: the object from which all stores are made.

Decides which connections there are: small pools through SQLAlchemy for everything cold, and one connection of its own
for each store on the hot path, for each lease and for ids. Does not decide what a store does. Called by composition
roots: `open_database(url, key=…)`; nothing here is global.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError
from dagdeck_core.ids import IdSource
from dagdeck_io.db.bundle_store import SqlBundleStore
from dagdeck_io.db.dialects import HotConnection, prove_guard
from dagdeck_io.db.faults import translated
from dagdeck_io.db.ids import IdMaker, NodeLease
from dagdeck_io.db.leadership import Leadership
from dagdeck_io.db.measurements import Measurements
from dagdeck_io.db.problems import Problems
from dagdeck_io.db.processor_store import SqlProcessorStore
from dagdeck_io.db.scheduler_store import SqlSchedulerStore
from dagdeck_io.db.sqlite import SqliteConnection, SqliteDialect, prepare_file, set_up
from dagdeck_io.db.trigger_store import SqlTriggerStore
from dagdeck_io.db.url import DatabaseUrl, encrypt, mysql_session, parse_url
from dagdeck_io.db.worker_actions import SqlWorkerActions
from dagdeck_io.db.worker_queries import SqlWorkerQueries
from dagdeck_io.db.worker_store import SqlWorkerStore
from dagdeck_io.secrets import FIELD, Keys, Vault

if TYPE_CHECKING:
    from dagdeck_io.audit.seals import SealingKey
    from dagdeck_io.db.audit_chain import AuditChain
    from dagdeck_io.db.purge import Archive
    from dagdeck_io.db.retention import Retention
    from dagdeck_io.db.sweeps import RetentionPeriods

_log = logging.getLogger(__name__)
_WRITES = "dagdeck_writes"
_USED_AT = "dagdeck_used_at"
TRUSTED_SECONDS = 1.0
"""A pooled connection that was used so recently is taken to be alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """Waits in seconds and sizes of pools; the settings of section `database`."""

    lock_wait: float = 2.0
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    pool_size: int = 2
    pool_overflow: int = 8
    pool_recycle: float = 1800.0
    sqlite_synchronous: str = "full"


class Database:
    """See the module. Thread-safe, apart from the stores that it makes. Connects when first used."""

    def __init__(self, url: DatabaseUrl, vault: Vault | None, options: DatabaseOptions) -> None:
        self.url = url
        self.options = options
        self._vault = vault
        self._connect = _connector(url, options)
        self._made: list[HotConnection] = []
        self._proven = False
        if url.path is not None:
            prepare_file(url.path)
        self.engine = _engine(url, options)
        owner = f"{socket.gethostname()}:{os.getpid()}"
        self.ids = IdMaker(lease=NodeLease(connection=self._connection(), owner=owner))

    @property
    def name(self) -> str:
        """The database for people, without its password."""
        return self.url.shown

    @property
    def kind(self) -> str:
        """ "mysql" (MariaDB too) or "sqlite"."""
        return self.url.kind

    @property
    def clock(self) -> str:
        """The database's own time as an expression that fits an instant's column."""
        return self._connect().dialect.now

    @property
    def vault(self) -> Vault:
        """Encrypts and decrypts. Raises UserError when the database was opened without a key."""
        if self._vault is None:
            raise UserError("variables and connections need a key", field=FIELD, remedy="Set it")
        return self._vault

    @property
    def connections_in_use(self) -> int:
        """How many pooled connections are at work now."""
        in_use: int = getattr(self.engine.pool, "checkedout", int)()
        return in_use

    def new_id(self) -> int:
        """A new row id."""
        return self.ids.next()

    def id_source(self) -> IdSource:
        """A source of ids for the scheduling machine; the scheduler's store keeps its node alive."""
        return self.ids.source()

    # -------------------------------------------------------------- through SQLAlchemy

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reads that belong together."""
        with translated(self.name), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of the block, or leaves nothing.

        Raises DuplicateRow for a key that exists, Contention after a deadlock or a long wait, EnvironmentFault.
        """
        self.ids.keep()  # not later: within the block, SQLite could not renew
        with translated(self.name), self.engine.connect() as connection:
            with connection.execution_options(**{_WRITES: True}).begin():
                yield connection

    # -------------------------------------------------------------- stores

    def scheduler_store(
        self,
        *,
        takeover: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        is_dead: Callable[[str], bool] = lambda owner: False,
    ) -> SqlSchedulerStore:
        """The scheduler's store, on a connection of its own. `takeover`: seconds of silence of a dead leader.

        `is_dead` tells of an owner whether it is known to be dead, so that its lease is free at once.
        """
        connection = self._proven_connection()
        leadership = Leadership(
            connection=connection, name="scheduler", takeover=takeover, monotonic=monotonic, is_dead=is_dead
        )
        return SqlSchedulerStore(connection=connection, leadership=leadership, ids=self.ids, vault=self._vault)

    def worker_store(self) -> SqlWorkerStore:
        """A worker's store for the thread that ends and claims, on a connection of its own."""
        return SqlWorkerStore(connection=self._proven_connection(), ids=self.ids, vault=self._vault)

    def lease_store(self) -> SqlWorkerStore:
        """A worker's store for the thread that renews, on a connection of its own."""
        return SqlWorkerStore(connection=self._connection(), ids=self.ids, vault=self._vault)

    def trigger_store(self) -> SqlTriggerStore:
        """A triggerer's store, on a connection of its own."""
        return SqlTriggerStore(connection=self._connection(), ids=self.ids, vault=self._vault)

    def worker_queries(self, *, state_retention: timedelta | None = None) -> SqlWorkerQueries:
        """What runners ask for, on a connection of its own. Tasks' states that do not say are kept for
        `state_retention`, or as long as their run."""
        connection = self._connection()
        actions = SqlWorkerActions(connection=connection, new_id=self.new_id)
        return SqlWorkerQueries(
            connection=connection, vault=self._vault, actions=actions, default_retention=state_retention
        )

    def processor_store(self, *, paused_at_creation: bool = True) -> SqlProcessorStore:
        """The DAG processor's store; `paused_at_creation`: whether a new DAG that says nothing starts paused."""
        return SqlProcessorStore(database=self, paused_at_creation=paused_at_creation, vault=self._vault)

    def bundle_store(self) -> SqlBundleStore:
        """Content-addressed DAG code."""
        return SqlBundleStore(database=self)

    def retention(
        self,
        periods: RetentionPeriods,
        archive: Archive | None = None,
        audit_key: Callable[[], SealingKey] | None = None,
    ) -> Retention:
        """Deletes what is older than it has to be kept, on a connection of its own; `archive` gets it before.

        The audit log is cut only with an `audit_key`, which signs where.
        """
        from dagdeck_io.db.audit_chain import AuditChain
        from dagdeck_io.db.retention import Retention

        connection = self._connection()
        audit = None if audit_key is None else AuditChain(connection=connection, key=audit_key)
        return Retention(connection=connection, periods=periods, archive=archive, audit=audit, new_id=self.new_id)

    def measurements(self, name: str, owner: str) -> Measurements:
        """Publishes the figures of the daemon `name`, on a connection of its own."""
        return Measurements(connection=self._connection(), name=name, owner=owner)

    def audit_chain(self, key: Callable[[], SealingKey]) -> AuditChain:
        """Chains the audit log, on a connection of its own; `key` gives what to seal with when it is needed."""
        from dagdeck_io.db.audit_chain import AuditChain  # most processes chain nothing

        return AuditChain(connection=self._connection(), key=key)

    def problems(self, owner: str) -> Problems:
        """Tells what `owner` (for people) cannot do now, on a connection of its own that is made when needed."""
        return Problems(connection=self._connection(), owner=owner)

    def schema_revision(self) -> str | None:
        """The revision that the database says to have; None when it says none. Costs one read.

        Raises EnvironmentFault when the database does not answer.
        """
        connection = self._connect()
        script = connection.script()
        script.read("SELECT version_num FROM alembic_version")
        try:
            (rows,) = connection.run(script, begin=False, commit=False)
        except EnvironmentFault as fault:
            if fault.transient:
                raise
            return None  # there is no such table
        finally:
            connection.close()
        return str(rows[0][0]) if rows else None

    def check_durability(self) -> list[str]:
        """Plain warnings about server settings that lose committed work when a machine fails."""
        connection = self._connection()
        try:
            return connection.check_durability()
        finally:
            connection.close()

    def close(self) -> None:
        """Give the node number back and disconnect everything."""
        try:
            self.ids.close()
        except DagDeckError as error:
            _log.debug("the node number could not be given back: %s", error)
        for connection in self._made:
            connection.close()
        self.engine.dispose()

    # -------------------------------------------------------------- connections

    def hot_connection(self) -> HotConnection:
        """One more connection for scripts, which `close` closes."""
        return self._connection()

    def _connection(self) -> HotConnection:
        made = self._connect()
        self._made.append(made)
        return made

    def _proven_connection(self) -> HotConnection:
        connection = self._connection()
        if not self._proven:
            prove_guard(connection)
            self._proven = True
        return connection


def open_database(url: str, *, key: str | Keys | None = None, options: DatabaseOptions | None = None) -> Database:
    """The database at `url`; `key` is one Fernet key or several, newest first, or their source (see `secrets.Vault`).

    Raises UserError for a bad URL or key; whether the server answers shows when it is first used.
    """
    return Database(parse_url(url), None if key is None else Vault(key), options or DatabaseOptions())


def _engine(url: DatabaseUrl, options: DatabaseOptions) -> sa.Engine:
    sizes: dict[str, Any] = {"pool_size": options.pool_size, "max_overflow": options.pool_overflow}
    if url.kind == "mysql":
        # DATABASE errors are ours to show; parameters may hold secrets.
        engine = sa.create_engine(
            url.url,
            pool_recycle=options.pool_recycle,
            pool_timeout=10,
            hide_parameters=True,
            connect_args={
                "charset": "utf8mb4",
                "connect_timeout": options.connect_timeout,
                "read_timeout": options.read_timeout,
                "write_timeout": options.read_timeout,
            },
            **sizes,
        )
        encrypt(engine, url)
        sa.event.listen(engine, "connect", _set_session(options))
        sa.event.listen(engine, "checkin", _note_use)
        sa.event.listen(engine, "checkout", _prove_alive)
        return engine
    engine = sa.create_engine(url.url, hide_parameters=True, connect_args={"timeout": 5.0}, **sizes)

    def connected(connection: Any, entry: ConnectionPoolEntry) -> None:
        set_up(connection, options.sqlite_synchronous)

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_session(options: DatabaseOptions) -> Callable[[Any, ConnectionPoolEntry], None]:
    def connected(connection: Any, entry: ConnectionPoolEntry) -> None:
        with connection.cursor() as cursor:
            for statement in mysql_session(options.lock_wait):
                cursor.execute(statement)

    return connected


def _note_use(connection: Any, entry: ConnectionPoolEntry) -> None:
    entry.info[_USED_AT] = time.monotonic()


def _prove_alive(connection: Any, entry: ConnectionPoolEntry, proxy: Any) -> None:
    """Ask a connection that was idle for a while whether it lives, before it is used; the pool replaces a dead one.

    One that was used a moment ago is trusted: asking costs a round trip of each of the API's requests.
    """
    if time.monotonic() - entry.info.get(_USED_AT, 0.0) < TRUSTED_SECONDS:
        return
    try:
        connection.ping(reconnect=False)
    except Exception as error:
        raise sa.exc.DisconnectionError("the server has closed an idle connection") from error


def _begin_sqlite(connection: sa.Connection) -> None:
    """The driver begins nothing by itself (set_up): a writer takes its lock here, where it can wait for it."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _connector(url: DatabaseUrl, options: DatabaseOptions) -> Callable[[], HotConnection]:
    """Makes hot connections; all of them share one dialect."""
    if url.path is not None:
        path, sqlite = url.path, SqliteDialect()
        return lambda: SqliteConnection(path=path, dialect=sqlite, synchronous=options.sqlite_synchronous)
    # Imported here: a process on SQLite does without the driver.
    from dagdeck_io.db.mysql import MySqlConnection, MySqlDialect

    dialect, database = MySqlDialect(), url.shown
    # The driver's arguments for this URL, as SQLAlchemy understands it.
    _, arguments = url.url.get_dialect()().create_connect_args(url.url)
    return lambda: MySqlConnection(
        arguments=dict(arguments),
        dialect=dialect,
        database=database,
        encryption=url.encryption,
        lock_wait=options.lock_wait,
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
    )
