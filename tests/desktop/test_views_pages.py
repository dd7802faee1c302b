"""Pages over stand-ins of API and feed: what they show in each phase, what clicks send, both looks, long names."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, Qt
from PySide6.QtGui import QDesktopServices, QImage
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QDialog, QLabel, QLineEdit, QMenu, QPlainTextEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from dagdeck_client.errors import NotFound
from dagdeck_desktop.actions import ActionRegistry
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.live import LinkState
from dagdeck_desktop.session import SessionState
from dagdeck_desktop.shell import MainWindow
from dagdeck_desktop.theme import Appearance, Theme
from dagdeck_desktop.views import register_pages
from dagdeck_desktop.views.clear_dialog import ClearDialog
from dagdeck_desktop.views.dag_list import DagListPage
from dagdeck_desktop.views.dag_page import DagPage
from dagdeck_desktop.views.home import HomePage
from dagdeck_desktop.views.trigger_dialog import TriggerDialog
from dagdeck_desktop.views.workers_page import WorkersPage
from tests.desktop.fakes import FakeApi, FakeFeed, at, dag, instance, page, run, structure, wire_task

LONG = "a_very_long_dag_name_that_goes_on_and_on_" * 4
EMOJI = "🚀 Umsätze 日本語 𝒳 👩‍🔬"
LOG = "2026-11-23T06:01:00Z INFO  started\n2026-11-23T06:01:01Z ERROR it broke\n"


class Desk:
    """A window with all pages, whose API and feed the test plays."""

    def __init__(self, theme: Theme, icons: Icons) -> None:
        self.api = FakeApi()
        self.feed = FakeFeed()
        self.theme = theme
        self.actions = ActionRegistry(icons)
        self.window = MainWindow(theme, icons, self.actions)
        context: Any = SimpleNamespace(
            theme=theme,
            icons=icons,
            api=self.api,
            feed=self.feed,
            session=SimpleNamespace(state=SessionState.CONNECTED),
            actions=self.actions,
            settings=None,
            window=self.window,
        )
        register_pages(cast(DesktopContext, context))
        self.window.resize(1400, 860)
        self.window.show()

    def open(self, key: str, **params: str) -> Any:
        """A page, in front."""
        return self.window.open_page(key, **params)

    def dialog(self, kind: type[QDialog]) -> Any:
        """The open dialog of a kind."""
        found = [each for each in self.window.findChildren(kind) if each.isVisible()]
        assert found, f"no {kind.__name__} is open"
        return found[-1]

    def notices(self) -> str:
        """All that is said at the lower right."""
        return "\n".join(label.text() for label in self.window.notices.findChildren(QLabel))


@pytest.fixture
def desk(theme: Theme, icons: Icons) -> Iterator[Desk]:
    made = Desk(theme, icons)
    yield made
    made.window.close()
    made.window.deleteLater()
    # At once: every widget that is left over is dressed anew when the next test's theme comes.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def answer_dag_page(api: FakeApi, dag_id: str = "churn", *, params: dict[str, Any] | None = None) -> None:
    """Prepare the answers that a DAG page asks for: two runs, of which the newest failed."""
    runs = f"/api/v2/dags/{dag_id}/dagRuns"
    api.answers |= {
        f"GET /api/v2/dags/{dag_id}/details": dag(dag_id, "daily", params=params or {}),
        f"GET /api/dagdeck/v1/dags/{dag_id}/structure": structure(
            dag_id,
            *("extract", "join", "report.write", "report.send"),
            edges=[("extract", "join"), ("join", "report.write")],
            groups=["report"],
        ),
        f"GET {runs}": page("dag_runs", run(dag_id, 1), run(dag_id, 2, "failed", 120)),
        f"GET {runs}/run_2": run(dag_id, 2, "failed", 120),
        f"GET {runs}/run_1": run(dag_id, 1),
        rf"GET {runs}/run_\d/taskInstances": page(
            "task_instances",
            instance("extract", dag_id=dag_id),
            instance("join", "failed", dag_id=dag_id, try_number=2, hostname="worker-07"),
            instance("report.write", "upstream_failed", dag_id=dag_id),
        ),
        rf"GET {runs}/run_\d/taskInstances/join": instance(
            "join", "failed", dag_id=dag_id, try_number=2, hostname="worker-07", rendered_fields={"op_args": [3]}
        ),
        r"GET /api/dagdeck/v1/.*/logRange": {
            "offset": 0,
            "next_offset": len(LOG),
            "size": len(LOG),
            "is_complete": True,
            "text": LOG,
            "try_number": 2,
            "dispatch_no": 5,
        },
    }


class TestDagList:
    def answer(self, desk: Desk) -> None:
        desk.api.answers |= {
            "GET /api/v2/dags": page(
                "dags",
                dag("churn", "daily", "ml"),
                dag(LONG, "daily", description="x" * 300),
                dag("emoji", dag_display_name=EMOJI, is_paused=True),
            ),
            "GET /api/v2/dags/~/dagRuns": page("dag_runs", run("churn", 1), run("churn", 2, "failed")),
        }

    def test_rows_filter_and_empty_filter(self, desk: Desk, qtbot: QtBot) -> None:
        self.answer(desk)
        shown: DagListPage = desk.open("dags")
        model = shown.table_model
        QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal, shown)
        assert model.rowCount() == 3
        shown.search.setText("ML daily")
        qtbot.waitUntil(lambda: model.rowCount() == 1)
        assert shown.count_label.text() == "1 of 3 DAGs"
        shown.search.setText("nothing like this")
        qtbot.waitUntil(lambda: not shown.nothing_found.isHidden())
        shown.clear_filter()
        assert model.rowCount() == 3
        desk.feed.diff_received.emit("dags", {"removed_dags": ["churn"]})
        assert [row.dag.dag_id for row in model.rows] == [LONG, "emoji"]

    def test_the_switch_and_the_row(self, desk: Desk, qtbot: QtBot) -> None:
        self.answer(desk)
        answer_dag_page(desk.api)
        shown: DagListPage = desk.open("dags")
        number = shown.table_model.row_of("churn")

        def click(column: int) -> None:
            place = shown.table.visualRect(shown.table_model.index(number, column)).center()
            qtbot.mouseClick(shown.table.viewport(), Qt.MouseButton.LeftButton, pos=place)

        click(0)
        assert desk.api.open("PATCH", "/api/v2/dags/churn").request.body == {"is_paused": True}
        assert shown.is_shown()
        click(1)
        assert isinstance(desk.window.pages.currentWidget(), DagPage)

    def test_loading_error_and_recovery(self, desk: Desk) -> None:
        shown: DagListPage = desk.open("dags")
        stack = shown.stack
        assert stack is not None

        def is_shown(layer: QWidget) -> bool:
            return stack.shown is layer

        assert is_shown(stack.loading)
        desk.api.open("GET", "/api/v2/dags").refuse(NotFound("gone", status=404))
        assert is_shown(stack.error)
        self.answer(desk)
        desk.window.refresh()
        assert is_shown(stack.content)
        desk.api.answers.clear()
        desk.window.refresh()
        desk.api.open("GET", "/api/v2/dags").refuse(NotFound("gone", status=404))
        assert is_shown(stack.content), "old data is worth more than an error page"
        assert "DAGs could not be loaded" in desk.notices()

    def test_no_dags(self, desk: Desk) -> None:
        desk.api.answers["GET /api/v2/dags"] = page("dags")
        shown: DagListPage = desk.open("dags")
        assert shown.stack is not None
        assert shown.stack.shown is shown.stack.empty

    def test_freshness_follows_the_link(self, desk: Desk) -> None:
        self.answer(desk)
        shown: DagListPage = desk.open("dags")
        assert shown.freshness.text() == "Live"
        desk.feed.set_state(LinkState.LOST)
        assert shown.freshness.text().startswith("Updated")
        desk.feed.set_state(LinkState.LIVE)
        assert shown.freshness.text() == "Live"

    def test_triggering_from_the_list_asks_for_params_first(self, desk: Desk) -> None:
        self.answer(desk)
        answer_dag_page(desk.api, params={"share": 1})
        shown: DagListPage = desk.open("dags")
        shown.table.set_current_key("churn")
        assert desk.actions.trigger("dag.trigger")
        dialog: TriggerDialog = desk.dialog(TriggerDialog)
        dialog.ok.click()
        desk.api.open("POST", "/api/v2/dags/churn/dagRuns").answer(run("churn", 2, "queued"))
        assert isinstance(desk.window.pages.currentWidget(), DagPage)


class TestDagPage:
    def opened(self, desk: Desk, qtbot: QtBot, **params: str) -> DagPage:
        answer_dag_page(desk.api, params={"share": {"value": 0.5, "schema": {"type": "number", "maximum": 1}}})
        shown: DagPage = desk.open("dag", dag_id="churn", **params)
        qtbot.waitUntil(lambda: shown.graph.scene is not None and not shown.graph.is_busy)
        return shown

    def test_states_reach_the_graph_live(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot)
        names = {item.name: item.description for item in shown.graph.accessible_items()}
        assert any("join" in name for name in names)
        before = shown.graph.grab().toImage()
        desk.feed.diff_received.emit("run:churn/run_2", {"tasks": [wire_task("join", "running")]})
        assert shown.run.shown("join").state == "running"
        assert shown.graph.grab().toImage() != before
        assert shown.cards.tasks.value == "1"

    def test_a_failed_task_shows_its_log_and_facts(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot, task_id="join")
        panel = shown.panel
        assert panel.isVisible()
        assert panel.log.area.content().decode() == LOG
        assert panel.title.text() == "join"
        assert panel._facts["Attempt"].text() == "2 of 2"
        panel.log.filter.setText("ERROR")
        qtbot.waitUntil(lambda: panel.log.hits.text() == "1 line")
        panel.log.filter.setText("(")
        assert panel.log.hits.text() == "not a pattern"
        panel.tabs.setCurrentIndex(1)
        assert ("op_args", "[\n  3\n]") in panel.details.shown
        qtbot.keyClick(shown, Qt.Key.Key_Escape)
        assert not panel.isVisible()
        assert shown.graph.selection == []

    def test_links_of_the_task_open_in_the_browser(
        self, desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []
        monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
        panel = self.opened(desk, qtbot, task_id="join").panel
        panel.tabs.setCurrentIndex(1)
        links = {
            "Job & log": "https://jobs.example.org/7?a=b",
            "Shell": "file:///etc/passwd",
            "None": None,
            "Empty": "",
        }
        desk.api.open("GET", ".*/join/links").answer({"extra_links": links, "total_entries": 4})
        buttons = [each for each in panel.details.findChildren(QPushButton) if each.toolTip()]
        assert [(each.text(), each.toolTip()) for each in buttons] == [("Job && log", links["Job & log"])]
        buttons[0].click()
        assert opened == [links["Job & log"]]
        texts = [each.text() for each in panel.details.findChildren(QLabel)]
        assert "Shell" in texts
        assert not {"None", "Empty"} & {*texts}

    def test_tabs_of_the_task_ask_for_what_they_show(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot, task_id="join")
        panel = shown.panel
        panel.tabs.setCurrentIndex(2)
        desk.api.open("GET", ".*/join/xcomEntries").answer(page("xcom_entries", {"key": "return_value"}))
        desk.api.open("GET", ".*/xcomEntries/return_value").answer(
            {"key": "return_value", "dag_id": "churn", "task_id": "join", "value": {"rows": 3}}
        )
        assert panel.xcom.rows.rows[0][0] == "return_value"
        assert '"rows": 3' in panel.xcom.rows.rows[0][1]
        panel.tabs.setCurrentIndex(3)
        desk.api.open("GET", "/api/v2/dagSources/churn").answer({"content": "with DAG():\n    pass\n"})
        assert "with DAG" in panel.code.view.toPlainText()
        panel.tabs.setCurrentIndex(4)
        tries = [instance("join", "up_for_retry", try_number=1), instance("join", "failed", try_number=2)]
        desk.api.open("GET", ".*/join/tries").answer(page("task_instances", *tries))
        panel.tries.table.opened.emit(panel.tries.rows.rows[0])
        assert panel.tabs.currentIndex() == 0
        assert ("try_number", "1") in desk.api.sent("GET", ".*/logRange")[-1].query
        assert not panel.try_note.isHidden()

    def test_trigger_with_params(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot)
        shown.trigger_button.click()
        dialog: TriggerDialog = desk.dialog(TriggerDialog)
        field = dialog.inputs[0].control
        assert isinstance(field, QLineEdit)
        field.setText("2")
        assert dialog.inputs[0].problem.text() == "It must be 1 or less."
        assert not dialog.ok.isEnabled()
        field.setText("0.25")
        dialog.note.setText("a test")
        dialog.ok.click()
        asked = desk.api.open("POST", "/api/v2/dags/churn/dagRuns")
        assert asked.request.body == {"conf": {"share": 0.25}, "note": "a test", "logical_date": None}
        asked.answer(run("churn", 3, "queued"))
        assert shown.run_id == "run_3"

    def test_clear_asks_which_tasks_first(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot, task_id="join")
        shown.clear_button.click()
        dialog: ClearDialog = desk.dialog(ClearDialog)
        asked = desk.api.open("POST", "/api/v2/dags/churn/clearTaskInstances")
        assert asked.request.body["dry_run"] is True
        assert not dialog.ok.isEnabled()
        asked.answer(page("task_instances", instance("join", "failed"), instance("report.write", "upstream_failed")))
        assert dialog.count.text() == "2 tasks"
        dialog.ok.click()
        asked = desk.api.open("POST", "/api/v2/dags/churn/clearTaskInstances")
        assert asked.request.body["dry_run"] is False
        assert asked.request.body["task_ids"] == ["join"]
        assert asked.request.body["include_downstream"] is True

    def test_actions_follow_the_selection_and_can_be_copied(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot)
        assert desk.actions.cli_text("task.clear") is None
        shown.select_task("join")
        assert desk.actions.cli_text("task.clear") == "dagdeck tasks clear churn run_2 join --downstream"
        assert desk.actions.cli_text("run.mark_failed") == "dagdeck runs mark churn run_2 failed"
        assert desk.actions.cli_text("dag.unpause") is None
        desk.open("home")
        assert desk.actions.cli_text("dag.trigger") is None

    def test_a_change_in_a_large_run_touches_only_its_task(
        self, desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_dag_page(desk.api)
        names = [f"task_{number}" for number in range(2_000)]
        desk.api.answers["GET /api/dagdeck/v1/dags/churn/structure"] = structure("churn", *names)
        shown: DagPage = desk.open("dag", dag_id="churn")
        qtbot.waitUntil(lambda: shown.graph.scene is not None and not shown.graph.is_busy, timeout=20_000)
        tasks = [wire_task(name, "success") for name in names]
        desk.feed.snapshot_received.emit("run:churn/run_2", {"run": run("churn", 2, "running"), "tasks": tasks})
        asked: list[str] = []
        counting = shown.run.shown

        def counted(name: str, now: Any = None) -> Any:
            asked.append(name)
            return counting(name, now)

        monkeypatch.setattr(shown.run, "shown", counted)
        filled: list[int] = []

        def fill() -> list[Any]:
            filled.append(1)
            return []

        monkeypatch.setattr(shown, "_task_rows", fill)
        for state in ("running", "failed"):
            desk.feed.diff_received.emit("run:churn/run_2", {"tasks": [wire_task("task_7", state)]})
        assert asked == ["task_7", "task_7"]
        assert shown.run.counts() == {"success": 1_999, "failed": 1}
        assert filled == [], "a table that nobody sees is not filled"
        shown.tabs.setCurrentIndex(2)
        assert filled == [1]

    def test_a_long_list_gathers_its_changes(self, desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
        desk.api.answers |= {
            "GET /api/v2/dags": page("dags", *(dag(f"dag_{number:04}") for number in range(600))),
            "GET /api/v2/dags/~/dagRuns": page("dag_runs"),
        }
        shown: DagListPage = desk.open("dags")
        assert len(shown.table_model.rows) == 600
        looks: list[int] = []
        filtered = shown.model.filtered

        def looked(wanted: Any) -> Any:
            looks.append(1)
            return filtered(wanted)

        monkeypatch.setattr(shown.model, "filtered", looked)
        for number in range(50):
            desk.feed.diff_received.emit("dags", {"runs": [run(f"dag_{number:04}", 1, "failed")]})
        qtbot.waitUntil(lambda: bool(looks), timeout=4_000)
        qtbot.wait(50)
        assert looks == [1]
        assert "50" in shown._chip_of["failed"].text()

    def test_tasks_are_found_in_graph_and_table(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot)
        QAbstractItemModelTester(shown.tasks.row_model, QAbstractItemModelTester.FailureReportingMode.Fatal, shown)
        assert desk.actions.trigger("task.find")
        qtbot.keyClicks(shown.bar.search, "report")
        assert shown.graph.search_hits == 2
        shown.tabs.setCurrentIndex(2)
        assert [row.task_id for row in shown.tasks.row_model.rows] == ["report.write", "report.send"]
        shown.tabs.setCurrentIndex(0)
        qtbot.keyClick(shown.bar.search, Qt.Key.Key_Return)
        first = shown.task_id
        qtbot.keyClick(shown.bar.search, Qt.Key.Key_Return)
        assert {first, shown.task_id} == {"report.write", "report.send"}
        shown.tabs.setCurrentIndex(2)
        qtbot.keyClick(shown.bar.search, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
        assert shown.task_id == first
        qtbot.keyClick(shown.bar.search, Qt.Key.Key_Escape)
        assert shown.bar.search.text() == ""
        assert len(shown.tasks.row_model.rows) == 4
        assert shown.tasks.row_model.index(2, 3).data() == "report"
        shown.tabs.setCurrentIndex(1)
        assert shown.bar.search.isHidden()

    def test_the_scheduler_s_lag_and_heartbeat(self, desk: Desk, qtbot: QtBot) -> None:
        desk.api.answers["GET /api/v2/monitor/health"] = {"scheduler": {"status": "unhealthy"}}
        shown = self.opened(desk, qtbot, run_id="run_1")
        shown._tick()
        # The first task began with the run; the second is tried again, which is no lag.
        assert shown.cards.lag.value == "0 s"
        assert "is not running" in shown.cards.lag.accessibleName()

    def test_runs_are_chosen_by_table_and_box(self, desk: Desk, qtbot: QtBot) -> None:
        shown = self.opened(desk, qtbot)
        QAbstractItemModelTester(shown.runs.row_model, QAbstractItemModelTester.FailureReportingMode.Fatal, shown)
        shown.runs.set_current_key("run_1")
        assert shown.run_id == "run_1"
        desk.feed.diff_received.emit("dag:churn", {"runs": [run("churn", 4, "running")]})
        assert shown.run_id == "run_1"
        assert shown.run_box.itemData(0) == "run_4"
        shown.run_box.setCurrentIndex(0)
        shown.run_box.activated.emit(0)
        assert shown.run_id == "run_4"

    def test_a_missing_dag(self, desk: Desk) -> None:
        desk.api.answers["GET /api/v2/dags/gone/details"] = NotFound("no", status=404)
        shown: DagPage = desk.open("dag", dag_id="gone")
        assert shown.stack is not None
        assert shown.stack.shown is shown.stack.empty

    def test_hidden_it_follows_nothing(self, desk: Desk, qtbot: QtBot) -> None:
        self.opened(desk, qtbot, task_id="join")
        assert desk.feed.listens_to("run:churn/run_2")
        assert desk.feed.listens_to("log:id-join--1")
        desk.open("home")
        assert not any(desk.feed.listens_to(topic) for topic in ("dag:churn", "run:churn/run_2", "log:id-join--1"))

    def test_a_cluster_that_is_left_is_followed_no_longer(self, desk: Desk, qtbot: QtBot) -> None:
        self.opened(desk, qtbot, task_id="join")
        desk.window.pages.reset()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert +desk.feed.topics == {}

    def test_the_task_s_menu_offers_to_mark_it(self, desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dagdeck_desktop.views.dag_page.confirm", lambda *_args, **_more: True)
        shown = self.opened(desk, qtbot, task_id="join")
        shown.panel.menu_wanted.emit(shown.panel)
        menu = shown.findChild(QMenu)
        assert menu is not None
        titles = [action.text() for action in menu.actions() if action.text()]
        assert titles[:2] == ["Clear the task", "Mark the task success"]
        menu.close()
        desk.actions.trigger("task.mark_skipped")
        assert desk.api.open("PATCH", ".*/taskInstances/join").request.body == {"new_state": "skipped"}


class TestHome:
    def test_lists_cards_and_health(self, desk: Desk) -> None:
        shown: HomePage = desk.open("home")
        desk.feed.snapshot_received.emit(
            "home",
            {
                "health": {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}},
                "dags": {"total": 12, "active": 10, "paused": 2},
                "import_errors": 1,
                "run_counts": {"queued": 1, "running": 1, "success": 1, "failed": 1},
                "workers": {"active": 0, "draining": 0, "slots": 0},
                "runs": [run("a", 1, "failed"), run("b", 2), run("c", 3, "running"), run("d", 4, "queued")],
            },
        )
        assert [name.split(",")[0] for name in shown.failing.shown] == ["a"]
        assert [name.split(",")[0] for name in shown.running.shown] == ["c"]
        assert [name.split(",")[0] for name in shown.queued.shown] == ["d"]
        assert shown.dags_card.value == "12"
        assert "no worker takes tasks" in shown.waiting_card.accessibleName()
        names = [row.accessibleName() for row in shown._health_rows]
        assert names[1].startswith("Scheduler: unhealthy")
        error = {"import_error_id": 1, "filename": "x/bad.py", "timestamp": at(0), "stack_trace": "SyntaxError: no"}
        desk.api.open("GET", "/api/v2/importErrors").answer(page("import_errors", error))
        shown._error_rows[0].click()
        texts = [each.toPlainText() for each in desk.window.findChildren(QPlainTextEdit)]
        assert "SyntaxError: no" in texts

    def test_a_run_opens_its_dag(self, desk: Desk) -> None:
        answer_dag_page(desk.api)
        shown: HomePage = desk.open("home")
        desk.feed.snapshot_received.emit("home", {"dags": {"total": 1}, "runs": [run("churn", 1)]})
        shown.recent._rows[0].click()
        opened = desk.window.pages.currentWidget()
        assert isinstance(opened, DagPage)
        assert (opened.dag_id, opened.run_id) == ("churn", "run_1")

    def test_a_new_cluster(self, desk: Desk) -> None:
        shown: HomePage = desk.open("home")
        desk.feed.snapshot_received.emit("home", {"dags": {"total": 0}, "runs": [], "import_errors": 0})
        assert shown.stack is not None
        assert shown.stack.shown is shown.stack.empty


class TestWorkers:
    WORKER = {"worker_id": 7, "name": "worker-07", "state": "active", "slots": 8, "running": 1, "queues": ["default"]}

    def test_charts_move_with_samples(self, desk: Desk) -> None:
        shown: WorkersPage = desk.open("workers")
        second = {**self.WORKER, "worker_id": 8, "name": "worker-08"}
        queues = [{"name": "default", "depth": 3, "workers": 2}]
        desk.feed.snapshot_received.emit("workers", {"workers": [self.WORKER, second], "queues": queues})
        assert shown.chosen == 7
        assert shown.queue_card.value == "3"
        sample = {"cpu": 0.5, "memory_used": 1, "memory_total": 4, "load1": 2.0, "running": 1, "tasks": []}
        desk.feed.worker_sample.emit({"worker_id": 7, **sample})
        chart, _names = shown.charts["CPU"]
        found = chart.values_at(1e12)
        assert found is not None
        assert found[1] == [0.5]
        shown.table.set_current_key(8)
        assert shown.chosen == 8
        assert chart.values_at(1e12) is None
        desk.feed.diff_received.emit("workers", {"workers": [{**second, "state": "lost"}]})
        assert shown.chosen == 7

    def test_running_tasks_and_drain(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        answer_dag_page(desk.api)
        monkeypatch.setattr("dagdeck_desktop.views.workers_page.confirm", lambda *_args, **_more: True)
        shown: WorkersPage = desk.open("workers")
        desk.feed.snapshot_received.emit("workers", {"workers": [self.WORKER], "queues": []})
        desk.feed.worker_sample.emit({"worker_id": 7, "cpu": 0.5, "tasks": [["ti", 0.9, 1024]]})
        desk.api.open("GET", ".*/taskInstances").answer(page("task_instances", instance("join", "running", id="ti")))
        desk.feed.worker_sample.emit({"worker_id": 7, "cpu": 0.5, "tasks": [["ti", 0.9, 1024]]})
        assert shown.tasks.row_model.data(shown.tasks.row_model.index(0, 0)) == "churn · join"
        assert desk.actions.cli_text("worker.drain") == "dagdeck workers drain 7"
        assert desk.actions.cli_text("worker.resume") is None
        shown.drain.click()
        desk.api.open("POST", ".*/workers/7/drain").answer({**self.WORKER, "state": "draining"})
        assert "Resume" in shown.drain.text()
        assert desk.actions.cli_text("worker.drain") is None
        assert desk.actions.cli_text("worker.resume") == "dagdeck workers resume 7"
        assert desk.actions.trigger("worker.resume")
        desk.api.open("POST", ".*/workers/7/resume").answer(self.WORKER)
        desk.open("home")
        assert desk.actions.cli_text("worker.drain") is None

    def test_no_workers(self, desk: Desk) -> None:
        shown: WorkersPage = desk.open("workers")
        desk.feed.snapshot_received.emit("workers", {"workers": [], "queues": []})
        assert shown.stack is not None
        assert shown.stack.shown is shown.stack.empty


@pytest.mark.parametrize("look", [Appearance.LIGHT, Appearance.DARK])
@pytest.mark.parametrize("key", ["home", "dags", "dag", "workers"])
def test_pages_in_both_appearances_fill_their_window(desk: Desk, qtbot: QtBot, look: Appearance, key: str) -> None:
    """Long names and emoji do not widen the window, and the dark look leaves no light ground behind."""
    desk.theme.set_appearance(look)
    answer_dag_page(desk.api, LONG)
    desk.api.answers |= {
        "GET /api/v2/dags": page("dags", dag(LONG), dag("emoji", dag_display_name=EMOJI)),
        "GET /api/v2/dags/~/dagRuns": page("dag_runs", run(LONG, 1, "failed")),
    }
    desk.open(key, **({"dag_id": LONG, "task_id": "join"} if key == "dag" else {}))
    desk.feed.snapshot_received.emit("home", {"dags": {"total": 2}, "runs": [run(LONG, 1, "failed"), run(EMOJI, 2)]})
    desk.feed.snapshot_received.emit("workers", {"workers": [{**TestWorkers.WORKER, "name": LONG}], "queues": []})
    qtbot.wait(50)
    assert (desk.window.width(), desk.window.height()) == (1400, 860)
    image: QImage = desk.window.grab().toImage()
    light = sum(
        image.pixelColor(QPoint(x, y)).lightness() > 128
        for x in range(0, image.width(), 20)
        for y in range(0, image.height(), 20)
    )
    total = (image.width() // 20) * (image.height() // 20)
    assert light < total * 0.2 if look is Appearance.DARK else light > total * 0.8
    desk.theme.set_appearance(Appearance.LIGHT)
