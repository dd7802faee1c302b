"""DatasetOrTimeSchedule: AssetOrTimeSchedule by Airflow 2's name.

Decides that `datasets=` means `assets=`. Found by DAG files through the table.
"""

from __future__ import annotations

from typing import Any

from dagdeck.timetables import AssetOrTimeSchedule, Timetable


class DatasetOrTimeSchedule(AssetOrTimeSchedule):
    """Runs by a timetable and when datasets change."""

    def __init__(self, *, timetable: Timetable, datasets: Any) -> None:
        super().__init__(timetable=timetable, assets=datasets)
