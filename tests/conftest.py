"""What all tests share: a clean environment, reproducible randomness, servers on demand, and who runs beside whom.

Decides when MariaDB and Redis are started (on first use, one of each per pytest process), and what happens where
they cannot be had: tests that need them are skipped at home and fail in continuous integration (CI=true). It does
not decide how a server is run: support/services.py does. Called by pytest.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.support.service_binaries import ServiceUnavailable
from tests.support.services import MariaDb, RedisServer, Server

SETTINGS_PREFIX = "DAGDECK__"
IN_CI = os.environ.get("CI") == "true"
AnyServer = TypeVar("AnyServer", bound=Server)
_database_numbers = itertools.count(1)

# At home each run tries new examples; elsewhere a failure must never depend on the run or on the machine's speed.
hypothesis.settings.register_profile("home", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)


def pytest_configure(config: pytest.Config) -> None:
    """Remove the caller's settings of DagDeck, which would reach every daemon a test starts."""
    for name in [name for name in os.environ if name.startswith(SETTINGS_PREFIX)]:
        del os.environ[name]
    # An explicit --hypothesis-profile has been loaded by now and stays.
    if not config.getoption("--hypothesis-profile", default=None):
        hypothesis.settings.load_profile("ci" if IN_CI else "home")


def pytest_report_header(config: pytest.Config) -> str:
    """Say by which rule hypothesis draws its examples, and how to repeat a run."""
    seed = config.getoption("--hypothesis-seed", default=None)
    if seed is None and IN_CI:
        return "hypothesis examples: derandomized"
    if seed is None:
        return "hypothesis examples: random; a failure prints the blob that repeats it"
    return f"hypothesis examples: --hypothesis-seed={seed}"


class ClustersApart(LoadScopeScheduling):
    """Under xdist: tests with daemons one after another in one worker, all others file by file beside them.

    Whole clusters mostly wait, so they leave a processor to the rest; two of them at once would make each other late.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "daemons" if _has_daemons(file) else file


@functools.cache
def _has_daemons(file: str) -> bool:
    return "pytest.mark.e2e" in Path(file).read_text("utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ClustersApart:
    """Who runs beside whom."""
    return ClustersApart(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist the tests with daemons begin at once: they take longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A private MariaDB server for the whole session. Whoever stops or freezes it starts or thaws it again."""
    yield from _served(MariaDb)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis server for the whole session. Whoever stops or freezes it starts or thaws it again."""
    yield from _served(RedisServer)


@pytest.fixture
def mariadb_url(mariadb: MariaDb) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database of this test's own."""
    _running(mariadb)
    name = f"test_{next(_database_numbers)}"
    yield mariadb.create_database(name)
    _running(mariadb)
    mariadb.drop_database(name)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """The URL of an empty Redis."""
    _running(redis_server)
    redis_server.execute("FLUSHALL")
    yield redis_server.url()
    _running(redis_server)


def _served(make: Callable[[], AnyServer]) -> Iterator[AnyServer]:
    try:
        server = make().__enter__()
    except ServiceUnavailable as error:
        if IN_CI:
            pytest.fail(f"this test needs a server: {error}", pytrace=False)
        pytest.skip(f"this test needs a server: {error}")
    try:
        yield server
    finally:
        server.close()


def _running(server: Server) -> None:
    """Undo what a failed test may have left behind, so that it does not fail its successors."""
    server.thaw()
    server.start()
