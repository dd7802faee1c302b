"""Deferred tasks in `dag.test()`: what triggers, next methods and sensors come to; and how a trigger is found."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, BaseOperator, BaseSensorOperator, Context, Variable, task
from dagdeck.collect import load_file, module_name
from dagdeck.exceptions import TaskDeferred
from dagdeck.triggers.base import (
    BaseTrigger,
    StartTriggerArgs,
    TaskFailedEvent,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)
from dagdeck.triggers.file import FileTrigger
from dagdeck.triggers.temporal import TimeDeltaTrigger
from dagdeck_core.deferral import TriggerOutcome
from dagdeck_task import triggering

DONE: list[str] = []
ENDS = {"success": TaskSuccessEvent, "failed": TaskFailedEvent, "skipped": TaskSkippedEvent}


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


class Scripted(BaseTrigger):
    """Does what it is told to, and says that it was cleaned up."""

    def __init__(self, act: str = "fire", payload: Any = None) -> None:
        super().__init__()
        self.act = act
        self.payload = payload

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Write it down."""
        return f"{__name__}.Scripted", {"act": self.act, "payload": self.payload}

    async def run(self) -> AsyncIterator[Any]:
        """Act."""
        await asyncio.sleep(0)
        if self.act in ENDS:
            yield ENDS[self.act](xcoms={"left": self.payload})
        elif self.act == "fire":
            yield TriggerEvent(self.payload)
            DONE.append("went on after the event")
        elif self.act == "variable":
            yield TriggerEvent(await asyncio.to_thread(Variable.get, "name"))
        elif self.act == "hang":
            await asyncio.sleep(60)
        elif self.act == "raise":
            raise ValueError("this trigger is broken")
        elif self.act == "time out":
            raise TimeoutError("its own")
        elif self.act == "who":
            instance = self.task_instance
            yield TriggerEvent([instance.dag_id, instance.task_id, instance.try_number, instance.map_index])
        elif self.act == "nonsense":
            yield "done"

    async def cleanup(self) -> None:
        """Say so."""
        DONE.append("cleaned up")


class Deferring(BaseOperator):
    """Defers to a scripted trigger."""

    def __init__(self, act: str, payload: Any = None, timeout: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.act = act
        self.payload = payload
        self.seconds = timeout

    def execute(self, context: Context) -> None:
        """Defer."""
        context["ti"].xcom_push("before", 1)
        self.defer(
            trigger=Scripted(self.act, self.payload),
            method_name="go_on",
            kwargs={"since": datetime(2026, 1, 1, tzinfo=UTC)},
            timeout=self.seconds,
        )

    def go_on(self, context: Context, since: datetime, event: Any = None) -> Any:
        """Go on."""
        DONE.append(f"went on as try {context['ti'].try_number}")
        assert since == datetime(2026, 1, 1, tzinfo=UTC)
        return event


def run_one(act: str, payload: Any = None, **kwargs: Any) -> Any:
    with DAG("d") as dag:
        Deferring(task_id="t", act=act, payload=payload, **kwargs)
    return dag.test()


def test_a_deferred_task_goes_on_with_its_event() -> None:
    payload = {"moment": datetime(2026, 2, 3, tzinfo=UTC), "n": [1, {2}]}
    run = run_one("fire", payload)
    assert run.states == {"t": "success"}
    assert run.xcom("t") == payload
    assert run.xcom("t", "before") == 1
    assert [outcome.result for outcome in run.tasks["t"].outcomes] == ["deferred", "success"]
    assert DONE == ["cleaned up", "went on as try 1"]


@pytest.mark.parametrize("act", list(ENDS))
def test_a_trigger_may_end_its_task(act: str) -> None:
    run = run_one(act, [7])
    assert run.states == {"t": act}
    assert run.xcom("t", "left") == [7]
    assert DONE == ["cleaned up"]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        ("raise", "TaskDeferralError", "Trigger failure"),
        ("time out", "TaskDeferralError", "Trigger failure"),
        ("nonsense", "TaskDeferralError", "Trigger failure"),
        ("nothing", "TaskDeferralError", "Trigger failure"),
        ("hang", "TaskDeferralTimeout", "Trigger timeout"),
    ],
)
def test_a_trigger_that_fails_fails_its_task(
    act: str, error: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_one(act, timeout=0.05)
    assert run.states == {"t": "failed"}
    assert (run.tasks["t"].error.kind, run.tasks["t"].error.message) == (error, message)
    assert DONE == ["cleaned up"]
    if act == "raise":
        assert "this trigger is broken" in caplog.text


def test_a_retry_begins_anew() -> None:
    run = run_one("raise", retries=1, retry_delay=timedelta())
    assert [outcome.result for outcome in run.tasks["t"].outcomes] == ["deferred", "failed"] * 2
    assert run.tasks["t"].try_number == 2


def test_triggers_know_their_task_and_may_ask() -> None:
    assert run_one("who").xcom("t") == ["d", "t", 1, -1]
    with DAG("d") as dag:
        Deferring(task_id="t", act="variable")
    assert dag.test().states == {"t": "failed"}, "there is no Variable `name` here"


def test_variables_reach_a_trigger(tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text('{"name": "value"}')
    with DAG("d") as dag:
        Deferring(task_id="t", act="variable")
    assert dag.test(variable_file_path=str(variables)).xcom("t") == "value"


@pytest.mark.parametrize(
    ("deferred", "message"),
    [
        ({"trigger": 7}, "not to a int"),
        ({"timeout": -1}, "not negative"),
        ({"timeout": "soon"}, "a timedelta"),
        ({"trigger": Scripted(payload=object())}, "cannot be passed between tasks"),
        ({"kwargs": {"x": object()}}, "the next method's arguments"),
    ],
)
def test_what_cannot_be_stored_fails_the_task(deferred: dict[str, Any], message: str) -> None:
    class Wrong(BaseOperator):
        """Defers wrongly."""

        def execute(self, context: Context) -> None:
            """Defer."""
            raise TaskDeferred(**{"trigger": Scripted(), "method_name": "go_on", **deferred})

    with DAG("d") as dag:
        Wrong(task_id="t")
    run = dag.test()
    assert run.states == {"t": "failed"}
    assert message in run.tasks["t"].error.message


class File(BaseSensorOperator):
    """Waits for a file in a trigger."""

    def __init__(self, path: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = str(path)

    def execute(self, context: Context) -> None:
        """Defer for what is left of the timeout."""
        self.defer(
            trigger=FileTrigger(self.path, poke_interval=0.01), method_name="found", timeout=self.time_left(context)
        )

    def found(self, context: Context, event: bool) -> bool:
        """It is there."""
        return event


@pytest.mark.parametrize(("there", "soft_fail", "state"), [(1, 0, "success"), (0, 0, "failed"), (0, 1, "skipped")])
def test_a_deferrable_sensor(tmp_path: Path, there: bool, soft_fail: bool, state: str) -> None:
    path = tmp_path / "x"
    if there:
        path.write_text("")
    with DAG("d") as dag:
        File(task_id="t", path=path, timeout=0.2, soft_fail=bool(soft_fail), retries=3)
    run = dag.test()
    assert run.states == {"t": state}
    assert run.tasks["t"].try_number == 1


class FromStart(BaseOperator):
    """Begins in a trigger."""

    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="dagdeck.triggers.temporal.DateTimeTrigger",
        trigger_kwargs={"target_time": "{{ '2020-01-01' }}T00:00:00"},
        next_method="go_on",
        next_kwargs={"a": 1},
    )

    def go_on(self, context: Context, a: int, event: datetime) -> list[Any]:
        """Go on."""
        return [a, event.isoformat()]

    def execute(self, context: Context) -> None:
        """Never called."""
        raise AssertionError


def test_a_task_may_begin_in_its_trigger() -> None:
    with DAG("d") as dag:
        FromStart(task_id="t")
    run = dag.test()
    assert run.states == {"t": "success"}
    assert run.xcom("t") == [1, "2020-01-01T00:00:00+00:00"]


def test_downstream_tasks_wait_for_a_deferred_one() -> None:
    with DAG("d") as dag:
        waiting = Deferring(task_id="t", act="fire", payload="x")

        @task
        def after(value: str) -> str:
            return value * 2

        after(waiting.output)
    assert dag.test().xcom("after") == "xx"


# ---------------------------------------------------------------- finding a trigger's class

SOURCE = """
from dagdeck.triggers.base import BaseTrigger, TriggerEvent
from waiting_helper import NAME

class Own(BaseTrigger):
    def __init__(self, n=0):
        super().__init__()
    def serialize(self):
        return f"{type(self).__module__}.Own", {}
    async def run(self):
        import waiting_helper
        yield TriggerEvent([NAME, waiting_helper.NAME])

not_a_trigger = 7
"""


def _place(folder: Path, name: str) -> triggering.TriggerPlace:
    folder.mkdir()
    (folder / "own_dag.py").write_text(textwrap.dedent(SOURCE))
    (folder / "own_triggers.py").write_text(textwrap.dedent(SOURCE))
    (folder / "waiting_helper.py").write_text(f"NAME = {name!r}\n")
    return triggering.TriggerPlace(root=str(folder), version=name, fileloc="own_dag.py")


@pytest.fixture
def _clean_imports() -> Any:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def _fire(cls: Any) -> Any:
    return asyncio.run(triggering.first_event(cls().run()))


@pytest.mark.usefixtures("_clean_imports")
@pytest.mark.parametrize(
    "path", ["own_triggers.Own", "own_dag.Own", f"{module_name('own_dag.py')}.Own", "some.own_dag.Own"]
)
def test_classes_of_two_versions_of_a_folder_stand_side_by_side(tmp_path: Path, path: str) -> None:
    one, two = _place(tmp_path / "one", "1"), _place(tmp_path / "two", "2")
    classes = triggering.TriggerClasses()
    first = classes.find(path, one)
    assert _fire(first).payload == '["1","1"]'
    second = classes.find(path, two)
    assert second is not first
    assert _fire(second).payload == '["2","2"]'
    assert classes.find(path, one) is first
    assert classes.known(path, two) is second


@pytest.mark.usefixtures("_clean_imports")
def test_shipped_classes_are_found_once_for_all(tmp_path: Path) -> None:
    classes = triggering.TriggerClasses()
    path = TimeDeltaTrigger(timedelta()).serialize()[0]
    found = classes.find(path, _place(tmp_path / "one", "1"))
    assert classes.known(path, _place(tmp_path / "two", "2")) is found


@pytest.mark.usefixtures("_clean_imports")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_triggers.Gone", "no trigger class own_triggers.Gone"),
        ("own_triggers.not_a_trigger", "no trigger class"),
        ("nowhere.to.be.Found", "No module named 'nowhere'"),
    ],
)
def test_a_class_that_is_not_there_is_told(tmp_path: Path, path: str, message: str) -> None:
    place = _place(tmp_path / "one", "1")
    with pytest.raises((triggering.TriggerError, ModuleNotFoundError), match=message):
        triggering.TriggerClasses().find(path, place)


@pytest.mark.usefixtures("_clean_imports")
def test_a_broken_dag_file_is_told(tmp_path: Path) -> None:
    place = _place(tmp_path / "one", "1")
    Path(place.root, "own_dag.py").write_text("1 / 0\n")
    assert load_file(Path(place.root, "own_dag.py"), place.root).failures
    with pytest.raises(triggering.TriggerError, match=r"cannot be loaded.*ZeroDivisionError"):
        triggering.TriggerClasses().find(f"{module_name('own_dag.py')}.Own", place)


def test_events_are_described() -> None:
    found = triggering.described(TaskSuccessEvent(xcoms={"k": (1,)}))
    assert found.outcome is TriggerOutcome.SUCCESS
    assert found.xcoms == (("k", '{"__dagdeck__":"tuple","value":[1]}'),)


@pytest.mark.parametrize(("act", "state"), [("success", "success"), ("skipped", "skipped"), ("failed", "failed")])
def test_the_end_by_a_trigger_is_told(act: str, state: str) -> None:
    told: list[tuple[str, str, bool]] = []

    def note(context: Context) -> None:
        told.append((context["ti"].task_id, context["ti"].state, "exception" in context))

    every: dict[str, Any] = {f"on_{name}_callback": note for name in ("success", "skipped", "failure", "retry")}
    with DAG("d") as dag:
        Deferring(task_id="t", act=act, **every)
    assert dag.test().states == {"t": state}
    assert told == [("t", state, state == "failed")]
