"""Setups and teardowns in a graph: which setups a task needs, and what is cleared with a task.

Decides that from the graph alone, by Airflow's rules. A setup concerns a task behind it when one of its teardowns comes
after that task, or when it has none. Does not look at states: `scheduling.run_state` holds a task back by them. Called
when a graph is built, and by the control API when a person clears tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dagdeck_core.spec import TaskSpec, TriggerRule

if TYPE_CHECKING:
    from dagdeck_core.graph import Graph

Edges = Sequence[Sequence[int]]
_NONE: Mapping[int, tuple[int, ...]] = {}


def relevant_setups(tasks: Sequence[TaskSpec], up: Edges, down: Edges) -> Mapping[int, tuple[int, ...]]:
    """For each task that is no teardown, the setups however far before it that concern it, ascending."""
    found: dict[int, list[int]] = {}
    for index, task in enumerate(tasks):
        if not task.is_setup:
            continue
        concerned = _reach([index], down)
        teardowns = [each for each in down[index] if tasks[each].is_teardown]
        if teardowns:
            before = _reach(teardowns, up)
            concerned = {each: None for each in concerned if each in before}
        for each in concerned:
            if not tasks[each].is_teardown:
                found.setdefault(each, []).append(index)
    return {index: tuple(setups) for index, setups in found.items()}


def guards(tasks: Sequence[TaskSpec], up: Edges, down: Edges) -> Mapping[int, tuple[int, ...]]:
    """For each task, what holds it back without being directly upstream of it.

    For a teardown this is all that lies between its setups and itself, which must have ended; for another task the
    setups that concern it, which must have succeeded. What is directly upstream is judged with the trigger rule.
    A task that runs always is not held back.
    """
    if not any(task.is_setup for task in tasks):
        return _NONE
    found = dict(relevant_setups(tasks, up, down))
    for index, task in enumerate(tasks):
        if task.is_teardown:
            setups = [each for each in up[index] if tasks[each].is_setup]
            before = _reach([index], up)
            found[index] = tuple(sorted(each for each in _reach(setups, down) if each in before))
    held = {}
    for index in sorted(found):
        indirect = tuple(each for each in found[index] if each not in up[index])
        if indirect and tasks[index].trigger_rule is not TriggerRule.ALWAYS:
            held[index] = indirect
    return held


def guarded(guards: Mapping[int, tuple[int, ...]]) -> Mapping[int, tuple[int, ...]]:
    """The same the other way round: task → the tasks that it holds back."""
    found: dict[int, list[int]] = {}
    for index in sorted(guards):
        for guard in guards[index]:
            found.setdefault(guard, []).append(index)
    return {guard: tuple(indexes) for guard, indexes in found.items()}


def cleared_with(graph: Graph, starts: Iterable[int], *, upstream: bool = False, downstream: bool = False) -> list[int]:
    """`starts` and what is cleared with them, ascending.

    Whatever is cleared gets what it works with made anew and taken away again: the setups that concern it and their
    teardowns. A setup is cleared with its teardowns.
    """
    chosen = dict.fromkeys(starts)
    found = dict(chosen)
    if upstream:
        found.update(_reach(chosen, graph.up))
        found.update((each, None) for setup in list(found) for each in _teardowns_of(graph, setup))
    behind = _reach(chosen, graph.down) if downstream else {}
    found.update(behind)
    relevant = relevant_setups(graph.tasks, graph.up, graph.down)
    for index in behind if upstream else {**chosen, **behind}:
        task = graph.tasks[index]
        if task.is_setup or task.is_teardown or (upstream and index in chosen):
            continue
        for setup in relevant.get(index, ()):
            found[setup] = None
            found.update((each, None) for each in _teardowns_of(graph, setup))
    for index in chosen:
        found.update((each, None) for each in _teardowns_of(graph, index))
    return sorted(found)


def _teardowns_of(graph: Graph, index: int) -> list[int]:
    if not graph.tasks[index].is_setup:
        return []
    return [each for each in graph.down[index] if graph.tasks[each].is_teardown]


def _reach(starts: Iterable[int], edges: Edges) -> dict[int, None]:
    """What is reached from `starts` along `edges`, without those themselves unless they are reached."""
    seen: dict[int, None] = {}
    stack = list(starts)
    while stack:
        for neighbour in edges[stack.pop()]:
            if neighbour not in seen:
                seen[neighbour] = None
                stack.append(neighbour)
    return seen
