"""The cluster on which a corpus is run.

Decides its backend, its settings and what its tasks find in their environment. Called by `__main__` and by the tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.compat.corpus import Corpus
from tests.e2e.harness import ClusterUnderTest
from tests.support.services import MariaDb, RedisServer

SETTINGS = {"dag_processor.scan_interval": "1", "worker.slots": "16", "logging.level": "warning"}
"""Everything else is as a user finds it."""
WORKERS = ("worker-1", "worker-2")


@contextmanager
def cluster(corpus: Corpus, folder: Path, *, standalone: bool) -> Iterator[ClusterUnderTest]:
    """A started cluster with the corpus as its DAG folder, on private servers unless it is a standalone one."""
    with ExitStack() as stack:
        database_url = queue_url = None
        if not standalone:
            mariadb, redis = stack.enter_context(MariaDb()), stack.enter_context(RedisServer())
            database_url, queue_url = mariadb.create_database("compat"), redis.url()
        this = stack.enter_context(
            ClusterUnderTest(
                folder, dags=[corpus.folder], database_url=database_url, queue_url=queue_url, settings=SETTINGS
            )
        )
        # Some examples make folders below it.
        stack.enter_context(_environment(AIRFLOW_HOME=str(folder)))
        if standalone:
            this.start_standalone()
        else:
            this.start_cluster(WORKERS)
        this.wait_ready(workers=() if standalone else WORKERS, timeout=120)
        yield this


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
