"""Expanded tasks and mapped groups of the simulation's DAGs, and how many instances a finished run should have.

Decides which tasks of a random DAG are expanded and over what. How instances end is `scenario`'s to say. Called by
`scenario` for the DAGs and by `run_checks` for the lengths.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from dagdeck_core.expansion import Expansion
from dagdeck_core.spec import LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule

GROUP = "g"


def with_mapping(
    rng: random.Random, tasks: tuple[TaskSpec, ...]
) -> tuple[tuple[TaskSpec, ...], tuple[TaskGroupSpec, ...]]:
    """In some DAGs some tasks are expanded, over what stands in the file or over results, and some lie in a group."""
    if rng.random() < 0.6:
        return tasks, ()
    changed = list(tasks)
    groups = _with_group(rng, changed) if rng.random() < 0.5 else ()
    for number, task in enumerate(changed):
        if task.group_id or task.is_setup or rng.random() < 0.6:
            continue
        earlier = [each.task_id for each in changed[:number]]
        spec = _mapped(rng, [name for name in task.upstream if name in earlier])
        limit = rng.choice([None, None, 1, 2])
        changed[number] = msgspec.structs.replace(
            task, mapped=spec, max_active_tis_per_dagrun=limit, start_trigger=None
        )
    return tuple(changed), groups


def _with_group(rng: random.Random, tasks: list[TaskSpec]) -> tuple[TaskGroupSpec, ...]:
    """Put some tasks into a mapped group; those that it is expanded over come before all of them."""
    fit = [number for number, task in enumerate(tasks) if not task.is_setup and not task.is_teardown]
    if not fit:
        return ()
    inside = sorted(rng.sample(fit, k=min(len(fit), rng.randint(1, 4))))
    sources = [task.task_id for task in tasks[: inside[0]] if not task.is_teardown]
    spec = _mapped(rng, rng.sample(sources, k=min(len(sources), 1)))
    for number in inside:
        task = tasks[number]
        rule = task.trigger_rule
        tasks[number] = msgspec.structs.replace(
            task,
            group_id=GROUP,
            upstream=tuple(sorted({*task.upstream, *spec.sources})),
            trigger_rule=TriggerRule.ALL_DONE if rule is TriggerRule.ALWAYS else rule,
            start_trigger=None,
            depends_on_past=task.depends_on_past and not spec.sources,
        )
    return (TaskGroupSpec(group_id=GROUP, mapped=spec),)


def _mapped(rng: random.Random, sources: list[str]) -> MappedSpec:
    inputs: dict[str, LengthSpec] = {}
    for number in range(rng.choice([1, 1, 2])):
        literal = LengthSpec(length=rng.choice([0, 1, 2, 3, 3]))
        inputs[f"x{number}"] = LengthSpec(task_id=rng.choice(sources)) if sources and rng.random() < 0.7 else literal
    return MappedSpec(kind="expand", inputs=inputs)


def wanted_length(expansion: Expansion, task: int, given: Callable[[str], int | None]) -> int | None:
    """How many instances a task is to have when its sources gave so many values; None when one of them gave none."""
    total = 1
    for part in [part for spec in expansion.chains[task] for part in spec.inputs.values()]:
        length = given(part.task_id) if part.task_id is not None else part.length
        if length is None:
            return None
        total *= length
    return total
