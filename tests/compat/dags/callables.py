"""Everything that can be called, and what it is given."""

from __future__ import annotations

import functools
import logging
from datetime import datetime
from typing import TypedDict

from airflow import DAG
from airflow.decorators import task
from airflow.models import DagRun, TaskInstance
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator, get_current_context

log = logging.getLogger("airflow.task")


class Pair(TypedDict):
    left: int
    right: str


class Report:
    def __call__(self, x, **context):
        return x

    def of_day(self, ds):
        return ds


def nested(conf, items):
    assert conf == {"x": [{"y": {"n": [1, 2, 3]}}]}
    assert items == [[5, 6], "s"]


def looks_around(ti, dag, dag_run, run_id, params, logical_date, data_interval_start, data_interval_end, **context):
    log.info("hello from %s", ti)
    assert dag_run.dag_id == "callables" == dag.dag_id == ti.dag_id
    assert ti.get_dagrun().run_id == run_id
    assert (ti.try_number, ti.max_tries, ti.map_index) == (1, 0, -1)
    assert dict(params) == {}
    assert logical_date.tzinfo is not None
    assert data_interval_start <= data_interval_end
    assert context["task"].upstream_task_ids == {"values"}
    assert dag.get_task("values") is not None
    assert context["task_instance_key_str"].startswith("callables__looks_around__")


with DAG("callables", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):

    @task
    def values() -> dict:
        return {"k": {"n": [1, 2, 3]}, "l": [5, 6]}

    @task
    def pair() -> Pair:
        return {"left": 1, "right": "x"}

    @task
    def use_pair(left, right):
        assert (left, right) == (1, "x")

    @task
    def defaults(a, b=2, *, ds=None, ti: TaskInstance = None, dag_run: DagRun | None = None):
        assert ds and ti and dag_run and b == 2

    @task
    def from_context(**context):
        assert get_current_context()["ti"].task_id == context["ti"].task_id == "from_context"

    found = values()
    both = pair()
    use_pair(both["left"], both["right"])
    defaults(1)
    from_context()
    PythonOperator(
        task_id="nested",
        python_callable=nested,
        op_kwargs={"conf": {"x": [{"y": found["k"]}]}, "items": [found["l"], "s"]},
    )
    BashOperator(
        task_id="shell",
        bash_command='test "$X" = 2 && test "$Y" = 6 && test "$L" = "[5, 6]"',
        env={
            "X": "{{ ti.xcom_pull(task_ids='values')['k']['n'][1] }}",
            "Y": "{{ task_instance.xcom_pull('values').l[1] }}",
            "L": found["l"],
        },
        append_env=True,
    )
    found >> PythonOperator(task_id="looks_around", python_callable=looks_around)
    PythonOperator(task_id="an_object", python_callable=Report(), op_args=[3])
    PythonOperator(task_id="a_method", python_callable=Report().of_day)
    PythonOperator(
        task_id="a_partial", python_callable=functools.partial(lambda a, b, ds: print(a, b, ds), 1), op_kwargs={"b": 2}
    )
