"""Removing runs: at once and at the same cost for everybody, their rows afterwards in small transactions."""

from __future__ import annotations

import itertools

import pytest

from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import DagRunState
from dagdeck_io.db.dialects import HotConnection, Row, Script
from dagdeck_io.db.retention import Retention
from tests.contract.store_world import NOW, StoreWorld
from tests.support.retention_periods import periods

SMALL, LARGE = 1, 800


def watch(connection: HotConnection, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each script has."""
    run, counts = connection.run, []

    def counting(script: Script, *, begin: bool = True, commit: bool = True) -> list[list[Row]]:
        counts.append(len(script.statements))
        return run(script, begin=begin, commit=commit)

    monkeypatch.setattr(connection, "run", counting)
    return counts


def test_deleting_a_large_run_costs_what_deleting_a_small_one_costs(
    stores: StoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[list[int]] = []
    for size in (SMALL, LARGE):
        run_key, _ = stores.run(map_indexes=range(size))
        stores.end_run(run_key, state=DagRunState.SUCCESS)
        with monkeypatch.context() as patch:
            counts.append(watch(stores.scheduler.connection, patch))
            stores.commit(d.DeleteRun(run_key=run_key, dag_id="d"))
    small, large = counts
    assert small == large
    assert sum(large) < 15
    assert (stores.rows("dag_run"), stores.stats().get("success", 0)) == ([], 0)
    assert len(stores.rows("task_instance")) == SMALL + LARGE, "they go afterwards"


def test_what_is_left_of_deleted_runs_goes_in_transactions_of_bounded_size(
    stores: StoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (SMALL, LARGE):
        run_key, _ = stores.run(map_indexes=range(size))
        stores.end_run(run_key, state=DagRunState.SUCCESS)
        stores.commit(d.DeleteRun(run_key=run_key, dag_id="d"))
    kept, _ = stores.run()
    retention = Retention(connection=stores.scheduler.connection, periods=periods(rows_per_step=100))
    left = [len(stores.rows("task_instance")) + len(stores.rows("transition"))]
    statements = watch(stores.scheduler.connection, monkeypatch)
    while retention.step(NOW):
        left.append(len(stores.rows("task_instance")) + len(stores.rows("transition")))
    steps = [before - after for before, after in itertools.pairwise(left)]
    assert max(steps) <= 100
    assert len(steps) > LARGE / 100
    assert max(statements) < 25
    assert {row["run_key"] for row in stores.rows("task_instance")} == {kept}
    assert {row["run_key"] for row in stores.rows("transition")} == {kept}
    assert stores.rows("removal") == []


def test_a_run_of_the_same_name_can_follow_at_once(stores: StoreWorld) -> None:
    first, _ = stores.run(run_id="again", logical_date=NOW)
    stores.end_run(first, state=DagRunState.SUCCESS)
    stores.commit(d.DeleteRun(run_key=first, dag_id="d"))
    second, (ti_id,) = stores.run(run_id="again", logical_date=NOW)
    retention = Retention(connection=stores.scheduler.connection, periods=periods())
    while retention.step(NOW):
        pass
    assert [row["run_key"] for row in stores.rows("dag_run")] == [second]
    assert [row["ti_id"] for row in stores.rows("task_instance")] == [ti_id]
