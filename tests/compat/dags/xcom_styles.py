"""All ways in which tasks hand values to one another."""

from datetime import date, datetime, timezone
from decimal import Decimal

from airflow import DAG
from airflow.decorators import task
from airflow.models.xcom_arg import XComArg
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator


def push(**context):
    context["ti"].xcom_push(key="first", value={"a": [1, 2, None], "b": "ü"})
    context["ti"].xcom_push("second", datetime(2024, 5, 1, tzinfo=timezone.utc))
    return "returned"


def pull(ti, given, rendered, **_):
    assert ti.xcom_pull(task_ids="push", key="first") == {"a": [1, 2, None], "b": "ü"}
    assert ti.xcom_pull(task_ids="push", key="second") == datetime(2024, 5, 1, tzinfo=timezone.utc)
    assert list(ti.xcom_pull(task_ids=["push", "line"])) == ["returned", "last"]
    assert ti.xcom_pull(task_ids="push", key="nothing") is None
    assert ti.xcom_pull(task_ids="push", key="nothing", default=5) == 5
    assert ti.xcom_pull(task_ids="quiet") is None
    assert given == "returned"
    assert rendered == "returned and last"


with DAG("xcom_styles", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    pushing = PythonOperator(task_id="push", python_callable=push)
    quiet = PythonOperator(task_id="quiet", python_callable=lambda: "unheard", do_xcom_push=False)
    line = BashOperator(task_id="line", bash_command="echo first; echo last")
    pulling = PythonOperator(
        task_id="pull",
        python_callable=pull,
        op_kwargs={
            "given": XComArg(pushing),
            "rendered": "{{ ti.xcom_pull(task_ids='push') }} and {{ ti.xcom_pull('line') }}",
        },
    )
    [quiet, line] >> pulling

    @task(multiple_outputs=True)
    def several():
        return {"left": 1, "right": {"deep": [10, 20]}}

    @task
    def use(left, right, whole):
        assert (left, right["deep"][1]) == (1, 20)
        assert whole == {"left": 1, "right": {"deep": [10, 20]}}

    parts = several()
    use(parts["left"], parts["right"], parts)

    @task
    def kinds():
        return {"day": date(2024, 5, 1), "price": Decimal("1.10"), "pair": (1, 2), "flag": True, "nothing": None}

    @task
    def check_kinds(found):
        assert found["day"] == date(2024, 5, 1)
        assert abs(float(found["price"]) - 1.1) < 1e-9
        assert tuple(found["pair"]) == (1, 2)
        assert found["flag"] is True
        assert found["nothing"] is None

    check_kinds(kinds())
