"""Limits of tasks: how authors write them, which of two holds, what people are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck import DAG
from dagdeck.operators.empty import EmptyOperator
from dagdeck.operators.python import PythonOperator
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.limits import LEAST_MEMORY, TaskLimits, cpu_time_exceeded, limits_of, memory_exceeded
from dagdeck_core.spec import decode_spec, encode_spec

MB = 1024**2


@pytest.mark.parametrize(
    ("written", "memory"),
    [
        (512 * MB, 512 * MB),
        ("512 MB", 512 * MB),
        ("512m", 512 * MB),
        ("512Mi", 512 * MB),
        ("512 MiB", 512 * MB),
        (" 1.5 GB ", 1536 * MB),
        ("2Gi", 2048 * MB),
        ("1T", 1024**4),
        ("100000 KB", 100000 * 1024),
        (str(LEAST_MEMORY), LEAST_MEMORY),
    ],
)
def test_memory_is_bytes_or_a_size(written: Any, memory: int) -> None:
    assert limits_of({"memory_limit": written}) == TaskLimits(memory=memory)


@pytest.mark.parametrize(
    ("written", "seconds"), [(90, 90.0), (0.5, 0.5), ("5 min", 300.0), ("2h", 7200.0), (timedelta(minutes=1), 60.0)]
)
def test_cpu_time_is_seconds_or_a_duration(written: Any, seconds: float) -> None:
    assert limits_of({"cpu_time_limit": written}) == TaskLimits(cpu_seconds=seconds)


@pytest.mark.parametrize("value", ["", "lots", "512 XB", "-1 GB", "1 MB", 0, -1, True, 1.5, [], "9" * 40, "1 bi"])
def test_what_is_no_memory_limit_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(UserError, match=r"executor_config\['memory_limit'\].*64 MB"):
        limits_of({"memory_limit": value})


@pytest.mark.parametrize("value", [0, -1, "1", True, float("nan"), float("inf"), 0.001, 5000])
def test_what_is_no_number_of_cores_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"executor_config\['cpu_limit'\]"):
        limits_of({"cpu_limit": value})


@pytest.mark.parametrize("value", [0, -5, "soon", True, float("inf"), timedelta(0), "5 weeks"])
def test_what_is_no_cpu_time_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"executor_config\['cpu_time_limit'\]"):
        limits_of({"cpu_time_limit": value})


KEYS = st.sampled_from(["memory_limit", "cpu_limit", "cpu_time_limit", "other"])


@given(st.dictionaries(KEYS, st.text() | st.floats() | st.integers()))
def test_anything_else_is_a_user_error_and_never_a_crash(config: dict[str, Any]) -> None:
    told = ""
    found = None
    try:
        found = limits_of(config)
    except UserError as error:
        told = error.remedy
    assert (told == "") == (found is not None or not config.keys() - {"other"})


def test_other_executors_settings_mean_nothing() -> None:
    assert limits_of({}) is None
    assert limits_of({"KubernetesExecutor": {"request_memory": "1Gi"}, "memory_limit": None}) is None


def test_a_tasks_own_limits_come_before_the_workers() -> None:
    own, workers = TaskLimits(memory=1), TaskLimits(memory=2, cores=3.0, cpu_seconds=4.0)
    assert own.or_those_of(workers) == TaskLimits(memory=1, cores=3.0, cpu_seconds=4.0)


def test_messages_name_limit_use_and_where_the_limit_stands() -> None:
    told = memory_exceeded(600 * MB, 512 * MB, own=True)
    assert told == (
        "it used 600 MB of memory and was ended: its limit is 512 MB, by 'memory_limit' of its executor_config"
    )
    assert "worker.task_memory_limit" in memory_exceeded(0, 512 * MB, own=False)
    told = cpu_time_exceeded(61.23, 60, own=False)
    assert told.startswith("it used 61.2 s of CPU time and was ended: its limit is 60 s, by the worker's setting")
    assert "worker.task_cpu_time_limit" in told


def test_a_wrong_limit_is_told_where_it_is_written() -> None:
    with DAG("d"), pytest.raises(UserError, match=r"task 'big', executor_config\['memory_limit'\]"):
        PythonOperator(task_id="big", python_callable=print, executor_config={"memory_limit": "huge"})


def test_a_task_with_a_limit_has_it_in_its_spec_and_a_process_of_its_own() -> None:
    with DAG("d") as dag:
        PythonOperator(task_id="big", python_callable=print, executor_config={"memory_limit": "1 GB", "cpu_limit": 2})
        EmptyOperator(task_id="plain")
    spec = decode_spec(encode_spec(serialize_dag(dag)))
    tasks = {task.task_id: task for task in spec.tasks}
    assert tasks["big"].limits == TaskLimits(memory=1024 * MB, cores=2.0)
    assert tasks["big"].own_process
    assert (tasks["plain"].limits, tasks["plain"].own_process) == (None, False)
