"""What people delete in a real cluster is gone at once, and its rows soon, without anybody waiting for an interval."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from dagdeck_core.actions import DeleteDag, DeleteDagRun
from dagdeck_io.db import tables as t
from tests.e2e.conftest import DAGS
from tests.e2e.harness import ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_deleted_runs_and_dags_leave_nothing(standalone: ClusterUnderTest) -> None:
    standalone.add_dag_file(DAGS / "stamped.py")
    daemon = standalone.start_standalone({"dag_processor.paused_at_creation": "false"})
    standalone.wait_ready("line", timeout=60)
    run_ids = [standalone.trigger("line") for _ in range(3)]
    for run_id in run_ids:
        standalone.wait_run(run_id)

    def rows(table: sa.Table) -> int:
        return int(standalone.database.rows(sa.select(sa.func.count().label("n")).select_from(table))[0]["n"])

    (first,) = standalone.database.rows(sa.select(t.dag_run.c.run_key).where(t.dag_run.c.run_id == run_ids[0]))
    before = rows(t.task_instance)
    done = standalone.database.act_and_wait(DeleteDagRun(run_key=first["run_key"]))
    assert str(done["state"]) == "done"
    assert rows(t.dag_run) == 2
    wait_until(lambda: rows(t.removal) == 0, 20.0, "the run's rows are gone")
    assert rows(t.task_instance) == before * 2 // 3
    done = standalone.database.act_and_wait(DeleteDag(dag_id="line"))
    assert str(done["state"]) == "done"
    assert rows(t.dag_run) == 0
    wait_until(lambda: rows(t.removal) == 0, 20.0, "the DAG's rows are gone")
    for table in (t.task_instance, t.task_instance_history, t.transition, t.xcom, t.log_chunk, t.attention):
        assert rows(table) == 0, table.name
    standalone.check_running()
    assert "Traceback" not in daemon.log_tail(200_000)
