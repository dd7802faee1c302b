"""From DAG objects to specs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dagdeck import (
    DAG,
    Asset,
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    Label,
    Param,
    PythonOperator,
    TaskGroup,
)
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.spec import ParamSpec, TaskGroupSpec, decode_spec, encode_spec
from dagdeck_core.timetables import CronDataIntervalSpec


class Hooked(EmptyOperator):
    """Overrides a hook, so it has something to do."""

    def pre_execute(self, context: Any) -> None:
        """Something."""


class Busy(EmptyOperator):
    """Overrides execute."""

    def execute(self, context: Any) -> int:
        """Something."""
        return 1


def whole_dag() -> DAG:
    """A DAG that uses most of what a spec can hold."""
    with DAG(
        "whole",
        schedule="0 6 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        params={"n": Param(3, "how many", type="integer", minimum=1)},
        default_args={"owner": "me", "api_key": "hidden", "retries": 1},
        tags=["b", "a"],
        on_failure_callback=print,
        dagrun_timeout=timedelta(hours=2),
    ) as dag:
        start = EmptyOperator(task_id="start", outlets=[Asset("out", extra={"x": 1})])
        with TaskGroup("g", tooltip="tip") as group:
            BashOperator(
                task_id="b",
                bash_command="echo {{ ds }}" + "x" * 5000,
                env={"PASSWORD": "x", "PLAIN": "y"},
                retry_delay=timedelta(seconds=30),
                execution_timeout=timedelta(minutes=5),
                executor_config={"own_process": True},
                on_retry_callback=print,
                params={"m": 1},
            )
        branch = BranchPythonOperator(task_id="branch", python_callable=whole_dag, op_args=[start.output])
        start >> Label("go") >> group >> branch
    return dag


def test_spec_holds_the_dag() -> None:
    spec = serialize_dag(whole_dag())
    assert decode_spec(encode_spec(spec)) == spec
    assert [task.task_id for task in spec.tasks] == ["start", "g.b", "branch"]
    assert (spec.timezone, spec.start_date) == ("Europe/Berlin", datetime(2025, 12, 31, 23, tzinfo=UTC))
    assert (spec.tags, spec.dagrun_timeout, spec.has_on_failure_callback) == (("a", "b"), 7200.0, True)
    assert spec.params == {
        "n": ParamSpec(value=3, description="how many", schema={"type": "integer", "minimum": 1}),
    }
    assert spec.default_args == {"owner": "me", "api_key": "***", "retries": 1}
    start, bash, branch = spec.tasks
    assert start.edge_labels == {"g.b": "go"}
    assert start.outlets[0].extra == {"x": 1}
    assert bash.upstream == ("start",)
    assert (bash.group_id, bash.owner, bash.retries, bash.retry_delay) == ("g", "me", 1, 30.0)
    assert (bash.execution_timeout, bash.own_process, bash.has_on_retry_callback) == (300.0, True, True)
    assert bash.params == {"m": ParamSpec(value=1)}
    assert bash.template_values["env"] == {"PASSWORD": "***", "PLAIN": "y"}
    assert bash.template_values["bash_command"].endswith("(5013 characters in all)")
    assert bash.template_fields == ("bash_command", "env", "cwd")
    assert not bash.can_skip_downstream
    assert branch.can_skip_downstream
    assert branch.upstream == ("g.b", "start")
    assert spec.groups == (
        TaskGroupSpec(
            group_id="g", label="g", tooltip="tip", upstream_task_ids=("start",), downstream_task_ids=("branch",)
        ),
    )


@pytest.mark.parametrize(
    ("make", "is_empty"),
    [
        (lambda: EmptyOperator(task_id="t"), True),
        (lambda: EmptyOperator(task_id="t", on_failure_callback=print), False),
        (lambda: EmptyOperator(task_id="t", on_success_callback=print), False),
        (lambda: EmptyOperator(task_id="t", outlets=[Asset("a")]), False),
        (lambda: EmptyOperator(task_id="t", pre_execute=print), False),
        (lambda: EmptyOperator(task_id="t", post_execute=print), False),
        (lambda: Hooked(task_id="t"), False),
        (lambda: Busy(task_id="t"), False),
        (lambda: PythonOperator(task_id="t", python_callable=print), False),
    ],
)
def test_what_the_scheduler_may_complete_itself(make: Any, is_empty: bool) -> None:
    with DAG("d") as dag:
        make()
    assert serialize_dag(dag).tasks[0].is_empty is is_empty


def test_cluster_setting_gives_cron_strings_data_intervals() -> None:
    spec = serialize_dag(DAG("d", schedule="@daily"), cron_data_intervals=True)
    assert spec.timetable == CronDataIntervalSpec(cron="0 0 * * *")


def test_late_assignment_to_a_template_field_counts() -> None:
    with DAG("d") as dag:
        first = PythonOperator(task_id="first", python_callable=dict)
        second = PythonOperator(task_id="second", python_callable=dict)
        second.op_kwargs = {"x": first.output}
    assert serialize_dag(dag).tasks[1].upstream == ("first",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a, b: a >> b >> a, "in a circle: a >> b >> a|in a circle: b >> a >> b"),
        (lambda a, b: a.upstream_task_ids.add("gone"), r"dag 'd', task 'a', upstream: .*\(found 'gone'\)"),
        (
            lambda a, b: a.as_setup() >> EmptyOperator(task_id="c", trigger_rule="all_done"),
            "follows the setup task 'a'",
        ),
    ],
)
def test_dags_that_cannot_run_are_refused(make: Any, message: str) -> None:
    with DAG("d") as dag:
        make(EmptyOperator(task_id="a"), EmptyOperator(task_id="b"))
    with pytest.raises(UserError, match=message):
        serialize_dag(dag)


def test_fail_fast_allows_the_default_trigger_rule_only() -> None:
    with DAG("d", fail_fast=True) as dag:
        EmptyOperator(task_id="a", trigger_rule="all_done")
    with pytest.raises(UserError, match="fail_fast"):
        serialize_dag(dag)


def test_the_order_of_params_is_kept_where_it_is_not_the_alphabet_s() -> None:
    with DAG(dag_id="ordered", params={"zone": 1, "area": 2}) as ordered:
        EmptyOperator(task_id="only")
    with DAG(dag_id="sorted", params={"area": 2, "zone": 1}) as plain:
        EmptyOperator(task_id="only")
    assert serialize_dag(ordered).param_order == ("zone", "area")
    assert serialize_dag(plain).param_order == ()
