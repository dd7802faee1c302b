"""Mapping in its rarer forms: dicts, kwargs from a task, map, zip, concat, classic operators, names of instances."""

from __future__ import annotations

from datetime import datetime

from airflow.decorators import dag, task
from airflow.exceptions import AirflowSkipException
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator, get_current_context


def plus_one(value):
    if value == 8:
        raise AirflowSkipException("eight is left out")
    return value + 1


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False)
def mapping_kinds():
    @task
    def over_dict(item):
        return item[1]

    @task
    def total(values):
        assert sorted(values) == [1, 2]

    @task
    def arguments():
        return [{"a": 1, "b": 2}, {"a": 3, "b": 4}]

    @task
    def add(a, b, c=0):
        return a + b + c

    @task
    def check(values, expected):
        assert list(values) == expected, list(values)

    @task
    def use(value):
        assert value == 5

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def letters():
        return ["x", "y"]

    @task
    def shown(value):
        return str(value)

    @task
    def count(values, expected):
        assert len(values) == expected

    @task(map_index_template="{{ region }}")
    def named(region):
        get_current_context()["region"] = f"region {region}"

    total(over_dict.expand(item={"left": 1, "right": 2}))
    sums = add.partial(c=1).expand_kwargs(arguments())
    check(sums, [4, 8])
    use.expand(value=sums.map(plus_one))
    some, others = numbers(), letters()
    count(shown.override(task_id="pairs").expand(value=some.zip(others)), 2)
    count(shown.override(task_id="filled").expand(value=some.zip(others, fillvalue="-")), 3)
    check(shown.override(task_id="joined").expand(value=some.concat(others)), ["1", "2", "3", "x", "y"])
    PythonOperator.partial(task_id="classic", python_callable=lambda x, y: print(x, y)).expand(
        op_kwargs=[{"x": 1, "y": 2}, {"x": 3, "y": 4}]
    )
    BashOperator.partial(task_id="shell", bash_command="test $A -gt 0", append_env=True).expand(
        env=[{"A": "1"}, {"A": "2"}]
    )
    named.expand(region=["north", "south"])


mapping_kinds()
