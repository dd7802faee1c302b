"""The sample DAGs are what their descriptions promise, and run."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG

DECADES = ("seasons_1975_1979", "seasons_1980_1989", "seasons_1990_1999", "seasons_2000_2009", "seasons_2010_2020")


def _dag(name: str) -> DAG:
    dag = importlib.import_module(name).dag
    assert isinstance(dag, DAG)
    return dag


def _states(run: Any) -> dict[str, str]:
    return {instance.task_id: str(instance.state) for instance in run.get_task_instances()}


def test_the_pipeline_has_a_group_of_tasks_for_each_decade() -> None:
    dag = _dag("atlantic_hurricanes")
    assert dag.dag_id == "atlantic_hurricanes"
    assert len(dag.task_ids) == 32
    steps = {"collect_storms", "inspect_observations", "measure_seasons", "rank_storms", "sum_up"}
    for decade in DECADES:
        assert {name.split(".")[1] for name in dag.task_ids if name.startswith(f"{decade}.")} == steps


def test_the_pipeline_begins_and_ends_with_one_task() -> None:
    dag = _dag("atlantic_hurricanes")
    assert [task.task_id for task in dag.roots] == ["take_inventory"]
    assert [task.task_id for task in dag.leaves] == ["write_report"]
    assert dag.get_task("judge_quality").downstream_task_ids == {"accept_data", "write_caveats"}


@pytest.mark.parametrize(("tolerated", "left_out"), [(0.01, "write_caveats"), (0.0, "accept_data")])
def test_the_pipeline_writes_a_report_by_either_branch(tolerated: float, left_out: str, tmp_path: Path) -> None:
    run = _dag("atlantic_hurricanes").test(run_conf={"output_dir": str(tmp_path), "tolerated_share": tolerated})
    assert str(run.state) == "success"
    assert {task: state for task, state in _states(run).items() if state != "success"} == {left_out: "skipped"}
    page = (tmp_path / "atlantic-hurricanes.html").read_text(encoding="utf-8")
    assert "512 storms" in page
    assert ("look wrong." in page) == (left_out == "accept_data")


def test_the_flaky_sample_succeeds_at_its_third_try() -> None:
    run = _dag("retry_on_purpose").test()
    assert str(run.state) == "success"
    assert set(_states(run).values()) == {"success"}


def test_the_flaky_sample_fails_for_good_when_asked_to() -> None:
    run = _dag("retry_on_purpose").test(run_conf={"fail_finally": True})
    assert str(run.state) == "failed"
    assert _states(run) == {
        "succeed_at_last": "success",
        "tell_tries": "success",
        "fail_if_asked": "failed",
        "finish": "upstream_failed",
    }


def test_the_minutely_sample_neither_catches_up_nor_overlaps() -> None:
    dag = _dag("every_minute")
    assert dag.schedule == "* * * * *"
    assert dag.catchup is False
    assert dag.max_active_runs == 1
