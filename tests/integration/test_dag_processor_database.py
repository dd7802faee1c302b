"""The DAG processor against a real database: rows, versions, messages, restarts, and the process itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from dagdeck_core.ports import REPORTS
from dagdeck_core.wire import Nudge
from dagdeck_io.broker import MemoryBroker, MemoryQueues
from dagdeck_io.bundles.scan import FolderScanner
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import bundle, dag, dag_version, dag_warning, import_error, lease, parse_request
from dagdeck_io.zones import load_zone
from dagdeck_master.dag_processor.answers import answer_request
from dagdeck_master.dag_processor.app import BUNDLE_NAME
from dagdeck_master.dag_processor.child_process import ChildOptions, ParsingChild
from dagdeck_master.dag_processor.pool import ParsingPool
from dagdeck_master.dag_processor.processor import DagProcessor, RoundResult
from dagdeck_master.dag_processor.publisher import DatabasePublisher
from tests.support.dag_folders import dag_file, write_files

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Bench:
    """A DAG processor over a folder and a SQLite database; `restart` begins anew with the same ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "dags"
        self.root.mkdir()
        self.url = f"sqlite:///{folder / 'dagdeck.db'}"
        migrations.upgrade(self.url)
        self.database = open_database(self.url, key=KEY)
        self.queues = MemoryQueues()
        self.broker = MemoryBroker(self.queues)
        self.position = self.broker.last_position(REPORTS)
        self.processor = self.restart()

    def restart(self) -> DagProcessor:
        queries = self.database.worker_queries()
        self.processor = DagProcessor(
            scanner=FolderScanner(name=BUNDLE_NAME, root=self.root),
            cache=BundleCache(self.folder / "cache", max_bytes=0),
            pool=ParsingPool(
                launch=lambda: ParsingChild(ChildOptions(memory_limit=1 << 30, max_output=1 << 16)),
                answer=lambda request: answer_request(queries, request),
                parallel=1,
                timeout=10.0,
            ),
            publisher=DatabasePublisher(
                bundle_name=BUNDLE_NAME,
                host="here",
                pid=1,
                store_of_dags=self.database.processor_store(),
                bundles=self.database.bundle_store(),
                broker=self.broker,
                zones=load_zone,
            ),
            refresh_interval=3600.0,
        )
        return self.processor

    def publish(self, files: dict[str, str] | None = None) -> list[str]:
        """Write `files`, run one round, and give what the scheduler was told."""
        write_files(self.root, files or {})
        assert self.processor.round() is RoundResult.PUBLISHED
        messages, positions = self.broker.read({REPORTS: self.position}, limit=1000, timeout=0.0)
        self.position = positions[REPORTS]
        return [message.subject for message in messages if isinstance(message, Nudge) and message.what == "dag"]

    def rows(self, query: sa.Select[tuple[object, ...]]) -> list[tuple[object, ...]]:
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def versions(self) -> list[tuple[object, ...]]:
        columns = (dag_version.c.dag_id, dag_version.c.version_number)
        return self.rows(sa.select(*columns).order_by(*columns))

    def stale(self) -> dict[object, object]:
        return {row[0]: row[1] for row in self.rows(sa.select(dag.c.dag_id, dag.c.is_stale))}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.broker.close()
    made.database.close()


def test_dags_are_stored_and_the_scheduler_is_told(bench: Bench) -> None:
    assert bench.publish({"a.py": dag_file("a"), "b.py": dag_file("b")}) == ["a", "b"]
    columns = (dag.c.dag_id, dag.c.fileloc, dag.c.is_paused, dag.c.timetable_type, dag.c.timetable_summary)
    assert bench.rows(sa.select(*columns).order_by(dag.c.dag_id)) == [
        ("a", "a.py", True, "NullTimetable", "None"),
        ("b", "b.py", True, "NullTimetable", "None"),
    ]
    assert bench.versions() == [("a", 1), ("b", 1)]
    assert bench.rows(sa.select(lease.c.owner).where(lease.c.name == "dag_processor")) == [("here:1",)]


def test_workers_can_fetch_the_bundle_that_a_version_is_pinned_to(bench: Bench, tmp_path: Path) -> None:
    bench.publish({"a.py": dag_file("a"), "lib/helper.py": "X = 1"})
    [(name, version)] = bench.rows(sa.select(dag_version.c.bundle_name, dag_version.c.bundle_version))
    store = bench.database.bundle_store()
    manifest = store.manifest(str(name), str(version))
    contents = store.contents({file.sha256: file.size for file in manifest.files})
    folder = BundleCache(tmp_path / "worker", max_bytes=10**9).ensure(manifest, lambda file: contents[file.sha256])
    assert (folder / "lib" / "helper.py").read_text() == "X = 1"


def test_only_dags_whose_code_changed_get_a_new_version(bench: Bench) -> None:
    bench.publish({"a.py": dag_file("a"), "b.py": dag_file("b")})
    assert bench.publish({"a.py": dag_file("a") + "\n# changed\n"}) == ["a"]
    assert bench.versions() == [("a", 1), ("a", 2), ("b", 1)]
    assert bench.publish({"data.csv": "1,2"}) == ["a", "b"]
    assert bench.versions()[-1] == ("b", 2)


def test_a_restart_changes_nothing(bench: Bench) -> None:
    bench.publish({"a.py": dag_file("a", before="import json.tool"), "b.py": dag_file("b"), "lib.py": "X = 1"})
    bench.restart()
    assert bench.publish() == []
    assert bench.versions() == [("a", 1), ("b", 1)]
    assert len(bench.rows(sa.select(bundle.c.version))) == 1


def test_removed_dags_become_stale_and_broken_ones_stay(bench: Bench) -> None:
    bench.publish({"a.py": dag_file("a"), "b.py": dag_file("b")})
    (bench.root / "a.py").unlink()
    bench.publish({"b.py": "from dagdeck import DAG\nraise ValueError('broken')\n"})
    assert bench.stale() == {"a": True, "b": False}
    columns = (import_error.c.filename, import_error.c.line, import_error.c.message)
    [(filename, line, message)] = bench.rows(sa.select(*columns))
    assert (filename, line) == ("b.py", 2)
    assert "ValueError: broken" in str(message)
    bench.publish({"b.py": dag_file("b"), "a.py": dag_file("a")})
    assert bench.stale() == {"a": False, "b": False}
    assert bench.rows(sa.select(import_error.c.filename)) == []


def test_many_dags_are_published_in_short_transactions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagdeck_master.dag_processor.publisher._DAGS_AT_ONCE", 2)
    names = [f"d{number}" for number in range(5)]
    told = bench.publish({f"{name}.py": dag_file(name) for name in names})
    assert sorted(told) == names
    assert bench.versions() == [(name, 1) for name in names]
    (bench.root / "d0.py").unlink()
    bench.publish({"shared.sql": "select 1"})
    assert bench.stale() == {name: name == "d0" for name in names}
    assert [number for _, number in bench.versions()].count(2) == 4


def test_duplicate_ids_leave_a_warning_and_an_error(bench: Bench) -> None:
    bench.publish({"m.py": dag_file("same"), "z.py": dag_file("same")})
    assert bench.rows(sa.select(dag_warning.c.dag_id, dag_warning.c.warning_type)) == [("same", "duplicate dag_id")]
    assert bench.rows(sa.select(import_error.c.filename)) == [("z.py",)]
    assert bench.rows(sa.select(dag.c.fileloc)) == [("m.py",)]


def test_a_request_to_parse_again_is_heeded_once(bench: Bench) -> None:
    bench.publish({"a.py": dag_file("a")})
    assert bench.processor.round() is RoundResult.QUIET
    with bench.database.writing() as connection:
        connection.execute(
            parse_request.insert().values(
                parse_request_id=bench.database.new_id(),
                bundle_name=BUNDLE_NAME,
                filename="a.py",
                requested_at=datetime.now(UTC),
            )
        )
    assert bench.publish() == []
    assert bench.processor.round() is RoundResult.QUIET


def test_one_machine_s_processor_is_in_charge_until_it_falls_silent(bench: Bench) -> None:
    now = [0.0]

    def publisher(host: str) -> DatabasePublisher:
        return DatabasePublisher(
            bundle_name=BUNDLE_NAME,
            host=host,
            pid=1,
            store_of_dags=bench.database.processor_store(),
            bundles=bench.database.bundle_store(),
            broker=bench.broker,
            zones=load_zone,
            clock=lambda: now[0],
        )

    first, second = publisher("first"), publisher("second")
    assert first.leads()
    for _ in range(5):
        now[0] += 6.0
        assert first.leads()
        assert not second.leads()
    assert publisher("first").leads(), "a successor on the same machine does not wait"
    now[0] += 6.0
    assert not second.leads()
    now[0] += 16.0
    assert second.leads()
    assert not first.leads(), "who was frozen notices that it was replaced"


def test_what_a_crashing_import_detached_does_not_survive(tmp_path: Path) -> None:
    """The process adopts orphans, so it finds even those that left the group and lost their parent."""
    mark = tmp_path / "pid"
    script = f"import os, time; os.setsid(); open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    before = f"""
        import os, pathlib, subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", {script!r}])
        while not (pathlib.Path({str(mark)!r}).exists() and pathlib.Path({str(mark)!r}).read_text()):
            time.sleep(0.01)
        os._exit(7)
        """
    write_files(tmp_path / "dags", {"crash.py": dag_file("crash", before=before), "good.py": dag_file("good")})
    with _running_processor(tmp_path) as (_, database):
        _wait_for_dags(database, ["good"])
        with database.reading() as connection:
            message = connection.execute(sa.select(import_error.c.message)).scalar_one()
        assert "exit code 7" in message
        assert not Path(f"/proc/{mark.read_text()}").exists()


def test_the_process_publishes_says_it_is_ready_and_ends_on_request(tmp_path: Path) -> None:
    write_files(tmp_path / "dags", {"a.py": dag_file("a")})
    with _running_processor(tmp_path) as (process, database):
        _wait_for_dags(database, ["a"])
        write_files(tmp_path / "dags", {"b.py": dag_file("b")})
        _wait_for_dags(database, ["a", "b"])
        assert _children_of(process.pid) == []
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0, output
        assert "published 2 DAGs" in output


@contextmanager
def _running_processor(home: Path) -> Iterator[tuple[subprocess.Popen[str], Database]]:
    """The DAG processor as a process of its own over `home`/dags and a new database."""
    url = f"sqlite:///{home / 'dagdeck.db'}"
    migrations.upgrade(url)
    command = [
        *(sys.executable, "-m", "dagdeckd", "--set", f"paths.home={home}", "--set", "queue.url=off"),
        *("--set", f"security.secret_key={KEY}", "--set", "dag_processor.scan_interval=0.2", "dag-processor"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    database = open_database(url, key=KEY)
    try:
        yield process, database
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        database.close()


def _wait_for_dags(database: Database, expected: list[str]) -> None:
    until = time.monotonic() + 15
    while True:
        with database.reading() as connection:
            found = list(connection.execute(sa.select(dag.c.dag_id).order_by(dag.c.dag_id)).scalars())
        if found == expected:
            return
        assert time.monotonic() < until, found
        time.sleep(0.05)


def _children_of(pid: int) -> list[str]:
    until = time.monotonic() + 3
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children or time.monotonic() > until:
            return children
        time.sleep(0.05)
