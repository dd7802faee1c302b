"""A DAG's shape as nodes, edges and groups of the graph.

Decides what the graph calls them and from which size on groups are folded. Does not lay out or draw (`graph`). Used by
the DAG page.
"""

from __future__ import annotations

from dagdeck_client.models import StructureNode
from dagdeck_desktop.graph import Edge, GraphGroup, GraphNode
from dagdeck_desktop.viewmodels.shape import ShapeModel

FOLDED_FROM = 30
"""A graph of more tasks than this opens with its groups folded, so that its shape can be seen."""


def graph_of(shape: ShapeModel) -> tuple[list[GraphNode], list[Edge], list[GraphGroup]]:
    """What the graph area takes."""
    nodes = [
        GraphNode(
            task_id=node.task_id,
            label=node.label if node.label != node.task_id else "",
            group_id=node.group_id,
            kind=kind_of(node),
            is_mapped=node.is_mapped,
        )
        for node in shape.nodes
    ]
    groups = [
        GraphGroup(group_id=group.group_id, label=group.label, parent_id=group.parent_id, tooltip=group.tooltip or "")
        for group in shape.groups
    ]
    return nodes, [(edge.source_id, edge.target_id) for edge in shape.edges], groups


def kind_of(node: StructureNode) -> str:
    """A task's operator, with what else it is."""
    return ", ".join(part for part in (node.operator, node.setup_teardown_type) if part)
