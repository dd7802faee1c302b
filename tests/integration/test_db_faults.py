"""Databases that are away, slow, full or wrong: what the stores raise, and that they go on afterwards."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest
import sqlalchemy as sa

from dagdeck_core.errors import Bug, DiskFull, EnvironmentFault, UserError
from dagdeck_core.ports import CommitUnknown, LogChunk
from dagdeck_io.db import migrations
from dagdeck_io.db.dialects import GuardMiss, HotConnection, Script, with_retry
from dagdeck_io.db.engine import Database, DatabaseOptions, open_database
from dagdeck_io.db.faults import Contention, DuplicateRow, translate
from dagdeck_io.db.tables import variable
from tests.support.services import MariaDb


@pytest.fixture
def remote(mariadb_url: str) -> Iterator[Database]:
    """An upgraded MariaDB with short waits."""
    migrations.upgrade(mariadb_url)
    database = open_database(mariadb_url, options=DatabaseOptions(lock_wait=1, connect_timeout=1.0, read_timeout=2.0))
    yield database
    database.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Database]:
    """An upgraded SQLite file."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    migrations.upgrade(url)
    database = open_database(url)
    yield database
    database.close()


@pytest.fixture(params=["local", "remote"])
def any_database(request: pytest.FixtureRequest) -> Database:
    """Each of both."""
    database: Database = request.getfixturevalue(request.param)
    return database


def connection_of(database: Database) -> HotConnection:
    return database.worker_store().connection


def lease_row(script: Script, name: str) -> None:
    script.add(f"INSERT INTO lease (name, shard, epoch, counter) VALUES ({script.text(name)}, 0, 0, 0)", expect=1)


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return sorted(connection.exec_driver_sql("SELECT name FROM lease").scalars())


# ------------------------------------------------------------------ scripts


def test_missed_guard_leaves_nothing_and_names_the_statement(any_database: Database) -> None:
    connection = connection_of(any_database)
    script = connection.script()
    lease_row(script, "a")
    script.add("UPDATE lease SET counter = 1 WHERE name = 'a'", expect=2, what="raising two")
    script.add("UPDATE lease SET counter = 1 WHERE name = 'a'", expect=1, what="not reached")
    with pytest.raises(GuardMiss, match="raising two"):
        connection.run(script)
    assert names(any_database) == []
    script = connection.script()
    lease_row(script, "b")
    connection.run(script)
    assert names(any_database) == ["b"]


def test_duplicate_leaves_nothing(any_database: Database) -> None:
    connection = connection_of(any_database)
    script = connection.script()
    lease_row(script, "a")
    lease_row(script, "a")
    with pytest.raises(DuplicateRow):
        connection.run(script)
    assert names(any_database) == []


def test_strings_of_every_kind_survive(any_database: Database) -> None:
    texts = ["it's", 'quo"te', "back\\slash\\", "nul\0byte", "new\nline", "%s %(x)s", "ünïcødé 🎉", "?1 :x", "a" * 9000]
    connection = connection_of(any_database)
    script = connection.script()
    script.insert(
        "variable",
        "`key`, value",
        list(enumerate(texts)),
        lambda item: f"('k{item[0]}',{script.text(item[1])})",
    )
    connection.run(script)
    with any_database.reading() as reading:
        stored = {row.key: row.value for row in reading.execute(sa.select(variable))}
    assert [stored[f"k{n}"] for n in range(len(texts))] == texts


def test_script_larger_than_the_server_takes_goes_in_pieces(any_database: Database) -> None:
    store = any_database.worker_store()
    worker_id = store.register(name="w", hostname="h", slots=1, queues=["q"], version="1", pid=1)
    piece = bytes(range(256)) * 4096
    logs = [LogChunk(ti_id=1, dispatch_no=1, try_number=1, offset=n, data=piece[n:] + piece[:n]) for n in range(24)]
    store.transact(worker_id, [], [], logs)
    with any_database.reading() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM log_chunk").scalar() == 24


def test_block_that_raises_writes_nothing(any_database: Database) -> None:
    def insert(then: Callable[[sa.Connection], object]) -> None:
        with any_database.writing() as connection:
            connection.execute(variable.insert().values(key="k", value="v"))
            then(connection)

    with pytest.raises(ZeroDivisionError):
        insert(lambda connection: 1 / 0)
    with pytest.raises(DuplicateRow):
        insert(lambda connection: connection.execute(variable.insert().values(key="k", value="v")))
    with any_database.reading() as connection:
        assert connection.execute(sa.select(variable)).all() == []


def test_whole_transaction_is_tried_again_after_contention() -> None:
    pauses: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    calls = iter([Contention("1"), Contention("2"), None])

    def operation() -> str:
        error = next(calls)
        if error is not None:
            raise error
        return "done"

    arguments = {"sleep": sleep, "jitter": lambda: 0.5, "monotonic": lambda: clock[0]}
    assert with_retry(operation, **arguments) == "done"  # type: ignore[arg-type]
    assert pauses == [0.002, 0.004]

    def never() -> None:
        clock[0] += 1.0
        raise Contention("held")

    with pytest.raises(Contention, match="held"):
        with_retry(never, within=3.0, **arguments)  # type: ignore[arg-type]


# ------------------------------------------------------------------ MariaDB


def test_deadlock_is_resolved_by_trying_again(remote: Database) -> None:
    setup = connection_of(remote)
    script = setup.script()
    lease_row(script, "a")
    lease_row(script, "b")
    setup.run(script)
    both_hold_one = threading.Barrier(2)
    failures: list[Exception] = []

    def swap(first: str, second: str) -> None:
        connection = connection_of(remote)
        attempts = iter([True])

        def transaction() -> None:
            one, two = connection.script(), connection.script()
            one.add(f"UPDATE lease SET counter = counter + 1 WHERE name = '{first}'", expect=1)
            two.add(f"UPDATE lease SET counter = counter + 1 WHERE name = '{second}'", expect=1)
            connection.run(one, commit=False)
            if next(attempts, False):
                both_hold_one.wait(10)
            connection.run(two, begin=False)

        try:
            with_retry(transaction)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=swap, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    with remote.reading() as connection:
        assert list(connection.exec_driver_sql("SELECT counter FROM lease").scalars()) == [2, 2]


def test_lock_wait_is_short(remote: Database) -> None:
    holder, waiter = connection_of(remote), connection_of(remote)
    script = holder.script()
    lease_row(script, "a")
    holder.run(script, commit=False)
    script = waiter.script()
    lease_row(script, "a")
    started = time.monotonic()
    with pytest.raises(Contention, match="Lock wait"):
        waiter.run(script)
    assert time.monotonic() - started < 5
    holder.rollback()
    waiter.run(script)


def test_killed_connection_at_commit_is_an_unknown_commit_and_the_next_call_works(remote: Database) -> None:
    connection = connection_of(remote)
    script = connection.script()
    script.read("SELECT CONNECTION_ID()")
    number = connection.run(script, begin=False, commit=False)[0][0][0]
    connection_of(remote).kill(number)
    script = connection.script()
    lease_row(script, "a")
    with pytest.raises(CommitUnknown, match="not known"):
        connection.run(script)
    if "a" not in names(remote):
        connection.run(script)
    assert names(remote) == ["a"]


def test_broken_connection_before_commit_is_no_unknown_commit(remote: Database) -> None:
    connection = connection_of(remote)
    script = connection.script()
    lease_row(script, "a")
    script.read("SELECT CONNECTION_ID()")
    number = connection.run(script, commit=False)[0][0][0]
    connection_of(remote).kill(number)
    more = connection.script()
    lease_row(more, "b")
    with pytest.raises(EnvironmentFault) as fault:
        connection.run(more, begin=False, commit=False)
    assert not isinstance(fault.value, CommitUnknown)
    assert names(remote) == []


def test_frozen_server_is_noticed_in_time_and_comes_back(remote: Database, mariadb: MariaDb) -> None:
    store = remote.worker_store()
    worker_id = store.register(name="w", hostname="h", slots=1, queues=["q"], version="1", pid=1)
    mariadb.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(EnvironmentFault) as fault:
            store.renew(worker_id)
        assert time.monotonic() - started < 6
        assert fault.value.transient
    finally:
        mariadb.thaw()
    assert store.renew(worker_id) == []
    with remote.reading() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_restarted_server_is_used_again(remote: Database, mariadb: MariaDb) -> None:
    store = remote.worker_store()
    worker_id = store.register(name="w", hostname="h", slots=1, queues=["q"], version="1", pid=1)
    mariadb.kill()
    for _ in range(2):
        with pytest.raises(EnvironmentFault):
            store.renew(worker_id)
    with pytest.raises(EnvironmentFault, match="Is the server running"), remote.reading():
        pass
    mariadb.start()
    assert store.renew(worker_id) == []
    with remote.reading() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM worker").scalar() == 1


def test_wrong_password_and_missing_database_are_told(mariadb: MariaDb, mariadb_url: str) -> None:
    for url, told in (
        (mariadb.url("test", password="wrong-one"), "refused the user or password"),
        (mariadb.url("no_such_database", user="root", password=""), "does not exist"),
    ):
        for action in (migrations.current, lambda url: open_database(url).worker_store()):
            with pytest.raises(EnvironmentFault, match=told) as fault:
                action(url)
            assert not fault.value.transient
            assert "wrong-one" not in str(fault.value)


def test_nobody_listening_is_told(mariadb_url: str) -> None:
    url = sa.make_url(mariadb_url).set(port=1).render_as_string(hide_password=False)
    with pytest.raises(EnvironmentFault, match="cannot be reached") as fault:
        open_database(url).check_durability()
    assert fault.value.transient


def test_settings_that_lose_work_are_warned_of(remote: Database, mariadb: MariaDb) -> None:
    assert remote.check_durability() == []
    mariadb.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        (warning,) = remote.check_durability()
    finally:
        mariadb.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    assert "innodb_flush_log_at_trx_commit" in warning


# ------------------------------------------------------------------ SQLite


def test_writers_wait_for_one_another(local: Database) -> None:
    holder, waiter = connection_of(local), connection_of(local)
    script = holder.script()
    lease_row(script, "a")
    holder.run(script, commit=False)
    threading.Timer(0.2, holder.rollback).start()
    started = time.monotonic()
    waiter.run(script)
    assert 0.1 < time.monotonic() - started < 3
    assert names(local) == ["a"]


def test_full_disk_is_told_and_nothing_is_written(local: Database) -> None:
    connection = connection_of(local)
    script = connection.script()
    script.read("PRAGMA page_count")
    pages = connection.run(script, begin=False, commit=False)[0][0][0]
    limit = connection.script()
    limit.read(f"PRAGMA max_page_count = {pages}")
    connection.run(limit, begin=False, commit=False)
    script = connection.script()
    lease_row(script, "a")
    script.insert("variable", "`key`, value", [0], lambda _: f"('k',{script.text('x' * 1_000_000)})")
    with pytest.raises(EnvironmentFault, match=r"disk .* is full") as fault:
        connection.run(script)
    assert fault.value.transient
    assert names(local) == []


def test_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be opened"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'x.db'}")


def test_missing_tables_are_told(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(EnvironmentFault, match="db upgrade"):
        database.worker_store()
    database.close()


def test_secrets_need_a_key(local: Database) -> None:
    with pytest.raises(UserError, match="need a key"):
        _ = local.vault


# ------------------------------------------------------------------ translation


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (pymysql.err.OperationalError(1040, "Too many connections"), EnvironmentFault, "max_connections"),
        (pymysql.err.OperationalError(1114, "The table is full"), DiskFull, "disk .* full"),
        (pymysql.err.OperationalError(1021, "Disk full (/tmp); waiting for someone to free"), DiskFull, "Free space"),
        (pymysql.err.InternalError(3, 'Error writing file (Errcode: 28 "No space left")'), DiskFull, "Free space"),
        (pymysql.err.InternalError(1030, 'Got error 28 "No space left" from storage engine'), DiskFull, "Free space"),
        (pymysql.err.InternalError(1030, "Got error 122 from storage engine"), DiskFull, "Free space"),
        (pymysql.err.InternalError(1030, "Got error 128 from storage engine"), Bug, "refused"),
        (pymysql.err.OperationalError(1290, "--read-only"), EnvironmentFault, "read-only"),
        (pymysql.err.OperationalError(1142, "INSERT command denied"), EnvironmentFault, "admin grants"),
        (pymysql.err.ProgrammingError(1146, "no such table"), EnvironmentFault, "db upgrade"),
        (pymysql.err.OperationalError(1153, "packet bigger"), EnvironmentFault, "max_allowed_packet"),
        (pymysql.err.DataError(1406, "Data too long for column 'x'"), UserError, "does not fit"),
        (pymysql.err.ProgrammingError(1064, "syntax"), Bug, "syntax"),
        (pymysql.err.InterfaceError(0, ""), EnvironmentFault, "broke"),
        (ConnectionResetError(104, "reset"), EnvironmentFault, "broke"),
        (sa.exc.TimeoutError(), EnvironmentFault, "no free connection"),
        (sqlite3.OperationalError("near x: syntax error"), Bug, "syntax"),
        (KeyError("x"), Bug, "KeyError"),
    ],
)
def test_driver_errors_become_ours(error: Exception, kind: type[Exception], told: str) -> None:
    fault = translate(error, "db")
    assert isinstance(fault, kind)
    with pytest.raises(kind, match=told):
        raise fault
