"""A DAG's tasks as nodes, edges and groups of the graph.

Decides which groups there are: the prefixes of task ids, as task groups name their tasks. Does not lay out or draw
(`graph`). Used by the DAG page.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagdeck_client.models import Task
from dagdeck_desktop.graph import Edge, GraphGroup, GraphNode

FOLDED_FROM = 30
"""A graph of more tasks than this opens with its groups folded, so that its shape can be seen."""


def groups_of(tasks: Sequence[Task]) -> list[GraphGroup]:
    """The task groups, outer ones first. A prefix that is a task's own id is no group."""
    task_ids = {task.task_id for task in tasks}
    found: dict[str, GraphGroup] = {}
    for task in tasks:
        parts = task.task_id.split(".")
        parent: str | None = None
        for number in range(1, len(parts)):
            name = ".".join(parts[:number])
            if name in task_ids or not parts[number - 1]:
                continue
            found.setdefault(name, GraphGroup(group_id=name, label=parts[number - 1], parent_id=parent))
            parent = name
    return list(found.values())


def graph_of(tasks: Sequence[Task]) -> tuple[list[GraphNode], list[Edge], list[GraphGroup]]:
    """What the graph area takes. Edges to tasks that are not in the list are left out."""
    groups = groups_of(tasks)
    group_ids = {group.group_id for group in groups}
    known = {task.task_id for task in tasks}
    nodes = []
    edges = []
    for task in tasks:
        prefix = task.task_id.rpartition(".")[0]
        while prefix and prefix not in group_ids:
            prefix = prefix.rpartition(".")[0]
        name = task.task_display_name if task.task_display_name not in (None, task.task_id) else ""
        nodes.append(
            GraphNode(
                task_id=task.task_id,
                label=name or "",
                group_id=prefix or None,
                kind=task.operator_name or "",
                is_mapped=bool(task.is_mapped),
            )
        )
        edges += [(task.task_id, after) for after in task.downstream_task_ids or () if after in known]
    return nodes, edges, groups
