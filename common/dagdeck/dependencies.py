"""Dependencies between tasks and groups: `>>`, `<<`, labels, `chain` and its kin.

Decides which tasks end up upstream of which. Does not check for cycles (`dagdeck.serialize` does, when
the DAG is whole). Tasks, groups, XComArgs and labels take part through `DependencyMixin`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

from dagdeck.exceptions import InvalidArguments, invalid

if TYPE_CHECKING:
    from dagdeck.groups import TaskGroup
    from dagdeck.operator import BaseOperator

Related = Union["DependencyMixin", Sequence["DependencyMixin"]]


class DependencyMixin(ABC):
    """Something that can stand on either side of `>>` and `<<`."""

    @property
    @abstractmethod
    def roots(self) -> Sequence[BaseOperator | TaskGroup]:
        """What depends on others when this does."""

    @property
    @abstractmethod
    def leaves(self) -> Sequence[BaseOperator | TaskGroup]:
        """What others depend on when they depend on this."""

    @abstractmethod
    def set_upstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make this depend on `other`."""

    @abstractmethod
    def set_downstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make `other` depend on this."""

    def update_relative(  # noqa: B027 - most nodes keep nothing
        self, other: DependencyMixin, upstream: bool = True, edge_modifier: EdgeModifier | None = None
    ) -> None:
        """Called on the other side of a new dependency, for what it keeps besides the tasks' own ids."""

    def as_setup(self) -> DependencyMixin:
        """Turn the task into a setup task. Raises UserError where that makes no sense."""
        raise invalid(f"{type(self).__name__} cannot be a setup")

    def as_teardown(self, **arguments: Any) -> DependencyMixin:
        """Turn the task into a teardown task. Raises UserError where that makes no sense."""
        raise invalid(f"{type(self).__name__} cannot be a teardown")

    def __rshift__(self, other: Any) -> Any:
        """`self >> other`: other runs after self. Returns other, so that chains read naturally."""
        self.set_downstream(other)
        return other

    def __lshift__(self, other: Any) -> Any:
        """`self << other`: self runs after other."""
        self.set_upstream(other)
        return other

    def __rrshift__(self, other: Any) -> Any:
        """`[a, b] >> self`."""
        self.__lshift__(other)
        return self

    def __rlshift__(self, other: Any) -> Any:
        """`[a, b] << self`."""
        self.__rshift__(other)
        return self


class EdgeModifier(DependencyMixin):
    """A label on the edges of a dependency: `a >> Label("when valid") >> b`.

    It collects what stands on its two sides and connects them as soon as both are known.
    """

    def __init__(self, label: str | None = None) -> None:
        self.label = label
        self._before: list[DependencyMixin] = []
        self._after: list[DependencyMixin] = []

    @property
    def roots(self) -> Sequence[BaseOperator | TaskGroup]:
        """The roots of what stands after the label."""
        return [root for node in self._after for root in node.roots]

    @property
    def leaves(self) -> Sequence[BaseOperator | TaskGroup]:
        """The leaves of what stands before the label."""
        return [leaf for node in self._before for leaf in node.leaves]

    def set_upstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Note what stands before the label."""
        self._before.extend(node for node in as_nodes(other) if node not in self._before)
        self._connect()

    def set_downstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Note what stands after the label."""
        self._after.extend(node for node in as_nodes(other) if node not in self._after)
        self._connect()

    def update_relative(
        self, other: DependencyMixin, upstream: bool = True, edge_modifier: EdgeModifier | None = None
    ) -> None:
        """Take in a node that was connected to this label from its own side."""
        if upstream:
            self.set_upstream(other)
        else:
            self.set_downstream(other)

    def _connect(self) -> None:
        for before in self._before:
            for after in self._after:
                before.set_downstream(after, edge_modifier=self)


def Label(label: str) -> EdgeModifier:
    """A text on the edge between two tasks."""
    return EdgeModifier(label=label)


def as_nodes(other: Any) -> list[DependencyMixin]:
    """`other` as a flat list of nodes. Raises UserError for what is no task, group, XComArg or label."""
    if isinstance(other, DependencyMixin):
        return [other]
    if isinstance(other, Iterable) and not isinstance(other, (str, bytes, dict)):
        return [node for item in other for node in as_nodes(item)]
    raise invalid(
        f"a dependency needs tasks, groups or the results of @task calls, not {type(other).__name__}",
        value=other,
        remedy="A function decorated with @task has to be called before it can be connected",
        error=InvalidArguments,
    )


def chain(*tasks: Any) -> None:
    """Connect what is given one after the other; two lists in a row are connected pairwise.

    Raises UserError when two neighbouring lists differ in length.
    """
    for up, down in itertools.pairwise(tasks):
        if isinstance(up, DependencyMixin):
            up.set_downstream(down)
        elif isinstance(down, DependencyMixin):
            down.set_upstream(up)
        else:
            ups, downs = _as_list(up), _as_list(down)
            if len(ups) != len(downs):
                raise invalid(
                    f"chain: neighbouring lists must have the same length, these have {len(ups)} and {len(downs)}",
                    remedy="Use cross_downstream or chain_linear to connect all with all",
                )
            for one, other in zip(ups, downs, strict=True):
                one.set_downstream(other)


def chain_linear(*elements: Any) -> None:
    """Connect every task of each element with every task of the next one.

    Raises UserError when there is nothing to connect.
    """
    before: list[DependencyMixin] | None = None
    connected = False
    for element in elements:
        nodes = as_nodes(element)
        if not nodes:
            continue
        if before is not None:
            connected = True
            for node in before:
                node.set_downstream(nodes)
        before = nodes
    if not connected:
        raise invalid("chain_linear: no dependency was made", remedy="Give it at least two tasks or lists of tasks")


def cross_downstream(from_tasks: Any, to_tasks: Any) -> None:
    """Make every one of `to_tasks` depend on every one of `from_tasks`."""
    for node in as_nodes(from_tasks):
        node.set_downstream(as_nodes(to_tasks))


def _as_list(element: Any) -> list[DependencyMixin]:
    if isinstance(element, Sequence) and not isinstance(element, str):
        for item in element:
            as_nodes(item)
        return list(element)
    return as_nodes(element)
