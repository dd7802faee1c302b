"""Databases that hold something: upgraded from every revision, interrupted at every step, looked at as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql.err
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner

from dagdeck_core.errors import Bug, EnvironmentFault
from dagdeck_io.db import inspection, migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.inspection import inspect_database
from dagdeck_io.db.tables import metadata
from dagdeck_io.db.types import UtcDateTime
from dagdeck_io.secrets import generate_key
from dagdeckd.cli import dagdeckd
from tests.support.any_rows import any_value

Rows = dict[tuple[str, int], dict[str, Any]]
_CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")


class Interrupted(BaseException):
    """Stands for the death of the process: nothing catches it on its way."""


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'dagdeck.db'}"
    return str(request.getfixturevalue("mariadb_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url, key=generate_key())
    yield opened
    opened.close()


@contextlib.contextmanager
def interrupted_after(steps: int) -> Iterator[None]:
    """Within the block, the process dies when so many statements that change something have been carried out."""
    left = steps

    def count(connection: Any, cursor: Any, statement: str, *_others: Any) -> None:
        nonlocal left
        left -= statement.lstrip().startswith(_CHANGES)
        if left <= 0:
            raise Interrupted(statement)

    sa.event.listen(sa.Engine, "after_cursor_execute", count)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", count)


def at_revision(database: Database, revision: str) -> None:
    """Let the schema be the one of an earlier program."""
    with database.engine.begin() as connection:
        migrations.run_revisions(connection, revision)


def fill(database: Database, number: int) -> Rows:
    """One row in every table that is there now, in the columns that are there now; what was written."""
    written: Rows = {}
    with database.engine.begin() as connection:
        there = sa.inspect(connection)
        for name in there.get_table_names():
            table = metadata.tables.get(name)
            if table is None or name == "id_node":
                continue
            known = {column["name"] for column in there.get_columns(name)}
            row = {column.name: any_value(column, number) for column in table.columns if column.name in known}
            columns = [sa.Column(column.name, column.type) for column in table.columns if column.name in known]
            # Without the defaults of now: an earlier program did not know them.
            connection.execute(sa.Table(name, sa.MetaData(), *columns).insert(), [row])
            written[name, number] = row
    return written


def read(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables as the program of now reads them."""
    with database.reading() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for table in metadata.sorted_tables
        }


def assert_intact(written: Rows, database: Database) -> None:
    found = read(database)
    for (name, number), row in written.items():
        same = [each for each in found[name] if row.items() <= each.items()]
        assert len(same) == 1, f"row {number} of {name}: {row} is not among {found[name]}"
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_rows_of_every_revision_are_intact_at_the_newest(url: str, database: Database) -> None:
    written: Rows = {}
    for number, revision in enumerate(migrations.REVISIONS[:-1], start=1):
        at_revision(database, revision)
        written |= fill(database, number)
        assert migrations.current(url) == revision
        with pytest.raises(EnvironmentFault, match=f"revision {revision}, not {migrations.HEAD}"):
            migrations.check(url)
    migrations.upgrade(url)
    migrations.check(url)
    assert_intact(written, database)
    # The tables that came last take rows, too.
    written |= fill(database, 100)
    assert_intact(written, database)


def test_an_upgrade_that_is_interrupted_after_each_statement_goes_on(mariadb_url: str) -> None:
    """On a server each statement stands for itself: what was done stays done, and is not done twice."""
    with contextlib.closing(open_database(mariadb_url)) as database:
        at_revision(database, "0001")
        written = fill(database, 1)
        last, steps, died = "", 1, 0
        while migrations.current(mariadb_url) != migrations.HEAD:
            try:
                with interrupted_after(steps):
                    migrations.upgrade(mariadb_url)
            except Interrupted as death:
                died += 1
                assert died < 300, f"it does not go on after {last}"
                # A statement that may be carried out twice is one step further each time.
                steps = steps + 1 if str(death) == last else 1
                last = str(death)
        assert died > 2 * len(migrations.REVISIONS)
        migrations.check(mariadb_url)
        assert_intact(written, database)


@pytest.mark.parametrize("steps", [1, 17])
def test_an_upgrade_of_a_file_that_is_interrupted_has_changed_nothing(tmp_path: Path, steps: int) -> None:
    url = f"sqlite:///{tmp_path}/dagdeck.db"
    with contextlib.closing(open_database(url)) as database:
        at_revision(database, "0001")
        written = fill(database, 1)
        with pytest.raises(Interrupted), interrupted_after(steps):
            migrations.upgrade(url)
        assert migrations.current(url) == "0001"
        migrations.upgrade(url)
        assert_intact(written, database)


@pytest.mark.parametrize("steps", [1, 2, 40])
def test_a_first_upgrade_that_is_interrupted_begins_anew(url: str, database: Database, steps: int) -> None:
    with pytest.raises(Interrupted), interrupted_after(steps):
        migrations.upgrade(url)
    with pytest.raises(EnvironmentFault, match="db upgrade"):
        migrations.check(url)
    migrations.upgrade(url)
    migrations.check(url)
    assert_intact({}, database)
    assert [row["name"] for row in read(database)["pool"]] == ["default_pool"]


def test_only_what_is_done_already_is_left_out(mariadb_url: str) -> None:
    """Another refusal of the server ends the upgrade, which can be called again when it is mended."""
    with contextlib.closing(open_database(mariadb_url)) as database:
        at_revision(database, "0006")

        def refuse(connection: Any, cursor: Any, statement: str, *_others: Any) -> None:
            if statement.lstrip().startswith("CREATE TABLE measurement"):
                raise pymysql.err.OperationalError(1114, "the table is full")

        sa.event.listen(sa.Engine, "before_cursor_execute", refuse)
        try:
            with pytest.raises(EnvironmentFault):
                migrations.upgrade(mariadb_url)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", refuse)
        assert migrations.current(mariadb_url) == "0006"
        migrations.upgrade(mariadb_url)
        assert_intact({}, database)


# ---------------------------------------------------------------- a look at the whole


def flaws(url: str, **options: Any) -> list[tuple[str, bool]]:
    return [(flaw.text, flaw.is_grave) for flaw in inspect_database(url, **options)]


def test_a_new_database_has_no_flaw(url: str) -> None:
    migrations.upgrade(url)
    assert flaws(url) == []


def test_what_is_missing_or_added_is_named(url: str, database: Database) -> None:
    migrations.upgrade(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE dag_tag")
        connection.exec_driver_sql("CREATE TABLE notes (id INTEGER)")
        connection.exec_driver_sql("ALTER TABLE pool ADD COLUMN colour INTEGER")
        drop = "DROP INDEX ix_work_run_key" + (" ON work" if database.kind == "mysql" else "")
        connection.exec_driver_sql(drop)
    assert sorted(flaws(url)) == [
        ("index ix_dag_tag_name of dag_tag is missing", True),
        ("index ix_work_run_key of work is missing", True),
        ("rows were not looked at, because the schema differs", True),
        ("the column pool.colour is none of DagDeck's", False),
        ("the table dag_tag is missing", True),
        ("the table notes is none of DagDeck's", False),
    ]
    assert ("rows were not looked at, because the schema differs", True) not in flaws(url, rows=False)


def test_orphans_are_counted(url: str, database: Database) -> None:
    migrations.upgrade(url)
    moment = UtcDateTime()
    at = any_value(sa.Column("at", moment), 1)
    with database.writing() as connection:
        for number in (1, 2):
            row = {c.name: any_value(c, number) for c in metadata.tables["task_instance"].columns}
            connection.execute(metadata.tables["task_instance"].insert(), [row])
        run = {c.name: any_value(c, 1) for c in metadata.tables["dag_run"].columns}
        connection.execute(metadata.tables["dag_run"].insert(), [run])
        connection.execute(
            metadata.tables["token"].insert(),
            [{"token_id": 1, "user_id": 9, "token_hash": "x", "scope": "api", "created_at": at}],
        )
    assert flaws(url) == [
        ("1 rows of dag_run name a row of dag_version that does not exist (version_id)", True),
        ("1 rows of task_instance name a row of dag_run that does not exist (run_key)", True),
        ("1 rows of token name a row of user that does not exist (user_id)", False),
        ("1 unfinished dag runs are not listed as such: nobody goes on with them", True),
    ]
    # What is being removed bit by bit is no orphan.
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO removal (kind, subject_id) VALUES ('deleted_run', 2)")
    assert ("1 rows of task_instance name a row of dag_run that does not exist (run_key)", True) not in flaws(url)


def test_a_server_s_table_of_another_kind_is_named(mariadb_url: str) -> None:
    migrations.upgrade(mariadb_url)
    with contextlib.closing(open_database(mariadb_url)) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pool CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
        connection.exec_driver_sql("ALTER TABLE dag_tag ENGINE=Aria")
    assert flaws(mariadb_url) == [
        ("the table dag_tag is of Aria", True),
        ("the table pool compares by utf8mb4_general_ci, not by utf8mb4_bin", True),
    ]


def test_a_server_that_keeps_no_guards_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations.upgrade(url)

    def broken(_connection: object) -> None:
        raise Bug("the database keeps no guards")

    monkeypatch.setattr(inspection, "prove_guard", broken)
    assert flaws(url) == [("the database keeps no guards", True)]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dagdeck.db"
    migrations.upgrade(f"sqlite:///{path}")
    with contextlib.closing(open_database(f"sqlite:///{path}")) as database, database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.exec_driver_sql("SELECT rootpage FROM sqlite_master WHERE name = 'ix_work_run_key'").one()
        (size,) = connection.exec_driver_sql("PRAGMA page_size").one()
    with path.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * 64)
    assert any("the file is damaged" in text for text, _ in flaws(f"sqlite:///{path}"))


def test_the_command_tells_flaws_and_its_exit_code_does(url: str, database: Database) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(
            dagdeckd, ["--set", f"database.url={url}", "db", "check", *arguments], standalone_mode=False
        )
        return result.return_value, result.output

    migrations.upgrade(url)
    code, output = run()
    assert (code, output) == (0, f"the database is at revision {migrations.HEAD}, as this version needs it\n")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE dag_tag")
    code, output = run("--schema-only")
    assert code == 3
    assert "FAIL  the table dag_tag is missing\n      → Restore a backup" in output
