"""`dag.test()`: whole DAGs in one process."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, BashOperator, Connection, EmptyOperator, Param, PythonOperator, TaskGroup, Variable, task
from dagdeck.exceptions import AirflowSkipException, FeatureNotAvailable, ParamValidationError
from dagdeck_core.errors import UserError
from dagdeck_core.states import DagRunState
from dagdeck_task.in_process import FinishedRun


def ends(name: str, how: str, **arguments: Any) -> Any:
    """A task that ends as `how` says."""

    def body() -> None:
        if how == "failed":
            raise ValueError(name)
        if how == "skipped":
            raise AirflowSkipException(name)

    return task(task_id=name, **arguments)(body)()


def test_a_pipeline_passes_values_on() -> None:
    with DAG("d", params={"factor": Param(2, type="integer")}) as dag:

        @task
        def numbers() -> dict[str, Any]:
            return {"values": [1, 2, 3], "at": datetime(2026, 1, 1, tzinfo=UTC)}

        @task
        def scale(values: list[int], params: Any) -> list[int]:
            return [value * params["factor"] for value in values]

        found = numbers()
        scaled = scale(found["values"])
        BashOperator(task_id="shell", bash_command="echo {{ ti.xcom_pull('scale') | join('+') }} {{ ds }}") << scaled
    run = dag.test(run_conf={"factor": 10}, logical_date=datetime(2026, 1, 31, tzinfo=UTC))
    assert isinstance(run, FinishedRun)
    assert run.state is DagRunState.SUCCESS
    assert run.states == {"numbers": "success", "scale": "success", "shell": "success"}
    assert run.xcom("scale") == [10, 20, 30]
    assert run.xcom("shell") == "10+20+30 2026-01-31"
    assert run.xcom("numbers", "at") == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.xcom("numbers", "nothing") is None
    shell = run.get_task_instance("shell")
    assert shell is not None
    assert shell.rendered_fields == {"bash_command": "echo 10+20+30 2026-01-31"}


@pytest.mark.parametrize(
    ("rule", "upstream", "state"),
    [
        ("all_success", ("success", "success"), "success"),
        ("all_success", ("success", "failed"), "upstream_failed"),
        ("all_success", ("success", "skipped"), "skipped"),
        ("all_done", ("failed", "skipped"), "success"),
        ("one_success", ("failed", "success"), "success"),
        ("one_failed", ("failed", "success"), "success"),
        ("one_failed", ("skipped", "success"), "skipped"),
        ("all_failed", ("failed", "failed"), "success"),
        ("none_failed", ("skipped", "success"), "success"),
        ("none_failed_min_one_success", ("skipped", "skipped"), "skipped"),
        ("none_skipped", ("failed", "success"), "success"),
        ("all_skipped", ("skipped", "skipped"), "success"),
        ("always", ("failed", "failed"), "success"),
    ],
)
def test_trigger_rules_hold(rule: str, upstream: tuple[str, str], state: str) -> None:
    with DAG("d") as dag:
        [ends("a", upstream[0]), ends("b", upstream[1])] >> ends("c", "success", trigger_rule=rule)
    run = dag.test()
    assert run.states == {"a": upstream[0], "b": upstream[1], "c": state}
    assert run.state is (DagRunState.FAILED if state == "upstream_failed" else DagRunState.SUCCESS)


def test_branches_skip_and_joins_go_on() -> None:
    with DAG("d") as dag:
        choice = task.branch(task_id="choice")(lambda: "g.taken")()
        with TaskGroup("g"):
            taken, left = EmptyOperator(task_id="taken"), EmptyOperator(task_id="left")
        behind = EmptyOperator(task_id="behind")
        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        choice >> [taken, left]
        left >> behind
        [taken, behind] >> join
    assert dag.test().states == {
        "choice": "success",
        "g.taken": "success",
        "g.left": "skipped",
        "behind": "skipped",
        "join": "success",
    }


def test_retries_happen_at_once_and_are_counted() -> None:
    with DAG("d") as dag:

        @task(retries=2, retry_delay=timedelta(hours=1))
        def flaky(ti: Any = None) -> int:
            if ti.try_number < 3:
                raise ConnectionError(ti.try_number)
            return int(ti.try_number)

        flaky()
        ends("hopeless", "failed", retries=1)
    run = dag.test()
    assert run.xcom("flaky") == 3
    assert run.tasks["flaky"].try_number == 3
    assert [outcome.result for outcome in run.tasks["flaky"].outcomes] == ["failed", "failed", "success"]
    assert (run.tasks["hopeless"].state, run.tasks["hopeless"].try_number) == ("failed", 2)
    assert run.tasks["hopeless"].error is not None
    assert run.tasks["hopeless"].error.message == "hopeless"
    assert run.state is DagRunState.FAILED


def test_teardown_runs_after_a_failure_and_does_not_save_the_run() -> None:
    with DAG("d") as dag:
        create, destroy = EmptyOperator(task_id="create"), EmptyOperator(task_id="destroy")
        create >> ends("work", "failed") >> destroy.as_teardown(setups=create)
    run = dag.test()
    assert run.states == {"create": "success", "work": "failed", "destroy": "success"}
    assert run.state is DagRunState.FAILED


def test_marked_tasks_are_not_run() -> None:
    with DAG("d") as dag:
        ends("load_table", "failed") >> ends("after", "success")
    run = dag.test(mark_success_pattern="load_.*")
    assert run.states == {"load_table": "success", "after": "success"}
    assert run.tasks["load_table"].outcomes == []


def test_variables_and_connections_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps({"text": "t", "data": {"a": 1}}))
    (tmp_path / "c.json").write_text(
        json.dumps({"uri": "http://user:secret-pw@host:80", "parts": {"conn_type": "ssh", "extra": {"a": "b"}}})
    )
    with DAG("d") as dag:

        @task
        def read() -> list[Any]:
            Variable.set("written", "w")
            return [
                Variable.get("text"),
                Variable.get("data", deserialize_json=True),
                Variable.get("written"),
                Connection.get("uri").host,
                Connection.get("parts").extra_dejson,
            ]

        read() >> BashOperator(task_id="t", bash_command="echo {{ var.json.data.a }} {{ conn.uri.login }}")
    run = dag.test(variable_file_path=str(tmp_path / "v.json"), conn_file_path=str(tmp_path / "c.json"))
    assert run.xcom("read") == ["t", {"a": 1}, "w", "host", {"a": "b"}]
    assert run.xcom("t") == "1 user"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"run_conf": {"n": "x"}}, ParamValidationError, "dag 'd': param 'n': 'x' is not of type 'integer'"),
        ({"variable_file_path": "/nowhere.json"}, UserError, "/nowhere.json: this file cannot be read"),
        ({"use_executor": True}, FeatureNotAvailable, "use_executor"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    dag = DAG("d", params={"n": Param(1, type="integer")})
    with pytest.raises(error, match=message):
        dag.test(**arguments)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (None, [None, None]),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), ["2026-01-31T12:00:00+00:00", "2026-01-31"]),
        (datetime(2026, 1, 31), ["2026-01-31T00:00:00+00:00", "2026-01-31"]),  # noqa: DTZ001
    ],
)
def test_logical_date(date: datetime | None, expected: list[str | None]) -> None:
    with DAG("d", schedule="@daily") as dag:
        task(task_id="t")(lambda **context: [context.get("ts"), context.get("ds")])()
    assert dag.test(logical_date=date).xcom("t") == expected


def test_an_interrupt_ends_the_test() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with DAG("d") as dag:
        task(task_id="t")(interrupt)()
    with pytest.raises(KeyboardInterrupt):
        dag.test()


@pytest.mark.parametrize("configured", [True, False])
def test_the_callers_logging_is_left_alone(configured: bool) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    if not configured:
        root.handlers.clear()
    expected = root.handlers[:]
    try:
        with DAG("d") as dag:
            EmptyOperator(task_id="t")
        dag.test()
        assert root.handlers == expected
    finally:
        root.handlers[:] = before


def test_a_dag_file_can_be_run_as_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from dagdeck import DAG, task\n"
        "with DAG('scripted') as dag:\n"
        "    @task\n"
        "    def hello(): print('hello from the task')\n"
        "    hello()\n"
        "if __name__ == '__main__':\n"
        "    dag.test()\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stdout.splitlines()
    assert "INFO  dagdeck.task  Try 1 of 1 of scripted.hello" in lines[0]
    assert "hello from the task" in lines
    assert lines[-1].endswith("of dag scripted ended as success")


def test_the_dag_s_callbacks_are_called() -> None:
    told: list[tuple[str, str, str]] = []

    def note(context: Any) -> None:
        told.append((context["reason"], context["ti"].task_id, context["dag_run"].state))

    for fails in (False, True):
        with DAG("d", on_success_callback=[note], on_failure_callback=note) as dag:
            PythonOperator(task_id="a", python_callable=lambda fails=fails: 1 // (not fails))
            PythonOperator(task_id="b", python_callable=lambda: None)
        dag.test()
    assert told == [("success", "b", "success"), ("task_failure", "a", "failed")]


def test_setups_hold_back_what_needs_them() -> None:
    with DAG("d") as dag:
        with BashOperator(task_id="tear", bash_command="exit 0").as_teardown(
            setups=BashOperator(task_id="set", bash_command="exit 1")
        ):
            BashOperator(task_id="a", bash_command="exit 0") >> BashOperator(
                task_id="b", bash_command="exit 0", trigger_rule="all_done"
            )
    run = dag.test()
    assert run.states == {"set": "failed", "a": "upstream_failed", "b": "upstream_failed", "tear": "upstream_failed"}
    assert run.state == "failed"
