"""From a state in the database to its colour on the screen, with real daemons, the stream and a graph.

Decides what counts: the time of each committed transition against the end of the paint that first shows it. That time
is taken before the commit, so the figures are rather too high. Called by `__main__`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PySide6.QtCore import QEvent, QEventLoop, QObject, QTimer
from PySide6.QtWidgets import QApplication

from dagdeck_client.requests import runs
from dagdeck_desktop.graph import GraphArea, GraphNode, NodeState
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.live import Feed
from dagdeck_desktop.live.topics import run_topic
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.transport import Api, Endpoint, PinStore
from dagdeck_io.db import tables as t
from tests.benchmarks.desktop.measure import Timing, Timings
from tests.e2e.daemon import wait_until
from tests.e2e.harness import ClusterUnderTest

DAGS = Path(__file__).parent / "dags"
DAG_ID, RUNS = "watched_chain", 5
SETTINGS = {"dag_processor.paused_at_creation": "false", "logging.level": "warning"}
LIMIT = 150.0
Seen = dict[tuple[str, str], float]
"""When a state (second) of a task (first) was first painted, as seconds since 1970."""


class Watcher(QObject):
    """A graph of a run that keeps when each state was painted."""

    def __init__(self, area: GraphArea, feed: Feed) -> None:
        super().__init__()
        self.seen: Seen = {}
        self.is_listening = False
        self.is_done = False
        self._area = area
        self._waiting: list[tuple[str, str]] = []
        feed.snapshot_received.connect(self._take)
        feed.diff_received.connect(self._take)
        area.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Paint and self._waiting:
            painted, self._waiting = self._waiting, []
            # Comes round when the paint is over.
            QTimer.singleShot(0, self, lambda: self._note(painted))
        return False

    def _note(self, painted: list[tuple[str, str]]) -> None:
        now = time.time()
        for each in painted:
            self.seen.setdefault(each, now)

    def _take(self, topic: str, data: Any) -> None:
        self.is_listening = self.is_listening or topic.startswith("run:")
        if not topic.startswith("run:") or not data:
            return
        states = {}
        for task in data.get("tasks", ()):
            states[task[2]] = NodeState(state=task[1])
            self._waiting.append((str(task[2]), str(task[1])))
        self._area.set_states(states)
        run = data.get("run")
        self.is_done = self.is_done or (run is not None and run["state"] in ("success", "failed"))


def changes(theme: Theme, icons: Icons) -> Timings:
    """Runs of a chain, watched."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory(prefix="dagdeck-bench-") as text:
        folder = Path(text)
        with ClusterUnderTest(folder, dags=[DAGS / f"{DAG_ID}.py"], settings=SETTINGS) as cluster:
            cluster.start_standalone()
            cluster.wait_ready(DAG_ID, timeout=60)
            names = _task_ids(cluster)
            pins = PinStore(folder / "pins.json")
            api = Api(pins)
            feed = Feed(api, pins)
            access = json.loads((cluster.home / "token").read_text())
            feed.start(Endpoint(url=f"http://127.0.0.1:{cluster.api_port}", token=str(access["token"])))
            for number in range(RUNS):
                taken += _watch(GraphArea(theme, icons), cluster, feed, names, f"watched-{number}")
            feed.close()
            api.close()
    note = f"{len(taken)} changes in {RUNS} runs of a chain of {len(names)} tasks"
    return {"state_to_pixel": Timing(unit="ms", runs=taken, limit=LIMIT, note=note)}


def _task_ids(cluster: ClusterUnderTest) -> list[str]:
    """The chain's tasks, after a first run that also warms the worker."""
    with cluster.client() as client:
        client.send(runs.trigger_run(DAG_ID, run_id="first"))
    wait_until(lambda: (run := cluster.database.run("first")) and run.state == "success", 60, "a first run ends")
    tasks = cluster.database.task_instances("first")
    return [task.task_id for task in sorted(tasks, key=lambda task: task.ti_id)]


def _watch(area: GraphArea, cluster: ClusterUnderTest, feed: Feed, names: Sequence[str], run_id: str) -> list[float]:
    """Milliseconds of each change of a run."""
    area.resize(1200, 700)
    area.show()
    area.set_graph([GraphNode(task_id=name) for name in names], list(pairwise(names)))
    watcher = Watcher(area, feed)
    subscription = feed.subscribe(run_topic(DAG_ID, run_id))
    _until(lambda: watcher.is_listening, 20.0, "the stream brings the run")
    with cluster.client() as client:
        client.send(runs.trigger_run(DAG_ID, run_id=run_id))
    _until(lambda: watcher.is_done, 60.0, "the run is shown as ended")
    subscription.close()
    watcher.deleteLater()
    area.deleteLater()
    rows = cluster.database.rows(
        sa.select(t.task_instance.c.task_id, t.transition.c.to_state, t.transition.c.at)
        .join(t.task_instance, t.task_instance.c.ti_id == t.transition.c.ti_id)
        .join(t.dag_run, t.dag_run.c.run_key == t.task_instance.c.run_key)
        .where(t.dag_run.c.run_id == run_id)
    )
    at = {(str(row["task_id"]), str(row["to_state"])): row["at"].timestamp() for row in rows}
    return [(seen - at[key]) * 1000.0 for key, seen in watcher.seen.items() if key in at]


def _until(happened: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 20)
