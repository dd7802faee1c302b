"""The tasks, groups and states behind a graph: what each visible item is called and how it stands.

Decides how a folded group sums up its tasks. Keeps what is folded. Does not place or paint. Owned by `area`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dagdeck_core.layout import LayoutGroup, LayoutNode
from dagdeck_core.states import TERMINAL, TaskInstanceState
from dagdeck_desktop.graph.model import Edge, GraphGroup, GraphNode, NodeState
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.theme.states import LABELS, shown_state, state_label

_T = TaskInstanceState
WEIGHT: tuple[TaskInstanceState, ...] = (
    _T.FAILED,
    _T.UPSTREAM_FAILED,
    _T.AWAITING_INPUT,
    _T.UP_FOR_RETRY,
    _T.RUNNING,
    _T.RESTARTING,
    _T.DEFERRED,
    _T.UP_FOR_RESCHEDULE,
    _T.QUEUED,
    _T.SCHEDULED,
    _T.NONE,
    _T.REMOVED,
    _T.SUCCESS,
    _T.SKIPPED,
)
"""Which state a group has: that of its member that comes first here; skipped only when all are."""
LEGEND: tuple[TaskInstanceState, ...] = (
    _T.SUCCESS,
    _T.RUNNING,
    _T.FAILED,
    _T.UP_FOR_RETRY,
    _T.UPSTREAM_FAILED,
    _T.DEFERRED,
    _T.AWAITING_INPUT,
    _T.UP_FOR_RESCHEDULE,
    _T.QUEUED,
    _T.SCHEDULED,
    _T.RESTARTING,
    _T.SKIPPED,
    _T.REMOVED,
    _T.NONE,
)
"""The order in which states are explained."""
_RANK = {state: rank for rank, state in enumerate(WEIGHT)}
_NOTHING = NodeState(state=None)


class GraphContent:
    """What is shown. Task ids and group ids share one namespace, as in a DAG."""

    def __init__(
        self,
        nodes: Sequence[GraphNode] = (),
        edges: Sequence[Edge] = (),
        groups: Sequence[GraphGroup] = (),
        labels: Mapping[Edge, str] = MappingProxyType({}),
    ) -> None:
        self.nodes: Mapping[str, GraphNode] = {node.task_id: node for node in nodes}
        self.groups: Mapping[str, GraphGroup] = {group.group_id: group for group in groups}
        self.edges: tuple[Edge, ...] = tuple(edges)
        self.labels = labels
        self._states: dict[str, NodeState] = {}
        self._members = self._members_of_groups()

    @property
    def is_empty(self) -> bool:
        """True without any task."""
        return not self.nodes

    def set_states(self, states: Mapping[str, NodeState]) -> list[str]:
        """Take new states; the ids of tasks whose look changed. Unknown tasks are ignored: they are of another DAG
        version."""
        changed = [
            task_id
            for task_id, state in states.items()
            if task_id in self.nodes and self._states.get(task_id, _NOTHING) != state
        ]
        for task_id in changed:
            self._states[task_id] = states[task_id]
        return changed

    def clear_states(self) -> None:
        """Forget all states, as between two runs."""
        self._states.clear()

    def state_of(self, name: str) -> TaskInstanceState:
        """The state shown for a task or a group."""
        if name in self.nodes:
            return shown_state(self._states.get(name, _NOTHING).state)
        states = {self.state_of(task) for task in self._members.get(name, ())}
        return min(states, key=_RANK.__getitem__, default=_T.NONE)

    def title_of(self, name: str) -> str:
        """The first line of an item."""
        if name in self.nodes:
            return self.nodes[name].shown_label
        return self.groups[name].shown_label if name in self.groups else name

    def detail_of(self, name: str) -> str:
        """The second line of an item."""
        if name in self.nodes:
            shown = self._states.get(name, _NOTHING)
            return shown.label or state_label(shown.state)
        return self._sum_of(name)

    def description_of(self, name: str) -> str:
        """All that is known of an item, in lines: for the tooltip and screen readers."""
        if name in self.nodes:
            node = self.nodes[name]
            kind = f"{node.kind}, mapped" if node.kind and node.is_mapped else node.kind or ""
            return "\n".join(part for part in (node.task_id, kind, self.detail_of(name)) if part)
        group = self.groups[name]
        members = self._members.get(name, ())
        counts = Counter(self.state_of(task) for task in members)
        parts = [f"{counts[state]} {LABELS[state].lower()}" for state in WEIGHT if counts[state]]
        lines = (f"Group {group.group_id}", group.tooltip, f"{len(members)} tasks: {', '.join(parts)}")
        return "\n".join(line for line in lines if line)

    def members_of(self, group_id: str) -> Sequence[str]:
        """All tasks in a group and in the groups inside it."""
        return self._members.get(group_id, ())

    def groups_around(self, name: str) -> list[str]:
        """The groups around a task or group, innermost first."""
        around: list[str] = []
        at = self.nodes[name].group_id if name in self.nodes else self.groups[name].parent_id
        while at is not None and at in self.groups and at not in around:
            around.append(at)
            at = self.groups[at].parent_id
        return around

    def matches(self, text: str) -> list[str]:
        """Tasks whose id or label holds a text, whatever its case."""
        wanted = text.casefold()
        return [
            node.task_id
            for node in self.nodes.values()
            if wanted in node.task_id.casefold() or wanted in node.shown_label.casefold()
        ]

    def to_lay_out(self, folded: frozenset[str], theme: Theme) -> tuple[list[LayoutNode], list[LayoutGroup]]:
        """Nodes and groups for the layout."""
        metrics = theme.metrics
        nodes = [
            LayoutNode(
                node_id=node.task_id,
                width=float(metrics.node_width),
                height=float(metrics.node_height),
                group_id=node.group_id,
            )
            for node in self.nodes.values()
        ]
        groups = [
            LayoutGroup(
                group_id=group.group_id,
                parent_id=group.parent_id,
                is_folded=group.group_id in folded,
                folded_width=float(metrics.node_width),
                folded_height=float(metrics.node_height),
            )
            for group in self.groups.values()
        ]
        return nodes, groups

    def _sum_of(self, group_id: str) -> str:
        members = self._members.get(group_id, ())
        states = [self.state_of(task) for task in members]
        failed = sum(state is _T.FAILED for state in states)
        done = sum(state in TERMINAL for state in states)
        if failed:
            return f"{len(members)} tasks · {failed} failed"
        return f"{len(members)} tasks" if not done else f"{done} of {len(members)} done"

    def _members_of_groups(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {group_id: [] for group_id in self.groups}
        for node in self.nodes.values():
            for group_id in self.groups_around(node.task_id):
                found[group_id].append(node.task_id)
        return {group_id: tuple(members) for group_id, members in found.items()}
