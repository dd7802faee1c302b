"""XComArg: another task's result, standing in for its value until the task runs.

Decides how such a stand-in is written, indexed, found inside containers and turned into a value.
Does not fetch the value (`ti.xcom_pull` does). Made by calling a `@task` function or by `.output`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dagdeck.dependencies import DependencyMixin, EdgeModifier, Related
from dagdeck.exceptions import InvalidArguments, XComNotFound, invalid, unavailable

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator

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


class XComArg(DependencyMixin):
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

        A return value that was never pushed is None; another key raises XComNotFound.
        """
        value = context["ti"].xcom_pull(task_ids=self.operator.task_id, key=self.key, default=NOTSET)
        if value is not NOTSET:
            return value
        if self.key == XCOM_RETURN_KEY:
            return None
        raise XComNotFound(self.operator.dag_id, self.operator.task_id, self.key)

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

    def __enter__(self) -> XComArg:
        self.operator.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.operator.__exit__(*error)

    # ------------------------------------------------------------ mapping (a later stage)

    def map(self, f: Any) -> Any:
        """Each item of the value passed through `f`."""
        raise unavailable("XComArg.map (dynamic task mapping)")

    def zip(self, *others: Any, fillvalue: Any = NOTSET) -> Any:
        """The items of several values side by side."""
        raise unavailable("XComArg.zip (dynamic task mapping)")

    def concat(self, *others: Any) -> Any:
        """The items of several values one after the other."""
        raise unavailable("XComArg.concat (dynamic task mapping)")


def upstream_of(value: Any, depth: int = MAX_NESTING) -> Iterator[BaseOperator]:
    """The tasks whose results stand somewhere in `value`: in containers or in template fields of objects."""
    if isinstance(value, XComArg):
        yield value.operator
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
