"""Timetables of one's own on real processes: evaluated in runners, scheduled by their stored answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from dagdeck_core.actions import TriggerDagRun
from dagdeck_io.db import tables as t
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_runs_follow_the_answers_and_a_broken_timetable_is_shown(tmp_path: Path) -> None:
    with ClusterUnderTest(tmp_path, dags=[DAGS / "own_rhythm.py"], settings=QUICK) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("squares", "broken_rhythm")
        database = cluster.database
        wait_until(lambda: len(database.runs()) >= 3, 30, "three runs are created")
        rows = database.rows(sa.select(t.dag_run).order_by(t.dag_run.c.logical_date))
        assert [row["logical_date"].day for row in rows] == [1, 2, 5]
        assert [row["run_id"] for row in rows] == [f"scheduled_2025_01_0{day}" for day in (2, 3, 6)]
        for row in rows:
            cluster.wait_run(row["run_id"])
        wait_until(lambda: database.rows(sa.select(t.dag_warning)), 20, "the broken timetable is shown")
        (warning,) = database.rows(sa.select(t.dag_warning))
        assert warning["dag_id"] == "broken_rhythm"
        assert "the calendar is lost" in warning["message"]
        noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
        ended = database.act_and_wait(TriggerDagRun(dag_id="squares", run_id="mine", logical_date=noon))
        assert str(ended["state"]) == "done"
        cluster.wait_run("mine")
        named = database.act_and_wait(TriggerDagRun(dag_id="squares", run_after=noon))
        assert str(named["state"]) == "done"
        cluster.wait_run("manual_2025_06_01")
        (mine,) = database.rows(sa.select(t.dag_run).where(t.dag_run.c.run_id == "mine"))
        assert mine["data_interval_start"] == datetime(2025, 6, 1, 11, tzinfo=UTC)
