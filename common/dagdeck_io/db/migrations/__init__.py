"""The schema's revisions: bringing a database to the newest one, and saying which one it has.

Decides when that is safe: one process at a time (a lock in the database), never on another program's tables, never
back from a newer revision. An empty database gets all tables at once, without Alembic's import (a test proves that
this gives the same schema); anything else goes through Alembic. Called by `dagdeckd db …` and by daemons at start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.db.faults import translated
from dagdeck_io.db.sqlite import prepare_file, set_up
from dagdeck_io.db.tables import metadata, pool
from dagdeck_io.db.url import DatabaseUrl, encrypt, mysql_session, parse_url

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
)
"""All revisions, oldest first."""
HEAD = REVISIONS[-1]
DEFAULT_POOL_SLOTS = 128
_LOCK_SECONDS = 120
_VERSION_TABLE = "alembic_version"
_version = sa.table(_VERSION_TABLE, sa.column("version_num"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a database holds now."""

    revision: str | None
    is_empty: bool


def upgrade(url: str) -> None:
    """Bring the schema to the newest revision. Harmless when it is there, and when several processes do it at once.

    Raises EnvironmentFault for a database that is newer than this program, or that another program uses.
    """
    target = parse_url(url)
    if target.path is not None:
        prepare_file(target.path)
    with _connected(target) as connection:
        if _look(connection).revision == HEAD:
            return
        with _alone(connection, target):
            found = _look(connection)
            if found.revision == HEAD:
                return
            _refuse_unknown(found, target)
            if found.is_empty:
                create_all(connection)
            else:
                run_revisions(connection)


def current(url: str) -> str | None:
    """The revision of the database's schema; None when it has none of ours."""
    target = parse_url(url)
    if target.path is not None and not target.path.exists():
        return None
    with _connected(target) as connection:
        return _look(connection).revision


def check(url: str) -> None:
    """Return when the schema is the one of this program. Raises EnvironmentFault that says what to do when not."""
    target = parse_url(url)
    missing = target.path is not None and not target.path.exists()
    if missing:
        found = _Found(revision=None, is_empty=True)
    else:
        with _connected(target) as connection:
            found = _look(connection)
    if found.revision == HEAD:
        return
    _refuse_unknown(found, target)
    state = "is empty" if found.is_empty else f"has the schema of revision {found.revision}, not {HEAD}"
    raise EnvironmentFault(
        f"the database {target.shown} {state}", transient=False, remedy="Run `dagdeckd db upgrade` once"
    )


def create_all(connection: sa.Connection) -> None:
    """Give an empty database all tables of the newest revision, and what every database begins with."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(
        pool.insert().values(
            name="default_pool", slots=DEFAULT_POOL_SLOTS, description="Default pool", include_deferred=False
        )
    )
    connection.exec_driver_sql(
        f"CREATE TABLE {_VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {_VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
    )
    connection.execute(_version.insert().values(version_num=HEAD))


def run_revisions(connection: sa.Connection) -> None:
    """Run every revision that the database does not have, by Alembic."""
    from alembic.config import Config
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", f"{__name__}:")
    scripts = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(
        connection,
        opts={"fn": lambda revision, _: scripts._upgrade_revs("head", revision), "version_table": _VERSION_TABLE},
    )
    with Operations.context(context):
        context.run_migrations()


def _look(connection: sa.Connection) -> _Found:
    names = set(sa.inspect(connection).get_table_names())
    if _VERSION_TABLE not in names:
        return _Found(revision=None, is_empty=not names)
    revision = connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()
    return _Found(revision=revision, is_empty=False)


def _refuse_unknown(found: _Found, target: DatabaseUrl) -> None:
    if found.is_empty or found.revision in REVISIONS:
        return
    if found.revision is None:
        raise EnvironmentFault(
            f"the database {target.shown} holds tables of another program",
            transient=False,
            remedy="Give DagDeck a database of its own (database.url)",
        )
    raise EnvironmentFault(
        f"the database {target.shown} has the schema of revision {found.revision}, which this program does not know "
        f"(it knows up to {HEAD}): a newer DagDeck upgraded it",
        transient=False,
        remedy="Upgrade this program",
    )


@contextmanager
def _connected(target: DatabaseUrl) -> Iterator[sa.Connection]:
    """One connection of its own. On SQLite nothing begins by itself."""
    with translated(target.shown):
        arguments = {"timeout": float(_LOCK_SECONDS)} if target.kind == "sqlite" else {"connect_timeout": 5}
        engine = sa.create_engine(
            target.url, poolclass=sa.pool.NullPool, connect_args=arguments, isolation_level="AUTOCOMMIT"
        )
        encrypt(engine, target)
        if target.kind == "sqlite":
            sa.event.listen(engine, "connect", lambda connection, _: set_up(connection))
        try:
            with engine.connect() as connection:
                if target.kind == "mysql":
                    for statement in mysql_session(50):
                        connection.exec_driver_sql(statement)
                yield connection
        finally:
            engine.dispose()


@contextmanager
def _alone(connection: sa.Connection, target: DatabaseUrl) -> Iterator[None]:
    """The only process that changes this schema; on SQLite one transaction as well."""
    if target.kind == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
        return
    lock = f"dagdeck.schema.{target.url.database}"[:64]
    if connection.execute(sa.select(sa.func.get_lock(lock, _LOCK_SECONDS))).scalar() != 1:
        raise EnvironmentFault(f"another process has been upgrading {target.shown} for {_LOCK_SECONDS} s")
    try:
        yield
    finally:
        connection.execute(sa.select(sa.func.release_lock(lock)))
