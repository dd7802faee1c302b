"""Assets through real daemons: producers start consumers, with what they emitted, by conditions and by partition."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster_database import Run
from tests.e2e.conftest import DAGS
from tests.e2e.daemon import wait_until
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

DAG_IDS = (
    "lineage_producer",
    "lineage_consumer",
    "lineage_alias_consumer",
    "derived",
    "lineage_regions",
    "lineage_region",
    "lineage_all_regions",
    "lineage_continent",
    "lineage_europe",
    "watching",
)
WATCHING = """
from dagdeck import DAG, Asset, AssetWatcher, task
from dagdeck.triggers.file import FileDeleteTrigger

arrivals = AssetWatcher(name="arrivals", trigger=FileDeleteTrigger(filepath={path!r}, poke_interval=0.2))
with DAG("watching", schedule=Asset("inbox", watchers=[arrivals]), is_paused_upon_creation=False):

    @task
    def arrived(triggering_asset_events):
        return [event.extra for events in triggering_asset_events.values() for event in events]

    arrived()
"""


@pytest.fixture(scope="module", params=["standalone", "mariadb"])
def lineage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A cluster with producers and consumers."""
    folder: Path = tmp_path_factory.mktemp(f"assets_{request.param}")
    database_url = queue_url = None
    if request.param == "mariadb":
        mariadb: MariaDb = request.getfixturevalue("mariadb")
        redis_server: RedisServer = request.getfixturevalue("redis_server")
        database_url, queue_url = mariadb.create_database(f"lineage_{os.getpid()}"), redis_server.url()
    with ClusterUnderTest(
        folder, dags=[DAGS / "lineage.py"], database_url=database_url, queue_url=queue_url, settings=QUICK
    ) as cluster:
        (cluster.dags_folder / "watching.py").write_text(WATCHING.format(path=str(folder / "inbox")))
        if database_url is None:
            cluster.start_standalone()
        else:
            cluster.start_cluster()
        cluster.wait_ready(*DAG_IDS)
        yield cluster


def runs_of(cluster: ClusterUnderTest, dag_id: str, count: int) -> list[Run]:
    """The runs of a DAG once there are so many and all have ended."""

    def of_dag() -> list[Run]:
        return [run for run in cluster.database.runs() if run.dag_id == dag_id]

    def ended() -> bool:
        return len(of_dag()) == count and all(run.end_date is not None for run in of_dag())

    wait_until(ended, timeout=40, what=f"{count} runs of {dag_id}")
    return of_dag()


def test_producers_start_consumers(lineage: ClusterUnderTest) -> None:
    run_id = lineage.trigger("lineage_producer")
    lineage.wait_run(run_id, timeout=40)
    (consumer,) = runs_of(lineage, "lineage_consumer", 1)
    assert consumer.run_id.startswith("asset_triggered__")
    assert lineage.database.xcom(consumer.run_id, "consume") == {
        "extra": {"rows": 3, "job": "j1"},
        "newest": {"rows": 3, "job": "j1"},
        "from": [run_id, "cleaned"],
        "watermark": 7,
    }
    (through_alias,) = runs_of(lineage, "lineage_alias_consumer", 1)
    assert lineage.database.xcom(through_alias.run_id, "consume_found") == [
        ["s3://bucket/found-at-run-time", {"by": "alias"}, ["found"]]
    ]
    (made,) = runs_of(lineage, "derived", 1)
    assert lineage.database.xcom(made.run_id, "derived") == [
        "s3://bucket/derived",
        "s3://bucket/raw",
        {"owner": "team"},
    ]


def test_partitions_have_runs_of_their_own(lineage: ClusterUnderTest) -> None:
    run_id = lineage.trigger("lineage_regions")
    lineage.wait_run(run_id, timeout=40)
    runs = runs_of(lineage, "lineage_region", 2)
    assert [lineage.database.xcom(run.run_id, "one") for run in runs] == [["us", "us"], ["eu", "eu"]]
    (together,) = runs_of(lineage, "lineage_all_regions", 1)
    assert lineage.database.xcom(together.run_id, "together") == ["eu", "us"]
    continents = runs_of(lineage, "lineage_continent", 2)
    assert sorted(lineage.database.xcom(run.run_id, "continent") for run in continents) == [
        ["america", "us"],
        ["europe", "eu"],
    ]
    (world,) = runs_of(lineage, "lineage_europe", 1)
    assert lineage.database.xcom(world.run_id, "europe") is True


def test_trigger_that_watches_an_asset_starts_runs(lineage: ClusterUnderTest) -> None:
    inbox = lineage.folder / "inbox"
    for count in (1, 2):
        inbox.write_text("something")
        run = runs_of(lineage, "watching", count)[-1]
        assert not inbox.exists()
        assert lineage.database.xcom(run.run_id, "arrived") == [{"from_trigger": True, "payload": True}]
