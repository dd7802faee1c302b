"""`dagdeckd health`: one answer about one component, by the leases that stand in the database."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import lease, worker
from dagdeckd.cli import dagdeckd, run


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else str(request.getfixturevalue("mariadb_url"))
    migrations.upgrade(found)
    return found


def asked(url: str, *arguments: str) -> tuple[int, str]:
    options = ["--set", f"database.url={url}", "health", *arguments]
    result = CliRunner().invoke(dagdeckd, options, standalone_mode=False)
    assert result.exception is None, result.exception
    return int(result.return_value), result.output.strip()


def execute(url: str, *statements: Any) -> None:
    with contextlib.closing(open_database(url)) as database, database.writing() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(("component", "name"), [("scheduler", "scheduler"), ("dag-processor", "dag_processor")])
def test_who_is_in_charge(url: str, component: str, name: str) -> None:
    assert asked(url, component) == (3, f"no {component} is in charge")
    now = datetime.now(UTC)
    execute(url, lease.insert().values(name=name, shard=0, owner="host:7", epoch=1, counter=1, renewed_at=now))
    assert asked(url, component) == (0, "healthy")
    execute(url, lease.update().values(renewed_at=now - timedelta(minutes=10)))
    code, told = asked(url, component)
    assert code == 3
    assert told.startswith(f"the {component} of host:7 has been silent for 60")
    execute(url, lease.update().values(renewed_at=now, owner=None))
    assert asked(url, component) == (3, f"no {component} is in charge")


def test_workers_by_name_or_any(url: str) -> None:
    assert asked(url, "worker") == (3, "no worker is there")
    with contextlib.closing(open_database(url)) as database:
        store = database.lease_store()
        ids = [
            store.register(name=name, hostname="h", slots=1, queues=["default"], version="1", pid=1)
            for name in ("one", "two")
        ]
        store.stop(ids[1])
    assert asked(url, "worker") == (0, "healthy")
    assert asked(url, "worker", "--name", "one") == (0, "healthy")
    assert asked(url, "worker", "--name", "two") == (3, "no worker named two is there")
    old = datetime.now(UTC) - timedelta(minutes=5)
    execute(url, sa.update(worker).where(worker.c.worker_id == ids[0]).values(last_seen_at=old))
    code, told = asked(url, "worker", "--name", "one")
    assert code == 3
    assert told.startswith("no worker named one has been heard for 30")


def test_a_database_that_is_away_is_no_health(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--set", "database.url=mysql+pymysql://u:hidden@127.0.0.1:1/d", "health", "scheduler"]) == 75
    told = capsys.readouterr().err
    assert "127.0.0.1" in told
    assert "hidden" not in told
