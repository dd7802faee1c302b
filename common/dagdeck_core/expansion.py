"""Which tasks of a DAG are expanded, and which instances of two tasks belong together.

Decides that from the spec alone, once per DAG version. Inside a mapped group index goes with index: there a
dependency is *partial* (an instance depends on the instances of the same index of their common group); every other
dependency is *whole* (on all instances). How many instances there are is known only in a run (`RunState.length`).
Part of a `Graph`; read by the scheduling machine, `explain()`, the control API and `dag.test()`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dagdeck_core.spec import DagSpec, MappedSpec, TaskSpec

Indexes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """The other end of a partial dependency. `depth` is how many mapped groups both tasks lie in."""

    task: int
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A DAG's expansions by task index. Only DAGs that have any have one."""

    chains: tuple[tuple[MappedSpec, ...], ...]
    """What each task is expanded over: its mapped groups from the outside in, then itself. Empty: it is not."""
    groups: tuple[tuple[str, ...], ...]
    """The ids of these groups."""
    sources: tuple[Indexes, ...]
    """Tasks whose results decide how many instances a task has."""
    whole_up: tuple[Indexes, ...]
    whole_down: tuple[Indexes, ...]
    partial_up: tuple[tuple[Partner, ...], ...]
    partial_down: tuple[tuple[Partner, ...], ...]
    wakes: tuple[Indexes, ...]
    """Tasks to be judged anew as a whole when an instance of this one ends."""

    def is_expanded(self, task: int) -> bool:
        """Whether the task has instances with map indexes."""
        return bool(self.chains[task])

    def depth_of(self, task: int, other: int) -> int:
        """How many mapped groups both tasks lie in; 0 when none."""
        depth = 0
        for one, another in zip(self.groups[task], self.groups[other], strict=False):
            if one != another:
                break
            depth += 1
        return depth

    def instances_inside(self, task: int, depth: int) -> int:
        """How many instances the task has for each index of its `depth`-th mapped group (from 1).

        A group inside a mapped group, or the only thing inside one, is expanded over what stands in the file.
        """
        return math.prod(spec.literal_length or 0 for spec in self.chains[task][depth:])

    def partners(self, task: int, map_index: int, other: int, depth: int) -> range:
        """The map indexes of `other` that belong to instance `map_index` of `task` in their `depth`-th group."""
        inside = self.instances_inside(task, depth)
        group_index = map_index // inside if inside else 0
        width = self.instances_inside(other, depth)
        return range(group_index * width, (group_index + 1) * width)

    def related(self, task: int, map_index: int, other: int) -> range | None:
        """The map indexes of `other` that belong to an instance of `task`; None when all do."""
        depth = self.depth_of(task, other) if map_index >= 0 else 0
        return self.partners(task, map_index, other, depth) if depth else None


def plan(spec: DagSpec, tasks: Sequence[TaskSpec], up: Sequence[Indexes], down: Sequence[Indexes]) -> Expansion | None:
    """The expansions of `spec`, whose tasks and edges are given in the graph's order; None when it has none."""
    mapped_groups = _mapped_groups(spec)
    groups = tuple(mapped_groups.get(task.group_id or "", ()) for task in tasks)
    own = [(task.mapped,) if task.mapped is not None else () for task in tasks]
    if not any(own) and not any(groups):
        return None
    specs = {group.group_id: group.mapped for group in spec.groups if group.mapped is not None}
    chains = tuple((*(specs[each] for each in ids), *mine) for ids, mine in zip(groups, own, strict=True))
    index = {task.task_id: i for i, task in enumerate(tasks)}
    sources = tuple(
        tuple(sorted({index[name] for each in chain for name in each.sources if name in index})) for chain in chains
    )
    # Only now is it known which tasks share a group; the plan without its edges answers that.
    bare = Expansion(
        chains=chains,
        groups=groups,
        sources=sources,
        whole_up=(),
        whole_down=(),
        partial_up=(),
        partial_down=(),
        wakes=(),
    )
    whole_down = _whole(bare, down)
    return Expansion(
        chains=chains,
        groups=groups,
        sources=sources,
        whole_up=_whole(bare, up),
        whole_down=whole_down,
        partial_up=_partial(bare, up),
        partial_down=_partial(bare, down),
        wakes=_wakes(whole_down, sources),
    )


def _mapped_groups(spec: DagSpec) -> dict[str, tuple[str, ...]]:
    """Group id → ids of the mapped ones among it and the groups around it, from the outside in."""
    by_id = {group.group_id: group for group in spec.groups}
    found: dict[str, tuple[str, ...]] = {}
    for group in spec.groups:
        chain: list[str] = []
        each = group.group_id
        while each in by_id and len(chain) <= len(by_id):
            chain.append(each)
            each = by_id[each].parent_id or ""
        found[group.group_id] = tuple(name for name in reversed(chain) if by_id[name].mapped is not None)
    return found


def _whole(expansion: Expansion, edges: Sequence[Indexes]) -> tuple[Indexes, ...]:
    return tuple(
        tuple(other for other in others if not expansion.depth_of(task, other)) for task, others in enumerate(edges)
    )


def _partial(expansion: Expansion, edges: Sequence[Indexes]) -> tuple[tuple[Partner, ...], ...]:
    return tuple(
        tuple(Partner(task=other, depth=depth) for other in others if (depth := expansion.depth_of(task, other)))
        for task, others in enumerate(edges)
    )


def _wakes(whole_down: Sequence[Indexes], sources: Sequence[Indexes]) -> tuple[Indexes, ...]:
    wakes = [dict.fromkeys(below) for below in whole_down]
    for task, inputs in enumerate(sources):
        for source in inputs:
            wakes[source][task] = None
    return tuple(tuple(sorted(each)) for each in wakes)
