"""Timetables of listed moments and of several crons, started by hand."""

from datetime import datetime

import pendulum

from airflow.sdk import DAG, MultipleCronTriggerTimetable, task
from airflow.timetables.events import EventsTimetable

GAMES = EventsTimetable(
    event_dates=[
        pendulum.datetime(2023, 6, 1, 12, 55, 3, tz="Europe/Paris"),
        pendulum.datetime(2023, 6, 1, 12, 55, 1, tz="Europe/Paris"),
    ],
    description="Two games",
    restrict_to_events=True,
)
assert [each.second for each in GAMES.event_dates] == [1, 3]
assert (GAMES.summary, GAMES.description) == ("Two games", "Two games")

with DAG("calendar_games", schedule=GAMES, start_date=datetime(2021, 5, 28), catchup=False):

    @task
    def last_game(data_interval_start=None, data_interval_end=None):
        assert data_interval_start == data_interval_end == pendulum.datetime(2023, 6, 1, 10, 55, 3)

    last_game()

CRONS = MultipleCronTriggerTimetable("0 6 * * *", "30 16 * * MON-FRI", timezone="America/New_York")
with DAG("calendar_crons", schedule=CRONS, start_date=pendulum.datetime(2024, 1, 1), catchup=False):

    @task
    def moment(logical_date=None, data_interval_end=None):
        assert logical_date == data_interval_end == pendulum.datetime(2024, 2, 29, 12, 30)

    moment()
