"""From what an author writes to a stored spec, and from a stored spec to a timetable.

Decides which timetable `schedule=` means, and makes the object that answers for a spec. Assets are
not seen here: the authoring package turns them into AssetTriggeredSpec and a condition. Called by the
DAG processor (`from_schedule`) and by everything that asks a timetable (`compile_timetable`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_never

import msgspec

from dagdeck_core.cron import CronError, parse_cron
from dagdeck_core.dst import DstPolicy
from dagdeck_core.errors import UserError
from dagdeck_core.timetables import deltas
from dagdeck_core.timetables.base import Timetable, ZoneLoader
from dagdeck_core.timetables.interval import DataIntervalTimetable
from dagdeck_core.timetables.partitioned import (
    AssetTriggeredTimetable,
    CronPartitionTimetable,
    PartitionedAtRuntimeTimetable,
)
from dagdeck_core.timetables.rhythms import CronRhythm, DeltaRhythm
from dagdeck_core.timetables.simple import (
    AssetOrTimeTimetable,
    ContinuousTimetable,
    CustomTimetable,
    EventsTimetable,
    NullTimetable,
    OnceTimetable,
)
from dagdeck_core.timetables.specs import (
    DEFAULT_TIMEZONE,
    AssetOrTimeSpec,
    AssetTriggeredSpec,
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
)
from dagdeck_core.timetables.trigger import MultipleTriggerTimetable, TriggerTimetable

_ALL_SPECS = (
    NullSpec,
    OnceSpec,
    ContinuousSpec,
    CronDataIntervalSpec,
    DeltaDataIntervalSpec,
    CronTriggerSpec,
    MultipleCronTriggerSpec,
    DeltaTriggerSpec,
    EventsSpec,
    CronPartitionSpec,
    PartitionedAtRuntimeSpec,
    CustomSpec,
    AssetTriggeredSpec,
    AssetOrTimeSpec,
)


def from_schedule(
    value: Any,
    *,
    timezone: str = DEFAULT_TIMEZONE,
    cron_data_intervals: bool = False,
    delta_data_intervals: bool = False,
    dst: DstPolicy | None = None,
) -> TimetableSpec:
    """The spec that `schedule=value` means.

    `value` is None, a cron expression or preset, `@once`, `@continuous`, a timedelta (or pendulum
    Duration, or relativedelta), or a spec, which is returned as it is. `timezone` and `dst` are for
    cron expressions; the two flags choose data-interval timetables over trigger timetables for cron
    and for deltas. Raises UserError (CronError for an expression) naming the value and the remedy.
    """
    policy = dst or DstPolicy()
    if value is None:
        return NullSpec()
    if isinstance(value, _ALL_SPECS):
        return value
    if isinstance(value, str):
        name = value.strip().lower()
        if name == "@once":
            return OnceSpec()
        if name == "@continuous":
            return ContinuousSpec()
        cron = parse_cron(value).text
        if cron_data_intervals:
            return CronDataIntervalSpec(cron=cron, timezone=timezone, dst=policy)
        return CronTriggerSpec(cron=cron, timezone=timezone, dst=policy)
    if isinstance(value, timedelta) or hasattr(value, "leapdays"):
        delta = deltas.require_positive(deltas.calendar_delta(value, "schedule"), "schedule")
        return DeltaDataIntervalSpec(delta=delta) if delta_data_intervals else DeltaTriggerSpec(delta=delta)
    raise UserError(
        f"a schedule cannot be of type {type(value).__name__}",
        field="schedule",
        value=value,
        remedy="Use None, a cron expression, a preset such as '@daily', a timedelta, a timetable or assets",
    )


def compile_timetable(spec: TimetableSpec, zone_loader: ZoneLoader) -> Timetable:
    """The timetable that answers for a spec.

    `zone_loader` is asked once for each zone that the spec names; what it raises for an unknown name
    passes through. Raises UserError (CronError for an expression) for values that a spec must not hold.
    """
    match spec:
        case NullSpec():
            return NullTimetable()
        case OnceSpec():
            return OnceTimetable()
        case ContinuousSpec():
            return ContinuousTimetable()
        case EventsSpec():
            return EventsTimetable(spec)
        case AssetTriggeredSpec():
            return AssetTriggeredTimetable(spec, zone_loader)
        case PartitionedAtRuntimeSpec():
            return PartitionedAtRuntimeTimetable()
        case CronPartitionSpec():
            return CronPartitionTimetable(spec, zone_loader)
        case CustomSpec():
            return CustomTimetable(spec)
        case AssetOrTimeSpec():
            return AssetOrTimeTimetable(compile_timetable(spec.timetable, zone_loader))
        case DeltaDataIntervalSpec():
            return DataIntervalTimetable(DeltaRhythm(spec.delta), aligns_manual_runs=False)
        case DeltaTriggerSpec():
            return TriggerTimetable(DeltaRhythm(spec.delta), spec.interval, None)
        case CronDataIntervalSpec():
            return DataIntervalTimetable(_cron_rhythm(spec, spec.cron, zone_loader), aligns_manual_runs=True)
        case CronTriggerSpec():
            return _cron_trigger(spec, spec.cron, zone_loader)
        case MultipleCronTriggerSpec():
            if not spec.crons:
                raise CronError(
                    "at least one cron expression is needed",
                    field="schedule",
                    remedy="Name one or more expressions: MultipleCronTriggerTimetable('0 6 * * *', …)",
                )
            return MultipleTriggerTimetable([_cron_trigger(spec, cron, zone_loader) for cron in spec.crons])
        case _:
            assert_never(spec)


def _cron_rhythm(
    spec: CronDataIntervalSpec | CronTriggerSpec | MultipleCronTriggerSpec, cron: str, zone_loader: ZoneLoader
) -> CronRhythm:
    return CronRhythm(cron, spec.timezone, spec.dst, zone_loader)


def _cron_trigger(
    spec: CronTriggerSpec | MultipleCronTriggerSpec, cron: str, zone_loader: ZoneLoader
) -> TriggerTimetable:
    return TriggerTimetable(_cron_rhythm(spec, cron, zone_loader), spec.interval, spec.run_immediately)


def encode_spec(spec: TimetableSpec) -> bytes:
    """The spec as JSON."""
    return msgspec.json.encode(spec)


_DECODER: msgspec.json.Decoder[TimetableSpec] = msgspec.json.Decoder(TimetableSpec)


def decode_spec(data: bytes | str) -> TimetableSpec:
    """The spec that `encode_spec` wrote; raises UserError when the data is not one."""
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError as error:
        raise UserError(f"this is not a stored timetable: {error}", field="timetable") from error
