"""A year of history goes through retention week by week: nothing piles up, and nothing goes too early."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.ids import IdSource, id_time_ms
from dagdeck_core.spec import DagSpec
from dagdeck_io.archive import ArchiveWriter, archived_days, archived_rows
from dagdeck_io.audit.export import judge
from dagdeck_io.audit.seals import sealing_key_of
from dagdeck_io.audit.verification import Verification
from dagdeck_io.db import migrations
from dagdeck_io.db.audit_chain import AuditChain
from dagdeck_io.db.audit_reading import read_items
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.sweeps import RetentionPeriods
from dagdeck_io.db.tables import metadata
from tests.integration.test_retention import watch

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEK, DAY = timedelta(days=7), timedelta(days=1)
RUNS_A_DAY, TASKS = 2, 2
PERIODS = RetentionPeriods(
    dag_runs=56 * DAY,
    transitions=28 * DAY,
    rendered_fields=21 * DAY,
    xcoms=35 * DAY,
    logs=14 * DAY,
    audit=112 * DAY,
    actions=21 * DAY,
    callbacks=21 * DAY,
    asset_events=42 * DAY,
    workers=28 * DAY,
    tokens=14 * DAY,
    code=21 * DAY,
    stale_dags=70 * DAY,
    rows_per_step=300,
    longest_step=60.0,
)
KEPT = {
    "dag_run": PERIODS.dag_runs,
    "task_instance": PERIODS.dag_runs,
    "transition": PERIODS.transitions,
    "task_instance_history": PERIODS.transitions,
    "rendered_fields": PERIODS.rendered_fields,
    "xcom": PERIODS.xcoms,
    "log_chunk": PERIODS.logs,
    "audit_log": PERIODS.audit,
    "action": PERIODS.actions,
    "work": PERIODS.callbacks,
    "asset_event": PERIODS.asset_events,
    "worker": PERIODS.workers,
    "token": PERIODS.tokens,
}


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    migrations.upgrade(url)
    opened = open_database(url)
    yield opened
    opened.close()


class History:
    """Makes the rows that a cluster leaves behind in a week: a DAG with four runs a day and a new version a week."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids, self._others = IdSource(node=7), IdSource(node=8)
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.made: dict[str, list[int]] = {}
        self.version = 0

    def week(self, begin: datetime) -> None:
        """Everything of the week that begins then, inserted at once."""
        self.rows = {}
        self._publish(begin)
        for number in range(7 * RUNS_A_DAY):
            self._run(begin + number * DAY / RUNS_A_DAY)
        self._beside(begin)
        with self._database.writing() as connection:
            for name, rows in self.rows.items():
                connection.execute(metadata.tables[name].insert(), rows)
            values = {"version_id": self.version, "bundle_version": f"b{self.version}"}
            if not connection.execute(metadata.tables["dag"].update().values(**values)).rowcount:
                fixed = {"dag_id": "d", "fileloc": "d.py", "bundle_name": "dags", "created_at": begin}
                connection.execute(metadata.tables["dag"].insert().values(**fixed, **values))

    def _add(self, table: str, made: int | None = None, /, **values: Any) -> None:
        self.rows.setdefault(table, []).append(values)
        if made is not None:
            self.made.setdefault(table, []).append(made)

    def _id(self, at: datetime) -> int:
        return self._ids.next(int(at.timestamp() * 1000))

    def _other_id(self, at: datetime) -> int:
        """Of a source whose time has not gone on to the week's end."""
        return self._others.next(int(at.timestamp() * 1000))

    def _publish(self, at: datetime) -> None:
        self.version = self._id(at)
        names = ("shared.py", f"{self.version}.py")
        fixed = {"name": "dags", "version": f"b{self.version}", "created_at": at, "published_at": at}
        self._add("bundle", bundle_id=self.version, file_count=2, total_size=8, **fixed)
        for name in names:
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            self._add("bundle_file", bundle_id=self.version, path=name, sha256=sha256, size=4, executable=False)
            if name != "shared.py" or len(self.made.get("dag_version", [])) == 0:
                self._add("bundle_content", sha256=sha256, size=4, encoding="raw", data=b"code", created_at=at)
        self._add(
            "dag_version",
            self.version,
            version_id=self.version,
            dag_id="d",
            version_number=len(self.made.get("dag_version", [])) + 1,
            bundle_name="dags",
            bundle_version=f"b{self.version}",
            spec_sha256="x",
            code_sha256="x",
            spec=DagSpec(dag_id="d", fileloc="d.py", tasks=()),
            created_at=at,
        )

    def _run(self, at: datetime) -> None:
        run_key = self._id(at)
        self._add(
            "dag_run",
            run_key,
            run_key=run_key,
            dag_id="d",
            run_id=f"r{run_key}",
            version_id=self.version,
            state="success",
            run_type="scheduled",
            run_after=at,
            end_date=at + timedelta(minutes=5),
            updated_at=at,
        )
        for number in range(TASKS):
            self._task(run_key, f"t{number}", at + timedelta(minutes=number))

    def _task(self, run_key: int, task_id: str, at: datetime) -> None:
        ti_id, no = self._id(at), self._id(at)
        of_ti = {"ti_id": ti_id, "run_key": run_key}
        fixed = {"version_id": self.version, "pool": "default_pool", "queue": "default", "updated_at": at}
        self._add("task_instance", ti_id, **of_ti, task_id=task_id, state="success", dispatch_no=no, **fixed)
        self._add(
            "task_instance_history",
            no,
            **of_ti,
            dispatch_no=no,
            try_number=1,
            state="success",
            version_id=self.version,
            ended_by="worker:1",
        )
        for old, new in (("none", "queued"), ("queued", "running"), ("running", "success")):
            key = self._id(at)
            moved = {"from_state": old, "to_state": new, "at": at, "actor": "scheduler", "dispatch_no": no}
            self._add("transition", key, transition_id=key, **of_ti, **moved)
        self._add("xcom", ti_id, **of_ti, key="return_value", dispatch_no=no, value='{"rows":3}', timestamp=at)
        self._add("rendered_fields", ti_id, **of_ti, dispatch_no=no, fields={"bash_command": "true"})
        log = {"offset": 0, "try_number": 1, "size": 5, "encoding": "raw", "data": b"done\n", "created_at": at}
        self._add("log_chunk", ti_id, ti_id=ti_id, dispatch_no=no, **log)

    def _beside(self, begin: datetime) -> None:
        for day in range(7):
            at = begin + day * DAY
            key = self._other_id(at)
            self._add("audit_log", key, event_log_id=key, when=at, event="trigger", owner="ann")
            acted = {"kind": "trigger", "payload": {}, "state": "done", "actor": "ann", "source": "api"}
            self._add("action", key, action_id=key, requested_at=at, idempotency_key=f"k{key}", **acted)
            done = {"kind": "callback", "state": "success", "settled": True, "dag_id": "d", "version_id": self.version}
            self._add("work", key, work_id=key, queue="default", order="{}", created_at=at, **done)
            log = {"offset": 0, "try_number": 0, "size": 2, "encoding": "raw", "data": b"x\n", "created_at": at}
            self._add("log_chunk", None, ti_id=-key, dispatch_no=key, **log)
            self._add("asset_event", key, asset_event_id=key, asset_id=1, timestamp=at)
            token = {"user_id": 1, "token_hash": f"{key:064x}", "scope": "admin", "created_at": at}
            self._add("token", key, token_id=key, expires_at=at, **token)
        ended = {"name": "w", "hostname": "h", "queues": ["default"], "last_seen_at": begin, "ended_at": begin}
        self._add("worker", key, worker_id=key, state="stopped", started_at=begin, **ended)


def _keys(database: Database, name: str) -> list[int]:
    column = next(iter(metadata.tables[name].primary_key.columns))
    with database.reading() as connection:
        return sorted(connection.execute(sa.select(column)).scalars())


def _count(database: Database, name: str) -> int:
    with database.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(metadata.tables[name])).scalar_one())


def test_a_year_of_history(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Thousands of files: that each is synced before its rows go is the business of test_archive.py.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    history = History(database)
    archive = ArchiveWriter(folder=tmp_path / "archive")
    tool = database.retention(PERIODS, archive, lambda: sealing_key_of(tmp_path))
    sealing = database.audit_chain(lambda: sealing_key_of(tmp_path)).connection
    sizes = watch(tool.connection, monkeypatch)
    for week in range(53):
        begin = START + week * WEEK
        history.week(begin)
        now = begin + WEEK
        # A new one each week goes on where the chain ends: a week's records come at once here.
        chain = AuditChain(connection=sealing, key=lambda: sealing_key_of(tmp_path))
        while chain.step(now):
            pass
        while tool.step(now):
            pass
        if week % 13 == 12 or week == 52:
            _check_kept(database, history, now)
    assert max(sizes) <= PERIODS.rows_per_step
    _check_code(database, history)
    _check_archive(history, tool.deleted, tmp_path / "archive")
    _check_chain(database, START + 53 * WEEK)
    assert tool.step(START + 53 * WEEK)
    assert tool.preview(START + 53 * WEEK) == [(name, 0) for name, _ in tool.preview(START)]


def _check_kept(database: Database, history: History, now: datetime) -> None:
    """Of each table exactly the rows are left that are young enough."""
    for name, age in KEPT.items():
        oldest = (now - age).timestamp() * 1000
        expected = [key for key in history.made[name] if id_time_ms(key) >= oldest]
        found = [key for key in _keys(database, name) if key > 0]
        # A run goes when it ended before that moment; its end and its tasks are some minutes later than itself.
        slack = 2 * TASKS if name in ("dag_run", "task_instance") else TASKS
        assert set(expected) <= set(found), name
        assert len(found) - len(expected) <= slack, name
    logs = _count(database, "log_chunk") - len([key for key in _keys(database, "log_chunk") if key > 0])
    assert logs == _count(database, "work"), "the logs of work go with it"


def _check_code(database: Database, history: History) -> None:
    """Versions under which kept runs began are there, with their bundles and contents, and few others."""
    with database.reading() as connection:
        used = set(connection.execute(sa.select(metadata.tables["dag_run"].c.version_id).distinct()).scalars())
    versions = set(_keys(database, "dag_version"))
    assert used | {history.version} <= versions
    assert len(versions) <= len(used) + 2
    assert set(_keys(database, "bundle")) == versions
    assert _count(database, "bundle_file") == 2 * len(versions)
    assert _count(database, "bundle_content") == len(versions) + 1, "the file that all share, and one of each"


def _check_chain(database: Database, now: datetime) -> None:
    """What is left of the audit log verifies from its checkpoint on."""
    verification = Verification()
    with database.reading() as connection:
        judge(read_items(connection, now), verification)
    verification.end()
    assert (verification.findings, verification.unchained) == ([], 0)
    assert verification.links == _count(database, "audit_log") > 0
    assert verification.first > 1


def _check_archive(history: History, deleted: dict[str, int], folder: Path) -> None:
    """What was deleted can be read, each row once."""
    for name in ("dag_run", "task_instance", "transition", "xcom", "log_chunk", "audit_log"):
        rows = list(archived_rows(archived_days(folder, name)))
        assert len(rows) == deleted[name], name
    run = next(archived_rows(archived_days(folder, "dag_run")))
    assert (run["dag_id"], run["run_after"]) == ("d", "2026-01-05T00:00:00Z")
    logs = archived_rows(archived_days(folder, "log_chunk"))
    assert {row["data"] for row in logs} == {"done\n", "x\n"}
    days: Sequence[Any] = archived_days(folder, "task_instance")
    assert [each.day for each in days] == [START.date() + number * DAY for number in range(len(days))]
    assert not archived_days(folder, "token")
