"""XComArg: another task's result, standing in for its value until the task runs.

Decides how such a stand-in is written, indexed, found inside containers and turned into a value.
Does not fetch the value (`ti.xcom_pull` does) nor say how its items are transformed (`mapping.derived_xcom_args`).
Made by calling a `@task` function or by `.output`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dagdeck.dependencies import DependencyMixin, EdgeModifier, Related
from dagdeck.exceptions import InvalidArguments, XComNotFound, invalid
from dagdeck_core.spec import LengthSpec

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator
    from dagdeck.teardown_scope import TeardownScope

XCOM_RETURN_KEY = "return_value"
MAX_NESTING = 64
"""How deep containers are searched; deeper ones are taken as they are."""


class ArgNotSet:
    """The type of NOTSET."""

    def __repr__(self) -> str:
        return "NOTSET"

    def __bool__(self) -> bool:
        return False


NOTSET = ArgNotSet()
"""Stands for an argument that was not given where None is a value."""


class RunTimeValue(ABC):
    """Stands in a template field for a value that is known only when the task runs."""

    @abstractmethod
    def sources(self) -> Iterator[BaseOperator]:
        """The tasks whose results it needs."""

    @abstractmethod
    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value, for the task instance of `context`."""


class XComArg(RunTimeValue, DependencyMixin):
    """The value that `operator` pushes under `key`. `arg["name"]` is one of its multiple outputs."""

    def __init__(self, operator: BaseOperator, key: str = XCOM_RETURN_KEY) -> None:
        self.operator = operator
        self.key = key

    def __getitem__(self, item: str) -> XComArg:
        """The value pushed under the key `item`. Raises UserError when the item is no string."""
        if not isinstance(item, str):
            raise invalid(
                "the result of a task can only be indexed by a string key",
                subject=f"task {self.operator.task_id!r}",
                value=item,
                remedy="Index it inside the task that receives it",
                error=InvalidArguments,
            )
        return XComArg(self.operator, item)

    def __iter__(self) -> Iterator[Any]:
        raise invalid(
            "the result of a task is known only when it has run, so it cannot be iterated in the DAG file",
            subject=f"task {self.operator.task_id!r}",
            remedy="Iterate over it inside a task",
            error=InvalidArguments,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, XComArg) and other.operator is self.operator and other.key == self.key

    def __hash__(self) -> int:
        return hash((id(self.operator), self.key))

    def __repr__(self) -> str:
        return f"XComArg({self.operator!r}, key={self.key!r})"

    def __str__(self) -> str:
        """A template that pulls the value, so that an XComArg may stand inside a templated string."""
        arguments = f"task_ids={self.operator.task_id!r}, dag_id={self.operator.dag_id!r}, key={self.key!r}"
        return f"{{{{ task_instance.xcom_pull({arguments}) }}}}"

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value, in the run of `context`.

        Of a task that is expanded, it is what the instances gave that belong to this one: inside a mapped group the
        value (or list of values) of the same map index, otherwise a sequence of all, read as it is used. A return
        value that was never pushed is None, and so is an output of a task with multiple outputs; another key raises
        XComNotFound.
        """
        operator, ti = self.operator, context["ti"]
        if operator.is_mapped or (operator.task_group is not None and operator.task_group.is_mapped_inside):
            from dagdeck.mapping.relations import resolve_expanded

            return resolve_expanded(self, ti)
        value = ti.xcom_pull(task_ids=operator.task_id, key=self.key, default=NOTSET)
        return self.or_missing(value)

    def or_missing(self, value: Any) -> Any:
        """`value`, or what stands for it when nothing was pushed (NOTSET). Raises XComNotFound."""
        if value is not NOTSET:
            return value
        if self.key == XCOM_RETURN_KEY or self.operator.multiple_outputs:
            return None
        raise XComNotFound(self.operator.dag_id, self.operator.task_id, self.key)

    def sources(self) -> Iterator[BaseOperator]:
        """The task itself."""
        yield self.operator

    def lengths(self) -> LengthSpec:
        """How many values an expansion over it has. Raises UserError for what cannot be mapped over."""
        if self.key != XCOM_RETURN_KEY:
            raise invalid(
                f"cannot map over XCom with custom key {self.key!r} from {self.operator!r}",
                subject=f"task {self.operator.task_id!r}",
                remedy="Let the task return the list itself",
            )
        return LengthSpec(task_id=self.operator.task_id)

    # ------------------------------------------------------------ dependencies

    @property
    def roots(self) -> list[BaseOperator]:
        """The task itself."""
        return [self.operator]

    @property
    def leaves(self) -> list[BaseOperator]:
        """The task itself."""
        return [self.operator]

    def set_upstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make the task depend on `other`."""
        self.operator.set_upstream(other, edge_modifier)

    def set_downstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make `other` depend on the task."""
        self.operator.set_downstream(other, edge_modifier)

    def as_setup(self) -> XComArg:
        """Make the task a setup task."""
        self.operator.as_setup()
        return self

    def as_teardown(self, *, setups: Any = None, on_failure_fail_dagrun: bool = False, **arguments: Any) -> XComArg:
        """Make the task a teardown task."""
        self.operator.as_teardown(setups=setups, on_failure_fail_dagrun=on_failure_fail_dagrun)
        return self

    def __enter__(self) -> TeardownScope:
        return self.operator.__enter__()

    def __exit__(self, *error: object) -> None:
        self.operator.__exit__(*error)

    # ------------------------------------------------------------ mapping

    def map(self, f: Callable[[Any], Any]) -> XComArg:
        """Each item of the value passed through `f`, when an expansion uses it. Raises UserError for a @task."""
        from dagdeck.mapping.derived_xcom_args import MapXComArg

        return MapXComArg(self._return_value("map"), [f])

    def zip(self, *others: XComArg, fillvalue: Any = NOTSET) -> XComArg:
        """The items of several values side by side, as tuples; with `fillvalue` as many as the longest has."""
        from dagdeck.mapping.derived_xcom_args import ZipXComArg

        return ZipXComArg([self._return_value("zip"), *others], fillvalue=fillvalue)

    def concat(self, *others: XComArg) -> XComArg:
        """The items of several values one after the other."""
        from dagdeck.mapping.derived_xcom_args import ConcatXComArg

        return ConcatXComArg([self._return_value("concat"), *others])

    def _return_value(self, method: str) -> XComArg:
        if self.key != XCOM_RETURN_KEY:
            raise invalid(
                f".{method}() works on what a task returns, not on its XCom {self.key!r}",
                subject=f"task {self.operator.task_id!r}",
            )
        return self


def upstream_of(value: Any, depth: int = MAX_NESTING) -> Iterator[BaseOperator]:
    """The tasks whose results stand somewhere in `value`: in containers or in template fields of objects."""
    if isinstance(value, RunTimeValue):
        yield from value.sources()
    elif depth and isinstance(value, Mapping):
        for key, item in value.items():
            yield from upstream_of(key, depth - 1)
            yield from upstream_of(item, depth - 1)
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from upstream_of(item, depth - 1)
    elif depth and not isinstance(value, (type, DependencyMixin)):
        fields = getattr(value, "template_fields", None)
        if isinstance(fields, (list, tuple)):
            for field in fields:
                yield from upstream_of(getattr(value, field, None), depth - 1)
