"""TriggerDagRunOperator, ExternalTaskSensor, their triggers and the marker, over a cluster that a table describes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pendulum
import pytest

from dagdeck import DAG, runtime
from dagdeck.context import Context
from dagdeck.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DagIsPaused,
    DagNotFound,
    ExternalDagDeletedError,
    ExternalDagFailedError,
    ExternalDagNotFoundError,
    ExternalTaskFailedError,
    ExternalTaskGroupFailedError,
    ExternalTaskGroupNotFoundError,
    ExternalTaskNotFoundError,
    TaskDeferred,
)
from dagdeck.operators.trigger_dagrun import TriggerDagRunOperator
from dagdeck.runtime import NotFound
from dagdeck.sensors.external_task import ExternalTaskMarker, ExternalTaskSensor
from dagdeck.triggers.external_task import DagStateTrigger, WorkflowTrigger
from dagdeck_core.errors import UserError

DATE = datetime(2026, 3, 4, 12, tzinfo=UTC)


class TinyCluster:
    """One other DAG: its runs by (run_id, date) with their states, and its tasks' states. Answers requests."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Any]] = {}
        self.tasks: dict[str, dict[str, str | None]] = {}
        self.group: list[str] = []
        self.facts = {"is_paused": False, "is_stale": False}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.actions: list[dict[str, Any]] = []
        self.refusal: tuple[str, str] | None = None

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        """See Requests."""
        self.asked.append((method, arguments))
        if arguments.get("dag_id", "other") != "other":
            raise NotFound("there is no such DAG")
        return getattr(self, method)(**arguments)

    def mask(self, value: str) -> None:
        """Nothing is secret."""

    def dag_get(self, dag_id: str, task_ids: Any, task_group_id: Any) -> Any:
        """See wire.REQUEST_METHODS."""
        known = {name for tasks in self.tasks.values() for name in tasks}
        missing = [name for name in task_ids or () if name not in known]
        return {**self.facts, "missing_task_ids": missing, "has_task_group": task_group_id in (None, "g")}

    def _chosen(self, run_ids: Any, logical_dates: Any) -> list[str]:
        wanted = None if logical_dates is None else [datetime.fromisoformat(text) for text in logical_dates]
        return [
            run_id
            for run_id, (date, _) in self.runs.items()
            if (run_ids is None or run_id in run_ids) and (wanted is None or date in wanted)
        ]

    def dag_run_count(self, dag_id: str, run_ids: Any, logical_dates: Any, states: Any) -> int:
        """See wire.REQUEST_METHODS."""
        chosen = self._chosen(run_ids, logical_dates)
        return sum(states is None or self.runs[run_id][1] in states for run_id in chosen)

    def task_states_get(
        self, dag_id: str, run_ids: Any, logical_dates: Any, task_ids: Any, task_group_id: Any, map_index: Any
    ) -> Any:
        """See wire.REQUEST_METHODS."""
        if task_group_id is not None and task_group_id != "g":
            raise NotFound("no task group")
        wanted = self.group if task_group_id else task_ids
        return {
            run_id: {name: state for name, state in self.tasks[run_id].items() if wanted is None or name in wanted}
            for run_id in self._chosen(run_ids, logical_dates)
        }

    def task_count(self, states: Any, **selection: Any) -> int:
        """See wire.REQUEST_METHODS."""
        found = self.task_states_get(**selection)
        return sum(states is None or state in states for tasks in found.values() for state in tasks.values())

    def dag_run_get(self, dag_id: str, run_id: str) -> Any:
        """See wire.REQUEST_METHODS."""
        return {"state": self.runs[run_id][1]}

    def dag_run_trigger(self, **asked: Any) -> Any:
        """See wire.REQUEST_METHODS."""
        run_id = asked["run_id"] or "made_up"
        result: dict[str, Any] = {"state": "done", "refused": None, "result": {"run_id": run_id}}
        if self.refusal is not None:
            result = {"state": "refused", "refused": self.refusal[1], "result": {"kind": self.refusal[0]}}
        else:
            self.runs.setdefault(run_id, [asked["logical_date"], "queued"])
        self.actions.append(result)
        return {"action_id": len(self.actions) - 1}

    def dag_run_clear(self, **asked: Any) -> Any:
        """See wire.REQUEST_METHODS."""
        self.actions.append({"state": "done", "refused": None, "result": {}})
        return {"action_id": len(self.actions) - 1, "run_id": "cleared"}

    def action_get(self, action_id: int) -> Any:
        """See wire.REQUEST_METHODS: pending at the first look."""
        looks = sum(method == "action_get" for method, _ in self.asked)
        return {"state": "pending"} if looks == 1 else self.actions[action_id]


@pytest.fixture
def cluster() -> Iterator[TinyCluster]:
    """A cluster with a run at DATE that has ended well, one of the day before that goes on, and two before these."""
    found = TinyCluster()
    found.runs = {"r1": [DATE, "success"], "r0": [DATE - timedelta(days=1), "running"]}
    found.runs["failed"] = [DATE - timedelta(days=2), "failed"]
    found.runs["new"] = [DATE - timedelta(days=3), "queued"]
    found.tasks = {
        "r1": {"a": "success", "b": "failed", "c": "skipped", "g.x": "success", "g.y": "success"},
        "r0": {"a": "running", "b": None, "c": None, "g.x": "failed", "g.y": "running"},
        "failed": {"g.x": "failed", "g.y": "upstream_failed"},
        "new": {},
    }
    found.group = ["g.x", "g.y"]
    with runtime.answering(found):
        yield found


@pytest.fixture
def context() -> Context:
    """A run of DATE."""
    ti = Mock(dispatch_no=77, start_date=pendulum.instance(DATE))
    return Context({"logical_date": pendulum.instance(DATE), "dag_run": Mock(run_after=DATE), "ti": ti, "ds": "x"})


# ---------------------------------------------------------------- ExternalTaskSensor

YESTERDAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"execution_delta": YESTERDAY}, False),
        ({"execution_delta": 5 * YESTERDAY}, False),
        ({"execution_date_fn": lambda date: [date, date - YESTERDAY]}, False),
        (
            {"execution_date_fn": lambda date, ds: [date, date - YESTERDAY], "allowed_states": ["success", "running"]},
            True,
        ),
        ({"execution_delta": YESTERDAY, "failed_states": ["running"]}, ExternalDagFailedError),
        ({"external_task_id": "a"}, True),
        ({"external_task_id": "b"}, False),
        ({"external_task_ids": ["a", "c"]}, False),
        ({"external_task_ids": ["a", "c"], "allowed_states": ["success", "skipped"]}, True),
        ({"external_task_ids": ["a", "b"], "failed_states": ["failed"]}, ExternalTaskFailedError),
        ({"external_task_ids": ["a", "b"], "failed_states": ["failed"], "soft_fail": True}, AirflowSkipException),
        ({"external_task_ids": ["a", "c"], "skipped_states": ["skipped"]}, AirflowSkipException),
        ({"external_task_id": "nothing"}, False),
        ({"external_task_group_id": "g"}, True),
        ({"external_task_group_id": "g", "execution_delta": YESTERDAY}, False),
        ({"external_task_group_id": "g", "execution_delta": YESTERDAY, "failed_states": ["failed"]}, False),
        (
            {"external_task_group_id": "g", "execution_delta": 2 * YESTERDAY, "failed_states": ["failed"]},
            False,
        ),
        (
            {
                "external_task_group_id": "g",
                "execution_delta": 2 * YESTERDAY,
                "failed_states": ["failed", "upstream_failed"],
            },
            ExternalTaskGroupFailedError,
        ),
        (
            {"external_task_group_id": "g", "execution_delta": 3 * YESTERDAY, "failed_states": ["failed"]},
            False,
        ),
        ({"external_task_group_id": "h"}, ExternalTaskGroupNotFoundError),
        ({"check_existence": True, "external_task_id": "zzz"}, ExternalTaskNotFoundError),
        ({"check_existence": True, "external_task_group_id": "h"}, ExternalTaskGroupNotFoundError),
        ({"check_existence": True, "external_dag_id": "unknown"}, ExternalDagNotFoundError),
        ({"check_existence": True}, True),
    ],
)
def test_sensor_and_its_trigger_agree(
    cluster: TinyCluster, context: Context, options: dict[str, Any], expected: Any
) -> None:
    arguments = {"task_id": "t", "external_dag_id": "other", **options}
    sensor = ExternalTaskSensor(**arguments)
    if isinstance(expected, bool):
        assert sensor.poke(context) is expected
    else:
        with pytest.raises(expected):
            sensor.poke(context)
    later = ExternalTaskSensor(**arguments, deferrable=True, poll_interval=0.01)
    if isinstance(expected, type) and options.get("check_existence"):
        with pytest.raises(expected):
            later.execute(context)
        return
    with pytest.raises(TaskDeferred) as deferred:
        later.execute(context)
    event = _fire(deferred.value.trigger)
    if expected is False:
        assert event is None
    elif expected is True:
        later.execute_complete(context, event)
    else:
        with pytest.raises(expected):
            later.execute_complete(context, event)


def _fire(trigger: Any) -> Any:
    """The payload of the first event of a trigger made anew from what is stored of it; None when none comes."""
    class_path, arguments = trigger.serialize()
    again = {"WorkflowTrigger": WorkflowTrigger, "DagStateTrigger": DagStateTrigger}[class_path.rpartition(".")[2]]

    async def first() -> Any:
        stream = again(**arguments).run()
        try:
            return (await asyncio.wait_for(anext(stream), 0.15)).payload
        except TimeoutError:
            return None

    return asyncio.run(first())


def test_a_deleted_dag_is_told_apart(cluster: TinyCluster, context: Context) -> None:
    cluster.facts["is_stale"] = True
    with pytest.raises(ExternalDagDeletedError):
        ExternalTaskSensor(task_id="t", external_dag_id="other", check_existence=True).poke(context)


def test_without_a_logical_date_run_after_counts(cluster: TinyCluster, context: Context) -> None:
    del context["logical_date"]
    sensor = ExternalTaskSensor(task_id="t", external_dag_id="other")
    assert sensor.poke(context) is True
    assert sensor.external_dates_filter == DATE.isoformat()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"external_task_id": "a", "external_task_ids": ["b"]}, "only one of external_task_id"),
        ({"external_task_id": "a", "external_task_group_id": "b"}, "only one of external_task_id"),
        ({"execution_delta": YESTERDAY, "execution_date_fn": lambda date: date}, "only one of execution_delta"),
        ({"failed_states": ["success"]}, "named twice"),
        ({"allowed_states": ["skipped"]}, "no state of a dag run"),
        ({"external_task_id": "a", "allowed_states": ["sucess"]}, "no state of a task"),
    ],
)
def test_sensor_refuses_what_contradicts_itself(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        ExternalTaskSensor(task_id="t", external_dag_id="other", **options)


# ---------------------------------------------------------------- TriggerDagRunOperator


def test_trigger_makes_a_run_of_now(cluster: TinyCluster, context: Context) -> None:
    TriggerDagRunOperator(task_id="t", trigger_dag_id="other", conf={"a": [1]}, note="n").execute(context)
    method, asked = cluster.asked[0]
    assert method == "dag_run_trigger"
    date = datetime.fromisoformat(asked["logical_date"])
    assert abs(date - datetime.now(UTC)) < timedelta(minutes=5)
    assert asked["run_id"] == f"manual__{date.isoformat()}"
    assert (asked["conf"], asked["note"], asked["key"]) == ({"a": [1]}, "n", "trigger:77:t")
    pushed = {call.args[0]: call.args[1] for call in context["ti"].xcom_push.call_args_list}
    assert pushed == {"trigger_dag_id": "other", "trigger_run_id": asked["run_id"]}


@pytest.mark.parametrize(
    ("options", "run_id", "date"),
    [
        ({"logical_date": "2026-03-04T12:00:00"}, "manual__2026-03-04T12:00:00+00:00", DATE),
        ({"logical_date": DATE, "trigger_run_id": "mine"}, "mine", DATE),
        ({"logical_date": None}, None, None),
        ({"logical_date": None, "trigger_run_id": "mine"}, "mine", None),
    ],
)
def test_dates_and_ids(cluster: TinyCluster, context: Context, options: Any, run_id: Any, date: Any) -> None:
    operator = TriggerDagRunOperator(task_id="t", trigger_dag_id="other", **options)
    operator.execute(context)
    asked = cluster.asked[0][1]
    assert asked["run_id"] == run_id
    assert asked["logical_date"] == (date and date.isoformat())
    assert operator.trigger_run_id == (run_id or "made_up")


@pytest.mark.parametrize(
    ("refusal", "options", "error"),
    [
        (("exists", "it has it"), {}, AirflowFailException),
        (("exists", "it has it"), {"skip_when_already_exists": True}, AirflowSkipException),
        (("conflict", "it is gone"), {"skip_when_already_exists": True}, AirflowException),
        (None, {"trigger_dag_id": "unknown"}, DagNotFound),
        (None, {"conf": {"a": object()}}, AirflowException),
        (None, {"conf": "[1]"}, AirflowException),
    ],
)
def test_what_cannot_be_triggered(
    cluster: TinyCluster, context: Context, refusal: Any, options: Any, error: type[Exception]
) -> None:
    cluster.refusal = refusal
    with pytest.raises(error):
        TriggerDagRunOperator(**{"task_id": "t", "trigger_dag_id": "other", **options}).execute(context)


def test_a_run_that_exists_is_cleared(cluster: TinyCluster, context: Context) -> None:
    cluster.refusal = ("exists", "it has it")
    operator = TriggerDagRunOperator(task_id="t", trigger_dag_id="other", trigger_run_id="r1", reset_dag_run=True)
    operator.execute(context)
    assert [method for method, _ in cluster.asked if method.startswith("dag_run")] == [
        "dag_run_trigger",
        "dag_run_clear",
    ]
    assert operator.trigger_run_id == "cleared"


def test_a_paused_dag_is_refused_on_request(cluster: TinyCluster, context: Context) -> None:
    operator = TriggerDagRunOperator(task_id="t", trigger_dag_id="other", fail_when_dag_is_paused=True)
    operator.execute(context)
    cluster.facts["is_paused"] = True
    with pytest.raises(DagIsPaused):
        operator.execute(context)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("state", "options", "error"),
    [
        ("success", {}, None),
        ("failed", {}, AirflowException),
        ("failed", {"allowed_states": ["failed"], "failed_states": []}, None),
        ("success", {"allowed_states": ["failed"], "failed_states": ["success"]}, AirflowException),
    ],
)
def test_waiting_for_the_end(
    cluster: TinyCluster, context: Context, deferrable: bool, state: str, options: Any, error: Any
) -> None:
    cluster.runs["x"] = [DATE, state]
    operator = TriggerDagRunOperator(
        task_id="t",
        trigger_dag_id="other",
        trigger_run_id="x",
        wait_for_completion=True,
        poke_interval=0.01,
        deferrable=deferrable,
        **options,
    )

    def wait() -> None:
        if not deferrable:
            operator.execute(context)
            return
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute(context)
        operator.execute_complete(context, _fire(deferred.value.trigger))

    if error is None:
        wait()
    else:
        with pytest.raises(error, match="has come into the state"):
            wait()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"logical_date": 5}, "datetime, text or None"),
        ({"allowed_states": ["sucess"]}, "no such run state"),
        ({"poke_interval": -1}, "negative"),
    ],
)
def test_trigger_refuses_wrong_arguments(options: Any, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        TriggerDagRunOperator(task_id="t", trigger_dag_id="other", **options)


def test_trigger_in_a_tested_dag_notes_the_run() -> None:
    with DAG("d") as dag:
        TriggerDagRunOperator(
            task_id="t",
            trigger_dag_id="other",
            conf={"from": "{{ ti.task_id }}"},
            logical_date="{{ logical_date }}",
            wait_for_completion=True,
            poke_interval=0.01,
        )
    run = dag.test(logical_date=DATE)
    assert run.states == {"t": "success"}
    (triggered,) = run.triggered
    assert (triggered.dag_id, triggered.conf) == ("other", {"from": "t"})
    assert run.xcom("t", "trigger_run_id") == triggered.run_id == f"manual__{DATE.isoformat()}"


# ---------------------------------------------------------------- ExternalTaskMarker


def test_marker() -> None:
    marker = ExternalTaskMarker(task_id="t", external_dag_id="other", external_task_id="a")
    assert marker.logical_date == "{{ logical_date.isoformat() }}"
    dated = ExternalTaskMarker(task_id="u", external_dag_id="other", external_task_id="a", logical_date=DATE)
    assert dated.logical_date == DATE.isoformat()
    for options in ({"recursion_depth": 0}, {"logical_date": None}):
        with pytest.raises(UserError):
            ExternalTaskMarker(task_id="v", external_dag_id="o", external_task_id="a", **options)
