"""Which instances of another task belong to one instance, and their values.

Decides that from the mapped groups around both tasks: inside a common one, those of the same index of that group;
otherwise all. The scheduler decides the same for dependencies (`dagdeck_core.expansion`). Called when an XComArg of
an expanded task is resolved.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dagdeck.mapping.lazy_sequence import LazyXComSequence
from dagdeck.xcom_arg import NOTSET

if TYPE_CHECKING:
    from dagdeck.dags import DAG
    from dagdeck.mapping.mapped_group import MappedTaskGroup
    from dagdeck.operator import BaseOperator
    from dagdeck.xcom_arg import XComArg


def mapped_groups(task: BaseOperator) -> list[MappedTaskGroup]:
    """The mapped groups around a task, the outermost first."""
    found: list[Any] = []
    group = task.task_group
    while group is not None:
        if group.is_mapped:
            found.append(group)
        group = group.parent_group
    return found[::-1]


def index_in_group(task: BaseOperator, map_index: int, group: MappedTaskGroup) -> int:
    """Which index of `group`, which is around `task`, its instance `map_index` belongs to."""
    groups = mapped_groups(task)
    depth = groups.index(group)
    index = map_index // instances_inside(groups[depth + 1 :])
    return index if depth == 0 else index % instances_inside(groups[depth : depth + 1])


def relevant_indexes(task: BaseOperator, map_index: int, other: BaseOperator) -> int | range | None:
    """The map indexes of `other` that belong to instance `map_index` of `task`; None: all of them."""
    own, theirs = mapped_groups(task), mapped_groups(other)
    depth = 0
    while depth < min(len(own), len(theirs)) and own[depth] is theirs[depth]:
        depth += 1
    if not depth or map_index < 0:
        return None
    index = map_index // instances_inside(own[depth:])
    if len(theirs) == depth:
        return index
    inside = instances_inside(theirs[depth:])
    return range(index * inside, (index + 1) * inside)


def instances_inside(groups: list[MappedTaskGroup]) -> int:
    """How many instances one index of the group around `groups` has: their lengths stand in the file."""
    return math.prod(group.expand_input.spec().literal_length or 0 for group in groups)


def resolve_expanded(arg: XComArg, ti: Any) -> Any:
    """The value of an XComArg whose task is expanded, for the task instance `ti`."""
    indexes = relevant_indexes(ti.task, ti.map_index, arg.operator)
    if indexes is None:
        return LazyXComSequence(arg.operator.task_id, arg.key, ti)
    if isinstance(indexes, range):
        return ti.xcom_pull(task_ids=arg.operator.task_id, key=arg.key, map_indexes=indexes)
    value = ti.xcom_pull(task_ids=arg.operator.task_id, key=arg.key, map_indexes=indexes, default=NOTSET)
    return arg.or_missing(value)


def expansion_sources(dag: DAG) -> frozenset[str]:
    """Ids of the tasks whose results some expansion of the DAG needs. Found once: the DAG is whole when tasks run."""
    known: frozenset[str] | None = dag.__dict__.get("_expansion_sources")
    if known is None:
        inputs = [task.expand_input for task in dag.task_dict.values() if task.is_mapped]
        inputs += [group.expand_input for group in dag.task_group_dict.values() if group.is_mapped]
        known = frozenset(source for each in inputs for source in each.spec().sources)
        dag.__dict__["_expansion_sources"] = known
    return known
