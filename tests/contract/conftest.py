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
from dagdeck_io.db.grants import Role, script, statements
from dagdeck_io.db.tables import metadata
from dagdeck_io.secrets import generate_key
from tests.contract.store_world import StoreWorld
from tests.support.services import MariaDb

KEPT = {"id_node"}
"""Tables whose rows outlive a test, as the database object does."""


KEY = generate_key()


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def store_urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Role, str]:
    """Each role's URL of an upgraded database. On a server each has an account with its rights and no more."""
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("contract") / "dagdeck.db"
        url = f"sqlite:///{path}"
        migrations.upgrade(url)
        return dict.fromkeys(Role, url)
    found: dict[Role, str] = request.getfixturevalue("server_urls")
    return found


@pytest.fixture(scope="session")
def server_urls(mariadb: MariaDb) -> dict[Role, str]:
    """Those of the server. Made once, however often the tests change between the adapters."""
    migrations.upgrade(mariadb.create_database("contract"))
    for role in Role:
        granted = statements(
            role, database="contract", account=f"contract_{role}", host="127.0.0.1", password=f"of {role}"
        )
        mariadb.execute(script(granted))
    return {role: mariadb.url("contract", user=f"contract_{role}", password=f"of {role}") for role in Role}


@pytest.fixture(scope="session")
def store_database(store_urls: dict[Role, str]) -> Iterator[Database]:
    """The adapter's database as the master sees it, shared by the session's tests."""
    database = open_database(store_urls[Role.MASTER], key=KEY)
    yield database
    database.close()


@pytest.fixture(scope="session")
def worker_database(store_urls: dict[Role, str], store_database: Database) -> Iterator[Database]:
    """The same database as a worker sees it."""
    if store_urls[Role.WORKER] == store_urls[Role.MASTER]:
        yield store_database
        return
    database = open_database(store_urls[Role.WORKER], key=KEY)
    yield database
    database.close()


@pytest.fixture
def stores(store_database: Database, worker_database: Database) -> Iterator[StoreWorld]:
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
        worker_database=worker_database,
        scheduler=store_database.scheduler_store(takeover=0.2),
        worker=worker_database.worker_store(),
        lease=worker_database.lease_store(),
    )
    yield world
    for store in (world.scheduler, world.worker, world.lease):
        store.connection.close()
