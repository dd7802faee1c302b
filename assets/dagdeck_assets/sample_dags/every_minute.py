"""A sample of a schedule: every minute it looks up which storms were under way on this day of other years.

Shows a cron schedule without catchup and the use of a run's data interval. Read by the DAG processor.
"""

from __future__ import annotations

from datetime import UTC, datetime

from dagdeck import DAG, get_current_context, task
from hurricanes import observations

FIRST_YEAR, LAST_YEAR = 1975, 2020


@task
def look_up_this_day() -> list[str]:
    """Name the storms that were observed on the day of the year on which this run's interval ends."""
    day = get_current_context()["data_interval_end"]
    found = sorted(
        {
            f"{observation.name} {observation.observed_at.year}"
            for observation in observations.read_observations(FIRST_YEAR, LAST_YEAR)
            if (observation.observed_at.month, observation.observed_at.day) == (day.month, day.day)
        }
    )
    print(f"{len(found)} storms on {day:%d %B} of the years {FIRST_YEAR}-{LAST_YEAR}: {', '.join(found) or 'none'}")
    return found


with DAG(
    dag_id="every_minute",
    description="Which storms were under way on this day of other years?",
    doc_md=__doc__,
    schedule="* * * * *",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["sample"],
) as dag:
    look_up_this_day()
