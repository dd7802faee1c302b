"""Connections and Variables: out of the environment, as objects, in templates."""

import os
from datetime import datetime

from airflow import DAG
from airflow.exceptions import AirflowNotFoundException
from airflow.hooks.base import BaseHook
from airflow.models import Connection, Variable
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator

os.environ["AIRFLOW_CONN_COMPAT_HTTP"] = "http://user:pa%40ss@example.com:8080/base?timeout=5&verify=false"
os.environ["AIRFLOW_CONN_COMPAT_JSON"] = (
    '{"conn_type": "postgres", "host": "h", "login": "l", "password": "p", "port": 1, "schema": "s", '
    '"extra": {"deep": {"value": 1}}}'
)
os.environ["AIRFLOW_VAR_COMPAT_LIST"] = '{"a": [1, 2]}'


def check():
    http = BaseHook.get_connection("compat_http")
    assert (http.conn_type, http.login, http.password) == ("http", "user", "pa@ss")
    assert (http.host, http.port, http.schema) == ("example.com", 8080, "base")
    assert http.extra_dejson == {"timeout": "5", "verify": "false"}
    described = BaseHook.get_connection("compat_json")
    assert described.extra_dejson["deep"]["value"] == 1
    assert described.get_uri().startswith("postgres://l:p@h:1/s")
    made = Connection(conn_id="x", conn_type="mysql", host="h", login="u", password="p", port=3306, schema="d")
    assert made.get_uri().startswith("mysql://u:p@h:3306/d")
    assert Connection(conn_id="y", uri="postgresql://a:b@c:5/d").host == "c"
    assert Variable.get("compat_list", deserialize_json=True)["a"] == [1, 2]
    try:
        BaseHook.get_connection("compat_missing")
    except AirflowNotFoundException:
        pass
    else:
        raise AssertionError("there is no such connection")


with DAG("connections", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    PythonOperator(task_id="check", python_callable=check)
    BashOperator(
        task_id="templates",
        bash_command="""
        test '{{ conn.compat_http.host }}:{{ conn.compat_http.port }}' = example.com:8080 &&
        test '{{ conn.compat_json.extra_dejson.deep.value }}' = 1 &&
        test '{{ var.json.compat_list.a[1] }}' = 2 &&
        test '{{ var.value.get("compat_missing", "none") }}' = none
        """,
    )
