"""Templated SQL files through an operator of one's own, over a database file."""

import os
import sqlite3
import tempfile
from datetime import datetime

from airflow import DAG
from airflow.models import BaseOperator
from airflow.operators.python import PythonOperator

HERE = os.path.dirname(__file__)


class LocalSqlOperator(BaseOperator):
    """Runs the statements of a file; returns the rows of the last one."""

    template_fields = ("sql", "database", "parameters")
    template_ext = (".sql",)
    template_fields_renderers = {"sql": "sql"}
    ui_color = "#ededed"

    def __init__(self, *, sql, database, parameters=None, **kwargs):
        super().__init__(**kwargs)
        self.sql = sql
        self.database = database
        self.parameters = parameters or {}

    def execute(self, context):
        self.log.info("Executing: %s", self.sql)
        with sqlite3.connect(self.database) as connection:
            rows = []
            for statement in self.sql.split(";"):
                if statement.strip():
                    rows = connection.execute(statement).fetchall()
        return [list(row) for row in rows]


def shout(text):
    return text.upper()


with DAG(
    "sql_reports",
    start_date=datetime(2024, 1, 1),
    schedule="@monthly",
    catchup=False,
    template_searchpath=[os.path.join(HERE, "sql")],
    user_defined_macros={"table_of": lambda ds: "orders_" + ds.replace("-", "_")},
    user_defined_filters={"shout": shout},
    params={"smallest": 5},
) as dag:
    database = os.path.join(tempfile.gettempdir(), "dagdeck_sql_reports_{{ ts_nodash }}.db")
    create = LocalSqlOperator(task_id="create", sql="create_orders.sql", database=database)
    report = LocalSqlOperator(
        task_id="report", sql="report.sql", database=database, parameters={"title": "{{ 'orders' | shout }}"}
    )

    def check(rows, path, **context):
        assert rows == [[2, 30.0]], rows
        os.unlink(path)

    checked = PythonOperator(task_id="check", python_callable=check, op_args=[report.output, database])
    create >> report >> checked
