"""Timetables: when a DAG runs by itself, and about which stretch of time.

Decides the next run of a DAG from its stored spec, the last run, the DAG's restrictions and `now`.
Does not read a clock and does not load zones: both come in as arguments. Called by the scheduler
(next runs, manual intervals), by backfill, and by the API and the desktop (previews, descriptions).
"""

from __future__ import annotations

from dagdeck_core.timetables.base import (
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    Timetable,
    ZoneLoader,
    run_id_for,
)
from dagdeck_core.timetables.preview import clock_changes_of
from dagdeck_core.timetables.schedule import compile_timetable, decode_spec, encode_spec, from_schedule
from dagdeck_core.timetables.specs import (
    AssetOrTimeSpec,
    AssetTriggeredSpec,
    CalendarDelta,
    ContinuousSpec,
    CronDataIntervalSpec,
    CronPartitionSpec,
    CronTriggerSpec,
    CustomSpec,
    DeltaDataIntervalSpec,
    DeltaTriggerSpec,
    EventsSpec,
    MultipleCronTriggerSpec,
    NullSpec,
    OnceSpec,
    PartitionedAtRuntimeSpec,
    TimetableSpec,
    is_partitioned,
    type_name,
)

__all__ = [
    "AssetOrTimeSpec",
    "AssetTriggeredSpec",
    "CalendarDelta",
    "ContinuousSpec",
    "CronDataIntervalSpec",
    "CronPartitionSpec",
    "CronTriggerSpec",
    "CustomSpec",
    "DagRunInfo",
    "DataInterval",
    "DeltaDataIntervalSpec",
    "DeltaTriggerSpec",
    "EventsSpec",
    "MultipleCronTriggerSpec",
    "NullSpec",
    "OnceSpec",
    "PartitionedAtRuntimeSpec",
    "TimeRestriction",
    "Timetable",
    "TimetableSpec",
    "ZoneLoader",
    "clock_changes_of",
    "compile_timetable",
    "decode_spec",
    "encode_spec",
    "from_schedule",
    "is_partitioned",
    "run_id_for",
    "type_name",
]
