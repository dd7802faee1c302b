"""View models over a real API and scheduler, behind links that freeze, break and swallow streams.

Nothing that is shown is wrong for long, and nothing is missed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from dagdeck_desktop.live import Feed, LinkState, run_topic
from dagdeck_desktop.live import feed as feed_module
from dagdeck_desktop.transport import Api, Endpoint, PinStore
from dagdeck_desktop.viewmodels.dag import DagModel
from dagdeck_desktop.viewmodels.run import RunModel
from tests.desktop.links import link_to, swallowing_proxy
from tests.integration.api_cluster import ApiCluster, api_cluster


class Side:
    """The desktop's side: an API, a feed, and a run that is looked at."""

    def __init__(self, folder: Path) -> None:
        pins = PinStore(folder / "pins.json")
        self.api = Api(pins)
        self.feed = Feed(self.api, pins)
        self.run = RunModel(self.api, self.feed)
        self.states: list[str] = []
        self.snapshots: list[str] = []
        self.feed.link_state_changed.connect(lambda state, _age: self.states.append(state))
        self.feed.snapshot_received.connect(lambda topic, _data: self.snapshots.append(topic))

    def look(self, url: str, token: str, dag_id: str, run_id: str) -> None:
        """Connect and look at a run."""
        endpoint = Endpoint(url=url, token=token)
        self.api.set_endpoint(endpoint)
        self.feed.start(endpoint)
        self.run.open(dag_id, run_id)
        self.run.activate()

    def state(self, task_id: str) -> str | None:
        """A task's state as it is shown."""
        return self.run.shown(task_id).state


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def side(qtbot: QtBot, tmp_path: Path) -> Iterator[Side]:
    made = Side(tmp_path)
    yield made
    made.run.deactivate()
    made.feed.close()
    made.api.close()
    # What was aborted is ended by Qt's own thread; only then may its manager go.
    qtbot.wait(50)


def trigger(cluster: ApiCluster, dag_id: str, run_id: str) -> None:
    answer = cluster.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id})
    assert answer.status_code == 200, answer.text


def has_ended(cluster: ApiCluster, dag_id: str, run_id: str) -> bool:
    shown: Any = cluster.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").json()
    return shown["state"] in ("success", "failed")


@pytest.mark.parametrize("fault", ["freeze", "cut"])
def test_a_lost_link_is_seen_within_two_seconds_and_caught_up_without_a_gap(
    cluster: ApiCluster, side: Side, qtbot: QtBot, fault: str
) -> None:
    cluster.worker.released.clear()
    trigger(cluster, "holding", f"over a {fault}")
    with link_to(cluster.url) as link:
        side.look(link.url, cluster.tokens["olga"], "holding", f"over a {fault}")
        qtbot.waitUntil(lambda: side.state("hold") == "running", timeout=10_000)
        topic = run_topic("holding", f"over a {fault}")
        qtbot.waitUntil(lambda: side.snapshots == [topic], timeout=6_000)
        began = time.monotonic()
        link.freeze()
        if fault == "cut":
            link.cut()
        qtbot.waitUntil(lambda: side.feed.state is LinkState.LOST, timeout=6_000)
        # 1.8 s of silence, looked at every 0.2 s; the beat before may have come up to a moment earlier.
        assert time.monotonic() - began <= 2.3
        assert side.state("hold") == "running", "what was known stays in sight"
        # Meanwhile the world goes on.
        cluster.worker.released.set()
        cluster.until(lambda: has_ended(cluster, "holding", f"over a {fault}"), "the run's end")
        link.cut()
        link.thaw()
        qtbot.waitUntil(lambda: side.state("hold") == "success", timeout=12_000)
        qtbot.waitUntil(lambda: side.feed.state is LinkState.LIVE, timeout=6_000)
    assert side.snapshots == [topic], "only the changes that were missed are sent"


def test_a_proxy_that_swallows_streams_leads_to_polling(
    cluster: ApiCluster, side: Side, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FIRST_EVENT_SECONDS", 1.0)
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0.3)
    cluster.worker.released.clear()
    trigger(cluster, "holding", "behind a proxy")
    with swallowing_proxy(cluster.url) as url:
        side.look(url, cluster.tokens["olga"], "holding", "behind a proxy")
        # REST passes: the page is there before anybody knows of the stream.
        qtbot.waitUntil(lambda: side.state("hold") == "running", timeout=10_000)
        qtbot.waitUntil(lambda: side.feed.state is LinkState.POLLING, timeout=10_000)
        cluster.worker.released.set()
        qtbot.waitUntil(lambda: side.state("hold") == "success", timeout=10_000)
        assert side.run.run is not None
        qtbot.waitUntil(lambda: side.run.run is not None and side.run.run.state == "success", timeout=10_000)
        assert side.snapshots == []
        assert side.feed.state is LinkState.POLLING


def test_a_second_view_of_a_topic_gets_a_snapshot_too(cluster: ApiCluster, side: Side, qtbot: QtBot) -> None:
    trigger(cluster, "pipeline", "seen twice")
    side.look(cluster.url, cluster.tokens["olga"], "pipeline", "seen twice")
    qtbot.waitUntil(lambda: side.state("load") == "success", timeout=15_000)
    topic = run_topic("pipeline", "seen twice")
    qtbot.waitUntil(lambda: side.snapshots == [topic], timeout=6_000)
    second = RunModel(side.api, side.feed)
    second.open("pipeline", "seen twice")
    second.activate()
    qtbot.waitUntil(lambda: side.snapshots == [topic, topic], timeout=6_000)
    assert second.follows_stream
    assert second.counts() == side.run.counts() == {"success": 4}
    second.deactivate()
    assert side.feed.topics == (topic,)


def test_a_stream_of_several_views_resumes_those_that_were_there(cluster: ApiCluster, side: Side, qtbot: QtBot) -> None:
    trigger(cluster, "pipeline", "of several")
    side.look(cluster.url, cluster.tokens["olga"], "pipeline", "of several")
    qtbot.waitUntil(lambda: side.state("load") == "success", timeout=15_000)
    qtbot.waitUntil(lambda: bool(side.snapshots), timeout=6_000)
    before = len(side.snapshots)
    dag = DagModel(side.api, side.feed)
    dag.open("pipeline", "of several")
    dag.activate()
    qtbot.waitUntil(lambda: len(side.snapshots) > before, timeout=6_000)
    qtbot.wait(200)
    assert side.snapshots[before:] == ["dag:pipeline"]
    dag.deactivate()
