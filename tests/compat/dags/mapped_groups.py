"""A task group for each of several regions; one region has no data, and only its own tasks are skipped."""

from datetime import datetime

from airflow.exceptions import AirflowSkipException
from airflow.sdk import dag, task, task_group


@dag(start_date=datetime(2025, 1, 1), schedule=None, catchup=False)
def mapped_groups():
    @task
    def regions():
        return ["north", "south", "west"]

    @task_group
    def region(name):
        @task
        def load(name):
            if name == "south":
                raise AirflowSkipException("no data")
            return name.upper()

        @task
        def clean(text):
            return text.lower()

        @task(trigger_rule="none_failed")
        def mark(name):
            return name

        cleaned = clean(load(name))
        marked = mark(name)
        cleaned >> marked
        return cleaned

    @task(trigger_rule="none_failed")
    def report(texts):
        assert sorted(texts) == ["north", "west"], list(texts)

    report(region.expand(name=regions()))


mapped_groups()
