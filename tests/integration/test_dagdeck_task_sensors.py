"""Sensors: looking until something holds, in both modes, and giving up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagdeck import DAG, BaseSensorOperator, Context, PokeReturnValue, PythonSensor, task
from dagdeck.exceptions import AirflowFailException, AirflowRescheduleException
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError


class Countdown(BaseSensorOperator):
    """Holds at the given look."""

    def __init__(self, holds_at: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.holds_at = holds_at

    def poke(self, context: Context) -> bool:
        """Count."""
        LOOKS.append(1)
        return len(LOOKS) >= self.holds_at


LOOKS: list[int] = []


@pytest.fixture(autouse=True)
def _no_looks_yet() -> None:
    LOOKS.clear()


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_looks_until_it_holds(mode: str) -> None:
    with DAG("d") as dag:
        Countdown(task_id="t", holds_at=3, poke_interval=0.01, mode=mode)
    run = dag.test()
    assert run.states == {"t": "success"}
    results = [outcome.result for outcome in run.tasks["t"].outcomes]
    expected = ["success"] if mode == "poke" else ["up_for_reschedule", "up_for_reschedule", "success"]
    assert (results, len(LOOKS), run.tasks["t"].try_number) == (expected, 3, 1)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_gives_up_after_its_timeout_without_retrying(mode: str, soft_fail: bool, state: str) -> None:
    with DAG("d") as dag:
        Countdown(
            task_id="t", holds_at=10**6, poke_interval=0.02, timeout=0.05, mode=mode, soft_fail=soft_fail, retries=5
        )
    run = dag.test()
    assert run.states == {"t": state}
    assert run.tasks["t"].try_number == 1
    assert 2 <= len(LOOKS) <= 5


def failing(error: Exception) -> Any:
    """A function that raises at its first look and holds afterwards."""

    def look() -> bool:
        LOOKS.append(1)
        if len(LOOKS) == 1:
            raise error
        return True

    return look


@pytest.mark.parametrize(
    ("error", "arguments", "state"),
    [
        (ValueError("x"), {}, "failed"),
        (ValueError("x"), {"silent_fail": True}, "success"),
        (ValueError("x"), {"never_fail": True}, "skipped"),
        (ValueError("x"), {"soft_fail": True}, "failed"),
        (AirflowFailException("x"), {"soft_fail": True}, "skipped"),
        (AirflowFailException("x"), {"silent_fail": True}, "failed"),
    ],
)
def test_exceptions_of_a_look(error: Exception, arguments: dict[str, Any], state: str) -> None:
    with DAG("d") as dag:
        PythonSensor(task_id="t", python_callable=failing(error), poke_interval=0.01, **arguments)
    assert dag.test().states == {"t": state}


def test_a_decorated_sensor_passes_its_value_on() -> None:
    with DAG("d") as dag:

        @task.sensor(poke_interval=0.01, timeout=5)
        def wait(name: str, run_id: str | None = None) -> PokeReturnValue:
            LOOKS.append(1)
            return PokeReturnValue(is_done=len(LOOKS) == 2, xcom_value=[name, run_id])

        @task
        def use(value: list[str]) -> str:
            return value[0]

        use(wait("x"))
    run = dag.test()
    assert run.xcom("wait") == ["x", run.run_id]
    assert run.xcom("use") == "x"


def test_backoff_doubles_up_to_its_cap() -> None:
    sensor = Countdown(
        task_id="t", holds_at=1, poke_interval=1, exponential_backoff=True, max_wait=timedelta(seconds=5)
    )
    assert [sensor.pause_after(looks) for looks in (1, 2, 3, 4, 1000)] == [1, 2, 4, 5, 5]
    plain = Countdown(task_id="t", holds_at=1, poke_interval=7)
    assert plain.pause_after(9) == 7


def test_backoff_of_a_rescheduled_sensor_goes_on_from_the_time_waited() -> None:
    sensor = Countdown(task_id="t", holds_at=9, poke_interval=10, exponential_backoff=True, mode="reschedule")

    class Instance:
        start_date = datetime.now(UTC) - timedelta(seconds=31)

    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as caught:
        sensor.execute(Context({"ti": Instance()}))
    # Looks at 0, 10 and 30 s have passed, so the next pause is the third: 40 s.
    assert 39 < (caught.value.reschedule_date - before).total_seconds() < 42


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "sleep"}, "mode: there is no such mode"),
        ({"poke_interval": -1}, "poke_interval: a duration cannot be negative"),
        ({"timeout": "long"}, "timeout: this must be a timedelta"),
        ({"soft_fail": True, "never_fail": True}, "exclude each other"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Countdown(task_id="t", holds_at=1, **arguments)


def test_a_sensor_is_marked_in_the_spec() -> None:
    with DAG("d") as dag:
        Countdown(task_id="t", holds_at=1)
    assert serialize_dag(dag).tasks[0].is_sensor
