"""DAG files of Airflow 2 on real processes: dates and runs as they were, old imports in parser and runners."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from dagdeck_io.db import tables as t
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_runs_of_schedule_interval_have_the_dates_of_airflow_2(tmp_path: Path) -> None:
    with ClusterUnderTest(tmp_path, dags=[DAGS / "from_airflow_2.py"], settings=QUICK) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("daily_of_airflow_2", "branching_of_airflow_2")
        database = cluster.database
        today = datetime.now(UTC).date()
        wait_until(lambda: len(database.runs()) >= 3, 30, "the missed runs are made up for")
        rows = database.rows(sa.select(t.dag_run).order_by(t.dag_run.c.logical_date))
        for row, age in zip(rows, (3, 2, 1), strict=False):
            day = today - timedelta(days=age)
            assert (row["logical_date"].date(), row["data_interval_start"].date()) == (day, day)
            assert row["data_interval_end"].date() == day + timedelta(days=1)
            cluster.wait_run(row["run_id"])
            before, after = (day - timedelta(days=1)).isoformat(), (day + timedelta(days=1)).isoformat()
            expected = [day.isoformat(), after, before, before, day.isoformat(), after]
            assert database.xcom(row["run_id"], "dates") == expected
        told = "from_airflow_2.py, line 14: airflow.operators.python_operator.PythonOperator is from an earlier Airflow"
        assert told in cluster.logs()
        run_id = cluster.trigger("branching_of_airflow_2", conf={"word": "horse"})
        cluster.wait_run(run_id)
        states = {name: state.value for name, state in database.states(run_id).items()}
        assert states == {**dict.fromkeys(("word", "branch", "long", "joined"), "success"), "short": "skipped"}
        assert database.xcom(run_id, "joined") == [
            "3.3.2",
            "dagdeck.exceptions",
            "dagdeck.triggers.base",
            "branching_of_airflow_2",
        ]


def test_without_the_layer_airflow_is_not_found(tmp_path: Path) -> None:
    settings = {**QUICK, "core.airflow_layer": "false"}
    with ClusterUnderTest(tmp_path, dags=[DAGS / "from_airflow_2.py"], settings=settings) as cluster:
        cluster.start_standalone()
        cluster.wait_ready()
        wait_until(lambda: cluster.database.rows(sa.select(t.import_error)), 40, "the file cannot be loaded")
        (error,) = cluster.database.rows(sa.select(t.import_error))
        assert "No module named 'airflow'" in error["stack_trace"]
