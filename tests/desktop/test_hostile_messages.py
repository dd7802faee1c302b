"""Whatever a server's messages hold, view models keep what they know and pages can be painted: nothing is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtWidgets import QApplication

from dagdeck_desktop.viewmodels import ViewModel
from dagdeck_desktop.viewmodels.dag import DagModel
from dagdeck_desktop.viewmodels.dag_list import DagListModel
from dagdeck_desktop.viewmodels.home import HomeModel
from dagdeck_desktop.viewmodels.run import RunModel
from dagdeck_desktop.viewmodels.task_log import LogPlace, TaskLogModel
from dagdeck_desktop.viewmodels.workers import WorkersModel
from tests.desktop.fakes import FakeApi, FakeFeed, run, wire_task

WORKER = {"worker_id": 7, "name": "w", "state": "active", "slots": 8, "running": 1, "queues": ["default"]}
GOOD: dict[str, list[Any]] = {
    "run": [run("churn", 1)],
    "runs": [[run("churn", 1), run("churn", 2, "failed")]],
    "removed_runs": [[["churn", "run_1"]]],
    "tasks": [[wire_task("a", "success"), wire_task("b", "running")]],
    "removed_tasks": [["id-a--1"]],
    "dag": [{"dag_id": "churn", "is_paused": True, "revision": 1}],
    "dags": [[{"dag_id": "churn", "is_paused": True, "revision": 2}], {"total": 2, "active": 1, "paused": 1}],
    "removed_dags": [["churn"]],
    "health": [{"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-01-01T00:00:00Z"}}],
    "import_errors": [3],
    "run_counts": [{"running": 1}],
    "workers": [[WORKER], {"active": 1, "slots": 8}],
    "removed_workers": [[7]],
    "queues": [[{"name": "default", "depth": 3, "workers": 1}]],
    "size": [10],
    "is_complete": [True],
    "dispatch_no": [7],
    "try_number": [1],
}
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**63), st.floats(), st.text(max_size=5))
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
# Mostly what a server says, with something else here and there.
member = st.sampled_from(sorted(GOOD)).flatmap(
    lambda name: st.tuples(st.just(name), st.one_of(junk, st.sampled_from(GOOD[name])))
)
messages = st.lists(member, max_size=5).map(dict)
SAMPLE = {"worker_id": 7, "at": "2026-01-01T00:00:00Z", "cpu": 0.5, "memory_used": 1, "memory_total": 2, "tasks": []}
samples = st.tuples(st.sampled_from(sorted(SAMPLE)), junk).map(lambda pair: {**SAMPLE, pair[0]: pair[1]})


def _dag(api: FakeApi, feed: FakeFeed) -> ViewModel:
    model = DagModel(api, feed)  # type: ignore[arg-type]
    model.open("churn")
    return model


def _run(api: FakeApi, feed: FakeFeed) -> ViewModel:
    model = RunModel(api, feed)  # type: ignore[arg-type]
    model.open("churn", "run_1")
    return model


def _log(api: FakeApi, feed: FakeFeed) -> ViewModel:
    model = TaskLogModel(api, feed)  # type: ignore[arg-type]
    model.open(LogPlace(dag_id="churn", run_id="run_1", task_id="a", map_index=-1, ti_id="id-a--1", try_number=None))
    return model


MODELS: dict[str, Callable[[FakeApi, FakeFeed], ViewModel]] = {
    "home": lambda api, feed: HomeModel(api, feed),  # type: ignore[arg-type]
    "dags": lambda api, feed: DagListModel(api, feed),  # type: ignore[arg-type]
    "workers": lambda api, feed: WorkersModel(api, feed),  # type: ignore[arg-type]
    "dag": _dag,
    "run": _run,
    "log": _log,
}


@pytest.mark.parametrize("name", list(MODELS))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(told=st.lists(st.tuples(st.booleans(), st.one_of(messages, junk)), min_size=1, max_size=4))
def test_snapshots_and_diffs_of_any_shape(qapp: QApplication, name: str, told: list[tuple[bool, Any]]) -> None:
    model = MODELS[name](FakeApi(), FakeFeed())
    for is_snapshot, data in told:
        # As the feed hands them on: a diff is an object, a snapshot anything.
        if is_snapshot:
            model.take_snapshot(data)
        elif isinstance(data, dict):
            model.take_diff(data)
    _read_everything(model)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(st.one_of(samples, st.dictionaries(st.text(max_size=4), junk)), max_size=4))
def test_samples_of_any_shape(qapp: QApplication, told: list[dict[str, Any]]) -> None:
    feed = FakeFeed()
    model = WorkersModel(FakeApi(), feed)  # type: ignore[arg-type]
    model.activate()
    model.take_snapshot({"workers": [WORKER]})
    for sample in told:
        model._sample_came(sample)
    _read_everything(model)


def _read_everything(model: ViewModel) -> None:
    """What views ask of a model."""
    match model:
        case HomeModel():
            model.components()
            assert len(model.recent) <= 50
            assert all(each.state == "failed" for each in model.failing)
        case DagListModel():
            _ = (model.tags, model.state_counts())
        case WorkersModel():
            _ = (model.listed(), model.slots, model.waiting, model.share("cpu"), model.share("memory"))
            model.mean_series("cpu")
        case DagModel():
            _ = (model.recent, model.selected_run)
        case RunModel():
            assert sum(model.counts().values()) == len(model.rows)
            assert {row.task_id for row in model.rows.values()} >= model.ticking()
            for row in model.rows.values():
                model.shown(row.task_id)
