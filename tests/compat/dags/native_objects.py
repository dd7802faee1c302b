"""Templates that give objects instead of text."""

from datetime import datetime

from airflow import DAG
from airflow.operators.python import PythonOperator


def check(numbers, settings, text, **_):
    assert numbers == [1, 2, 3]
    assert settings == {"deep": True, "size": 2}
    assert text == "size is 2"


with DAG(
    "native_objects",
    start_date=datetime(2024, 1, 1),
    schedule=None,
    render_template_as_native_obj=True,
    params={"settings": {"deep": True, "size": 2}},
) as dag:
    numbers = PythonOperator(task_id="numbers", python_callable=lambda: [1, 2, 3])
    numbers >> PythonOperator(
        task_id="check",
        python_callable=check,
        op_kwargs={
            "numbers": "{{ ti.xcom_pull(task_ids='numbers') }}",
            "settings": "{{ params.settings }}",
            "text": "size is {{ params.settings.size }}",
        },
    )
