"""Questions about the instances of expanded tasks: how many there are to be, and what stands before each.

Decides the length of an expansion, what the tasks that it is over make of it, and the counts by which an instance in a
mapped group is judged. Changes nothing. Called by `run_state` and `mapping`, and by `explain()` through them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagdeck_core.spec import LengthSpec, TriggerRule
from dagdeck_core.states import TERMINAL, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement, UpstreamCounts

if TYPE_CHECKING:
    from dagdeck_core.scheduling.run_state import RunState, Task

_S = TaskInstanceState
MISSING = -1
"""The length of what has ended without giving one."""
_SATISFIED_BY_SOME = frozenset(
    {
        TriggerRule.ONE_SUCCESS,
        TriggerRule.ONE_FAILED,
        TriggerRule.ONE_DONE,
        TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    }
)
"""Rules that some upstream may satisfy: before a task of a mapped group is expanded, they cannot be judged."""


def length_of(run: RunState, index: int) -> int | None:
    """How many instances an expanded task is to have; None while that is not known, MISSING when it never will be."""
    expansion = run.graph.expansion
    assert expansion is not None
    total = 1
    missing = False
    for spec in expansion.chains[index]:
        for part in spec.inputs.values():
            length = _length(run, part)
            if length is None:
                return None
            missing = missing or length == MISSING
            total *= length
    return MISSING if missing else total


def _length(run: RunState, spec: LengthSpec) -> int | None:
    if spec.length is not None:
        return spec.length
    if spec.task_id is not None:
        return _returned_length(run, run.graph.index[spec.task_id])
    parts = [_length(run, part) for part in (*spec.zipped, *spec.joined)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if MISSING in known:
        return MISSING
    if spec.zipped:
        return max(known) if spec.longest else min(known)
    return sum(known)


def _returned_length(run: RunState, index: int) -> int | None:
    """The number of items that a task's result has: of an expanded task, of instances that returned something."""
    expansion = run.graph.expansion
    assert expansion is not None
    tasks = run.tasks[index]
    if expansion.is_expanded(index):
        if any(task.state not in TERMINAL for task in tasks):
            return None
        return sum(
            task.effects is not None and task.effects.returned and task.state is not _S.REMOVED for task in tasks
        )
    for task in tasks:
        if task.state not in TERMINAL:
            return None
        length = task.effects.mapped_length if task.effects is not None else None
        return MISSING if length is None or task.state is not _S.SUCCESS else length
    return None


def input_verdict(run: RunState, index: int) -> Judgement | None:
    """What the tasks that a task is expanded over make of it, whatever its trigger rule: None when nothing.

    One that failed, or was skipped, gives no values. An expanded one has at least begun to give some.
    """
    expansion = run.graph.expansion
    assert expansion is not None
    verdict: Judgement | None = None
    for source in expansion.sources[index]:
        tasks = run.tasks[source]
        if not tasks or tasks[0].map_index >= 0:
            continue
        state = tasks[0].state
        if state is _S.FAILED or state is _S.UPSTREAM_FAILED:
            return Judgement.UPSTREAM_FAILED
        if state is _S.SKIPPED:
            verdict = Judgement.SKIP
    return verdict


def concerned(run: RunState, task: Task, other: int) -> list[Task]:
    """The instances of another task that concern a task instance: in a mapped group of both those of its index."""
    expansion = run.graph.expansion
    others = run.tasks[other]
    related = expansion.related(task.task_index, task.map_index, other) if expansion is not None else None
    if related is None or (others and others[0].map_index < 0):
        return others
    return [others[at] for at in related if at < len(others)]


def counts_of(run: RunState, task: Task) -> UpstreamCounts | None:
    """How the upstream of one instance of a task in a mapped group stands.

    None for a summary instance that cannot be judged before it is expanded.
    """
    expansion = run.graph.expansion
    assert expansion is not None
    index = task.task_index
    whole = run.up[index]
    counts = UpstreamCounts(
        total=whole.total,
        success=whole.success,
        skipped=whole.skipped,
        failed=whole.failed,
        upstream_failed=whole.upstream_failed,
        removed=whole.removed,
        setups=whole.setups,
        setup_success=whole.setup_success,
        setup_skipped=whole.setup_skipped,
    )
    for partner in expansion.partial_up[index]:
        upstream = run.tasks[partner.task]
        if upstream and upstream[0].map_index < 0:
            _add(counts, upstream[0])
        elif task.map_index >= 0:
            for map_index in expansion.partners(index, task.map_index, partner.task, partner.depth):
                if map_index < len(upstream):
                    _add(counts, upstream[map_index])
        elif task.spec.trigger_rule in _SATISFIED_BY_SOME:
            return None
    return counts


def _add(counts: UpstreamCounts, task: Task) -> None:
    is_setup = task.spec.is_setup
    counts.total += 1
    counts.setups += is_setup
    if task.state in TERMINAL:
        counts.count(task.state, 1, is_setup=is_setup)
