"""The schema's revisions: bringing a database to the newest one, and saying which one it has.

Decides when that is safe: one process at a time (a lock in the database), never on another program's tables, never
back from a newer revision. Interrupted anywhere, it goes on when it is called again: on SQLite nothing was done, on a
server what was done is left out (`resuming`).

An empty database gets all tables at once, without Alembic's import (a test proves that this gives the same schema);
anything else goes through Alembic. Called by `dagdeckd db …` and by daemons at start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    "0015",
    "0016",
    "0017",
)
"""All revisions, oldest first."""
HEAD = REVISIONS[-1]
DEFAULT_POOL_SLOTS = 128
_LOCK_SECONDS = 120
_VERSION_TABLE = "alembic_version"
_BEGUN = "begun"
"""Stands for the revision while an empty database gets its tables: no row of theirs can be anybody's."""
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
            if found.is_empty or found.revision == _BEGUN:
                create_all(connection)
                return
            _refuse_unknown(found, target)
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
    if found.revision == _BEGUN:
        state = "has been given only some of its tables"
    else:
        state = "is empty" if found.is_empty else f"has the schema of revision {found.revision}, not {HEAD}"
    raise EnvironmentFault(
        f"the database {target.shown} {state}", transient=False, remedy="Run `dagdeckd db upgrade` once"
    )


def create_all(connection: sa.Connection) -> None:
    """Give an empty database all tables of the newest revision, and what every database begins with.

    What an interrupted call left is made anew.
    """
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {_VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
        f"CONSTRAINT {_VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
    )
    if connection.execute(sa.select(_version.c.version_num)).first() is None:
        connection.execute(_version.insert().values(version_num=_BEGUN))
    else:
        metadata.drop_all(connection)
    metadata.create_all(connection, checkfirst=False)
    connection.execute(
        pool.insert().values(
            name="default_pool", slots=DEFAULT_POOL_SLOTS, description="Default pool", include_deferred=False
        )
    )
    connection.execute(_version.update().values(version_num=HEAD))


def run_revisions(connection: sa.Connection, to: str = HEAD) -> None:
    """Run every revision up to `to` that the database does not have, by Alembic."""
    from alembic.config import Config
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "mysql":
        import dagdeck_io.db.migrations.resuming  # noqa: F401 - Alembic uses it from now on

    config = Config()
    config.set_main_option("script_location", f"{__name__}:")
    scripts = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(
        connection,
        opts={"fn": lambda revision, _: scripts._upgrade_revs(to, revision), "version_table": _VERSION_TABLE},
    )
    with Operations.context(context):
        context.run_migrations()


def _look(connection: sa.Connection) -> _Found:
    names = set(sa.inspect(connection).get_table_names())
    if _VERSION_TABLE not in names:
        return _Found(revision=None, is_empty=not names)
    revision = connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()
    # Alone and without a row it is what is left of a first upgrade that was interrupted at once.
    return _Found(revision=revision, is_empty=revision is None and names == {_VERSION_TABLE})


def _refuse_unknown(found: _Found, target: DatabaseUrl) -> None:
    if found.is_empty or found.revision in (*REVISIONS, _BEGUN):
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
            with suppress(sa.exc.SQLAlchemyError):  # a connection that broke in the middle has rolled back by itself
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
        with suppress(sa.exc.SQLAlchemyError):  # the lock goes with a connection that broke
            connection.execute(sa.select(sa.func.release_lock(lock)))
