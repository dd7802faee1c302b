"""Mapped task groups: every task of the group is expanded over the group's input, and index goes with index.

Decides what stands for an argument of the group inside it and what the group depends on. Made by
`.expand()` and `.expand_kwargs()` of a `@task_group` function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dagdeck.exceptions import AirflowException, invalid
from dagdeck.groups import TaskGroup
from dagdeck.mapping.expand_inputs import ExpandInput
from dagdeck.mapping.relations import index_in_group
from dagdeck.xcom_arg import NOTSET, RunTimeValue

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator


class MappedTaskGroup(TaskGroup):
    """A group whose tasks have one instance for each value of `expand_input`."""

    is_mapped = True

    def __init__(self, *, expand_input: ExpandInput, **options: Any) -> None:
        super().__init__(**options)
        self.expand_input = expand_input
        outer = self.parent_group
        if outer is not None and outer.is_mapped_inside and expand_input.spec().literal_length is None:
            raise invalid(
                "Nested Mapped TaskGroups are not yet supported",
                subject=f"task group {self.node_id!r}",
                remedy="A group inside a mapped group can be mapped over lists and dicts that stand in the file",
            )

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for source in dict.fromkeys(self.expand_input.sources()):
            self.set_upstream(source)


class MappedArgument(RunTimeValue):
    """An argument of a mapped group, inside of it: its value is that of the group's index at which a task runs."""

    def __init__(self, expand_input: ExpandInput, name: str, default: Any = NOTSET) -> None:
        self._input = expand_input
        self._name = name
        self._default = default
        self.group: MappedTaskGroup | None = None

    def sources(self) -> Iterator[BaseOperator]:
        """The tasks that make the group's input."""
        return self._input.sources()

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value. Raises AirflowException when the group's input has none under this name."""
        ti = context["ti"]
        assert self.group is not None
        cached = ti.resolved_inputs.get(self._input)
        if cached is None:
            index = index_in_group(ti.task, ti.map_index, self.group)
            cached, _ = self._input.resolve(context, index)
            ti.resolved_inputs[self._input] = cached
        value = cached.get(self._name, self._default)
        if value is NOTSET:
            raise AirflowException(
                f"the dict at index {ti.map_index} that task group {self.group.node_id!r} is expanded over has no "
                f"key {self._name!r}"
            )
        return value

    def __repr__(self) -> str:
        return f"MappedArgument({self._name!r})"
