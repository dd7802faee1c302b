"""From a stored mapper to one that maps keys.

Decides nothing of its own. Called by the scheduling core and the API.
"""

from __future__ import annotations

from typing import assert_never

from dagdeck_core.errors import UserError
from dagdeck_core.partitions.mappers import (
    AllowedKeyMapper,
    ChainMapper,
    FanOutMapper,
    FixedKeyMapper,
    IdentityMapper,
    PartitionMapper,
    ProductMapper,
    RollupMapper,
    StartOfMapper,
)
from dagdeck_core.partitions.specs import (
    AllowedKeySpec,
    ChainSpec,
    CustomMapperSpec,
    FanOutSpec,
    FixedKeySpec,
    IdentitySpec,
    MapperSpec,
    ProductSpec,
    RollupSpec,
    StartOfSpec,
)
from dagdeck_core.partitions.windows import compile_wait, compile_window
from dagdeck_core.timetables.base import ZoneLoader


def compile_mapper(spec: MapperSpec, zone_loader: ZoneLoader) -> PartitionMapper:
    """The mapper of a spec. Raises UserError for values that a spec must not hold, and for one that is user code."""
    limit = spec.max_downstream_keys
    match spec:
        case IdentitySpec():
            return IdentityMapper(max_downstream_keys=limit)
        case AllowedKeySpec():
            return AllowedKeyMapper(spec.allowed_keys, max_downstream_keys=limit)
        case FixedKeySpec():
            return FixedKeyMapper(spec.downstream_key, max_downstream_keys=limit)
        case StartOfSpec():
            return StartOfMapper(
                spec.period,
                zone_loader(spec.timezone),
                timezone=spec.timezone,
                input_format=spec.input_format,
                output_format=spec.output_format,
                max_downstream_keys=limit,
            )
        case ChainSpec():
            first, second, *rest = (compile_mapper(each, zone_loader) for each in spec.mappers)
            return ChainMapper(first, second, *rest, max_downstream_keys=limit)
        case ProductSpec():
            first, second, *rest = (compile_mapper(each, zone_loader) for each in spec.mappers)
            return ProductMapper(first, second, *rest, delimiter=spec.delimiter, max_downstream_keys=limit)
        case RollupSpec():
            return RollupMapper(
                upstream_mapper=compile_mapper(spec.upstream_mapper, zone_loader),
                window=compile_window(spec.window),
                wait_policy=compile_wait(spec.wait_policy),
                max_downstream_keys=limit,
            )
        case FanOutSpec():
            return FanOutMapper(
                upstream_mapper=compile_mapper(spec.upstream_mapper, zone_loader),
                window=compile_window(spec.window),
                downstream_mapper=compile_mapper(spec.downstream_mapper, zone_loader),
                max_downstream_keys=limit,
            )
        case CustomMapperSpec():
            raise UserError("a mapper of the author's is asked only where user code runs", value=spec.class_path)
        case _:
            assert_never(spec)
