"""Datasets of Airflow 2 named by text: outlet and inlet events by URI or alias, `event.dataset`, and who was started."""

import pendulum

from airflow import DAG, Dataset
from airflow.datasets import DatasetAlias, DatasetAll, DatasetAny
from airflow.decorators import dag, task
from airflow.operators.python import PythonOperator
from airflow.timetables.datasets import DatasetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

START = pendulum.datetime(2024, 1, 1, tz="UTC")
TIDES = Dataset("gauge://harbour/tides", extra={"unit": "cm"})
NEVER = Dataset("gauge://harbour/never")

with DAG("words_write", schedule=None, start_date=START, catchup=False):

    @task(outlets=[DatasetAlias("harbour-files"), TIDES])
    def measure(*, outlet_events=None):
        outlet_events["harbour-files"].add(Dataset("gauge://harbour/file-1"), extra={"file": 1})
        outlet_events["gauge://harbour/tides"].extra = {"highest": 512}

    measure()

with DAG("words_read", schedule=DatasetAny(TIDES, DatasetAll(NEVER, TIDES)), start_date=START, catchup=False):

    @task(inlets=[TIDES, DatasetAlias("harbour-files")])
    def look(*, inlet_events=None, triggering_dataset_events=None, dag_run=None):
        newest = inlet_events["gauge://harbour/tides"][-1]
        assert newest.extra == {"highest": 512}
        assert newest.dataset.uri == newest.uri == TIDES.uri
        assert TIDES in inlet_events
        assert [event.extra for event in inlet_events["harbour-files"]][-1] == {"file": 1}
        [started_by] = triggering_dataset_events.get(TIDES.uri)
        assert started_by.source_dag_run.dag_id == "words_write"
        assert started_by.timestamp.strftime("%Y") >= "2024"
        assert [event.uri for event in dag_run.consumed_asset_events] == [TIDES.uri]
        return dag_run.run_id

    def count(**context):
        rows = [(uri, events[0].extra) for uri, events in context.get("triggering_dataset_events", {}).items()]
        assert rows == [(TIDES.uri, {"highest": 512})], rows

    look() >> PythonOperator(task_id="count", python_callable=count)


@dag(
    schedule_interval=DatasetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 3 29 2 *", timezone="UTC"), datasets=(Dataset("gauge://harbour/file-1"))
    ),
    start_date=START,
    catchup=False,
    max_active_runs=1,
)
def words_either():
    @task(outlets=Dataset("gauge_done"))
    def end(triggering_dataset_events=None):
        return len(triggering_dataset_events)

    end()


words_either()
