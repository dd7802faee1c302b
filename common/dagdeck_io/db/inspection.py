"""Looks at a whole metadata database: is its schema the described one, does it keep what is relied on, do rows fit.

Decides what is looked at and how bad a finding is. Changes nothing, and may be called while the cluster runs. Does not
repair. Called by `dagdeckd db check`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dagdeck_core.errors import Bug
from dagdeck_core.states import DagRunState
from dagdeck_io.db import migrations
from dagdeck_io.db.dialects import prove_guard
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.run_tables import RemovalKind
from dagdeck_io.db.tables import metadata

COLLATION = "utf8mb4_bin"
ISOLATION = "READ-COMMITTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One thing that is not as it has to be; `is_grave` when something does not work because of it."""

    text: str
    remedy: str
    is_grave: bool = True


@dataclass(frozen=True, slots=True)
class _Link:
    """Rows of `table` name a row of `parent` by `column` (there `key`); without it they are orphans."""

    table: str
    column: str
    parent: str
    key: str
    condition: str = "1 = 1"
    is_grave: bool = False


_GONE = "c.{0} NOT IN (SELECT subject_id FROM removal WHERE kind {1} '" + RemovalKind.BUNDLE + "')"
_RUN_IS_GONE = _GONE.format("run_key", "<>")
_BUNDLE_IS_GONE = _GONE.format("bundle_id", "=")
_LINKS = (
    _Link("dag", "version_id", "dag_version", "version_id", is_grave=True),
    _Link("dag_run", "version_id", "dag_version", "version_id", is_grave=True),
    _Link("task_instance", "run_key", "dag_run", "run_key", _RUN_IS_GONE, True),
    _Link("attention", "run_key", "dag_run", "run_key", _RUN_IS_GONE, True),
    _Link("bundle_file", "bundle_id", "bundle", "bundle_id", _BUNDLE_IS_GONE, True),
    _Link("bundle_file", "sha256", "bundle_content", "sha256", _BUNDLE_IS_GONE, True),
    _Link("deadline", "run_key", "dag_run", "run_key", _RUN_IS_GONE),
    _Link("xcom", "ti_id", "task_instance", "ti_id", _RUN_IS_GONE),
    _Link("rendered_fields", "ti_id", "task_instance", "ti_id", _RUN_IS_GONE),
    _Link("log_chunk", "ti_id", "task_instance", "ti_id", "c.ti_id > 0"),
    _Link("hitl_detail", "ti_id", "task_instance", "ti_id"),
    _Link("task_state_store", "ti_id", "task_instance", "ti_id"),
    _Link("trigger", "ti_id", "task_instance", "ti_id", "c.owner = 'task'"),
    _Link("revocation", "ti_id", "task_instance", "ti_id", "c.ti_id > 0"),
    _Link("dag_tag", "dag_id", "dag", "dag_id"),
    _Link("asset_event", "asset_id", "asset", "asset_id"),
    _Link("token", "user_id", "user", "user_id"),
)
_RESTORE = "Restore a backup, or ask for help before anything is changed by hand"
_LEFT_OVER = "It costs space only; a restored or hand-edited database may have it"


def inspect_database(url: str, *, rows: bool = True) -> Iterator[Flaw]:
    """Every flaw, as they are found; `rows`: whether rows are looked at as well, which takes long in a large database.

    Raises EnvironmentFault for a database that does not answer or has the schema of another revision.
    """
    migrations.check(url)
    with contextlib.closing(open_database(url)) as database:
        with database.reading() as connection:
            differences = list(_differences(connection))
            yield from differences
            yield from _of_server(connection) if database.kind == "mysql" else _of_file(connection)
        yield from _guard(database)
        if not rows:
            return
        if differences:
            yield Flaw(text="rows were not looked at, because the schema differs", remedy="Mend it first")
            return
        with database.reading() as connection:
            yield from _rows(connection)


def _differences(connection: sa.Connection) -> Iterator[Flaw]:
    """What differs between the tables that are there and the described ones."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": False}), metadata)
    for change in found:
        for each in change if isinstance(change, list) else [change]:
            yield _difference(each)


def _difference(change: tuple[Any, ...]) -> Flaw:
    kind, subject = change[0], change[1]
    if kind in ("add_table", "remove_table"):
        what = f"the table {subject.name}"
    elif kind in ("add_column", "remove_column"):
        what = f"the column {change[2]}.{change[3].name}"
    elif kind.startswith("modify_"):
        what = f"{kind.removeprefix('modify_')} of {change[2]}.{change[3]}"
    else:
        what = f"{kind.partition('_')[2].replace('_', ' ')} {subject.name} of {subject.table.name}"
    if kind.startswith("remove_"):
        remedy = "Somebody has added it; DagDeck neither uses nor changes it"
        return Flaw(text=f"{what} is none of DagDeck's", remedy=remedy, is_grave=False)
    return Flaw(text=f"{what} {'differs' if kind.startswith('modify_') else 'is missing'}", remedy=_RESTORE)


def _of_server(connection: sa.Connection) -> Iterator[Flaw]:
    # One has only the one name, the other only the other.
    isolation = connection.exec_driver_sql(
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
    ).all()[0][1]
    if isolation != ISOLATION:
        yield Flaw(
            text=f"sessions have the isolation {isolation}, not {ISOLATION}, although they ask for it",
            remedy="Connect to the server itself, or to a proxy that passes SET SESSION on",
        )
    tables = connection.exec_driver_sql(
        "SELECT table_name, engine, table_collation FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name"
    )
    for name, engine, collation in tables:
        if name not in metadata.tables:
            continue
        if engine != "InnoDB":
            yield Flaw(text=f"the table {name} is of {engine}", remedy=f"ALTER TABLE `{name}` ENGINE=InnoDB")
        if collation != COLLATION:
            remedy = f"ALTER TABLE `{name}` CONVERT TO CHARACTER SET utf8mb4 COLLATE {COLLATION}"
            yield Flaw(text=f"the table {name} compares by {collation}, not by {COLLATION}", remedy=remedy)


def _of_file(connection: sa.Connection) -> Iterator[Flaw]:
    for (text,) in connection.exec_driver_sql("PRAGMA quick_check(10)"):
        if text != "ok":
            yield Flaw(text=f"the file is damaged: {text}", remedy=_RESTORE)
    (mode,) = connection.exec_driver_sql("PRAGMA journal_mode").one()
    if mode != "wal":
        yield Flaw(text=f"the journal is of mode {mode}, not wal", remedy="Let no other program open the file")


def _guard(database: Database) -> Iterator[Flaw]:
    """Whether a transaction whose row count is not the expected one leaves nothing, on this very server."""
    connection = database.hot_connection()
    try:
        prove_guard(connection)
    except Bug as bug:
        yield Flaw(text=bug.message, remedy="Connect to the server itself, without a proxy that rewrites statements")


def _rows(connection: sa.Connection) -> Iterator[Flaw]:
    quoted = connection.dialect.identifier_preparer.quote
    for link in _LINKS:
        statement = (
            f"SELECT COUNT(*) FROM {quoted(link.table)} c LEFT JOIN {quoted(link.parent)} p "
            f"ON p.{link.key} = c.{link.column} "
            f"WHERE p.{link.key} IS NULL AND c.{link.column} IS NOT NULL AND {link.condition}"
        )
        number = connection.exec_driver_sql(statement).scalar_one()
        if number:
            text = f"{number:,} rows of {link.table} name a row of {link.parent} that does not exist ({link.column})"
            yield Flaw(text=text, remedy=_RESTORE if link.is_grave else _LEFT_OVER, is_grave=link.is_grave)
    unfinished = f"'{DagRunState.QUEUED}', '{DagRunState.RUNNING}'"
    number = connection.exec_driver_sql(
        f"SELECT COUNT(*) FROM dag_run r LEFT JOIN attention a ON a.kind = 'unfinished_run' "
        f"AND a.subject_id = r.run_key WHERE r.state IN ({unfinished}) AND a.subject_id IS NULL"
    ).scalar_one()
    if number:
        yield Flaw(
            text=f"{number:,} unfinished dag runs are not listed as such: nobody goes on with them", remedy=_RESTORE
        )
