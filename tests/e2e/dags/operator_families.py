"""A DAG of each family of operators: branches, sensors, other DAGs, other interpreters, setups, storage.

Decides nothing about how they end. Read by the DAG processor of the end-to-end tests.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, time, timedelta
from typing import Any

from dagdeck import DAG, BashOperator, EmptyOperator, ObjectStoragePath, Variable, setup, task, teardown
from dagdeck.operators.datetime import BranchDateTimeOperator
from dagdeck.operators.python_virtualenv import ExternalPythonOperator
from dagdeck.operators.trigger_dagrun import TriggerDagRunOperator
from dagdeck.operators.weekday import BranchDayOfWeekOperator
from dagdeck.sensors.bash import BashSensor
from dagdeck.sensors.date_time import DateTimeSensorAsync
from dagdeck.sensors.external_task import ExternalTaskMarker, ExternalTaskSensor
from dagdeck.sensors.filesystem import FileSensor
from dagdeck.sensors.time_delta import TimeDeltaSensor

PLACE = os.environ.get("STAMP_FILE", "/tmp/nowhere") + ".files"
START = datetime(2025, 1, 1, tzinfo=UTC)


def dag(dag_id: str, **options: Any) -> DAG:
    """A DAG that is started by hand."""
    return DAG(dag_id=dag_id, schedule=None, start_date=START, catchup=False, **options)


with dag("branches"):
    EVERY_DAY = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
    branches = {"follow_task_ids_if_true": "taken", "follow_task_ids_if_false": "left_out"}
    day = BranchDayOfWeekOperator(task_id="day", week_day=EVERY_DAY, **branches)  # type: ignore[arg-type]
    hours = BranchDateTimeOperator(
        task_id="hours", target_lower=time(0), target_upper=None, use_task_logical_date=True, **branches
    )
    [day, hours] >> EmptyOperator(task_id="taken")
    [day, hours] >> EmptyOperator(task_id="left_out")

with dag("target"):

    @task
    def told(dag_run: Any = None) -> str:
        """What the trigger said."""
        if dag_run.conf.get("fail"):
            raise ValueError("as asked")
        return f"{dag_run.run_type} {dag_run.conf.get('word')}"

    told() >> EmptyOperator(task_id="end")

with dag("triggers"):
    for name, options in {
        "waits": {"wait_for_completion": True, "poke_interval": 0.2},
        "defers": {"wait_for_completion": True, "poke_interval": 0.2, "deferrable": True},
        "goes_on": {},
    }.items():
        TriggerDagRunOperator(
            task_id=name,
            trigger_dag_id="target",
            trigger_run_id=f"{{{{ run_id }}}}-{name}",
            conf={"word": "{{ ti.task_id }}"},
            **options,  # type: ignore[arg-type]
        )
    again = TriggerDagRunOperator(
        task_id="again", trigger_dag_id="target", trigger_run_id="{{ run_id }}-waits", reset_dag_run=True
    )
    twice = TriggerDagRunOperator(
        task_id="twice", trigger_dag_id="target", trigger_run_id="{{ run_id }}-defers", skip_when_already_exists=True
    )
    refused = TriggerDagRunOperator(
        task_id="refused", trigger_dag_id="target", trigger_run_id="{{ run_id }}-defers", retries=3
    )
    failing = TriggerDagRunOperator(
        task_id="failing",
        trigger_dag_id="target",
        conf={"fail": True},
        wait_for_completion=True,
        poke_interval=0.2,
        retries=3,
    )
    for first, then in (("waits", again), ("defers", twice), ("defers", refused)):
        then.set_upstream(then.dag.get_task(first))

with dag("watched"):
    BashOperator(task_id="slow", bash_command="sleep 1") >> EmptyOperator(task_id="quick")
    ExternalTaskMarker(task_id="marker", external_dag_id="watching", external_task_id="for_the_run")

with dag("watching", max_active_tasks=16):
    OTHER = {"external_dag_id": "watched", "poke_interval": 0.3, "timeout": 40}
    ExternalTaskSensor(task_id="for_the_run", **OTHER)  # type: ignore[arg-type]
    ExternalTaskSensor(task_id="for_a_task", external_task_id="quick", mode="reschedule", **OTHER)  # type: ignore[arg-type]
    ExternalTaskSensor(
        task_id="deferred",
        external_task_ids=["slow", "quick"],
        deferrable=True,
        poll_interval=0.3,
        **OTHER,  # type: ignore[arg-type]
    )
    ExternalTaskSensor(task_id="for_nothing", external_task_id="zzz", check_existence=True, **OTHER)  # type: ignore[arg-type]

with dag("sensors"):
    FileSensor(task_id="file", filepath=f"{PLACE}/arrives", poke_interval=0.2, timeout=40)
    FileSensor(task_id="file_deferred", filepath=f"{PLACE}/arr*", poke_interval=0.2, timeout=40, deferrable=True)
    BashSensor(
        task_id="bash", bash_command=f"test -e {PLACE}/arrives", poke_interval=0.2, mode="reschedule", timeout=40
    )
    TimeDeltaSensor(task_id="delta", delta=timedelta(seconds=1), poke_interval=0.2)
    TimeDeltaSensor(task_id="delta_deferred", delta=timedelta(seconds=1), deferrable=True)
    DateTimeSensorAsync(
        task_id="moment", target_time="{{ (dag_run.run_after + macros.timedelta(seconds=1)).isoformat() }}"
    )
    BashOperator(task_id="arrive", bash_command=f"sleep 1; mkdir -p {PLACE} && echo x > {PLACE}/arrives")
    FileSensor(task_id="never", filepath=f"{PLACE}/never", poke_interval=0.1, timeout=0.3, soft_fail=True)
    FileSensor(
        task_id="never_deferred", filepath=f"{PLACE}/never", poke_interval=0.1, timeout=0.3, deferrable=True, retries=2
    )


def measured(number: int) -> dict[str, Any]:
    """In another interpreter."""
    import os
    import sys

    return {"double": number * 2, "prefix": sys.prefix, "task": os.environ["AIRFLOW_CTX_TASK_ID"]}


with dag("interpreters"):

    @task.virtualenv(system_site_packages=False, venv_cache_path=f"{PLACE}/venvs")
    def isolated(number: int, ds: Any = None) -> list[Any]:
        """In an environment of its own."""
        import sys

        return [number, ds, sys.prefix != sys.base_prefix]

    @task.branch_external_python(python=sys.executable)
    def choose(values: list[Any]) -> str:
        """Choose by what the environment said."""
        return "left" if values[2] else "right"

    external = ExternalPythonOperator(
        task_id="external",
        python=sys.executable,
        python_callable=measured,
        op_args=[21],
        multiple_outputs=True,
    )
    choose(isolated(external.output["double"])) >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]

with dag("scoped"):

    @setup
    def create() -> str:
        """Prepare."""
        return "cluster"

    @teardown
    def destroy(name: str) -> None:
        """Clean up."""
        raise ValueError(f"{name} cannot be destroyed")

    with destroy(create()):
        BashOperator(task_id="work", bash_command="echo works")

with dag("stored"):
    BASE = ObjectStoragePath(f"file://{PLACE}/store")

    @task
    def put() -> ObjectStoragePath:
        """Write, with a Variable from the environment."""
        path = BASE / "deep" / "value.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Variable.get("e2e_word", "default"))
        return path

    @task
    def fetch(path: ObjectStoragePath) -> str:
        """Read."""
        return path.read_text()

    fetch(put())
