"""What a partition mapper is when it is stored: small tagged structs that travel as JSON.

Decides the stored shape of every mapper, window and wait policy, and nothing about keys; `compile_mapper` turns a
spec into something that maps. Written by the authoring classes, stored inside the timetable's spec, read by the
scheduler and the API.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Period(StrEnum):
    """A calendar period that begins at a local midnight, hour or minute."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Direction(StrEnum):
    """Which period a window means, seen from its anchor."""

    BACKWARD = "backward"
    """The trailing period that ends at the anchor."""
    FORWARD = "forward"
    """The period that begins at the anchor."""


class _Tagged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Shared struct options of all specs; never stored itself."""


class PeriodWindowSpec(_Tagged, frozen=True, kw_only=True, tag="period"):
    """The next smaller periods that make up one period: minutes of an hour, hours of a day, days, months."""

    period: Period
    direction: Direction = Direction.FORWARD


class SegmentWindowSpec(_Tagged, frozen=True, kw_only=True, tag="segments"):
    """A fixed set of keys, sorted."""

    segments: tuple[str, ...]


class CustomWindowSpec(_Tagged, frozen=True, kw_only=True, tag="custom"):
    """A window class of the author's; only a process that may run user code can ask it."""

    class_path: str


WindowSpec = PeriodWindowSpec | SegmentWindowSpec | CustomWindowSpec


class WaitForAllSpec(_Tagged, frozen=True, kw_only=True, tag="all"):
    """Every expected key must have arrived."""


class MinimumCountSpec(_Tagged, frozen=True, kw_only=True, tag="minimum"):
    """`n` > 0: so many expected keys; `n` < 0: all but so many."""

    n: int


class CustomWaitSpec(_Tagged, frozen=True, kw_only=True, tag="custom"):
    """A wait policy class of the author's; only a process that may run user code can ask it."""

    class_path: str
    data: dict[str, Any] = {}


WaitSpec = WaitForAllSpec | MinimumCountSpec | CustomWaitSpec


class _Mapper(_Tagged, frozen=True, kw_only=True):
    """Shared by all mappers: the most keys that one upstream key may lead to; None is the cluster's limit."""

    max_downstream_keys: int | None = None


class IdentitySpec(_Mapper, frozen=True, kw_only=True, tag="identity"):
    """The key stays as it is."""


class AllowedKeySpec(_Mapper, frozen=True, kw_only=True, tag="allowed_keys"):
    """The key stays as it is, and must be one of a list."""

    allowed_keys: tuple[str, ...]


class FixedKeySpec(_Mapper, frozen=True, kw_only=True, tag="fixed_key"):
    """Every key becomes the same one."""

    downstream_key: str


class StartOfSpec(_Mapper, frozen=True, kw_only=True, tag="start_of"):
    """A key that is a date becomes the key of the period that holds it."""

    period: Period
    output_format: str
    timezone: str = "UTC"
    input_format: str = "%Y-%m-%dT%H:%M:%S"


class ChainSpec(_Mapper, frozen=True, kw_only=True, tag="chain"):
    """One mapper after another."""

    mappers: tuple[MapperSpec, ...]


class ProductSpec(_Mapper, frozen=True, kw_only=True, tag="product"):
    """A key of several parts; each part has its mapper."""

    mappers: tuple[MapperSpec, ...]
    delimiter: str = "|"


class RollupSpec(_Mapper, frozen=True, kw_only=True, tag="rollup"):
    """Several upstream keys make one downstream key, which waits for them."""

    upstream_mapper: MapperSpec
    window: WindowSpec
    wait_policy: WaitSpec = WaitForAllSpec()


class FanOutSpec(_Mapper, frozen=True, kw_only=True, tag="fan_out"):
    """One upstream key leads to one downstream key for each member of its window."""

    upstream_mapper: MapperSpec
    window: WindowSpec
    downstream_mapper: MapperSpec


class CustomMapperSpec(_Mapper, frozen=True, kw_only=True, tag="custom"):
    """A mapper class of the author's; only a process that may run user code can ask it."""

    class_path: str
    data: dict[str, Any] = {}


MapperSpec = (
    IdentitySpec
    | AllowedKeySpec
    | FixedKeySpec
    | StartOfSpec
    | ChainSpec
    | ProductSpec
    | RollupSpec
    | FanOutSpec
    | CustomMapperSpec
)


class AssetMapperSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The mapper of one asset of a schedule, which is named by its name, its URI or both."""

    mapper: MapperSpec
    name: str = ""
    uri: str = ""


def needs_code(spec: MapperSpec) -> bool:
    """Whether the mapper, or a part of it, is the author's own code."""
    match spec:
        case CustomMapperSpec():
            return True
        case ChainSpec() | ProductSpec():
            return any(needs_code(mapper) for mapper in spec.mappers)
        case RollupSpec():
            return (
                needs_code(spec.upstream_mapper)
                or isinstance(spec.window, CustomWindowSpec)
                or isinstance(spec.wait_policy, CustomWaitSpec)
            )
        case FanOutSpec():
            return (
                needs_code(spec.upstream_mapper)
                or needs_code(spec.downstream_mapper)
                or isinstance(spec.window, CustomWindowSpec)
            )
        case _:
            return False
