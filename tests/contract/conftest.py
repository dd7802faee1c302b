"""Fixtures of the contract tests: one database per adapter and session, emptied for each test.

Decides which adapters of the stores the suite runs on. Called by pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import metadata
from dagdeck_io.secrets import generate_key
from tests.contract.store_world import StoreWorld

KEPT = {"id_node"}
"""Tables whose rows outlive a test, as the database object does."""


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def store_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An upgraded database of the adapter, shared by the session's tests."""
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("contract") / "dagdeck.db"
        url = f"sqlite:///{path}"
    else:
        url = request.getfixturevalue("mariadb").create_database("contract")
    migrations.upgrade(url)
    database = open_database(url, key=generate_key())
    yield database
    database.close()


@pytest.fixture
def stores(store_database: Database) -> Iterator[StoreWorld]:
    """The adapter's stores over empty tables."""
    with store_database.writing() as connection:
        for table in metadata.sorted_tables:
            if table.name not in KEPT:
                connection.execute(sa.delete(table))
        connection.execute(
            metadata.tables["pool"].insert().values(name="default_pool", slots=128, include_deferred=False)
        )
    world = StoreWorld(
        database=store_database,
        scheduler=store_database.scheduler_store(takeover=0.2),
        worker=store_database.worker_store(),
        lease=store_database.lease_store(),
    )
    yield world
    for store in (world.scheduler, world.worker, world.lease):
        store.connection.close()
