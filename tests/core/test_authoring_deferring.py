"""Deferring in DAG files: defer, going on, triggers and their events, sensors that gave their waiting away."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dagdeck import (
    DAG,
    BaseAsyncOperator,
    BaseOperator,
    BaseSensorOperator,
    Context,
    PythonOperator,
    task_group,
    xcom_codec,
)
from dagdeck.async_operator import default_deferrable, is_async_callable
from dagdeck.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferralTimeout,
    TaskDeferred,
)
from dagdeck.sensors.base import poke_mode_only
from dagdeck.serialize import serialize_dag
from dagdeck.triggers.base import (
    BaseEventTrigger,
    BaseTrigger,
    StartTriggerArgs,
    TaskFailedEvent,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)
from dagdeck.triggers.file import DirectoryFileDeleteTrigger, FileDeleteTrigger, FileTrigger
from dagdeck.triggers.temporal import DateTimeTrigger, TimeDeltaTrigger
from dagdeck_core.deferral import FAILED_DEFERRAL, TriggerFailure, failure_kwargs
from dagdeck_core.errors import UserError
from dagdeck_core.spec import StartTriggerSpec


class Waiter(BaseOperator):
    """Waits for a moment in a trigger."""

    def execute(self, context: Context) -> None:
        """Defer."""
        self.defer(
            trigger=TimeDeltaTrigger(timedelta(hours=1)),
            method_name="go_on",
            kwargs={"a": 1},
            timeout=timedelta(minutes=3),
        )

    def go_on(self, context: Context, a: int, event: Any = None) -> tuple[int, Any, Any]:
        """Go on."""
        return a, event, context["x"]


def test_defer_says_what_to_wait_for_and_how_to_go_on() -> None:
    with pytest.raises(TaskDeferred) as caught:
        Waiter(task_id="t").execute(Context({}))
    deferred = caught.value
    assert isinstance(deferred.trigger, DateTimeTrigger)
    assert (deferred.method_name, deferred.kwargs, deferred.timeout) == ("go_on", {"a": 1}, timedelta(minutes=3))
    assert not isinstance(deferred, Exception)


def test_going_on_calls_the_method_with_its_arguments() -> None:
    context = Context({"x": 7})
    assert Waiter(task_id="t").resume_execution("go_on", {"a": 1, "event": [2]}, context) == (1, [2], 7)
    with pytest.raises(AirflowException, match="no method 'gone'"):
        Waiter(task_id="t").resume_execution("gone", {}, context)


@pytest.mark.parametrize(
    ("why", "error"), [(TriggerFailure.TIMEOUT, TaskDeferralTimeout), (TriggerFailure.FAILURE, TaskDeferralError)]
)
def test_a_failed_waiting_is_raised(
    why: TriggerFailure, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(error, match=why.value):
        Waiter(task_id="t").resume_execution(FAILED_DEFERRAL, failure_kwargs(why, "line 1\nline 2"), Context({}))
    assert "line 1\nline 2" in caplog.text


class Sensor(BaseSensorOperator):
    """Its next method raises what it is told to."""

    def go_on(self, context: Context, error: BaseException) -> None:
        """Raise."""
        raise error


@pytest.mark.parametrize(
    ("arguments", "raised", "expected"),
    [
        ({}, ValueError("x"), ValueError),
        ({}, AirflowException("x"), AirflowException),
        ({}, AirflowSkipException("x"), AirflowSkipException),
        ({"soft_fail": True}, AirflowException("x"), AirflowException),
        ({"soft_fail": True}, AirflowFailException("x"), AirflowSkipException),
        ({"soft_fail": True}, AirflowSensorTimeout("x"), AirflowSkipException),
        ({"never_fail": True}, AirflowException("x"), AirflowSkipException),
        ({"never_fail": True}, AirflowFailException("x"), AirflowSkipException),
    ],
)
def test_a_sensor_judges_what_its_next_method_raises(
    arguments: dict[str, Any], raised: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the type is compared exactly
        Sensor(task_id="t", **arguments).resume_execution("go_on", {"error": raised}, Context({}))
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("arguments", "why", "expected"),
    [
        ({}, TriggerFailure.TIMEOUT, AirflowSensorTimeout),
        ({"soft_fail": True}, TriggerFailure.TIMEOUT, AirflowSkipException),
        ({"never_fail": True}, TriggerFailure.TIMEOUT, AirflowSkipException),
        ({}, TriggerFailure.FAILURE, TaskDeferralError),
        ({"soft_fail": True}, TriggerFailure.FAILURE, TaskDeferralError),
        ({"never_fail": True}, TriggerFailure.FAILURE, AirflowSkipException),
    ],
)
def test_a_sensor_takes_a_late_trigger_for_its_timeout(
    arguments: dict[str, Any], why: TriggerFailure, expected: type[Exception]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the type is compared exactly
        Sensor(task_id="t", **arguments).resume_execution(FAILED_DEFERRAL, failure_kwargs(why), Context({}))
    assert type(caught.value) is expected


def test_time_left_counts_from_the_first_start_of_the_try() -> None:
    class Instance:
        start_date = datetime.now(UTC) - timedelta(seconds=40)

    left = Sensor(task_id="t", timeout=100).time_left({"ti": Instance()})
    assert timedelta(seconds=59) < left <= timedelta(seconds=60)
    assert Sensor(task_id="t", timeout=10).time_left({"ti": Instance()}) == timedelta()


def test_a_sensor_class_may_refuse_other_modes() -> None:
    @poke_mode_only
    class Poking(BaseSensorOperator):
        """Only pokes."""

    assert Poking(task_id="t").mode == "poke"
    with pytest.raises(UserError, match="only works in mode 'poke'"):
        Poking(task_id="u", mode="reschedule")
    with pytest.raises(UserError, match="decorates a sensor class"):
        poke_mode_only(int)  # type: ignore[arg-type]


# ---------------------------------------------------------------- triggers


def _events(trigger: BaseTrigger) -> list[TriggerEvent]:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(asyncio.wait_for(collect(), 10))


def _remade(trigger: BaseTrigger) -> Any:
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**kwargs)


@pytest.mark.parametrize(
    "trigger",
    [
        DateTimeTrigger(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), end_from_trigger=True),
        DateTimeTrigger(target_time="2026-01-01T00:00:00+02:00"),
        FileTrigger("/x/*", recursive=True, poke_interval=2),
        FileDeleteTrigger("/x/y", poke_interval=3),
        DirectoryFileDeleteTrigger(directory="/x", filename="y"),
    ],
)
def test_a_trigger_is_made_again_from_what_it_wrote_down(trigger: BaseTrigger) -> None:
    again = _remade(trigger)
    assert type(again) is type(trigger)
    assert again.serialize() == trigger.serialize()
    assert repr(again) == repr(trigger)


def test_a_moment_is_waited_for() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=0.1)
    assert _events(DateTimeTrigger(moment)) == [TriggerEvent(moment)]
    assert datetime.now(UTC) >= moment
    assert _events(DateTimeTrigger(target_time="2020-02-02T00:00:00")) == [
        TriggerEvent(datetime(2020, 2, 2, tzinfo=UTC))
    ]
    assert _events(TimeDeltaTrigger(timedelta(seconds=-1), end_from_trigger=True)) == [TaskSuccessEvent()]
    assert isinstance(_remade(TimeDeltaTrigger(timedelta(seconds=5))), DateTimeTrigger)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"moment": datetime.now(UTC), "target_time": "2026-01-01"}, TypeError),
        ({"moment": "2026-01-01"}, TypeError),
        ({"moment": datetime(2026, 1, 1)}, ValueError),  # noqa: DTZ001 - without a zone on purpose
    ],
)
def test_wrong_moments_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        DateTimeTrigger(**arguments)


def test_text_that_is_no_date_fails_the_trigger() -> None:
    with pytest.raises(ValueError, match="no date in ISO form: 'soon'"):
        _events(DateTimeTrigger(target_time="soon"))


def test_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for trigger in (FileTrigger(str(tmp_path / "*.csv")), FileTrigger(str(tmp_path / "sub"))):
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(anext(aiter(trigger.run())), 0.1))
    (tmp_path / "sub" / "a.csv").write_text("x")
    assert _events(FileTrigger(str(tmp_path / "sub"))) == [TriggerEvent(True)]
    assert _events(FileTrigger(str(tmp_path / "**" / "*.csv"), recursive=True)) == [TriggerEvent(True)]


def test_a_found_file_is_deleted(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.write_text("x")
    assert _events(FileDeleteTrigger(str(flag), poke_interval=0.01)) == [TriggerEvent(True)]
    assert not flag.exists()
    flag.write_text("x")
    trigger = DirectoryFileDeleteTrigger(directory=str(tmp_path), filename="flag", poke_interval=0.01)
    assert _events(trigger) == [TriggerEvent({"filepath": str(flag)})]
    assert not flag.exists()


def test_a_directory_that_can_never_be_listed_fails_the_trigger(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(NotADirectoryError):
        _events(DirectoryFileDeleteTrigger(directory=str(file), filename="y"))


def test_triggers_of_one_directory_share_their_stream(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    one = DirectoryFileDeleteTrigger(directory=str(tmp_path), filename="a")
    two = DirectoryFileDeleteTrigger(directory=str(tmp_path / "link"), filename="b")
    assert one.shared_stream_key() == two.shared_stream_key()
    assert FileDeleteTrigger("x").shared_stream_key() is None


class Plain(BaseEventTrigger):
    """Without a shared stream."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Nothing to write down."""
        return "x.Plain", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire at once."""
        yield TriggerEvent()


def test_a_shared_stream_must_be_written() -> None:
    with pytest.raises(NotImplementedError, match="open_shared_stream"):
        Plain.open_shared_stream({})
    with pytest.raises(NotImplementedError, match="filter_shared_stream"):
        Plain().filter_shared_stream(Plain().run())
    assert Plain.hash("x", {"b": 1, "a": 2}) == Plain.hash("x", {"a": 2, "b": 1}) != Plain.hash("y", {})


def test_events_compare_by_what_they_carry() -> None:
    assert TriggerEvent({"a": 1}) == TriggerEvent({"a": 1}) != TriggerEvent({"a": 2})
    assert TaskSuccessEvent(xcoms={"k": 1}) == TaskSuccessEvent(xcoms={"k": 1}) != TaskSuccessEvent()
    assert TaskSkippedEvent() != TaskFailedEvent()
    assert repr(TriggerEvent(1)) == "TriggerEvent<1>"
    assert [event().payload for event in (TaskSuccessEvent, TaskFailedEvent, TaskSkippedEvent)] == [
        "success",
        "failed",
        "skipped",
    ]


# ---------------------------------------------------------------- coroutines as tasks


class Doubling(BaseAsyncOperator):
    """Doubles a number, slowly."""

    async def aexecute(self, context: Context) -> int:
        """Wait and double."""
        await asyncio.sleep(0)
        return int(context["n"]) * 2


def test_a_coroutine_is_run_to_its_end() -> None:
    operator = Doubling(task_id="t")
    assert operator.is_async
    assert operator.execute(Context({"n": 4})) == 8
    with pytest.raises(UserError, match="Override async aexecute"):
        BaseAsyncOperator(task_id="t").execute(Context({}))


def test_a_python_operator_takes_coroutine_functions_and_generators() -> None:
    async def wait(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    async def count(n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    waiting = PythonOperator(task_id="t", python_callable=wait, op_args=[1])
    assert waiting.is_async
    assert waiting.execute(Context({})) == 2
    assert asyncio.run(waiting.aexecute(Context({}))) == 2
    assert PythonOperator(task_id="u", python_callable=count, op_args=[3]).execute(Context({})) == [0, 1, 2]
    assert not PythonOperator(task_id="v", python_callable=len, op_args=["ab"]).is_async


def test_coroutine_functions_are_recognised_behind_wrappers() -> None:
    async def plain() -> None: ...

    class Callable:
        async def __call__(self) -> None: ...

    @functools.wraps(plain)
    def wrapped() -> Any:
        return plain()

    assert all(is_async_callable(each) for each in (plain, functools.partial(plain), wrapped, Callable()))
    assert not any(is_async_callable(each) for each in (len, lambda: None, functools.partial(print, 1)))


@pytest.mark.parametrize(("value", "expected"), [("True", True), ("1", True), ("no", False), ("off", False)])
def test_deferring_by_default_is_a_setting(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", value)
    assert default_deferrable() is expected


# ---------------------------------------------------------------- beginning in a trigger


class Begins(BaseOperator):
    """Begins in a trigger."""

    start_from_trigger = True

    def __init__(self, given: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_trigger_args = given

    def execute(self, context: Context) -> None:
        """Never called."""


def starts(**changes: Any) -> StartTriggerArgs:
    values: dict[str, Any] = {"trigger_cls": "x.Trigger", "next_method": "go_on", "trigger_kwargs": {"n": 1}}
    return StartTriggerArgs(**(values | changes))


def test_the_trigger_in_which_a_task_begins_is_part_of_its_spec() -> None:
    until = datetime(2026, 1, 1, tzinfo=UTC)
    given = starts(trigger_kwargs={"until": until}, next_kwargs={"a": 2}, timeout=timedelta(minutes=1))
    with DAG("d") as dag:
        Begins(task_id="t", given=given)
        Waiter(task_id="other")
    one, other = serialize_dag(dag).tasks
    assert one.start_trigger is not None
    assert xcom_codec.decode(one.start_trigger.kwargs) == {"until": until}
    assert one.start_trigger == StartTriggerSpec(
        classpath="x.Trigger",
        kwargs=one.start_trigger.kwargs,
        next_method="go_on",
        next_kwargs='{"a":2}',
        timeout=60.0,
    )
    assert other.start_trigger is None


@pytest.mark.parametrize(
    "given",
    [None, starts(trigger_kwargs={"x": "{{ ds }}"}), starts(next_kwargs={"x": object()}), starts(timeout=5)],
)
def test_a_worker_begins_what_is_not_known_before(given: Any) -> None:
    with DAG("d") as dag:
        Begins(task_id="t", given=given)
    assert serialize_dag(dag).tasks[0].start_trigger is None


def test_a_worker_begins_what_is_mapped() -> None:
    with DAG("d") as dag:

        @task_group
        def group(x: int) -> None:
            Begins(task_id="t", given=starts())

        group.expand(x=[1])
        Begins.partial(task_id="m").expand(given=[starts()])
    assert [task.start_trigger for task in serialize_dag(dag).tasks] == [None, None]
