"""Params with schemas, overridden by the run's conf; and a DAG that cannot be started without one."""

from datetime import datetime

from airflow.decorators import dag, task
from airflow.models.param import Param


@dag(
    start_date=datetime(2024, 1, 1),
    schedule=None,
    params={
        "size": Param(3, type="integer", minimum=1, maximum=10),
        "names": Param(["a"], type="array", items={"type": "string"}),
        "mode": "fast",
        "maybe": Param(None, type=["null", "string"]),
    },
)
def params_of_a_run():
    @task
    def check(params: dict):
        assert params["size"] == 7
        assert params["names"] == ["x", "y"]
        assert params["mode"] == "fast"
        assert params["maybe"] is None
        assert dict(params) == {"size": 7, "names": ["x", "y"], "mode": "fast", "maybe": None}

    @task
    def check_conf(dag_run=None):
        assert dag_run.conf["size"] == 7

    check() >> check_conf()


@dag(start_date=datetime(2024, 1, 1), schedule=None, params={"who": Param(type="string")})
def params_required():
    @task
    def greet(params: dict):
        print(params["who"])

    greet()


params_of_a_run()
params_required()
