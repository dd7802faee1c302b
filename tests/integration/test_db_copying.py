"""Moving a cluster's database: every table arrives as it was, also after an interruption, nothing in use changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.db import copying, migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import lease, metadata, worker
from tests.support.any_rows import any_value
from tests.support.services import MariaDb

ROWS = 7
_LEFT_OUT = ("lease", "id_node", "measurement", "ready")


def _fill(url: str) -> None:
    """Rows in every table, whatever its columns are."""
    database = open_database(url)
    with database.writing() as connection:
        for table in metadata.sorted_tables:
            if table.name in _LEFT_OUT:
                continue
            rows = [
                {column.name: any_value(column, number) for column in table.columns} for number in range(1, ROWS + 1)
            ]
            connection.execute(table.insert(), rows)
    database.close()


def _all(url: str) -> dict[str, list[dict[str, Any]]]:
    database = open_database(url)
    with database.reading() as connection:
        found = {
            table.name: [
                dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in metadata.sorted_tables
            if table.name not in _LEFT_OUT
        }
    database.close()
    return found


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A full SQLite database."""
    url = f"sqlite:///{tmp_path}/source.db"
    migrations.upgrade(url)
    _fill(url)
    return url


def test_everything_arrives_on_a_server_as_it_was(source: str, mariadb: MariaDb) -> None:
    target = mariadb.create_database("copied")
    told: list[tuple[str, int, int]] = []
    rows = copying.copy_database(source, target, lambda *step: told.append(step))
    before, after = _all(source), _all(target)
    assert rows == sum(len(found) for found in before.values())
    # Workers of the old cluster are gone.
    assert {row["state"] for row in after.pop("worker")} == {"stopped"}
    before.pop("worker")
    assert after == before
    assert told
    assert all(copied <= total for _, copied, total in told)


def test_an_interrupted_copy_goes_on(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "ROWS_AT_ONCE", 2)
    target = f"sqlite:///{tmp_path}/target.db"
    steps = 0

    def interrupt(table: str, copied: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps % 9 == 0:
            raise KeyboardInterrupt

    for _ in range(100):
        try:
            copying.copy_database(source, target, interrupt)
            break
        except KeyboardInterrupt:
            continue
    before, after = _all(source), _all(target)
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    assert after["xcom"] == before["xcom"]
    with pytest.raises(UserError, match="holds rows already"):
        copying.copy_database(source, target, lambda *_: None)


def test_a_running_cluster_is_not_copied(source: str, tmp_path: Path) -> None:
    database = open_database(source)
    with database.writing() as connection:
        connection.execute(lease.insert().values(name="scheduler", shard=0, owner="host:7", epoch=1, counter=1))
    database.close()
    with pytest.raises(EnvironmentFault, match="host:7 leads"):
        copying.copy_database(source, f"sqlite:///{tmp_path}/target.db", lambda *_: None)
    assert not (tmp_path / "target.db").exists()


def test_an_estimate_counts_rows(source: str) -> None:
    assert dict(copying.estimate(source))["worker"] == ROWS
    assert worker.name in dict(copying.estimate(source))
