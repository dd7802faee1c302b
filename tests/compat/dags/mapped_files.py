"""Mapping: over a literal, over a result, over pairs, over nothing, and reducing what came of it."""

from __future__ import annotations

from datetime import datetime

from airflow.decorators import dag, task
from airflow.operators.bash import BashOperator


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False, max_active_tasks=4)
def mapped_files():
    @task
    def list_files():
        return ["a.csv", "b.csv", "c.csv"]

    @task
    def nothing():
        return []

    @task
    def read(name: str, separator: str) -> dict:
        return {"name": name, "size": len(name + separator)}

    @task
    def total(found) -> int:
        assert [each["name"] for each in found] == ["a.csv", "b.csv", "c.csv"]
        return sum(each["size"] for each in found)

    @task
    def add(x: int, y: int) -> int:
        return x + y

    @task
    def check_sums(sums):
        assert sorted(sums) == [11, 12, 21, 22]

    @task
    def odd(number: int):
        if number % 2:
            raise ValueError("odd")

    @task(trigger_rule="all_done")
    def count(numbers):
        return len(list(numbers))

    files = list_files()
    read_all = read.partial(separator=";").expand(name=files)
    total(read_all)
    check_sums(add.expand(x=[1, 2], y=[10, 20]))
    read.override(task_id="read_none").partial(separator=";").expand(name=nothing())
    BashOperator.partial(task_id="shell", do_xcom_push=False).expand(bash_command=["true", "echo two"])
    add.override(task_id="add_pairs").expand_kwargs([{"x": 1, "y": 2}, {"x": 3, "y": 4}])
    count(odd.expand(number=[2, 3]))


mapped_files()
