"""Plugins of a bundle and listeners: loaded with DAG files, told in the processes that execute tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, Asset, listeners, plugins
from dagdeck.collect import load_file
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.work import AssetNews, NamedAsset, NewsOfEvent
from dagdeck_master.dag_processor.importing import DagFileImporter
from dagdeck_master.dag_processor.protocol import ParseFile
from dagdeck_task import asset_news, side_work
from dagdeck_task.in_process_channel import InProcessChannel, RunMemory
from dagdeck_task.masking import Masker

LISTENER = """
from airflow.listeners import hookimpl
told = []
@hookimpl
def on_starting(component):
    told.append(("starting", type(component).__name__))
@hookimpl
def on_task_instance_running(previous_state, task_instance):
    told.append(("running", str(previous_state), task_instance.task_id))
@hookimpl
def on_task_instance_success(task_instance):
    told.append(("success", task_instance.get_template_context()["task"].dag.dag_id))
@hookimpl
def on_task_instance_failed(previous_state, task_instance, error):
    told.append(("failed", task_instance.try_number, str(error)))
@hookimpl
def on_task_instance_skipped(previous_state, task_instance):
    told.append(("skipped", task_instance.task_id))
@hookimpl
def before_stopping():
    told.append(("stopping",))
@hookimpl
def on_dag_run_running(dag_run, msg):
    told.append(("run", dag_run.state, dag_run.queued_at is not None))
@hookimpl
def on_dag_run_success(dag_run, msg):
    told.append(("run", dag_run.state, msg))
@hookimpl
def on_dag_run_failed(dag_run, msg):
    told.append(("run", dag_run.state, msg))
    raise ValueError("a listener changes nothing")
@hookimpl
def on_new_dag_import_error(filename, stacktrace):
    told.append(("new", filename.rpartition("/")[2], "ZeroDivisionError" in stacktrace))
@hookimpl
def on_existing_dag_import_error(filename, stacktrace):
    told.append(("existing", filename.rpartition("/")[2], "ZeroDivisionError" in stacktrace))
@hookimpl
def on_asset_created(asset):
    told.append(("created", asset.uri))
@hookimpl
def on_asset_alias_created(asset_alias):
    told.append(("alias", asset_alias.name))
@hookimpl
def on_asset_changed(asset):
    told.append(("changed", asset.name, asset.extra))
@hookimpl
def on_asset_event_emitted(asset_event):
    told.append(("event", asset_event.asset.name, asset_event.extra, asset_event.source_task_id))
"""
PLUGIN = """
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink
import noted_events
def shout(text):
    return text.upper() + "!"
class Wiki(BaseOperatorLink):
    name = "Wiki"
    def get_link(self, operator, *, ti_key):
        return "http://wiki"
class Tools(AirflowPlugin):
    name = "tools"
    listeners = [noted_events]
    macros = [shout]
    global_operator_extra_links = [Wiki()]
"""
DAG_FILE = """
import noted_events
from datetime import timedelta
from dagdeck import DAG, Asset, task
from dagdeck.exceptions import AirflowSkipException
with DAG("good"):
    @task
    def works(text):
        return text
    @task
    def skips():
        raise AirflowSkipException("no need")
    works("{{ macros.tools.shout('hey') }}") >> skips()
with DAG("emits"):
    @task(outlets=[Asset("table", extra={"of": "sales"})])
    def emit(outlet_events):
        outlet_events[Asset("table")].extra["rows"] = 3
    emit()
with DAG("bad"):
    @task(retries=1, retry_delay=timedelta(0))
    def fails():
        raise ValueError("broken")
    fails()
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A bundle with plugins; the process forgets them afterwards."""
    path, known = list(sys.path), set(sys.modules)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "tools.py").write_text(PLUGIN)
    (tmp_path / "plugins" / "noted_events.py").write_text(LISTENER)
    (tmp_path / "file.py").write_text(DAG_FILE)
    yield tmp_path
    plugins.load(tmp_path / "nothing")
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith(("tools", "noted_events", "dagdeck_plugin", "dagdeck_dag_file")):
            del sys.modules[name]


def dags(root: Path) -> dict[str, DAG]:
    """The DAGs of the file."""
    loaded = load_file(root / "file.py", root)
    assert not loaded.failures, loaded.failures
    assert not plugins.problems(), plugins.problems()
    return {dag.dag_id: dag for dag in loaded.dags}


def told() -> list[Any]:
    """What the listener has noted."""
    found: list[Any] = sys.modules["noted_events"].__dict__["told"]
    return found


def test_listeners_are_told_of_tasks_and_of_the_run(root: Path) -> None:
    run = dags(root)["good"].test()
    assert run.xcom("works") == "HEY!"
    around = [("starting", "TaskRunnerMarker"), ("stopping",)]
    assert [each for each in told() if each not in around] == [
        ("run", "running", True),
        ("running", "queued", "works"),
        ("success", "good"),
        ("running", "queued", "skips"),
        ("skipped", "skips"),
        ("run", "success", "success"),
    ]
    assert [told().count(each) for each in around] == [2, 2]


def test_a_failure_is_told_with_its_error_at_each_try(root: Path) -> None:
    run = dags(root)["bad"].test()
    assert str(run.state) == "failed"
    assert [each for each in told() if each[0] in ("failed", "run")][1:] == [
        ("failed", 1, "broken"),
        ("failed", 2, "broken"),
        ("run", "failed", "task_failure"),
    ]


def test_links_of_plugins_have_addresses_however_a_task_ends(root: Path) -> None:
    found = dags(root)
    assert found["good"].test().xcom("skips", "_link_Wiki") == "http://wiki"
    assert found["bad"].test().xcom("fails", "_link_Wiki") == "http://wiki"


def test_assets_are_told_of_in_a_tested_run(root: Path) -> None:
    dags(root)["emits"].test()
    of_assets = [each for each in told() if each[0] in ("changed", "event", "created", "alias")]
    assert of_assets == [("changed", "table", {"of": "sales"}), ("event", "table", {"rows": 3}, "emit")]


def test_assets_are_told_of_by_order(root: Path) -> None:
    loaded = dags(root)["emits"]
    memory = RunMemory()
    memory.assets.learn(loaded.get_task("emit"))
    channel = InProcessChannel(memory, "emits", "r", "emit")
    event = NewsOfEvent(asset=NamedAsset(name="table"), is_new=True, extra={"n": 1}, aliases=("any",))
    order = AssetNews(
        events=(event,), assets=(NamedAsset(name="new", uri="s3://new/x"),), aliases=(NamedAsset(name="any"),)
    )
    asset_news.tell(side_work.Desk(task=None, dag=loaded, channel=channel, masker=Masker()), order)  # type: ignore[arg-type]
    assert told() == [
        ("created", "s3://new/x"),
        ("alias", "any"),
        ("created", "table"),
        ("changed", "table", {"of": "sales"}),
        ("event", "table", {"n": 1}, None),
    ]


def test_listeners_of_airflow_2_are_told_by_its_words() -> None:
    heard: list[str] = []

    class Old:
        @listeners.hookimpl
        def on_dataset_changed(self, dataset: Any) -> None:
            heard.append(dataset.name)

    manager = listeners.ListenerManager()
    with pytest.warns(RemovedInAirflow3Warning, match="Call it on_asset_changed"):
        manager.add_listener(Old())
    manager.call("on_asset_changed", asset=Asset("table"))
    assert heard == ["table"]


@pytest.mark.parametrize(("was_broken", "moment"), [(False, "new"), (True, "existing")])
def test_an_import_error_is_told_where_the_file_is_parsed(root: Path, was_broken: bool, moment: str) -> None:
    (root / "broken.py").write_text("from dagdeck import DAG\n1 / 0\n")
    importer = DagFileImporter(None)  # type: ignore[arg-type]
    _, (error,) = importer.parse(ParseFile(root=str(root), path="broken.py", was_broken=was_broken))
    assert told() == [(moment, "broken.py", True)], error
    importer.parse(ParseFile(root=str(root), path="file.py"))
    assert len(told()) == 1


def test_what_is_stored_says_that_listeners_want_to_know(root: Path) -> None:
    spec = serialize_dag(dags(root)["good"])
    assert (spec.has_on_success_callback, spec.has_on_failure_callback, spec.has_on_running_listener) == (True,) * 3
    assert [(task.extra_links, task.extra_link_keys) for task in spec.tasks] == [(("Wiki",), ("_link_Wiki",))] * 2
    assert spec.asset_listeners == listeners.OF_ASSETS


def test_a_fresh_load_takes_what_the_files_say_now(root: Path) -> None:
    dags(root)
    (root / "plugins" / "noted_events.py").write_text("told = []\n")
    spec = serialize_dag(dags(root)["good"])
    assert (spec.has_on_running_listener, spec.asset_listeners) == (False, ())
    assert list(plugins.registered()) == ["tools"]


def test_without_plugins_nothing_is_wanted(tmp_path: Path, root: Path) -> None:
    dags(root)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file.py").write_text(
        "from dagdeck import DAG, EmptyOperator\nwith DAG('d'):\n    EmptyOperator(task_id='a')\n"
    )
    (dag,) = load_file(other / "file.py", other).dags
    assert not serialize_dag(dag).has_on_running_listener
    assert plugins.registered() == {}


def test_a_broken_plugin_leaves_the_others(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "plugins" / "a_broken.py").write_text("raise SystemExit('off')\n")
    (root / "plugins" / "nameless.py").write_text(
        "from dagdeck.plugins import AirflowPlugin\nclass P(AirflowPlugin):\n    pass\n"
    )
    loaded = load_file(root / "file.py", root)
    assert not loaded.failures
    assert list(plugins.registered()) == ["tools"]
    assert sorted(Path(path).name for path in plugins.problems()) == ["a_broken.py", "nameless.py"]
    assert "a_broken.py cannot be loaded" in caplog.text


def test_the_folder_of_the_setting(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "numbers.py").write_text("import no_such_module\n")  # a name of the standard library's
    (shared / "more_tools.py").write_text(
        "from airflow.plugins_manager import AirflowPlugin\n"
        "class More(AirflowPlugin):\n    name = 'more'\n    flask_blueprints = [1]\n"
    )
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(shared))
    loaded = load_file(root / "file.py", root)
    assert not loaded.failures
    assert sorted(plugins.registered()) == ["more", "tools"]
    assert [Path(path).name for path in plugins.problems()] == ["numbers.py"]


class Listening:
    """Listeners as an object's methods."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name = name
        self.said = said

    @listeners.hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        """Note it."""
        self.said.append(self.name)


def test_the_order_of_listeners() -> None:
    said: list[str] = []

    class First(Listening):
        @listeners.hookimpl(trylast=True)
        def on_task_instance_success(self, task_instance: Any) -> None:
            said.append("last")

    manager = listeners.ListenerManager()
    first = Listening("first", said)
    for listener in (First("x", said), first, Listening("second", said), first):
        manager.add_listener(listener)
    manager.call("on_task_instance_success", task_instance=None, previous_state=None)
    assert said == ["second", "first", "last"]
    manager.clear()
    assert not manager.has_listeners


def test_marks_that_fit_nothing() -> None:
    class Wrong:
        @listeners.hookimpl
        def on_tuesday(self) -> None:
            pass

    class Greedy:
        @listeners.hookimpl
        def on_starting(self, component: Any, session: Any) -> None:
            pass

    for listener in (Wrong(), Greedy()):
        with pytest.raises(UserError):
            listeners.ListenerManager().add_listener(listener)
    with pytest.raises(UserError):
        listeners.hookimpl(hookwrapper=True)
