"""The schema's revisions on real databases: the same schema on every way, and clear words for a wrong database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import metadata
from dagdeck_io.db.url import parse_url


@pytest.fixture(params=["sqlite", "mariadb"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'dagdeck.db'}"
    return str(request.getfixturevalue("mariadb_url"))


@pytest.fixture
def opened(empty_url: str) -> Iterator[Database]:
    """A database object over it."""
    database = open_database(empty_url)
    yield database
    database.close()


def _schema(database: Database) -> dict[str, object]:
    """Columns, keys and indexes as the database tells them."""
    found: dict[str, object] = {}
    with database.reading() as connection:
        inspector = sa.inspect(connection)
        for table in inspector.get_table_names():
            found[table] = (
                [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
                inspector.get_pk_constraint(table)["constrained_columns"],
                sorted((i["name"], i["column_names"], i["unique"]) for i in inspector.get_indexes(table)),
                sorted((u["name"], u["column_names"]) for u in inspector.get_unique_constraints(table)),
            )
    return found


def _rows_at_start(database: Database) -> list[tuple[object, ...]]:
    with database.reading() as connection:
        query = "SELECT name, slots, description, include_deferred FROM pool"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def _empty(database: Database) -> None:
    with database.engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")


def test_revisions_give_the_tables_that_the_code_describes(opened: Database) -> None:
    with opened.engine.begin() as connection:
        migrations.run_revisions(connection)
        by_revisions = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(by_revisions, metadata) == []
    stepwise, rows = _schema(opened), _rows_at_start(opened)
    _empty(opened)
    with opened.engine.begin() as connection:
        migrations.create_all(connection)
    assert _schema(opened) == stepwise
    assert _rows_at_start(opened) == rows == [("default_pool", 128, "Default pool", 0)]


def test_known_revisions_are_those_of_the_files() -> None:
    config = Config()
    config.set_main_option("script_location", "dagdeck_io.db.migrations:")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == migrations.REVISIONS


def test_upgrade_of_an_empty_database(empty_url: str) -> None:
    assert migrations.current(empty_url) is None
    with pytest.raises(EnvironmentFault, match=r"is empty.*db upgrade"):
        migrations.check(empty_url)
    migrations.upgrade(empty_url)
    migrations.upgrade(empty_url)
    assert migrations.current(empty_url) == migrations.HEAD
    migrations.check(empty_url)


def test_processes_that_upgrade_at_once_do_not_collide(empty_url: str) -> None:
    failures: list[Exception] = []
    start = threading.Barrier(3)

    def upgrade() -> None:
        start.wait()
        try:
            migrations.upgrade(empty_url)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    migrations.check(empty_url)


def test_database_of_a_newer_program_is_refused(empty_url: str, opened: Database) -> None:
    migrations.upgrade(empty_url)
    with opened.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for call in (migrations.upgrade, migrations.check):
        with pytest.raises(EnvironmentFault, match=r"9999.*newer DagDeck.*Upgrade this program") as fault:
            call(empty_url)
        assert not fault.value.transient


def test_database_of_another_program_is_left_alone(empty_url: str, opened: Database) -> None:
    with opened.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    for call in (migrations.upgrade, migrations.check):
        with pytest.raises(EnvironmentFault, match="another program"):
            call(empty_url)
    with opened.reading() as connection:
        assert sa.inspect(connection).get_table_names() == ["customers"]


def test_no_index_contains_the_state_of_a_task_instance() -> None:
    table = metadata.tables["task_instance"]
    assert [index.name for index in table.indexes if "state" in {c.name for c in index.columns}] == []
    assert [table.name for table in metadata.sorted_tables if table.foreign_keys] == []


def test_sqlite_file_is_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "home" / "dagdeck.db"
    migrations.upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
    database = open_database(f"sqlite:///{path}")
    with database.reading() as connection:
        told = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert told == ["wal", 2]
    database.close()


def test_first_upgrade_needs_no_alembic(tmp_path: Path) -> None:
    """Importing Alembic takes longer than everything else together."""
    code = (
        "import sys; from dagdeck_io.db import migrations; "
        f"migrations.upgrade('sqlite:///{tmp_path}/x.db'); "
        "assert not {'alembic', 'pymysql'} & set(sys.modules), 'imported'"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGDECK")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:pw@h/d", "not supported"),
        ("nonsense", "not a database URL"),
        ("sqlite://", "no file"),
        ("sqlite:///:memory:", "no file"),
        ("sqlite://relative/x.db", "third slash"),
        ("mysql://u:pw@h", "names no database"),
        ("mysql://u:pw@h/d?autocommit=1", "unknown parameter"),
    ],
)
def test_bad_urls_are_told_without_their_password(url: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        parse_url(url)
    assert "pw" not in str(error.value)
    assert error.value.field == "database.url"


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"])
def test_server_urls(scheme: str) -> None:
    parsed = parse_url(f"{scheme}://u:pw@h:33/d?charset=latin1")
    assert (parsed.kind, parsed.url.drivername, parsed.url.database) == ("mysql", "mysql+pymysql", "d")
    assert "charset" not in parsed.url.query
    assert "pw" not in parsed.shown


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is text, not a database\n" * 100)
    with pytest.raises(EnvironmentFault, match="no database"):
        migrations.current(f"sqlite:///{path}")
    assert sqlite3.sqlite_version_info >= (3, 35)
