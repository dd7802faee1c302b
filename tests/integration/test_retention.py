"""Old rows go in small steps, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from dagdeck_core.actions import DeleteQueuedEvents, action_decoder
from dagdeck_core.spec import DagSpec
from dagdeck_io.db import migrations, tables
from dagdeck_io.db.dialects import HotConnection, Row, Script
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.retention import Retention
from tests.support.retention_periods import months

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=40), NOW - timedelta(days=2)
MONTH = timedelta(days=30)


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    migrations.upgrade(url)
    opened = open_database(url)
    yield opened
    opened.close()


def retention(database: Database, rows: int = 10, **given: Any) -> Retention:
    return database.retention(months(rows_per_step=rows, **given))


def id_of(moment: datetime, number: int) -> int:
    from dagdeck_core.ids import IdSource

    source = IdSource(node=number)
    return source.next(int(moment.timestamp() * 1000))


def add_run(database: Database, moment: datetime, number: int, *, state: str = "success", tasks: int = 3) -> int:
    run_key = id_of(moment, number)
    with database.writing() as connection:
        connection.execute(
            tables.dag_run.insert().values(
                run_key=run_key,
                dag_id="d",
                run_id=f"r{number}",
                version_id=1,
                state=state,
                run_type="manual",
                run_after=moment,
                queued_at=moment,
                end_date=moment if state in ("success", "failed") else None,
                conf={},
                triggered_by="test",
                created_tasks=tasks,
                clear_number=0,
                updated_at=moment,
            )
        )
        for index in range(tasks):
            ti_id = run_key + 1 + index
            connection.execute(
                tables.task_instance.insert().values(
                    ti_id=ti_id,
                    run_key=run_key,
                    task_id=f"t{index}",
                    map_index=-1,
                    state="success",
                    dispatch_no=0,
                    try_number=1,
                    max_tries=0,
                    version_id=1,
                    lost_count=0,
                    duration=0.0,
                    pool="default_pool",
                    pool_slots=1,
                    queue="default",
                    priority_weight=1,
                    operator="PythonOperator",
                    updated_at=moment,
                )
            )
            connection.execute(
                tables.transition.insert().values(
                    transition_id=ti_id,
                    run_key=run_key,
                    ti_id=ti_id,
                    dispatch_no=0,
                    from_state="none",
                    to_state="success",
                    at=moment,
                    actor="scheduler",
                    reason="",
                    cause="",
                )
            )
    return run_key


def keys(database: Database, column: sa.Column[int]) -> list[int]:
    with database.reading() as connection:
        return sorted(connection.execute(sa.select(column)).scalars())


def run_to_end(tool: Retention) -> int:
    for steps in range(1, 200):
        if not tool.step(NOW):
            return steps
    raise AssertionError("retention never ends")


def test_old_finished_runs_go_with_all_that_is_theirs_and_young_ones_stay(database: Database) -> None:
    add_run(database, OLD, 1)
    young = add_run(database, YOUNG, 2)
    run_to_end(retention(database))
    assert keys(database, tables.dag_run.c.run_key) == [young]
    assert keys(database, tables.task_instance.c.ti_id) == [young + 1, young + 2, young + 3]
    assert keys(database, tables.transition.c.transition_id) == [young + 1, young + 2, young + 3]


def test_an_unfinished_run_stays_however_old(database: Database) -> None:
    running = add_run(database, OLD, 1, state="running")
    run_to_end(retention(database))
    assert keys(database, tables.dag_run.c.run_key) == [running]
    assert len(keys(database, tables.task_instance.c.ti_id)) == 3


def test_a_large_run_is_gone_at_once_and_its_rows_in_bounded_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(database, OLD, 1, tasks=35)
    add_run(database, OLD, 2, tasks=3)
    tool = retention(database, rows=10)
    sizes = watch(tool.connection, monkeypatch)
    assert tool.step(NOW)
    assert keys(database, tables.dag_run.c.run_key) == []
    assert run_to_end(tool) >= 7
    for table in (tables.task_instance, tables.transition, tables.removal):
        with database.reading() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
    assert max(sizes) <= 10
    assert tool.deleted == {"dag_run": 2, "transition": 38, "task_instance": 38}


def watch(connection: HotConnection, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each transaction deletes."""
    run, sizes = connection.run, []

    def counting(script: Script, *, begin: bool = True, commit: bool = True) -> list[list[Row]]:
        if not (begin and commit):
            return run(script, begin=begin, commit=commit)
        counted = connection.script()
        for statement in script.statements:
            counted.statements.append(statement)
            counted.read("SELECT ROW_COUNT()" if connection.dialect.name == "mysql" else "SELECT changes()")
        found = run(counted, begin=True, commit=True)
        deletes = [statement.sql.startswith("DELETE FROM") for statement in script.statements]
        counts = [rows[0][0] for statement, rows in zip(script.statements, found, strict=True)]
        sizes.append(sum(count for count, is_delete in zip(counts, deletes, strict=True) if is_delete))
        return []

    monkeypatch.setattr(connection, "run", counting)
    return sizes


def test_a_slow_database_gets_smaller_transactions(database: Database) -> None:
    add_run(database, OLD, 1, tasks=60)
    tool = retention(database, rows=40, longest_step=0.0)
    run_to_end(tool)
    purge = tool._purge
    assert purge._budget == 10, "the fewest"
    quick = retention(database, rows=40, longest_step=60.0)
    add_run(database, OLD, 3, tasks=60)
    run_to_end(quick)
    assert quick._purge._budget == 40


def test_nothing_to_delete_is_one_look(database: Database) -> None:
    tool = retention(database)
    assert run_to_end(tool) <= 2
    assert tool.deleted == {}


def test_the_last_run_of_a_dag_in_use_stays(database: Database) -> None:
    add_dag(database, "d")
    add_run(database, OLD - timedelta(days=1), 1)
    last = add_run(database, OLD, 2)
    run_to_end(retention(database))
    assert keys(database, tables.dag_run.c.run_key) == [last]
    with database.writing() as connection:
        connection.execute(tables.dag.update().values(is_stale=True, last_expired=OLD))
    run_to_end(retention(database))
    for column in (tables.dag_run.c.run_key, tables.dag.c.dag_id, tables.dag_version.c.version_id):
        assert keys(database, column) == [], "a DAG that is gone goes after its last run"


def add_dag(database: Database, dag_id: str) -> None:
    with database.writing() as connection:
        connection.execute(
            tables.dag_version.insert().values(
                version_id=1,
                dag_id=dag_id,
                bundle_name="b",
                bundle_version="v",
                spec_sha256="x",
                code_sha256="x",
                spec=DagSpec(dag_id=dag_id, fileloc="d.py", tasks=()),
                created_at=OLD,
            )
        )
        connection.execute(
            tables.dag.insert().values(
                dag_id=dag_id, bundle_name="b", bundle_version="v", version_id=1, created_at=OLD, fileloc="d.py"
            )
        )


class Meddling:
    """An archive that keeps nothing; somebody queues every run again just before it is to be deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def columns(self, table: str) -> Sequence[str]:
        return ()

    def add(self, table: str, rows: Sequence[Row]) -> None:
        raise AssertionError("it keeps nothing")

    def store(self) -> None:
        with self._database.writing() as connection:
            connection.execute(tables.dag_run.update().values(state="queued"))

    def undo(self) -> None:
        pass

    def forget(self) -> None:
        pass

    def prune(self, now: datetime) -> int:
        return 0


def test_a_run_that_is_queued_again_meanwhile_stays(database: Database) -> None:
    run_key = add_run(database, OLD, 1)
    tool = database.retention(months(), Meddling(database))
    assert tool.step(NOW), "it begins anew"
    run_to_end(tool)
    assert keys(database, tables.dag_run.c.run_key) == [run_key]
    assert len(keys(database, tables.task_instance.c.ti_id)) == 3


def test_old_asset_events_go_unless_somebody_has_or_awaits_them(database: Database) -> None:
    old = [id_of(OLD, number) for number in range(1, 4)]
    run_key = add_run(database, YOUNG, 9)
    young = id_of(YOUNG, 4)
    with database.writing() as connection:
        for event_id in (*old, young):
            values = {"asset_event_id": event_id, "asset_id": 1, "timestamp": OLD, "extra": {}}
            connection.execute(tables.asset_event.insert().values(**values))
            connection.execute(tables.asset_event_alias.insert().values(asset_event_id=event_id, alias_id=1))
        connection.execute(tables.dag_run_asset_event.insert().values(run_key=run_key, asset_event_id=old[1]))
        queued = {"dag_id": "d", "partition_id": 0, "asset_event_id": old[2], "asset_id": 1, "queued_at": OLD}
        connection.execute(tables.queued_asset_event.insert().values(**queued))
    run_to_end(retention(database, rows=1))
    for table in (tables.asset_event, tables.asset_event_alias):
        with database.reading() as connection:
            found = connection.execute(sa.select(table.c.asset_event_id).order_by(table.c.asset_event_id)).scalars()
            assert list(found) == [old[1], old[2], young]


def test_the_scheduler_is_asked_once_a_day_to_forget_events_with_which_dags_wait_for_too_long(
    database: Database,
) -> None:
    with database.writing() as connection:
        for number, moment in ((1, OLD), (2, YOUNG)):
            queued = {"dag_id": "d", "partition_id": 0, "asset_event_id": number, "asset_id": 1, "queued_at": moment}
            connection.execute(tables.queued_asset_event.insert().values(**queued))
    for _ in range(2):
        run_to_end(retention(database))
    with database.reading() as connection:
        (asked,) = connection.execute(sa.select(tables.action)).all()
        waiting = connection.execute(sa.select(sa.func.count()).select_from(tables.queued_asset_event)).scalar_one()
    assert waiting == 2, "only the scheduler writes these rows"
    assert (asked.state, asked.actor, asked.kind) == ("pending", "retention", "delete_queued_events")
    action = action_decoder.decode(msgspec.json.encode(asked.payload))
    assert action == DeleteQueuedEvents(before=NOW - MONTH)
