"""UUIDs for Airflow's API, derived from our 64-bit ids and turned back into them.

Decides the layout: a version 7 UUID whose time is the id's own, with node and counter behind it, so that order is kept
and nothing need be stored. Does not make ids (`dagdeck_core.ids`). Used by queries (answers) and filters.
"""

from __future__ import annotations

from uuid import UUID

from dagdeck_core.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS

_NODE_MASK = (1 << NODE_BITS) - 1
_COUNTER_MASK = (1 << COUNTER_BITS) - 1
_VERSION = 7 << 76
_VARIANT = 2 << 62


def uuid_of(identifier: int) -> UUID:
    """The UUID that stands for `identifier`; the same every time."""
    ms = (identifier >> (NODE_BITS + COUNTER_BITS)) + EPOCH_MS
    node = (identifier >> COUNTER_BITS) & _NODE_MASK
    counter = identifier & _COUNTER_MASK
    return UUID(int=(ms << 80) | _VERSION | (node << 64) | _VARIANT | counter)


def id_of(uuid: UUID) -> int | None:
    """The id that `uuid` stands for, or None when it was not made by `uuid_of`."""
    value = uuid.int
    ms, node, counter = (value >> 80) - EPOCH_MS, (value >> 64) & _NODE_MASK, value & _COUNTER_MASK
    if ms < 0:
        return None
    identifier = (((ms << NODE_BITS) | node) << COUNTER_BITS) | counter
    return identifier if uuid_of(identifier) == uuid else None
