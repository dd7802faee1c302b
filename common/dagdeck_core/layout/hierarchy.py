"""Who is in which group, what is folded away, and which edges are left between what can be seen.

Decides that an edge from or to something inside a folded group is drawn at that group, once. Does not place anything.
Called by `compose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dagdeck_core.errors import UserError
from dagdeck_core.layout.model import LayoutGroup, LayoutNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """The visible items and open groups, as a forest.

    `children[group_id]` are the visible items and open groups directly in an open group ("" is the outermost level),
    `chain[item]` the open groups around an item or open group, outermost first.
    """

    sizes: dict[str, tuple[float, float]]
    children: dict[str, list[str]]
    chain: dict[str, tuple[str, ...]]
    open_groups: tuple[str, ...]
    """Outer ones before those inside."""
    shown_as: dict[str, str]

    def visible_edges(self, edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Edges between what is visible, each once, none from an item to itself. Raises UserError."""
        found: dict[tuple[str, str], None] = {}
        for source, target in edges:
            pair = (self._visible(source, source, target), self._visible(target, source, target))
            if pair[0] != pair[1]:
                found[pair] = None
        return list(found)

    def _visible(self, name: str, source: str, target: str) -> str:
        shown = self.shown_as.get(name, name)
        if shown not in self.sizes:
            raise UserError(f"the edge {source} → {target} has an end that is no node", field="edges", value=name)
        return shown


def read_hierarchy(nodes: Sequence[LayoutNode], groups: Sequence[LayoutGroup]) -> Hierarchy:
    """The forest of nodes and groups.

    Raises UserError for an id that is used twice, a group that does not exist, or groups inside one another in a
    circle. An open group with nothing visible in it is left out.
    """
    by_id = _by_id(nodes, groups)
    lines = {group.group_id: _line_of(group, by_id) for group in groups}
    shown_as: dict[str, str] = {}
    sizes: dict[str, tuple[float, float]] = {}
    chain: dict[str, tuple[str, ...]] = {}
    for group in groups:
        line = lines[group.group_id]
        hider = _first_folded(line[:-1], by_id)
        if hider:
            shown_as[group.group_id] = hider
        elif group.is_folded:
            sizes[group.group_id] = (group.folded_width, group.folded_height)
            chain[group.group_id] = line[:-1]
    for node in nodes:
        if node.group_id is not None and node.group_id not in by_id:
            raise UserError("a node is in a group that does not exist", field=node.node_id, value=node.group_id)
        line = lines[node.group_id] if node.group_id is not None else ()
        hider = _first_folded(line, by_id)
        if hider:
            shown_as[node.node_id] = hider
        else:
            sizes[node.node_id] = (node.width, node.height)
            chain[node.node_id] = line
    return _assemble(sizes, chain, lines, shown_as)


def _assemble(
    sizes: dict[str, tuple[float, float]],
    chain: dict[str, tuple[str, ...]],
    lines: dict[str, tuple[str, ...]],
    shown_as: dict[str, str],
) -> Hierarchy:
    children: dict[str, list[str]] = {"": []}
    used: dict[str, None] = {}
    for item, line in chain.items():
        for group_id in line:
            used[group_id] = None
        children.setdefault(line[-1] if line else "", []).append(item)
    ordered = sorted((name for name in lines if name in used), key=lambda name: len(lines[name]))
    for name in ordered:
        chain[name] = lines[name][:-1]
        children.setdefault(chain[name][-1] if chain[name] else "", []).append(name)
    return Hierarchy(sizes=sizes, children=children, chain=chain, open_groups=tuple(ordered), shown_as=shown_as)


def _by_id(nodes: Sequence[LayoutNode], groups: Sequence[LayoutGroup]) -> dict[str, LayoutGroup]:
    by_id: dict[str, LayoutGroup] = {}
    for group in groups:
        if group.group_id in by_id or not group.group_id:
            raise UserError("a group's id is empty or used twice", field="groups", value=group.group_id)
        by_id[group.group_id] = group
    seen: dict[str, None] = {}
    for node in nodes:
        if node.node_id in seen or node.node_id in by_id or not node.node_id:
            raise UserError("a node's id is empty or used twice", field="nodes", value=node.node_id)
        seen[node.node_id] = None
    return by_id


def _line_of(group: LayoutGroup, by_id: dict[str, LayoutGroup]) -> tuple[str, ...]:
    """A group and all around it, outermost first."""
    line = [group.group_id]
    parent = group.parent_id
    while parent is not None:
        if parent not in by_id:
            raise UserError("a group is in a group that does not exist", field=group.group_id, value=parent)
        if parent in line:
            raise UserError("groups are inside one another in a circle", field="groups", value=parent)
        line.append(parent)
        parent = by_id[parent].parent_id
    return tuple(reversed(line))


def _first_folded(line: tuple[str, ...], by_id: dict[str, LayoutGroup]) -> str:
    return next((name for name in line if by_id[name].is_folded), "")
