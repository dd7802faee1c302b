"""What templates see, for a run of 2024-02-29 12:30 UTC."""

from datetime import timedelta

import pendulum

from airflow import DAG
from airflow.models import Variable
from airflow.operators.python import PythonOperator

EXPECTED = {
    "ds": "2024-02-29",
    "ds_nodash": "20240229",
    "ts": "2024-02-29T12:30:00+00:00",
    "ts_nodash": "20240229T123000",
    "ts_nodash_with_tz": "20240229T123000+0000",
    "next_day": "2024-03-01",
    "formatted": "29/02/24",
    "logical": "2024-02-29T12:30:00+00:00",
    "add": "2024-03-07",
    "month": "February",
    "param": "blue",
    "conf": "given",
    "task": "jinja_macros.check",
    "run": "compat__jinja_macros",
    "variable": "from the store",
    "json": "7",
    "fallback": "none there",
    "raw": "{{ ds }}",
}


def check(**context):
    rendered = context["templates_dict"]
    assert rendered == EXPECTED, {key: (rendered[key], EXPECTED[key]) for key in EXPECTED if rendered[key] != EXPECTED[key]}
    assert context["ds"] == "2024-02-29"
    assert context["logical_date"] == pendulum.datetime(2024, 2, 29, 12, 30)
    assert context["logical_date"].add(days=1).day == 1
    assert Variable.get("jinja_macros_missing", default_var=None) is None


def remember():
    Variable.set("jinja_macros_name", "from the store")
    Variable.set("jinja_macros_json", {"depth": {"value": 7}}, serialize_json=True)
    assert Variable.get("jinja_macros_json", deserialize_json=True)["depth"]["value"] == 7


with DAG(
    "jinja_macros",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    schedule=timedelta(days=1),
    catchup=False,
    params={"colour": "blue"},
) as dag:
    PythonOperator(task_id="remember", python_callable=remember) >> PythonOperator(
        task_id="check",
        python_callable=check,
        templates_dict={
            "ds": "{{ ds }}",
            "ds_nodash": "{{ ds_nodash }}",
            "ts": "{{ ts }}",
            "ts_nodash": "{{ ts_nodash }}",
            "ts_nodash_with_tz": "{{ ts_nodash_with_tz }}",
            "next_day": "{{ macros.ds_add(ds, 1) }}",
            "formatted": "{{ macros.ds_format(ds, '%Y-%m-%d', '%d/%m/%y') }}",
            "logical": "{{ logical_date | ts }}",
            "add": "{{ (logical_date + macros.timedelta(days=7)) | ds }}",
            "month": "{{ logical_date.strftime('%B') }}",
            "param": "{{ params.colour }}",
            "conf": "{{ dag_run.conf['word'] }}",
            "task": "{{ dag.dag_id }}.{{ task.task_id }}",
            "run": "{{ run_id }}",
            "variable": "{{ var.value.jinja_macros_name }}",
            "json": "{{ var.json.jinja_macros_json.depth.value }}",
            "fallback": "{{ var.value.get('jinja_macros_missing', 'none there') }}",
            "raw": "{% raw %}{{ ds }}{% endraw %}",
        },
    )
