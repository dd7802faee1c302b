"""View models: how REST and the live feed become one state, and what intents send. No widgets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from dagdeck_client.errors import Conflict, NotFound, Unreachable
from dagdeck_client.models import DagRun, StructureEdge
from dagdeck_client.requests.base import Response
from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.live import Feed, LinkState
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels import Phase
from dagdeck_desktop.viewmodels.dag import DagModel, figures_of
from dagdeck_desktop.viewmodels.dag_list import DagFilter, DagListModel
from dagdeck_desktop.viewmodels.home import HomeModel
from dagdeck_desktop.viewmodels.lag import lag_of
from dagdeck_desktop.viewmodels.pulse import PulseModel
from dagdeck_desktop.viewmodels.run import RunModel, TaskRow
from dagdeck_desktop.viewmodels.shape import ShapeModel
from dagdeck_desktop.viewmodels.task import TaskModel, TaskPlace
from dagdeck_desktop.viewmodels.task_log import LogPlace, TaskLogModel
from dagdeck_desktop.viewmodels.workers import WorkersModel
from tests.desktop.fakes import START, FakeApi, FakeFeed, at, dag, instance, page, run, structure, task, wire_task

RUNS = r"/api/v2/dags/[^/]+/dagRuns"


@pytest.fixture(autouse=True)
def application(qapp: QApplication) -> QApplication:
    """Signals and timers need one."""
    return qapp


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def parts(api: FakeApi, feed: FakeFeed) -> Iterator[dict[str, Any]]:
    """The constructor's arguments of every model, with an owner that ends it."""
    owner = QObject()
    yield {"api": cast(Api, api), "feed": cast(Feed, feed), "parent": owner}
    owner.deleteLater()


def missing() -> NotFound:
    return NotFound("there is no such thing", status=404)


class Told:
    """What a model told."""

    def __init__(self, model: Any) -> None:
        self.said: list[str] = []
        self.failures: list[str] = []
        model.told.connect(self.said.append)
        model.failed.connect(lambda _error, what: self.failures.append(what))


class TestHome:
    def test_rest_fills_it_before_the_stream_does(self, api: FakeApi, parts: dict[str, Any]) -> None:
        home = HomeModel(**parts)
        home.activate()
        api.open("GET", r"/api/v2/monitor/health").answer(
            {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}, "triggerer": {"status": None}}
        )
        for asked in [each for each in api.asked if each.request.path == "/api/v2/dags/~/dagRuns"]:
            state = dict(asked.request.query).get("state")
            asked.answer(
                page("dag_runs", run("churn", 1, "failed"), run("sales", 2))
                if state is None
                else {"dag_runs": [], "total_entries": len(state)}
            )
        assert home.phase is Phase.READY
        assert [(part.name, part.is_healthy) for part in home.components()] == [
            ("Database", True),
            ("Scheduler", False),
            ("Triggerer", None),
            ("Workers", None),
        ]
        assert home.run_counts == {"queued": 6, "running": 7, "success": 7, "failed": 6}
        assert [each.dag_id for each in home.recent] == ["sales", "churn"]

    def test_a_dag_fails_as_long_as_its_newest_finished_run_did(self, feed: FakeFeed, parts: dict[str, Any]) -> None:
        home = HomeModel(**parts)
        home.activate()
        feed.snapshot_received.emit("home", {"runs": [run("a", 1, "failed"), run("b", 1, "failed"), run("b", 2)]})
        assert [each.dag_id for each in home.failing] == ["a"]
        feed.diff_received.emit("home", {"runs": [run("a", 2, "running")]})
        assert [each.dag_id for each in home.failing] == ["a"], "a run that goes on repairs nothing yet"
        feed.diff_received.emit("home", {"runs": [run("a", 2)]})
        assert home.failing == []
        feed.diff_received.emit("home", {"removed_runs": [["a", "run_2"]]})
        assert [each.dag_run_id for each in home.failing] == ["run_1"]

    def test_a_failed_first_load_is_an_error_and_a_later_one_only_told(
        self, api: FakeApi, parts: dict[str, Any]
    ) -> None:
        home = HomeModel(**parts)
        told = Told(home)
        home.activate()
        api.open("GET", r"/api/v2/monitor/health").refuse(missing())
        assert home.phase is Phase.FAILED
        assert told.failures == []
        home.retry()
        assert cast(Phase, home.phase) is Phase.LOADING
        for asked in [each for each in api.asked if not each.is_over and each.request.path.endswith("/dagRuns")]:
            asked.answer(page("dag_runs"))
        home.load()
        api.open("GET", r"/api/v2/monitor/health").refuse(missing())
        assert cast(Phase, home.phase) is Phase.READY
        assert told.failures == ["The overview could not be loaded"]

    def test_hidden_it_follows_nothing(self, feed: FakeFeed, parts: dict[str, Any]) -> None:
        home = HomeModel(**parts)
        home.activate()
        assert feed.listens_to("home")
        home.deactivate()
        assert not feed.listens_to("home")
        feed.snapshot_received.emit("home", {"runs": [run("a", 1)]})
        assert home.runs == {}

    def test_malformed_runs_are_passed_over(self, feed: FakeFeed, parts: dict[str, Any]) -> None:
        home = HomeModel(**parts)
        home.activate()
        feed.snapshot_received.emit("home", {"runs": [{"dag_id": 3}, "x", run("a", 1)], "health": "?"})
        assert [each.dag_id for each in home.recent] == ["a"]


class TestDagList:
    def loaded(self, api: FakeApi, parts: dict[str, Any], *dags: dict[str, Any]) -> DagListModel:
        model = DagListModel(**parts)
        model.activate()
        api.open("GET", "/api/v2/dags").answer(page("dags", *dags))
        api.open("GET", RUNS).answer(page("dag_runs", run("churn", 1), run("churn", 2, "failed"), run("x", 1)))
        return model

    def test_pages_are_put_together(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = DagListModel(**parts)
        model.activate()
        api.open("GET", "/api/v2/dags").answer({"dags": [dag("a"), dag("b")], "total_entries": 3})
        assert model.phase is Phase.LOADING
        last = api.open("GET", "/api/v2/dags")
        assert ("offset", "2") in last.request.query
        last.answer({"dags": [dag("c")], "total_entries": 3})
        assert sorted(model.rows) == ["a", "b", "c"]
        assert cast(Phase, model.phase) is Phase.READY

    def test_filter(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.loaded(api, parts, dag("churn", "daily", "ml"), dag("sales", "daily", is_paused=True))

        def found(**wanted: Any) -> list[str]:
            return [row.dag.dag_id for row in model.filtered(DagFilter(**wanted))]

        assert found() == ["churn", "sales"]
        assert found(text="CHU ml") == ["churn"]
        assert found(text="data") == ["churn", "sales"]
        assert found(tag="ml") == ["churn"]
        assert found(paused=True) == ["sales"]
        assert found(state="failed") == ["churn"]
        assert found(state="success") == []
        assert model.tags == ["daily", "ml"]
        assert [each.dag_run_id for each in model.rows["churn"].runs] == ["run_1", "run_2"]

    def test_the_switch_shows_at_once_and_goes_back_when_refused(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.loaded(api, parts, dag("churn"))
        told = Told(model)
        model.set_paused("churn", True)
        assert model.rows["churn"].dag.is_paused
        assert model.switching == {"churn"}
        model.set_paused("churn", False)
        assert len(api.sent("PATCH", ".*")) == 1, "one change at a time"
        api.open("PATCH", "/api/v2/dags/churn").refuse(Conflict("no", status=409))
        assert not model.rows["churn"].dag.is_paused
        assert told.failures == ["churn could not be paused"]
        model.set_paused("churn", True)
        api.open("PATCH", "/api/v2/dags/churn").answer(dag("churn", is_paused=True))
        assert told.said == ["churn is paused"]

    def test_changes_of_the_feed(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = self.loaded(api, parts, dag("churn"), dag("sales"))
        listed = {"has_import_errors": False, "next_dagrun_run_after": None, "version_number": 1, "revision": 5}
        feed.snapshot_received.emit("dags", {"dags": [{"dag_id": "churn", "is_paused": True, **listed}]})
        assert sorted(model.rows) == ["churn"]
        assert model.rows["churn"].dag.is_paused
        assert api.sent("GET", "/api/v2/dags/churn/details") == []
        feed.diff_received.emit("dags", {"dags": [{"dag_id": "churn", "is_paused": True, **listed, "revision": 6}]})
        api.open("GET", "/api/v2/dags/churn/details").answer(dag("churn", "new", is_paused=True))
        assert model.tags == ["new"]
        feed.diff_received.emit("dags", {"runs": [run("churn", 9, "running")], "removed_runs": [["churn", "run_1"]]})
        assert [each.dag_run_id for each in model.rows["churn"].runs] == ["run_2", "run_9"]
        feed.diff_received.emit("dags", {"removed_dags": ["churn"]})
        assert model.rows == {}


class TestDag:
    def opened(self, api: FakeApi, parts: dict[str, Any]) -> DagModel:
        model = DagModel(**parts)
        model.open("churn")
        model.activate()
        api.open("GET", "/api/v2/dags/churn/details").answer(dag("churn", params={}))
        api.open("GET", RUNS).answer(page("dag_runs", run("churn", 1), run("churn", 2, "failed", 120)))
        return model

    def test_it_shows_the_newest_run_until_one_is_chosen(
        self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]
    ) -> None:
        model = self.opened(api, parts)
        assert model.selected_run_id == "run_2"
        feed.diff_received.emit("dag:churn", {"runs": [run("churn", 3, "running")]})
        assert model.selected_run_id == "run_3"
        model.select_run("run_1")
        feed.diff_received.emit("dag:churn", {"runs": [run("churn", 4, "running")]})
        assert model.selected_run_id == "run_1"
        feed.diff_received.emit("dag:churn", {"removed_runs": [["churn", "run_1"]]})
        assert model.selected_run_id == "run_4"

    def test_triggering_selects_the_new_run(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        told = Told(model)
        model.trigger({"share": 0.2}, run_id="mine", note="a test")
        asked = api.open("POST", RUNS)
        assert asked.request.body == {
            "dag_run_id": "mine",
            "conf": {"share": 0.2},
            "note": "a test",
            "logical_date": None,
        }
        asked.answer(run("churn", 7, "queued"))
        assert model.selected_run_id == "run_7"
        assert told.said == ["A run of churn has started"]

    def test_another_dag_starts_anew_and_late_answers_are_dropped(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        model.open("sales")
        late = api.open("GET", "/api/v2/dags/sales/details")
        model.open("other")
        late.answer(dag("sales"))
        assert model.details is None
        assert model.phase is Phase.LOADING
        assert model.runs == {}

    def test_a_missing_dag_is_told_apart(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = DagModel(**parts)
        model.open("gone")
        model.activate()
        api.open("GET", "/api/v2/dags/gone/details").refuse(missing())
        assert model.is_missing
        assert model.phase is Phase.FAILED

    def test_figures(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        figures = figures_of(model.recent)
        assert (figures.succeeded, figures.failed, figures.success_share) == (1, 1, 0.5)
        assert (figures.median, figures.p95) == (90.0, 120.0)
        assert figures_of([]).success_share is None

    def test_a_new_definition_is_read_anew(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        feed.snapshot_received.emit("dag:churn", {"dag": {"revision": 1, "is_paused": True}, "runs": []})
        assert model.is_paused
        asked = len(api.sent("GET", "/api/v2/dags/churn/details"))
        told: list[int] = []
        model.definition_changed.connect(lambda: told.append(1))
        feed.diff_received.emit("dag:churn", {"dag": {"revision": 2, "is_paused": True}})
        assert len(api.sent("GET", "/api/v2/dags/churn/details")) == asked + 1
        assert told == [1]


STRUCTURE = "/api/dagdeck/v1/dags/{}/structure"


class TestShape:
    """Which version's tasks and groups are drawn."""

    def opened(self, api: FakeApi, parts: dict[str, Any], run_id: str = "run_1") -> ShapeModel:
        model = ShapeModel(**parts)
        model.activate()
        model.open("churn", run_id)
        return model

    def test_the_version_of_the_run_is_asked_for(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        asked = api.open("GET", STRUCTURE.format("churn"))
        assert asked.request.query == (("dag_run_id", "run_1"),)
        asked.answer(structure("churn", "a", "g.b", groups=("g",)))
        assert [node.group_id for node in model.nodes] == [None, "g"]
        assert [group.group_id for group in model.groups] == ["g"]
        assert model.has_task("g.b")
        assert not model.has_task("g")

    def test_another_run_of_the_same_version_changes_nothing(
        self, api: FakeApi, parts: dict[str, Any], qtbot: QtBot
    ) -> None:
        model = self.opened(api, parts)
        api.open("GET", STRUCTURE.format("churn")).answer(structure("churn", "a"))
        with qtbot.assertNotEmitted(model.shape_changed):
            model.open("churn", "run_2")
            api.open("GET", STRUCTURE.format("churn")).answer(structure("churn", "a"))

    def test_a_run_of_another_version_shows_that_and_back_without_asking(
        self, api: FakeApi, parts: dict[str, Any]
    ) -> None:
        model = self.opened(api, parts)
        api.open("GET", STRUCTURE.format("churn")).answer(structure("churn", "a", version=1))
        told = msgspec.convert(run("churn", 1, dag_versions=[{"version_number": 2}]), DagRun)
        model.note_run(told)
        api.open("GET", STRUCTURE.format("churn")).answer(structure("churn", "a", "b", version=2))
        assert model.version_number == 2
        asked = len(api.asked)
        model.note_run(msgspec.structs.replace(told, dag_versions=told.dag_versions[:0]))
        model.note_run(msgspec.convert(run("churn", 1, dag_versions=[{"version_number": 1}]), DagRun))
        assert model.version_number == 1
        assert len(api.asked) == asked

    def test_late_answers_of_another_dag_are_dropped(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        late = api.open("GET", STRUCTURE.format("churn"))
        model.open("sales", "")
        late.answer(structure("churn", "a"))
        assert model.nodes == ()

    @pytest.mark.parametrize("is_dagdeck", [True, False])
    def test_a_server_that_does_not_tell_it(self, api: FakeApi, parts: dict[str, Any], is_dagdeck: bool) -> None:
        """An older DagDeck answers 404, an Airflow is not even asked: groups are guessed from the names of tasks."""
        api.is_dagdeck = is_dagdeck
        model = self.opened(api, parts)
        if is_dagdeck:
            api.open("GET", STRUCTURE.format("churn")).refuse(missing())
        assert len(api.sent("GET", STRUCTURE.format("churn"))) == int(is_dagdeck)
        tasks = task("a.b.c", "d", "gone"), task("d"), task("d.e", task_display_name="E")
        api.open("GET", "/api/v2/dags/churn/tasks").answer(page("tasks", *tasks))
        assert [(group.group_id, group.parent_id) for group in model.groups] == [("a", None), ("a.b", "a")]
        assert [(node.group_id, node.label) for node in model.nodes] == [("a.b", "a.b.c"), (None, "d"), (None, "E")]
        assert [(edge.source_id, edge.target_id) for edge in model.edges] == [("a.b.c", "d")]

    def test_other_failures_are_told(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts)
        api.open("GET", STRUCTURE.format("churn")).refuse(Unreachable("no answer", transient=True))
        assert model.phase is Phase.FAILED


class TestRun:
    def opened(self, api: FakeApi, parts: dict[str, Any], *tis: dict[str, Any]) -> RunModel:
        model = RunModel(**parts)
        model.activate()
        model.open("churn", "run_1")
        api.open("GET", RUNS + "/run_1").answer(run("churn", 1, "running"))
        api.open("GET", RUNS + "/run_1/taskInstances").answer(page("task_instances", *tis))
        return model

    def test_a_retry_counts_down(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts, instance("a"))
        waits = [*wire_task("a", "up_for_retry", try_number=2), at(400)]
        sensor = [*wire_task("b", "up_for_reschedule"), at(400)]
        feed.snapshot_received.emit("run:churn/run_1", {"tasks": [waits, sensor, wire_task("c", "up_for_retry")]})
        assert model.shown("a", START + timedelta(seconds=148)).label == "Retry in 4:12"
        assert model.shown("b", START + timedelta(seconds=390)).label == "Checks again in 0:10"
        assert model.shown("a", START + timedelta(seconds=401)).label == "Retry now"
        assert model.shown("c").label == "Up for retry"
        assert model.ticking() == {"a", "b"}

    def test_words_in_a_box(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(
            api,
            parts,
            instance("a"),
            instance("b", "running"),
            instance("c", "failed", try_number=2),
            instance("d", None),
        )
        now = START + timedelta(seconds=60 + 187)
        shown = {name: (model.shown(name, now).state, model.shown(name, now).label) for name in "abcde"}
        assert shown == {
            "a": ("success", "Success · 42 s"),
            "b": ("running", "Running · 3:07"),
            "c": ("failed", "Failed · try 2"),
            "d": (None, "No status"),
            "e": (None, "Not started"),
        }

    def test_a_mapped_task_shows_its_worst_instance(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts, *(instance("m", "running", map_index=index) for index in range(3)))
        assert (model.shown("m").state, model.shown("m").label) == ("running", "Running · 0 of 3 done")
        feed.diff_received.emit("run:churn/run_1", {"tasks": [wire_task("m", "success", map_index=0)]})
        assert model.shown("m").label == "Running · 1 of 3 done"
        feed.diff_received.emit("run:churn/run_1", {"tasks": [wire_task("m", "failed", map_index=1)]})
        assert (model.shown("m").state, model.shown("m").label) == ("failed", "Failed · 1 of 3")

    def test_diffs_name_what_changed(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts, instance("a", None), instance("b", None))
        changed: list[object] = []
        model.tasks_changed.connect(changed.append)
        feed.diff_received.emit("run:churn/run_1", {"tasks": [wire_task("a", "running"), "nonsense"]})
        feed.diff_received.emit("run:other/run_1", {"tasks": [wire_task("b", "running")]})
        assert changed == [{"a"}]
        row = model.row("a")
        assert row is not None
        assert (row.state, row.worker_id) == ("running", 7)
        feed.diff_received.emit("run:churn/run_1", {"removed_tasks": ["id-b--1"]})
        assert model.row("b") is None

    def test_a_rest_answer_never_overwrites_the_stream(
        self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]
    ) -> None:
        model = RunModel(**parts)
        model.activate()
        model.open("churn", "run_1")
        feed.snapshot_received.emit(
            "run:churn/run_1", {"run": run("churn", 1, "running"), "tasks": [wire_task("a", "success")]}
        )
        api.open("GET", RUNS + "/run_1/taskInstances").answer(page("task_instances", instance("a", "queued")))
        api.open("GET", RUNS + "/run_1").answer(run("churn", 1, "queued"))
        assert model.shown("a").state == "success"
        assert model.run is not None
        assert model.run.state == "running"

    def test_clear_and_mark(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = self.opened(api, parts, instance("a", "failed"))
        told = Told(model)
        model.clear(["a"])
        asked = api.open("POST", "/api/v2/dags/churn/clearTaskInstances")
        assert asked.request.body["task_ids"] == ["a"]
        assert asked.request.body["include_downstream"] is True
        assert asked.request.body["dry_run"] is False
        asked.answer(page("task_instances", instance("a", None)))
        model.mark("a", TaskInstanceState.SUCCESS)
        asked = api.open("PATCH", RUNS + "/run_1/taskInstances/a")
        assert asked.request.body == {"new_state": "success"}
        asked.refuse(Conflict("it runs", status=409))
        assert told.said == ["Cleared a"]
        assert told.failures == ["a could not be marked success"]


def log_range(offset: int, text: str, size: int, *, is_complete: bool = False, dispatch: int = 1) -> dict[str, Any]:
    end = offset + len(text.encode())
    return {
        "offset": offset,
        "next_offset": end,
        "size": size,
        "is_complete": is_complete,
        "text": text,
        "try_number": 1,
        "dispatch_no": dispatch,
    }


class TestLog:
    PATH = r"/api/dagdeck/v1/.*/logRange"

    def opened(self, parts: dict[str, Any]) -> tuple[TaskLogModel, list[bytes]]:
        model = TaskLogModel(**parts)
        pieces: list[bytes] = []
        model.appended.connect(lambda piece: pieces.append(bytes(piece)))
        model.restarted.connect(pieces.clear)
        model.activate()
        model.open(LogPlace(dag_id="churn", run_id="run_1", task_id="a", ti_id="ti"))
        return model, pieces

    def test_stored_pieces_then_live_ones_without_gap_or_repeat(
        self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]
    ) -> None:
        model, pieces = self.opened(parts)
        feed.snapshot_received.emit("log:ti", {"dispatch_no": 1, "size": 8})
        feed.log_chunk.emit("ti", 8, b"ee\n", 1)
        api.open("GET", self.PATH).answer(log_range(0, "aa\n", 8))
        api.open("GET", self.PATH).answer(log_range(3, "bbbb\n", 8))
        assert b"".join(pieces) == b"aa\nbbbb\nee\n"
        feed.log_chunk.emit("ti", 8, b"ee\nff\n", 1)
        assert b"".join(pieces) == b"aa\nbbbb\nee\nff\n"
        feed.diff_received.emit("log:ti", {"size": 14, "is_complete": True})
        assert model.is_complete

    def test_a_gap_is_read_by_rest(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        _model, pieces = self.opened(parts)
        feed.snapshot_received.emit("log:ti", {"dispatch_no": 1, "size": 3})
        api.open("GET", self.PATH).answer(log_range(0, "aa\n", 3))
        feed.log_chunk.emit("ti", 6, b"cc\n", 1)
        asked = api.open("GET", self.PATH)
        assert ("offset", "3") in asked.request.query
        asked.answer(log_range(3, "bb\n", 6))
        assert b"".join(pieces) == b"aa\nbb\ncc\n"

    def test_a_new_dispatch_starts_anew(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        _model, pieces = self.opened(parts)
        api.open("GET", self.PATH).answer(log_range(0, "old\n", 4, is_complete=True))
        feed.snapshot_received.emit("log:ti", {"dispatch_no": 2, "size": 4})
        assert pieces == []
        api.open("GET", self.PATH).answer(log_range(0, "new\n", 4, dispatch=2))
        assert b"".join(pieces) == b"new\n"

    def test_nothing_written_yet_is_no_error(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model, pieces = self.opened(parts)
        api.open("GET", self.PATH).refuse(missing())
        assert model.phase is Phase.READY
        assert pieces == []
        assert model.is_growing

    def test_an_earlier_try_follows_nothing(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model, _pieces = self.opened(parts)
        assert feed.listens_to("log:ti")
        model.open(LogPlace(dag_id="churn", run_id="run_1", task_id="a", ti_id="ti", try_number=1))
        assert not feed.listens_to("log:ti")
        assert ("try_number", "1") in api.open("GET", self.PATH).request.query


class TestTask:
    def test_details_follow_the_state_and_late_answers_are_dropped(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = TaskModel(**parts)
        model.activate()
        model.open(TaskPlace(dag_id="churn", run_id="run_1", task_id="a"))
        late = api.open("GET", ".*/taskInstances/a")
        model.open(TaskPlace(dag_id="churn", run_id="run_1", task_id="b"))
        late.answer(instance("a"))
        assert model.instance is None
        api.open("GET", ".*/taskInstances/b").answer(instance("b", "queued"))
        api.open("GET", ".*/taskInstances/b/explain").answer(
            {
                "state": "queued",
                "at": START.isoformat(),
                "gates": [{"kind": "pool", "reason": "full", "opens": "later"}],
            }
        )
        assert model.explanation is not None
        assert model.explanation.gates[0].reason == "full"

    def test_xcoms_come_key_by_key(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = TaskModel(**parts)
        model.activate()
        model.open(TaskPlace(dag_id="churn", run_id="run_1", task_id="a"))
        model.load_xcoms()
        api.open("GET", ".*/xcomEntries").answer(page("xcom_entries", {"key": "return_value"}, {"key": "rows"}))
        assert model.xcom_keys == ("return_value", "rows")
        api.open("GET", ".*/xcomEntries/rows").answer({"key": "rows", "dag_id": "churn", "task_id": "a", "value": [1]})
        assert model.xcoms == {"rows": [1]}


class TestWorkers:
    WORKER = {"worker_id": 7, "name": "w", "state": "active", "slots": 8, "running": 1, "queues": ["default"]}

    def test_samples_become_series(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        clock = iter(range(100, 200))
        model = WorkersModel(**parts, clock=lambda: float(next(clock)))
        model.activate()
        feed.snapshot_received.emit(
            "workers", {"workers": [self.WORKER], "queues": [{"name": "default", "depth": 3, "workers": 1}]}
        )
        for cpu in (0.25, 0.5):
            feed.worker_sample.emit(
                {
                    "worker_id": 7,
                    "cpu": cpu,
                    "memory_used": 1,
                    "memory_total": 4,
                    "running": 2,
                    "tasks": [["ti", 0.9, 1024]],
                }
            )
        assert model.moments(7).tolist() == [100.0, 101.0]
        assert model.series(7, "cpu").tolist() == [0.25, 0.5]
        assert model.share("cpu") == 0.5
        assert model.share("memory") == 0.25
        assert model.slots == (2, 8)
        assert model.waiting == 3
        assert len(api.sent("GET", "/api/v2/dags/~/dagRuns/~/taskInstances")) == 1
        api.open("GET", ".*/taskInstances").answer(page("task_instances", instance("a", "running", id="ti")))
        feed.worker_sample.emit({"worker_id": 7, "cpu": 0.1, "tasks": [["ti", 0.9, 1024]]})
        (running,) = model.tasks[7]
        assert running.instance is not None
        assert running.instance.task_id == "a"

    def test_a_lost_worker_goes(self, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = WorkersModel(**parts)
        model.activate()
        feed.snapshot_received.emit("workers", {"workers": [self.WORKER], "queues": []})
        feed.diff_received.emit("workers", {"workers": [{**self.WORKER, "state": "lost"}, {"worker_id": "?"}]})
        assert model.workers == {}

    def test_draining(self, api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
        model = WorkersModel(**parts)
        told = Told(model)
        model.activate()
        feed.snapshot_received.emit("workers", {"workers": [self.WORKER], "queues": []})
        model.set_draining(7, True)
        api.open("POST", "/api/dagdeck/v1/workers/7/drain").answer({**self.WORKER, "state": "draining"})
        assert model.workers[7].state == "draining"
        assert told.said == ["w takes nothing new"]
        assert model.slots == (1, 0)

    def test_the_mean_is_as_long_as_the_shortest_series(self, feed: FakeFeed, parts: dict[str, Any]) -> None:
        clock = iter(range(100, 200))
        model = WorkersModel(**parts, clock=lambda: float(next(clock)))
        model.activate()
        for worker_id, cpu in ((1, 0.2), (1, 0.4), (2, 0.8)):
            feed.worker_sample.emit({"worker_id": worker_id, "cpu": cpu})
        assert model.mean_series("cpu").tolist() == pytest.approx([0.6])
        assert model.mean_series("memory").tolist() == [0.0]
        assert model.series(3, "cpu").tolist() == []


def test_where_the_stream_does_not_pass_models_ask_again(api: FakeApi, feed: FakeFeed, parts: dict[str, Any]) -> None:
    model = DagListModel(**parts)
    model.activate()
    feed.snapshot_received.emit("dags", {"dags": []})
    feed.set_state(LinkState.POLLING)
    asked = len(api.sent("GET", RUNS))
    feed.refresh_wanted.emit("dags")
    feed.refresh_wanted.emit("home")
    assert len(api.sent("GET", RUNS)) == asked + 1


def test_new_requests_read_real_answers() -> None:
    """The client's new requests parse what the control API sends."""
    from dagdeck_client.requests.admin import get_health, list_queues

    health = get_health().parse(Response(status=200, content=b'{"scheduler":{"status":"healthy"}}'))
    assert health["scheduler"]["status"] == "healthy"
    queues = list_queues().parse(
        Response(status=200, content=b'{"queues":[{"name":"default","depth":null,"workers":2}],"total_entries":1}')
    )
    assert (queues.queues[0].depth, queues.queues[0].workers) == (None, 2)


class TestLag:
    """How long tasks waited for the scheduler."""

    def row(self, task_id: str, start: float | None, end: float | None, *, tries: int = 1) -> TaskRow:
        def moment(seconds: float | None) -> datetime | None:
            return None if seconds is None else START + timedelta(seconds=seconds)

        return TaskRow(
            ti_id=task_id,
            state="success",
            task_id=task_id,
            try_number=tries,
            start_date=moment(start),
            end_date=moment(end),
        )

    @pytest.mark.parametrize(
        ("rows", "seconds"),
        [
            ({"a": (1, 2)}, (1.0,)),
            ({"a": (1, 2), "b": (2.5, 4)}, (1.0, 0.5)),
            ({"a": (1, 2), "b": (1, 5), "c": (5.25, 6)}, (1.0, 1.0, 0.25)),
            # Still running upstream, or begun before its end, as trigger rules allow: nothing is said of it.
            ({"a": (1, None), "b": (3, 4)}, (1.0,)),
            ({"a": (1, 9), "b": (3, 4)}, (1.0,)),
            ({"a": (None, None)}, ()),
            ({}, ()),
        ],
    )
    def test_from_the_end_before_to_the_start(
        self, rows: dict[str, tuple[float | None, float | None]], seconds: tuple[float, ...]
    ) -> None:
        edges = [StructureEdge(source_id="a", target_id="b"), StructureEdge(source_id="b", target_id="c")]
        if rows.get("c"):
            edges = [StructureEdge(source_id="a", target_id="c"), StructureEdge(source_id="b", target_id="c")]
        found = lag_of({name: [self.row(name, *times)] for name, times in rows.items()}, edges, START)
        assert found.seconds == seconds

    def test_retries_do_not_count_and_mapped_instances_do(self) -> None:
        mapped = [self.row("a", 1, 2), self.row("a", 3, 4)]
        edges = [StructureEdge(source_id="a", target_id="b")]
        found = lag_of({"a": mapped, "b": [self.row("b", 400, 401, tries=2)]}, edges, START)
        assert found.seconds == (1.0, 3.0)
        assert found.median == 2.0
        assert lag_of({"a": mapped}, edges, None).median is None


class TestPulse:
    """When the scheduler was heard of."""

    def test_it_is_asked_while_somebody_looks(self, api: FakeApi, parts: dict[str, Any]) -> None:
        model = PulseModel(**parts)
        assert model.age_seconds() is None
        model.activate()
        beat = {"status": "healthy", "latest_scheduler_heartbeat": at(10)}
        api.open("GET", "/api/v2/monitor/health").answer({"scheduler": beat})
        assert model.is_healthy is True
        assert model.age_seconds(START + timedelta(seconds=12.5)) == 2.5
        assert model._timer.isActive()
        model.deactivate()
        assert not model._timer.isActive()

    @pytest.mark.parametrize("beat", [None, 7, "yesterday"])
    def test_what_cannot_be_read_is_unknown(self, api: FakeApi, parts: dict[str, Any], beat: object) -> None:
        model = PulseModel(**parts)
        model.activate()
        answer = {"scheduler": {"status": "unhealthy", "latest_scheduler_heartbeat": beat}}
        api.open("GET", "/api/v2/monitor/health").answer(answer)
        assert model.is_healthy is False
        assert model.age_seconds() is None
