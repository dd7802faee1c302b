"""The graph of a DAG, painted: tasks, dependencies and groups with the states of a run.

Decides how a graph looks and is moved about in. Does not fetch anything. Used by the DAG page.
"""

from dagdeck_desktop.graph.area import GraphArea
from dagdeck_desktop.graph.model import Edge, GraphGroup, GraphNode, NodeState

__all__ = ["Edge", "GraphArea", "GraphGroup", "GraphNode", "NodeState"]
