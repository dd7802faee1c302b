"""Template files of scripts, templates inside nested values and objects, defaults for one's own arguments."""

import os
from datetime import datetime

from airflow import DAG
from airflow.models import BaseOperator
from airflow.operators.bash import BashOperator


class Engine:
    template_fields = ("name",)

    def __init__(self, name):
        self.name = name


class StartEngine(BaseOperator):
    template_fields = ("engine", "text", "data")
    template_ext = (".txt",)

    def __init__(self, engine=None, text="", data=None, fuel="none", **kwargs):
        super().__init__(**kwargs)
        self.engine = engine
        self.text = text
        self.data = data
        self.fuel = fuel

    def execute(self, context):
        assert self.engine.name == "engine Diesel"
        assert self.text.strip() == "start is started"
        assert self.data == {"list": ["start", 1, ("x", "scripts_and_templates")]}
        assert self.fuel == "oil"


with DAG(
    "scripts_and_templates",
    start_date=datetime(2024, 1, 1),
    schedule=None,
    default_args={"fuel": "oil", "depends_on_past": False},
    user_defined_macros={"MAKER": "Diesel"},
    template_searchpath=os.path.join(os.path.dirname(__file__), "scripts"),
):
    StartEngine(
        task_id="start",
        engine=Engine("engine {{ MAKER }}"),
        text="say.txt",
        data={"list": ["{{ task.task_id }}", 1, ("x", "{{ dag.dag_id }}")]},
    )
    BashOperator(task_id="script", bash_command="run.sh", env={"A": "1"}, append_env=True)
    BashOperator(task_id="inline", bash_command="test {{ ds_nodash }} = $(echo {{ ds }} | tr -d -)")
