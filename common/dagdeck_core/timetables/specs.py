"""What a timetable is when it is stored: small tagged structs that travel as JSON.

Decides the stored shape of every kind of timetable and nothing about when it fires; `compile_timetable`
turns a spec into something that answers questions. Written by the DAG processor (through
`from_schedule` and the authoring classes), stored inside the DAG spec, read by the scheduler and the API.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from dagdeck_core.dst import DstPolicy
from dagdeck_core.partitions.specs import AssetMapperSpec, IdentitySpec, MapperSpec

DEFAULT_TIMEZONE = "UTC"


class CalendarDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A distance in time that may hold whole calendar months besides an exact duration.

    `months` moves the date by calendar months (a day that the target month lacks becomes its last
    day); `duration` is then added exactly. Both may be negative; timetables ask for what they need.
    """

    months: int = 0
    duration: timedelta = timedelta()


ZERO_DELTA = CalendarDelta()


class _Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Shared struct options of all specs; never stored itself."""


class NullSpec(_Spec, frozen=True, tag="null"):
    """Never runs by itself (`schedule=None`); people and other DAGs may trigger it."""


class OnceSpec(_Spec, frozen=True, tag="once"):
    """Runs once, at the start date or as soon as possible (`@once`)."""


class ContinuousSpec(_Spec, frozen=True, tag="continuous"):
    """Runs again as soon as the previous run ended (`@continuous`)."""


class CronDataIntervalSpec(_Spec, frozen=True, tag="cron_data_interval"):
    """One run per interval between two cron times, started when the interval ends."""

    cron: str
    timezone: str = DEFAULT_TIMEZONE
    dst: DstPolicy = DstPolicy()


class DeltaDataIntervalSpec(_Spec, frozen=True, tag="delta_data_interval"):
    """One run per interval of a fixed length, started when the interval ends."""

    delta: CalendarDelta


class CronTriggerSpec(_Spec, frozen=True, tag="cron_trigger"):
    """One run at each cron time.

    `interval` is the length of the data interval that ends at that time. `run_immediately` decides
    the first run of a DAG without a start date: True takes the latest past time, a timedelta takes it
    when it is not older than that and else waits for the next one; False and None alike allow it an
    age of a tenth of the distance between both times, at least five minutes, as Airflow 3 does.
    """

    cron: str
    timezone: str = DEFAULT_TIMEZONE
    interval: CalendarDelta = ZERO_DELTA
    run_immediately: bool | timedelta | None = False
    dst: DstPolicy = DstPolicy()


class MultipleCronTriggerSpec(_Spec, frozen=True, tag="multiple_cron_trigger"):
    """One run at each time at which any of several cron expressions fires; fields as CronTriggerSpec."""

    crons: tuple[str, ...]
    timezone: str = DEFAULT_TIMEZONE
    interval: CalendarDelta = ZERO_DELTA
    run_immediately: bool | timedelta | None = False
    dst: DstPolicy = DstPolicy()


class DeltaTriggerSpec(_Spec, frozen=True, tag="delta_trigger"):
    """One run every `delta`; `interval` is the length of the data interval that ends at the run."""

    delta: CalendarDelta
    interval: CalendarDelta = ZERO_DELTA


class EventsSpec(_Spec, frozen=True, tag="events"):
    """One run at each listed time (aware UTC, any order, duplicates count once).

    With `restrict_to_events` a manual run takes the latest past event as its data interval.
    `description` replaces the generated summary and description.
    """

    event_dates: tuple[datetime, ...]
    restrict_to_events: bool = False
    description: str | None = None


class CronPartitionSpec(_Spec, frozen=True, tag="cron_partition"):
    """One run at each cron time, for the partition that the time so many beats on (`run_offset`) names.

    The partition's key is that time, written in the zone by `key_format`. `run_immediately` as in CronTriggerSpec.
    Such runs have neither logical date nor data interval.
    """

    cron: str
    timezone: str = DEFAULT_TIMEZONE
    run_offset: int = 0
    key_format: str = "%Y-%m-%dT%H:%M:%S"
    run_immediately: bool | timedelta | None = False
    dst: DstPolicy = DstPolicy()


class PartitionedAtRuntimeSpec(_Spec, frozen=True, tag="partitioned_at_runtime"):
    """Never runs by itself; whoever triggers it, or its tasks, say which partition it is about."""


class AssetTriggeredSpec(_Spec, frozen=True, tag="asset_triggered"):
    """Runs when assets change; the DAG spec holds the asset condition.

    With `partitioned`, a run for each partition: `mappers` maps the keys of the assets that they name, and
    `default_mapper` those of all others.
    """

    partitioned: bool = False
    default_mapper: MapperSpec = IdentitySpec()
    mappers: tuple[AssetMapperSpec, ...] = ()


class CustomSpec(_Spec, frozen=True, tag="custom"):
    """A timetable class of the user's, named by import path, with its serialised data.

    Only a process that may run user code can evaluate it; the answers are stored as data. What the
    class says about itself is kept here, so that nobody else needs to load it.
    """

    class_path: str
    data: dict[str, Any] = {}
    summary: str = ""
    description: str = ""
    periodic: bool = True
    can_be_scheduled: bool = True
    run_ordering: tuple[str, ...] = ("data_interval_end", "logical_date")
    active_runs_limit: int | None = None
    partitioned: bool = False
    names_runs: bool = False
    """It has run ids of its own."""
    reads_keys: bool = False
    """It knows the dates of partition keys."""


def is_partitioned(spec: TimetableSpec) -> bool:
    """Whether a DAG with this timetable has a run for each partition."""
    return isinstance(spec, CronPartitionSpec) or (
        isinstance(spec, AssetTriggeredSpec | CustomSpec) and spec.partitioned
    )


TimeSpec = (
    NullSpec
    | OnceSpec
    | ContinuousSpec
    | CronDataIntervalSpec
    | DeltaDataIntervalSpec
    | CronTriggerSpec
    | MultipleCronTriggerSpec
    | DeltaTriggerSpec
    | EventsSpec
    | CronPartitionSpec
    | PartitionedAtRuntimeSpec
    | CustomSpec
)


class AssetOrTimeSpec(_Spec, frozen=True, tag="asset_or_time"):
    """Runs by `timetable` and when assets change; the DAG spec holds the asset condition."""

    timetable: TimeSpec


TimetableSpec = (
    NullSpec
    | OnceSpec
    | ContinuousSpec
    | CronDataIntervalSpec
    | DeltaDataIntervalSpec
    | CronTriggerSpec
    | MultipleCronTriggerSpec
    | DeltaTriggerSpec
    | EventsSpec
    | CronPartitionSpec
    | PartitionedAtRuntimeSpec
    | CustomSpec
    | AssetTriggeredSpec
    | AssetOrTimeSpec
)


_NAMES: dict[type, str] = {
    PartitionedAtRuntimeSpec: "PartitionedAtRuntime",
    AssetOrTimeSpec: "AssetOrTimeSchedule",
}
"""Classes whose name is not that of their spec with another ending."""


def type_name(spec: TimetableSpec) -> str:
    """The class that authors know; for one of their own with its module."""
    if isinstance(spec, CustomSpec):
        return spec.class_path
    if isinstance(spec, AssetTriggeredSpec) and spec.partitioned:
        return "PartitionedAssetTimetable"
    return _NAMES.get(type(spec)) or type(spec).__name__.removesuffix("Spec") + "Timetable"


def custom_of(spec: TimetableSpec) -> CustomSpec | None:
    """The author's class that answers for times, if there is one."""
    if isinstance(spec, AssetOrTimeSpec):
        return custom_of(spec.timetable)
    return spec if isinstance(spec, CustomSpec) else None


def needs_code(spec: TimetableSpec) -> bool:
    """Whether times of this timetable are answered by code of the author's."""
    return custom_of(spec) is not None
