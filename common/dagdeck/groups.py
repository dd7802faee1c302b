"""TaskGroup: tasks and groups shown, prefixed and connected together.

Decides ids of what it holds, and how a dependency on a group becomes dependencies of tasks. Does not
run anything: to the scheduler a group is only a name. Used by DAG authors and by `@task_group`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagdeck import scope
from dagdeck.dependencies import DependencyMixin, EdgeModifier, Related, as_nodes
from dagdeck.exceptions import DuplicateTaskIdFound, InvalidArguments, close_match, invalid
from dagdeck.keys import check_group_key

if TYPE_CHECKING:
    from dagdeck.dags import DAG
    from dagdeck.operator import BaseOperator

_SUFFIX = re.compile(r"__(\d+)$")


class TaskGroup(DependencyMixin):
    """A group of tasks. With `prefix_group_id` its id becomes part of its children's ids.

    `default_args` hold for its tasks, over the DAG's. With `add_suffix_on_collision` a taken id gets
    `__1`, `__2`, … instead of an error. Raises UserError for invalid or taken ids.
    """

    is_mapped: bool = False
    expand_input: Any = None
    """What a mapped group is expanded over."""

    def __init__(
        self,
        group_id: str | None,
        prefix_group_id: bool = True,
        parent_group: TaskGroup | None = None,
        dag: DAG | None = None,
        default_args: Mapping[str, Any] | None = None,
        tooltip: str = "",
        ui_color: str = "CornflowerBlue",
        ui_fgcolor: str = "#000",
        add_suffix_on_collision: bool = False,
        group_display_name: str = "",
    ) -> None:
        self.prefix_group_id = prefix_group_id
        self.default_args = dict(default_args or {})
        self.tooltip = tooltip
        self.ui_color = ui_color
        self.ui_fgcolor = ui_fgcolor
        self.group_display_name = group_display_name
        self.children: dict[str, BaseOperator | TaskGroup] = {}
        self.upstream_group_ids: set[str] = set()
        self.downstream_group_ids: set[str] = set()
        self.upstream_task_ids: set[str] = set()
        self.downstream_task_ids: set[str] = set()
        self.parent_group: TaskGroup | None = None
        self._group_id = group_id
        if group_id is None:
            # The root group, which each DAG makes for itself.
            assert dag is not None
            self.dag: DAG = dag
            return
        self._join(parent_group, dag, add_suffix_on_collision)

    def _join(self, parent: TaskGroup | None, dag: DAG | None, add_suffix: bool) -> None:
        dag = dag or (parent.dag if parent else None) or scope.current_dag()
        subject = f"task group {self._group_id!r}"
        if dag is None:
            raise invalid(
                "a task group belongs to a DAG",
                subject=subject,
                remedy="Make it inside `with DAG(...)`, or give it dag=",
            )
        check_group_key(self._group_id, subject=f"dag {dag.dag_id!r}, {subject}", field="group_id")
        self.dag = dag
        parent = parent or scope.current_group(dag)
        assert parent is not None
        if add_suffix:
            self._group_id = parent.free_id(str(self._group_id))
        self.parent_group = parent
        parent.add(self)
        dag.task_group_dict[self.node_id] = self

    # ------------------------------------------------------------ ids

    @property
    def is_root(self) -> bool:
        """Whether this is the DAG's own group, which holds everything."""
        return self._group_id is None

    @property
    def group_id(self) -> str | None:
        """The full id, with the prefixes of outer groups; None for the root."""
        if self._group_id is None or self.parent_group is None:
            return self._group_id
        return self.parent_group.child_id(self._group_id)

    @property
    def is_mapped_inside(self) -> bool:
        """Whether it, or a group around it, is expanded when its run is under way."""
        group: TaskGroup | None = self
        while group is not None:
            if group.is_mapped:
                return True
            group = group.parent_group
        return False

    @property
    def node_id(self) -> str:
        """The full id; empty for the root."""
        return self.group_id or ""

    @property
    def label(self) -> str | None:
        """The id without prefixes, or the display name."""
        return self.group_display_name or self._group_id

    def child_id(self, label: str) -> str:
        """The full id of a child called `label`; a group without prefix leaves out the outer ones' too."""
        return f"{self.group_id}.{label}" if self.prefix_group_id and not self.is_root else label

    def free_id(self, label: str) -> str:
        """`label`, or with the next free `__N` when the DAG already has a task or group of that id."""
        dag, wanted = self.dag, self.child_id(label)
        if wanted not in dag.task_dict and wanted not in dag.task_group_dict and wanted not in self.children:
            return label
        core = _SUFFIX.sub("", label)
        return f"{core}__{dag.highest_suffixes.get(self.child_id(core), 0) + 1}"

    def add(self, node: BaseOperator | TaskGroup) -> BaseOperator | TaskGroup:
        """Take in a task or group. Raises DuplicateTaskIdFound when the DAG already has its id."""
        taken = node.node_id
        if taken in self.dag.task_dict or taken in self.dag.task_group_dict or taken in self.children:
            kind = "group" if isinstance(node, TaskGroup) else "task"
            raise invalid(
                f"the id of this {kind} is already taken",
                subject=f"dag {self.dag.dag_id!r}",
                field=f"{kind}_id",
                value=taken,
                remedy="Give it another id",
                error=DuplicateTaskIdFound,
            )
        if not isinstance(node, TaskGroup):
            node.task_group = self
        self.children[taken] = node
        suffix = _SUFFIX.search(taken)
        if suffix is not None:
            # Noted here, because looking for it at each repeated call would take quadratic time.
            core = taken[: suffix.start()]
            self.dag.highest_suffixes[core] = max(self.dag.highest_suffixes.get(core, 0), int(suffix[1]))
        return node

    def __enter__(self) -> TaskGroup:
        scope.enter_group(self)
        return self

    def __exit__(self, *_: object) -> None:
        scope.leave_group()

    def __repr__(self) -> str:
        return f"<TaskGroup: {self.node_id}>"

    # ------------------------------------------------------------ what it holds

    def __iter__(self) -> Iterator[BaseOperator]:
        """Its tasks, those of inner groups included, in the order they were made."""
        for child in self.children.values():
            if isinstance(child, TaskGroup):
                yield from child
            else:
                yield child

    def iter_tasks(self) -> Iterator[BaseOperator]:
        """As iterating over the group."""
        return iter(self)

    def groups(self) -> Iterator[TaskGroup]:
        """Its inner groups, outer ones first."""
        for child in self.children.values():
            if isinstance(child, TaskGroup):
                yield child
                yield from child.groups()

    def has_task(self, task: BaseOperator) -> bool:
        """Whether `task` stands in this group or an inner one."""
        return any(task is own for own in self)

    def get_child_by_label(self, label: str) -> BaseOperator | TaskGroup:
        """The child whose id without prefix is `label`. Raises UserError when there is none."""
        for child in self.children.values():
            if child.label == label:
                return child
        known = [str(child.label) for child in self.children.values()]
        raise invalid(f"group {self.node_id!r} has no child {label!r}{close_match(label, known)}")

    @property
    def roots(self) -> list[BaseOperator]:
        """Its tasks that depend on nothing inside the group."""
        return list(self.get_roots())

    @property
    def leaves(self) -> list[BaseOperator]:
        """Its tasks on which nothing inside the group depends."""
        return list(self.get_leaves())

    def get_roots(self) -> Iterator[BaseOperator]:
        """Tasks of the group with no upstream task inside it."""
        tasks = list(self)
        ids = {task.task_id for task in tasks}
        return (task for task in tasks if not task.upstream_task_ids & ids)

    def get_leaves(self) -> Iterator[BaseOperator]:
        """Tasks of the group with no downstream task inside it; teardowns are looked through.

        A teardown does not hold up what comes after the group, so the tasks before it count instead, its setups not.
        """
        tasks = list(self)
        ordinary = {task.task_id for task in tasks if not task.is_teardown}
        teardowns = {task.task_id for task in tasks if task.is_teardown}
        for task in tasks:
            only_set_up = task.is_setup and bool(task.downstream_task_ids & teardowns)
            if not task.is_teardown and not only_set_up and not task.downstream_task_ids & ordinary:
                yield task

    # ------------------------------------------------------------ dependencies

    def update_relative(
        self, other: DependencyMixin, upstream: bool = True, edge_modifier: EdgeModifier | None = None
    ) -> None:
        """Note what the whole group depends on, for graphs that show it folded."""
        if isinstance(other, TaskGroup):
            own, theirs = (self.upstream_group_ids, other.downstream_group_ids)
            if not upstream:
                own, theirs = (self.downstream_group_ids, other.upstream_group_ids)
            own.add(other.node_id)
            theirs.add(self.node_id)
            return
        for task in other.roots if upstream else other.leaves:
            (self.upstream_task_ids if upstream else self.downstream_task_ids).add(task.node_id)

    def set_upstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make the group's roots depend on `other`."""
        self._relate(other, upstream=True, edge_modifier=edge_modifier)

    def set_downstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make `other` depend on the group's leaves."""
        self._relate(other, upstream=False, edge_modifier=edge_modifier)

    def _relate(self, other: Related, *, upstream: bool, edge_modifier: EdgeModifier | None) -> None:
        nodes: Sequence[DependencyMixin] = as_nodes(other)
        for node in nodes:
            if isinstance(node, EdgeModifier):
                node.update_relative(self, not upstream, edge_modifier)
                continue
            self.update_relative(node, upstream, edge_modifier)
        for task in self.get_roots() if upstream else self.get_leaves():
            for node in nodes:
                if isinstance(node, EdgeModifier):
                    continue
                others = node.leaves if upstream else node.roots
                for one in others:
                    if upstream:
                        task.set_upstream(one, edge_modifier)
                    else:
                        task.set_downstream(one, edge_modifier)

    def as_teardown(self, **arguments: Any) -> DependencyMixin:
        """Groups are neither setups nor teardowns; their tasks may be."""
        raise invalid(
            "a task group cannot be a teardown", subject=f"task group {self.node_id!r}", error=InvalidArguments
        )
