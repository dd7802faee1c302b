"""Timetables as DAG authors write them, and what `schedule=` may be.

Decides which stored spec each class and each plain value of `schedule=` means. Does not compute times:
`dagdeck_core.timetables` does. Used in DAG files and by DAG.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from dagdeck.assets import Asset, AssetAlias, AssetAll, AssetRef, BaseAsset
from dagdeck.exceptions import invalid, unavailable
from dagdeck.timetable_beats import WithBeats, as_pendulum, plain_utc
from dagdeck.timetable_values import DagRunInfo, DataInterval, TimeRestriction
from dagdeck_core import timetables as core
from dagdeck_core.errors import UserError
from dagdeck_core.partitions.mappers import IdentityMapper, PartitionMapper
from dagdeck_core.partitions.specs import AssetMapperSpec
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables import (
    AssetOrTimeSpec,
    AssetTriggeredSpec,
    CalendarDelta,
    CronDataIntervalSpec,
    CronPartitionSpec,
    CronTriggerSpec,
    CustomSpec,
    DeltaDataIntervalSpec,
    DeltaTriggerSpec,
    EventsSpec,
    MultipleCronTriggerSpec,
    PartitionedAtRuntimeSpec,
    TimetableSpec,
    compile_timetable,
    from_schedule,
)
from dagdeck_core.timetables.deltas import calendar_delta

if TYPE_CHECKING:
    from dagdeck_core.timetables import Timetable as CompiledTimetable


_READS_KEYS = ("resolve_partition_date", "_decode_partition_date")
_QUESTIONS = (
    "next_dagrun_info",
    "next_dagrun_info_v2",
    "infer_manual_data_interval",
    "generate_run_id",
    *_READS_KEYS,
)


class _FromSpec:
    """What the stored spec says about a timetable, unless a class or an instance says something else."""

    def __init__(self, otherwise: Any, text: str) -> None:
        self._otherwise = otherwise
        self.__doc__ = text

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, timetable: Timetable | None, owner: type) -> Any:
        if timetable is None:
            return self
        built_in = timetable.built_in
        return self._otherwise if built_in is None else getattr(built_in, self._name)


class Timetable:
    """When a DAG runs: one of the built-in kinds, or a class of one's own that overrides `next_dagrun_info`.

    Code of one's own runs where user code may run, and its answers are stored; the scheduler only reads them. Such a
    class should give equal answers to equal questions. Raises UserError when a built-in spec is wrong (a bad cron
    expression, an unknown zone).
    """

    summary = _FromSpec("", "A few words, such as the cron expression.")
    description = _FromSpec("", "A sentence for people.")
    periodic = _FromSpec(True, "Whether runs repeat in time by themselves.")
    can_be_scheduled = _FromSpec(True, "Whether anything but a person or another DAG can start a run.")
    run_ordering = _FromSpec(("data_interval_end", "logical_date"), "The run's fields by which people see runs sorted.")
    active_runs_limit = _FromSpec(None, "How many runs may be active at most, where the timetable demands a limit.")
    partitioned = False
    partitioned_at_runtime = False
    asset_condition: BaseAsset | None = None
    _spec: TimetableSpec | None = None

    def __init__(self, spec: TimetableSpec | None = None) -> None:
        self._spec = spec

    @property
    def spec(self) -> TimetableSpec:
        """What is stored of it."""
        if self._spec is None or self.is_user_coded:
            return self._described()
        return self._spec

    @property
    def is_user_coded(self) -> bool:
        """Whether its class answers questions by code of its own."""
        return self._overrides(*_QUESTIONS) or self.has_own_beats

    def _overrides(self, *names: str) -> bool:
        return any(getattr(type(self), name) is not getattr(Timetable, name) for name in names)

    @property
    def has_own_beats(self) -> bool:
        """Whether its class changes the moments that the built-in kind which it extends names."""
        return False

    @property
    def type_name(self) -> str:
        """What lists of DAGs are filtered by: the class's name, with its module where it is not a built-in one."""
        return core.type_name(self.spec)

    def _described(self) -> CustomSpec:
        cls = type(self)
        return CustomSpec(
            class_path=f"{cls.__module__}.{cls.__qualname__}",
            data=_plain_data(self),
            partitioned=bool(self.partitioned),
            names_runs=self._overrides("generate_run_id"),
            reads_keys=self._overrides(*_READS_KEYS),
            summary=str(self.summary or cls.__name__),
            description=str(self.description or ""),
            periodic=bool(self.periodic),
            can_be_scheduled=bool(self.can_be_scheduled),
            run_ordering=tuple(self.run_ordering),
            active_runs_limit=self.active_runs_limit,
        )

    @cached_property
    def built_in(self) -> CompiledTimetable | None:
        """What answers for the built-in kind that this is, or extends; None for a class that extends none."""
        return None if self._spec is None else compile_timetable(self._spec, load_zone)

    @property
    def rhythm(self) -> Any:
        """The beats of the built-in kind that this is, or extends. Raises AttributeError for one without."""
        return self.built_in._rhythm  # type: ignore[union-attr]

    @cached_property
    def compiled(self) -> CompiledTimetable:
        """The object that answers questions about times, where that needs no code of the author's."""
        return compile_timetable(self.spec, load_zone)

    # ------------------------------------------------------------ what classes of one's own override

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run after the last scheduled one; None when there is none as things stand."""
        last = last_automated_data_interval
        if isinstance(self, WithBeats) and self.has_own_beats:
            return self.next_by_beats(last, restriction)
        info = self._built_in("next_dagrun_info").next_dagrun_info(
            last_automated_data_interval=None
            if last is None
            else core.DataInterval(start=plain_utc(last.start), end=plain_utc(last.end)),
            restriction=core.TimeRestriction(
                earliest=None if restriction.earliest is None else plain_utc(restriction.earliest),
                latest=None if restriction.latest is None else plain_utc(restriction.latest),
                catchup=restriction.catchup,
            ),
            now=datetime.now(UTC),
        )
        if info is None:
            return None
        interval = DataInterval(as_pendulum(info.data_interval.start), as_pendulum(info.data_interval.end))
        return DagRunInfo(as_pendulum(info.run_after), interval)

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run after the last scheduled one, with its partition where the timetable has partitions."""
        return self.next_dagrun_info(
            last_automated_data_interval=None if last_dagrun_info is None else last_dagrun_info.data_interval,
            restriction=restriction,
        )

    def infer_manual_data_interval(self, *, run_after: Any) -> DataInterval:
        """The data interval of a run that a person starts at `run_after`."""
        built_in = self._built_in("infer_manual_data_interval")
        interval = built_in.infer_manual_data_interval(run_after=plain_utc(run_after))
        return DataInterval(as_pendulum(interval.start), as_pendulum(interval.end))

    def generate_run_id(self, *, run_type: Any, run_after: Any, data_interval: Any, **extra: Any) -> str:
        """The id of a run that a person starts."""
        return core.run_id_for(DagRunType(getattr(run_type, "value", run_type)), run_after)

    def resolve_partition_date(self, partition_key: str | None) -> Any:
        """The date that a partition key stands for; None for none. Raises for a key in another format."""
        if partition_key is None or not self.partitioned or self.partitioned_at_runtime:
            return None
        return self._decode_partition_date(partition_key)

    def _decode_partition_date(self, partition_key: str) -> Any:
        """The same for a key of a timetable that has partitions."""
        decode = getattr(self.built_in, "partition_date_of", None)
        found = decode(partition_key) if decode is not None else None
        return None if found is None else as_pendulum(found)

    def get_partition_mapper(self, *, name: str = "", uri: str = "") -> PartitionMapper:
        """The mapper of an asset. Raises NotImplementedError: only timetables of assets have any."""
        raise NotImplementedError(f"{type(self).__name__} has no partitions of assets")

    def validate(self) -> None:
        """Called when the DAG file is parsed; raises whatever is wrong with the timetable."""

    def serialize(self) -> dict[str, Any]:
        """The arguments of a class of one's own, for people."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Timetable:
        """The timetable that `serialize` described."""
        return cls(**data)

    def _built_in(self, question: str) -> CompiledTimetable:
        if self.built_in is None:
            raise NotImplementedError(f"{type(self).__name__} must override {question}")
        return self.built_in

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timetable) and other.spec == self.spec

    def __hash__(self) -> int:
        return hash(repr(self.spec))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary}>"


class CronTriggerTimetable(WithBeats, Timetable):
    """One run at each time of a cron expression; its data interval has the length `interval`.

    `run_immediately` decides the first run of a DAG without start_date: True takes the last past time,
    False waits for the next, a timedelta takes the past one when it is not older.
    """

    def __init__(
        self,
        cron: str,
        *,
        timezone: str | tzinfo,
        interval: Any = timedelta(),
        run_immediately: bool | timedelta = False,
    ) -> None:
        super().__init__(
            CronTriggerSpec(
                cron=_cron_text(cron),
                timezone=zone_name(timezone),
                interval=calendar_delta(interval, "interval"),
                run_immediately=run_immediately,
            )
        )


class MultipleCronTriggerTimetable(Timetable):
    """One run at each time at which any of several cron expressions fires."""

    def __init__(
        self,
        *crons: str,
        timezone: str | tzinfo,
        interval: Any = timedelta(),
        run_immediately: bool | timedelta = False,
    ) -> None:
        super().__init__(
            MultipleCronTriggerSpec(
                crons=tuple(_cron_text(cron) for cron in crons),
                timezone=zone_name(timezone),
                interval=calendar_delta(interval, "interval"),
                run_immediately=run_immediately,
            )
        )


class CronDataIntervalTimetable(WithBeats, Timetable):
    """One run per interval between two times of a cron expression, when the interval has ended."""

    makes_intervals = True

    def __init__(self, cron: str, timezone: str | tzinfo) -> None:
        super().__init__(CronDataIntervalSpec(cron=_cron_text(cron), timezone=zone_name(timezone)))


class DeltaTriggerTimetable(WithBeats, Timetable):
    """One run every `delta`; its data interval has the length `interval`."""

    def __init__(self, delta: Any, *, interval: Any = timedelta()) -> None:
        super().__init__(
            DeltaTriggerSpec(delta=calendar_delta(delta, "delta"), interval=calendar_delta(interval, "interval"))
        )


class DeltaDataIntervalTimetable(WithBeats, Timetable):
    """One run per interval of the length `delta`, when the interval has ended."""

    makes_intervals = True

    def __init__(self, delta: Any) -> None:
        super().__init__(DeltaDataIntervalSpec(delta=calendar_delta(delta, "delta")))


class EventsTimetable(Timetable):
    """One run at each of the listed times."""

    def __init__(
        self,
        event_dates: Iterable[datetime],
        restrict_to_events: bool = False,
        presorted: bool = False,
        description: str | None = None,
    ) -> None:
        self.restrict_to_events = restrict_to_events
        self.event_dates = sorted({as_pendulum(_utc(each)) for each in event_dates})
        super().__init__(
            EventsSpec(
                event_dates=tuple(map(_utc, self.event_dates)),
                restrict_to_events=restrict_to_events,
                description=description,
            )
        )


def _plain_data(timetable: Timetable) -> dict[str, Any]:
    """What `serialize` gives, as JSON can say it: timetables with other arguments are told apart by it."""
    found = timetable.serialize()
    if not isinstance(found, Mapping):
        raise invalid("serialize() of a timetable gives a dict", subject=type(timetable).__name__, value=found)
    plain: dict[str, Any] = msgspec.to_builtins(dict(found), str_keys=True, enc_hook=str)
    return plain


def _utc(moment: datetime) -> datetime:
    """A moment, naive ones being UTC, as the standard library's type: what is stored knows no pendulum."""
    known = moment.astimezone(UTC) if moment.tzinfo else moment
    return datetime.combine(known.date(), known.time(), tzinfo=UTC)


class CronPartitionTimetable(Timetable):
    """One run at each time of a cron expression, for the partition that the time so many beats on names.

    The run's `partition_key` is that time, written by `key_format`; such a run has no logical date.
    """

    partitioned = True

    def __init__(
        self,
        cron: str,
        *,
        timezone: str | tzinfo,
        run_offset: int | None = None,
        run_immediately: bool | timedelta = False,
        key_format: str = "%Y-%m-%dT%H:%M:%S",
    ) -> None:
        if run_offset is not None and not isinstance(run_offset, int):
            raise invalid("run_offset is a whole number of cron times", field="run_offset", value=run_offset)
        super().__init__(
            CronPartitionSpec(
                cron=_cron_text(cron),
                timezone=zone_name(timezone),
                run_offset=run_offset or 0,
                key_format=key_format,
                run_immediately=run_immediately,
            )
        )


class PartitionedAtRuntime(Timetable):
    """Never runs by itself; the partition is given by whoever triggers the DAG, or by its tasks."""

    partitioned_at_runtime = True

    def __init__(self) -> None:
        super().__init__(PartitionedAtRuntimeSpec())


class AssetTriggeredTimetable(Timetable):
    """Runs when assets change."""

    def __init__(self, assets: Any) -> None:
        super().__init__(AssetTriggeredSpec())
        self.asset_condition = _condition(assets)


class PartitionedAssetTimetable(Timetable):
    """Runs once for each partition of its assets that is complete.

    `partition_mapper_config` gives assets their mappers, `default_partition_mapper` is that of all others.
    """

    partitioned = True

    def __init__(
        self,
        *,
        assets: Any,
        partition_mapper_config: Mapping[BaseAsset, PartitionMapper] | None = None,
        default_partition_mapper: PartitionMapper | None = None,
    ) -> None:
        self.partition_mapper_config = dict(partition_mapper_config or {})
        self.default_partition_mapper = default_partition_mapper or IdentityMapper()
        self.asset_condition = _condition(assets)
        super().__init__(
            AssetTriggeredSpec(
                partitioned=True,
                default_mapper=self.default_partition_mapper.spec(),
                mappers=tuple(
                    each for asset, mapper in self.partition_mapper_config.items() for each in _mappers(asset, mapper)
                ),
            )
        )

    def get_partition_mapper(self, *, name: str = "", uri: str = "") -> PartitionMapper:
        """The mapper of an asset: by its name, else by its URI, else the default."""
        configured = list(self.partition_mapper_config.items())
        for key, wanted in (("name", name), ("uri", uri)):
            for asset, mapper in reversed(configured):
                if wanted and any(getattr(item, key, "") == wanted for item in asset.iter_assets()):
                    return mapper
        return self.default_partition_mapper


def _mappers(asset: BaseAsset, mapper: PartitionMapper) -> list[AssetMapperSpec]:
    found = []
    for item in asset.iter_assets():
        if isinstance(item, AssetAlias):
            raise invalid("an alias has no partition mapper of its own", field="partition_mapper_config", value=item)
        if isinstance(item, (Asset, AssetRef)):
            found.append(AssetMapperSpec(mapper=mapper.spec(), name=item.name, uri=item.uri))
    return found


def _condition(assets: Any) -> BaseAsset:
    return assets if isinstance(assets, BaseAsset) else AssetAll(*assets)


class AssetOrTimeSchedule(Timetable):
    """Runs by a timetable and when assets change."""

    def __init__(self, *, timetable: Timetable, assets: Any) -> None:
        self.timetable = timetable
        super().__init__(AssetOrTimeSpec(timetable=timetable.spec))  # type: ignore[arg-type]
        self.asset_condition = _condition(assets)


def read_schedule(
    schedule: Any,
    *,
    timezone: str,
    subject: str,
    field: str,
    cron_data_intervals: bool = False,
    delta_data_intervals: bool = False,
) -> tuple[Timetable, BaseAsset | None]:
    """The timetable that `schedule=` means and, where assets take part, the condition on them.

    Raises UserError naming the DAG, the value and the remedy.
    """
    if isinstance(schedule, Timetable):
        _compile(schedule, schedule, subject, field)
        return schedule, getattr(schedule, "asset_condition", None)
    if isinstance(schedule, BaseAsset):
        return AssetTriggeredTimetable(schedule), schedule
    if isinstance(schedule, (list, tuple, set)):
        return _assets_only(list(schedule), subject, field)
    if hasattr(schedule, "next_dagrun_info"):
        raise unavailable(
            f"{subject}: a timetable class that does not extend dagdeck.timetables.Timetable "
            f"({type(schedule).__name__})",
            "Make it a subclass of Timetable",
        )
    try:
        spec = from_schedule(
            schedule,
            timezone=timezone,
            cron_data_intervals=cron_data_intervals,
            delta_data_intervals=delta_data_intervals,
        )
        timetable = Timetable(spec)
    except UserError as error:
        raise invalid(
            error.message, subject=subject, field=field, value=error.value or schedule, remedy=error.remedy
        ) from error
    _compile(timetable, schedule, subject, field)
    return timetable, None


def _compile(timetable: Timetable, schedule: Any, subject: str, field: str) -> None:
    try:
        _ = timetable.compiled
        if type(timetable).validate is not Timetable.validate:
            timetable.validate()
    except UserError as error:
        raise invalid(
            error.message, subject=subject, field=field, value=error.value or schedule, remedy=error.remedy
        ) from error


def _assets_only(schedule: list[Any], subject: str, field: str) -> tuple[Timetable, BaseAsset]:
    wrong = [item for item in schedule if not isinstance(item, BaseAsset)]
    if wrong or not schedule:
        raise invalid(
            "a list as schedule names assets",
            subject=subject,
            field=field,
            value=wrong[0] if wrong else schedule,
            remedy="For several cron expressions use MultipleCronTriggerTimetable",
        )
    condition = AssetAll(*schedule)
    return AssetTriggeredTimetable(condition), condition


def _cron_text(cron: Any) -> str:
    if not isinstance(cron, str):
        raise invalid("a cron expression is text", field="cron", value=cron)
    return cron


def zone_name(zone: str | tzinfo | None, *, subject: str = "", field: str = "timezone") -> str:
    """The name by which a zone is stored: an IANA name, `UTC` or an offset such as `+02:00`.

    Raises UserError for a zone that has no name.
    """
    if zone is None:
        return "UTC"
    if isinstance(zone, str):
        return zone
    name = getattr(zone, "key", None)
    if isinstance(name, str):
        return name
    offset = zone.utcoffset(None)
    if offset is None:
        raise invalid(
            "this time zone has no name",
            subject=subject,
            field=field,
            value=zone,
            remedy='Use zoneinfo.ZoneInfo("Europe/Berlin") or pendulum.timezone("Europe/Berlin")',
        )
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return "UTC" if not minutes else f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def load_zone(name: str) -> tzinfo:
    """The zone of a name as `zone_name` gives it. Raises UserError for an unknown one."""
    from datetime import timezone
    from zoneinfo import ZoneInfo

    if name.upper() == "UTC":
        return UTC
    if name[:1] in "+-" and name[1:3].isdigit():
        offset = timedelta(hours=int(name[1:3]), minutes=int(name[4:6] or 0))
        return timezone(-offset if name[0] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise invalid(
            "there is no such time zone", field="timezone", value=name, remedy='For example "Europe/Berlin"'
        ) from error


__all__ = [
    "AssetOrTimeSchedule",
    "AssetTriggeredTimetable",
    "CalendarDelta",
    "CronDataIntervalTimetable",
    "CronPartitionTimetable",
    "CronTriggerTimetable",
    "DeltaDataIntervalTimetable",
    "DeltaTriggerTimetable",
    "EventsTimetable",
    "MultipleCronTriggerTimetable",
    "PartitionedAssetTimetable",
    "PartitionedAtRuntime",
    "Timetable",
    "load_zone",
    "read_schedule",
    "zone_name",
]
