"""Full disks: what is refused leaves nothing, it is told where people look, and it goes on when there is room."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.errors import DiskFull, EnvironmentFault
from dagdeck_core.ports import BundleFile, BundleManifest
from dagdeck_core.scheduling.decisions import DeleteRun
from dagdeck_io.bundles.manifest import make_manifest
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_io.db import migrations, sqlite
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.problems import Problem, problems_now
from dagdeck_io.db.tables import dag_run, removal, transition, worker
from dagdeck_master.api.queries import cluster as health
from dagdeck_master.scheduler.housekeeping import Housekeeping
from tests.integration.api_cluster import api_cluster
from tests.integration.test_retention import NOW, add_run
from tests.support.services import MariaDb
from tests.support.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 4) as mounted:
        yield mounted


# ------------------------------------------------------------------ the database


def insert_transitions(database: Database, first: int, count: int = 200) -> None:
    rows = [
        {
            "transition_id": first + number,
            "run_key": 1,
            "from_state": "none",
            "to_state": "queued",
            "at": NOW,
            "actor": "scheduler",
            "reason": "x" * 400,
        }
        for number in range(count)
    ]
    with database.writing() as connection:
        connection.execute(transition.insert(), rows)


def insert_until_full(database: Database, written: int = 0) -> int:
    """Insert until nothing more fits; how many rows went in."""
    whole = [written]

    def for_ever() -> None:
        while True:
            insert_transitions(database, whole[-1] + 1)
            whole.append(whole[-1] + 200)

    with pytest.raises(DiskFull, match="Free space on the database's disk"):
        for_ever()
    return whole[-1]


def count(database: Database, table: sa.Table) -> int:
    with database.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_sqlite_that_is_full_keeps_whole_transactions_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/d.db"
    migrations.upgrade(url)
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, "PRAGMA max_page_count = 400"))
    database = open_database(url)
    written = insert_until_full(database)
    assert count(database, transition) == written
    connection = database.worker_store().connection
    script = connection.script()
    script.add("UPDATE lease SET counter = counter + 1 WHERE name = 'nobody'")
    rows = [(written + 1 + number, 1, 0, "none", "queued", NOW, "scheduler", "x" * 400, "") for number in range(200)]
    columns = "transition_id, run_key, dispatch_no, from_state, to_state, at, actor, reason, cause"
    script.insert_rows("transition", columns, rows)
    with pytest.raises(DiskFull):
        connection.run(script)
    database.close()
    monkeypatch.undo()
    with_room = open_database(url)
    assert count(with_room, transition) == written
    insert_transitions(with_room, written + 1)
    assert count(with_room, transition) == written + 200
    with_room.close()


def test_sqlite_on_a_disk_that_is_full_goes_on_when_it_has_room(disk: SmallDisk) -> None:
    url = f"sqlite:///{disk.root}/d.db"
    migrations.upgrade(url)
    database = open_database(url)
    insert_transitions(database, 1)
    disk.fill()
    written = insert_until_full(database, 200)
    assert count(database, transition) == written, "what was committed can be read meanwhile"
    disk.empty()
    insert_transitions(database, written + 1)
    assert count(database, transition) == written + 200
    database.close()


def fill_removals(database: Database) -> None:
    """Insert until the table is full."""
    for number in range(1, 5000):
        with database.writing() as connection:
            connection.execute(removal.insert().values(kind="deleted_run", subject_id=number))


def test_a_full_table_of_a_server_leaves_nothing_of_the_transaction(mariadb: MariaDb, mariadb_url: str) -> None:
    migrations.upgrade(mariadb_url)
    database = open_database(mariadb_url)
    name = mariadb_url.rpartition("/")[2].partition("?")[0]
    run_key = add_run(database, NOW, 1)
    # A table in memory of the least size is really full soon, on any machine.
    mariadb.execute(f"SET SESSION max_heap_table_size = 16384; ALTER TABLE {name}.removal ENGINE = MEMORY")
    with pytest.raises(DiskFull, match="Free space on the database's disk"):
        fill_removals(database)
    store = database.scheduler_store()
    epoch = store.acquire_leadership("test") or 0
    with pytest.raises(DiskFull):
        store.commit(epoch, NOW, [DeleteRun(run_key=run_key, dag_id="d")])
    assert count(database, dag_run) == 1
    mariadb.execute(f"DELETE FROM {name}.removal; ALTER TABLE {name}.removal ENGINE = InnoDB")
    store.commit(epoch, NOW, [DeleteRun(run_key=run_key, dag_id="d")])
    assert (count(database, dag_run), count(database, removal)) == (0, 1)
    database.close()


def test_the_api_says_that_the_database_is_full(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    with api_cluster(disk.root) as cluster:
        cluster.until(lambda: cluster.http.get("/health/ready?of=scheduler").status_code == 200, "it is ready")

        def silent(*arguments: Any) -> str:
            return "unhealthy"

        cluster.worker.stopping.set()
        cluster.until(lambda: worker_states(cluster.database) == ["stopped"], "the stand-in, which is no hero, is gone")
        disk.fill()
        monkeypatch.setattr(health, "_status", silent)

        def full() -> bool:
            cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", json={"logical_date": None, "note": "x" * 900})
            answer = cluster.http.get("/health/ready?of=scheduler")
            return "the disk of the metadata database is full" in answer.json()["reasons"]

        cluster.until(full, "it says that the disk is full", 30.0)
        refused = cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", json={"logical_date": None})
        assert refused.status_code == 503
        assert "Free space on the database's disk" in refused.json()["detail"]
        found = cluster.call("GET", "/api/v2/monitor/health").json()
        assert found["metadatabase"]["status"] == "unhealthy"
        disk.empty()
        assert cluster.call("GET", "/api/v2/monitor/health").json()["metadatabase"]["status"] == "healthy"
        monkeypatch.undo()
        cluster.until(lambda: cluster.http.get("/health/ready?of=scheduler").status_code == 200, "it goes on", 30.0)


def worker_states(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(sa.select(worker.c.state)).scalars())


# ------------------------------------------------------------------ problems, told


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    migrations.upgrade(url)
    opened = open_database(url)
    yield opened
    opened.close()


def told(database: Database, later: timedelta = timedelta()) -> list[tuple[str, str]]:
    with database.reading() as connection:
        return [(each.words, each.message) for each in problems_now(connection, datetime.now(UTC) + later)]


def test_a_problem_is_told_while_it_lasts(database: Database) -> None:
    at = [0.0]
    problems = database.problems("worker a")
    problems.monotonic = lambda: at[0]
    problems.over(Problem.BUNDLES)
    assert told(database) == []
    problems.tell(Problem.BUNDLES, "the disk is full")
    words = "worker a: DAG code cannot be unpacked, so tasks are handed back"
    assert told(database) == [(words, "the disk is full")]
    at[0] += 100
    problems.tell(Problem.BUNDLES, "the disk is still full")
    other = database.problems("worker b")
    other.tell(Problem.BUNDLES, "here too")
    assert [message for _, message in told(database)] == ["the disk is still full", "here too"]
    assert told(database, timedelta(minutes=16)) == [], "nobody tells of it any more"
    problems.over(Problem.BUNDLES)
    other.over(Problem.BUNDLES)
    assert told(database) == []


def test_telling_of_problems_never_fails(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    problems = database.problems("worker a")
    problems.tell(Problem.BUNDLES, "there are no tables")
    problems.over(Problem.BUNDLES)
    database.close()


def test_housekeeping_says_what_keeps_old_rows_and_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagdeck_master.scheduler.housekeeping.FIRST_PAUSE", 0.01)
    outcomes: list[Exception | bool] = [DiskFull("no room", remedy="Make some"), RuntimeError("a bug"), True, False]
    messages: list[str | None] = []
    done = threading.Event()

    def step(now: datetime) -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def tell(message: str | None) -> None:
        messages.append(message)
        if message is None:
            done.set()

    monkeypatch.setattr("dagdeck_master.scheduler.housekeeping.LONGEST_PAUSE", 0.02)
    housekeeping = Housekeeping(step, 3600.0, tell=tell)
    housekeeping.begin()
    housekeeping.begin()
    housekeeping.wake()
    assert done.wait(10.0)
    housekeeping.end()
    housekeeping.end()
    assert messages == ["no room. Make some", None]
    assert outcomes == []


# ------------------------------------------------------------------ the cache of DAG code


def bundle(name: str, size: int) -> tuple[BundleManifest, Callable[[BundleFile], bytes]]:
    data = name.encode() * (size // len(name))
    file = BundleFile(path=f"{name}.py", sha256=hashlib.sha256(data).hexdigest(), size=len(data), executable=False)
    manifest = make_manifest("dags", [file])
    return manifest, lambda each: data


def test_unused_code_makes_room_on_a_full_disk_and_code_in_use_stays(disk: SmallDisk) -> None:
    cache = BundleCache(disk.root / "bundles", max_bytes=1 << 30)
    megabyte = 1 << 20
    first, second, third = (bundle(name, megabyte) for name in ("first", "other", "third"))
    folder = cache.ensure(*first)
    cache.ensure(*second, in_use=[first[0].version])
    disk.fill()
    third_folder = cache.ensure(*third, in_use=[first[0].version])
    assert folder.is_dir(), "it is in use"
    assert not cache.folder_of("dags", second[0].version).exists()
    disk.fill()
    in_use = [first[0].version, third[0].version]
    with pytest.raises(DiskFull, match=r"paths\.home"):
        cache.ensure(*second, in_use=in_use)
    assert sorted(each.name for each in (disk.root / "bundles" / "dags").iterdir()) == sorted(in_use), "no remains"
    disk.empty()
    assert cache.ensure(*second, in_use=in_use).is_dir()
    assert third_folder.is_dir()


def test_what_keeps_code_from_being_unpacked_is_told_and_that_it_is_over(tmp_path: Path) -> None:
    from dagdeck_worker.preparation import Preparer

    manifest, _ = bundle("code", 1000)
    messages: list[str | None] = []
    outcomes: list[Any] = [DiskFull("no room"), tmp_path]

    class Cache:
        def ensure(self, *arguments: Any, **options: Any) -> Path:
            outcome = outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return Path(outcome)

    class Bundles:
        def manifest(self, name: str, version: str) -> BundleManifest:
            return manifest

    class Record:
        bundle_name, bundle_version = "dags", manifest.version

        class spec:
            fileloc = "code.py"

    preparer = Preparer(
        None,  # type: ignore[arg-type]
        Bundles(),  # type: ignore[arg-type]
        Cache(),  # type: ignore[arg-type]
        tell=messages.append,
        in_use=set,
        on_prepared=lambda task, prepared: None,
        on_failed=lambda task, error: None,
        on_crash=lambda text: None,
    )
    with pytest.raises(EnvironmentFault):
        preparer._unpacked(Record())  # type: ignore[arg-type]
    assert messages == ["no room"]
    assert preparer._unpacked(Record()) == tmp_path  # type: ignore[arg-type]
    assert messages == ["no room", None]
