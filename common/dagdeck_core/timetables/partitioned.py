"""Timetables of assets and partitions: by asset events, by cron with a key for each run, by whoever triggers.

Decides which partition a scheduled run is about, which mapper belongs to an asset, and the date of a key that a person
gives. Does not evaluate asset conditions (`dagdeck_core.scheduling` does). Made by `compile_timetable`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from dagdeck_core.errors import UserError
from dagdeck_core.partitions.compiling import compile_mapper
from dagdeck_core.partitions.mappers import PartitionMapper, local_time
from dagdeck_core.partitions.specs import MapperSpec, needs_code
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables.base import DataInterval, ZoneLoader, run_id_for
from dagdeck_core.timetables.rhythms import CronRhythm
from dagdeck_core.timetables.simple import ExactTimetable, NullTimetable
from dagdeck_core.timetables.specs import ZERO_DELTA, AssetTriggeredSpec, CronPartitionSpec
from dagdeck_core.timetables.trigger import TriggerTimetable


class PartitionedAtRuntimeTimetable(NullTimetable):
    """Never by itself; the partition is known when it runs."""

    __slots__ = ()

    summary = "PartitionedAtRuntime"
    description = "Never, partition key(s) set at runtime"


class CronPartitionTimetable(TriggerTimetable):
    """A run at every cron time, for the partition that the time names."""

    __slots__ = ("_cron", "_spec", "_zone")

    def __init__(self, spec: CronPartitionSpec, zone_loader: ZoneLoader) -> None:
        self._cron = CronRhythm(spec.cron, spec.timezone, spec.dst, zone_loader)
        super().__init__(self._cron, ZERO_DELTA, spec.run_immediately)
        self._spec = spec
        self._zone = zone_loader(spec.timezone)

    def partition_of(self, run_after: datetime) -> tuple[datetime, str]:
        """The partition of the run that is due at `run_after`: its date (aware UTC) and its key."""
        date = run_after
        for _ in range(abs(self._spec.run_offset)):
            date = self._cron.next_after(date) if self._spec.run_offset > 0 else self._cron.previous_before(date)
        return date, date.astimezone(self._zone).strftime(self._spec.key_format)

    def partition_date_of(self, key: str) -> datetime | None:
        """The date of a key. Raises UserError for one in another format."""
        try:
            found = datetime.strptime(key, self._spec.key_format)  # noqa: DTZ007 - a key is a wall clock's time
        except ValueError as error:
            raise UserError(
                f"this is no partition of the DAG: {error}",
                field="partition_key",
                value=key,
                remedy=f"Write it in the format {self._spec.key_format}",
            ) from error
        return (found if found.tzinfo is not None else local_time(found, self._zone)).astimezone(UTC)

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        """The partition is part of the id of a scheduled run."""
        if run_type is not DagRunType.SCHEDULED:
            return run_id_for(run_type, run_after)
        return run_id_for(run_type, run_after) + "__" + self.partition_of(run_after)[1]


class AssetTriggeredTimetable(ExactTimetable):
    """When assets change; the scheduler watches them, this one never has a next run."""

    __slots__ = ("_mappers", "_spec", "_zone_loader", "partitioned", "summary")

    description = "Triggered by assets"

    def __init__(self, spec: AssetTriggeredSpec, zone_loader: ZoneLoader) -> None:
        self.summary = "Partitioned Asset" if spec.partitioned else "Asset"
        self.partitioned = spec.partitioned
        self._spec = spec
        self._zone_loader = zone_loader
        self._mappers: dict[MapperSpec, PartitionMapper] = {}
        if spec.partitioned:
            # What is wrong with a mapper shows where the DAG is parsed, not when an event comes.
            for each in (spec.default_mapper, *(mapper.mapper for mapper in spec.mappers)):
                if not needs_code(each):
                    self._compiled(each)

    def mapper_spec(self, name: str, uri: str) -> MapperSpec:
        """The mapper of an asset: by its name, else by its URI, else the default."""
        by_name = [each.mapper for each in self._spec.mappers if name and each.name == name]
        by_uri = [each.mapper for each in self._spec.mappers if uri and each.uri == uri]
        if by_name:
            return by_name[-1]
        return by_uri[-1] if by_uri else self._spec.default_mapper

    def mapper(self, name: str, uri: str) -> PartitionMapper | None:
        """The mapper of an asset; None for one that is the author's code and is asked elsewhere."""
        spec = self.mapper_spec(name, uri)
        return None if needs_code(spec) else self._compiled(spec)

    @property
    def needs_code(self) -> bool:
        """Whether a mapper of it is the author's code."""
        return needs_code(self._spec.default_mapper) or any(needs_code(each.mapper) for each in self._spec.mappers)

    def partition_date_of(self, key: str) -> datetime | None:
        """The date that all its mappers of dates read in a key; None when they differ, or none is of dates."""
        found: dict[datetime, None] = {}
        for each in (self._spec.default_mapper, *(mapper.mapper for mapper in self._spec.mappers)):
            date = None if needs_code(each) else self._compiled(each).to_partition_date(key)
            if date is not None:
                found[date] = None
        return next(iter(found)) if len(found) == 1 else None

    def _compiled(self, spec: MapperSpec) -> PartitionMapper:
        known = self._mappers.get(spec)
        if known is None:
            known = self._mappers[spec] = compile_mapper(spec, self._zone_loader)
        return known
