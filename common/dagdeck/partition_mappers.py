"""Partition mappers, windows and wait policies as DAG authors write them.

Decides their arguments, which are Airflow's; what they do is `dagdeck_core.partitions`. Used in
`PartitionedAssetTimetable`. A mapper of one's own derives from `PartitionMapper`, a window from `Window`.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import ClassVar

from dagdeck.exceptions import invalid
from dagdeck.timetables import load_zone, zone_name
from dagdeck_core.partitions import mappers as core
from dagdeck_core.partitions.mappers import (
    AllowedKeyMapper,
    ChainMapper,
    FixedKeyMapper,
    IdentityMapper,
    PartitionMapper,
    ProductMapper,
    RollupMapper,
)
from dagdeck_core.partitions.specs import Period
from dagdeck_core.partitions.windows import (
    DayWindow,
    HourWindow,
    MinimumCount,
    MonthWindow,
    PartitionSatisfaction,
    QuarterWindow,
    SegmentWindow,
    WaitForAll,
    WaitPolicy,
    WeekWindow,
    Window,
    YearWindow,
)


class _StartOfMapper(core.StartOfMapper):
    """A mapper of dates whose period is its class's."""

    of: ClassVar[Period]

    def __init__(
        self,
        *,
        timezone: str | tzinfo = "UTC",
        input_format: str = core.DEFAULT_INPUT_FORMAT,
        output_format: str | None = None,
        max_downstream_keys: int | None = None,
    ) -> None:
        name = zone_name(timezone)
        super().__init__(
            self.of,
            load_zone(name),
            timezone=name,
            input_format=input_format,
            output_format=output_format,
            max_downstream_keys=max_downstream_keys,
        )


class StartOfHourMapper(_StartOfMapper):
    """`2024-03-13T10:42:15` becomes `2024-03-13T10`."""

    of = Period.HOUR


class StartOfDayMapper(_StartOfMapper):
    """`2024-03-13T10:42:15` becomes `2024-03-13`."""

    of = Period.DAY


class StartOfWeekMapper(_StartOfMapper):
    """`2024-03-13T10:42:15` becomes `2024-03-11 (W11)`, the Monday of its week."""

    of = Period.WEEK


class StartOfMonthMapper(_StartOfMapper):
    """`2024-03-13T10:42:15` becomes `2024-03`."""

    of = Period.MONTH


class StartOfQuarterMapper(_StartOfMapper):
    """`2024-03-13T10:42:15` becomes `2024-Q1`."""

    of = Period.QUARTER


class StartOfYearMapper(_StartOfMapper):
    """`2024-03-13T10:42:15` becomes `2024`."""

    of = Period.YEAR


class FanOutMapper(core.FanOutMapper):
    """One upstream key leads to one downstream key for each member of its window.

    Without `downstream_mapper`, members of days become hours, those of weeks and months days, and those of quarters
    and years months. Raises UserError for other windows without one.
    """

    default_downstream_mapper_by_window_name: ClassVar[dict[str, type[PartitionMapper]]] = {
        "DayWindow": StartOfHourMapper,
        "WeekWindow": StartOfDayMapper,
        "MonthWindow": StartOfDayMapper,
        "QuarterWindow": StartOfMonthMapper,
        "YearWindow": StartOfMonthMapper,
    }

    def __init__(
        self,
        *,
        upstream_mapper: PartitionMapper,
        window: Window,
        downstream_mapper: PartitionMapper | None = None,
        max_downstream_keys: int | None = None,
    ) -> None:
        if downstream_mapper is None:
            made = self.default_downstream_mapper_by_window_name.get(type(window).__name__)
            if made is None:
                raise invalid(
                    f"FanOutMapper knows no mapper for the members of a {type(window).__name__}",
                    field="downstream_mapper",
                    remedy="Give downstream_mapper",
                )
            downstream_mapper = made()
        super().__init__(
            upstream_mapper=upstream_mapper,
            window=window,
            downstream_mapper=downstream_mapper,
            max_downstream_keys=max_downstream_keys,
        )


__all__ = [
    "AllowedKeyMapper",
    "ChainMapper",
    "DayWindow",
    "FanOutMapper",
    "FixedKeyMapper",
    "HourWindow",
    "IdentityMapper",
    "MinimumCount",
    "MonthWindow",
    "PartitionMapper",
    "PartitionSatisfaction",
    "ProductMapper",
    "QuarterWindow",
    "RollupMapper",
    "SegmentWindow",
    "StartOfDayMapper",
    "StartOfHourMapper",
    "StartOfMonthMapper",
    "StartOfQuarterMapper",
    "StartOfWeekMapper",
    "StartOfYearMapper",
    "WaitForAll",
    "WaitPolicy",
    "WeekWindow",
    "Window",
    "YearWindow",
]
