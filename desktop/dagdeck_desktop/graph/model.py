"""What a graph to show consists of, and the state of one of its nodes.

Decides nothing. Made by view models from the API's answers; read by `area`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagdeck_desktop.theme.theme import AnyState


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A task; `kind`, its operator, is told in the tooltip."""

    task_id: str
    label: str = ""
    group_id: str | None = None
    kind: str = ""
    is_mapped: bool = False

    @property
    def shown_label(self) -> str:
        """The name in its box: the last part of the id unless there is a label."""
        if self.label:
            return self.label
        prefix = f"{self.group_id}." if self.group_id else ""
        return self.task_id.removeprefix(prefix) or self.task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphGroup:
    """A task group."""

    group_id: str
    label: str = ""
    parent_id: str | None = None
    tooltip: str = ""

    @property
    def shown_label(self) -> str:
        """The name in its frame."""
        return self.label or self.group_id.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A task's state and the second line of its box: "Success · 42 s"; "" shows the state's word."""

    state: AnyState
    label: str = ""


Edge = tuple[str, str]
"""Upstream and downstream task id."""
