"""Asking an author's partition mappers, windows and wait policies, in a runner.

Decides how their answers are turned into data, and that an answer which would be too large ends early. Does not decide
when they are asked (`dagdeck_core.scheduling.partition_answers`). Carried out for `side_work`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from dagdeck.dags import DAG
from dagdeck.exceptions import AirflowException
from dagdeck.timetables import PartitionedAssetTimetable, plain_utc
from dagdeck_core.errors import UserError
from dagdeck_core.partitions.mappers import PartitionMapper, downstream_keys
from dagdeck_core.partitions.windows import WaitForAll, WaitPolicy
from dagdeck_core.work import ANSWER_BYTES, JudgePartition, KeyToMap, MapKeys
from dagdeck_task.dag_run import as_pendulum
from dagdeck_task.side_work import Desk, carries

MOST_KEYS = 10_000
"""Most keys that one event may lead to, whatever limits the cluster sets below that."""
_ROOM = ANSWER_BYTES * 3 // 4


def _mapper_of(dag: DAG, name: str, uri: str) -> PartitionMapper:
    timetable = dag.timetable
    if not isinstance(timetable, PartitionedAssetTimetable):
        raise AirflowException(f"dag {dag.dag_id!r} has no partitions by assets any more")
    return timetable.get_partition_mapper(name=name, uri=uri)


@carries(MapKeys)
def map_keys(desk: Desk, order: MapKeys) -> list[dict[str, Any]]:
    """What is said of each event, in order; what would not fit into one answer is left out at the end."""
    found: list[dict[str, Any]] = []
    room = _ROOM
    for event in order.events:
        said = _said_of(desk.dag, event)
        room -= len(msgspec.json.encode(said))
        if room < 0 and found:
            break
        found.append(said)
    return found


def _said_of(dag: DAG, event: KeyToMap) -> dict[str, Any]:
    """The keys that one event leads to. What the author's code raises is the answer for this event alone."""
    try:
        mapper = _mapper_of(dag, event.name, event.uri)
        keys = downstream_keys(mapper, event.key, most=MOST_KEYS)
        carried = _instant(mapper.carry_partition_date(None if event.date is None else as_pendulum(event.date)))
        return {"keys": [{**_said_of_key(mapper, key, event.key), "carried": carried} for key in keys]}
    except UserError as problem:
        return {"problem": str(problem)}
    except Exception as problem:  # noqa: BLE001 - an author's code may raise anything
        return {"problem": f"{type(problem).__name__}: {problem}"}


def _said_of_key(mapper: PartitionMapper, key: str, source_key: str) -> dict[str, Any]:
    """What the mapper says of one partition, seen from an event with `source_key`."""
    said: dict[str, Any] = {"key": key, "date": _instant(mapper.to_partition_date(key))}
    if mapper.is_rollup:
        expected, policy = _window_of(mapper, key)
        said["expected"] = len(expected)
        said["is_expected"] = source_key in expected
        if type(policy).is_satisfied_by_keys is not WaitPolicy.is_satisfied_by_keys:
            said["by_keys"] = True
        else:
            said["needed"] = _needed(policy, len(expected))
    return said


def _window_of(mapper: PartitionMapper, key: str) -> tuple[frozenset[str], WaitPolicy]:
    to_upstream: Callable[[str], Any] | None = getattr(mapper, "to_upstream", None)
    if to_upstream is None:
        raise AirflowException(f"{type(mapper).__name__} rolls up (is_rollup), but has no to_upstream")
    return frozenset(to_upstream(key)), getattr(mapper, "wait_policy", None) or WaitForAll()


def _needed(policy: WaitPolicy, expected: int) -> int | None:
    """The fewest upstream keys that are enough; keys come one by one, so the run starts with that one. None: never."""
    if policy.is_unreachable(expected):
        return None
    return next((matched for matched in range(expected + 1) if policy.is_satisfied(matched, expected)), None)


def _instant(moment: Any) -> str | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise AirflowException(f"a partition's date is a datetime with a time zone; the mapper gave {moment!r}")
    return plain_utc(moment).isoformat()


@carries(JudgePartition)
def judge(desk: Desk, order: JudgePartition) -> bool:
    """Whether the keys that have come are enough for the author's wait policy."""
    expected, policy = _window_of(_mapper_of(desk.dag, order.name, order.uri), order.key)
    found = policy.is_satisfied_by_keys(matched=frozenset(order.arrived), expected=expected)
    return bool(found.satisfied) and not found.unreachable
