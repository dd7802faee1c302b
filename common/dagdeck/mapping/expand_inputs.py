"""What an expansion is over: the arguments of `.expand()` or `.expand_kwargs()`.

Decides which values can be mapped over, how many instances they make, and which values an instance gets. Used by
mapped operators and mapped groups, when they are made and when an instance runs.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dagdeck.exceptions import AirflowException, InvalidArguments, invalid
from dagdeck.mapping.derived_xcom_args import is_items, item_at
from dagdeck.xcom_arg import RunTimeValue, XComArg, upstream_of
from dagdeck_core.spec import LengthSpec, MappedSpec

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator

Resolved = tuple[dict[str, Any], list[Any]]
"""The values of one instance by name, and those of them that other tasks made: they are not rendered as templates."""


class ExpandInput(ABC):
    """Base of the two kinds."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def value(self) -> Any:
        """What was given, as written."""

    @abstractmethod
    def spec(self) -> MappedSpec:
        """How many instances it makes. Raises UserError for what cannot be mapped over."""

    @abstractmethod
    def resolve(self, context: Mapping[str, Any], index: int) -> Resolved:
        """The values of instance `index`. Raises AirflowException when another task gave what cannot be used."""

    def sources(self) -> Iterator[BaseOperator]:
        """The tasks whose results stand in it."""
        return upstream_of(self.value)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class ExpandedLists(ExpandInput):
    """`.expand(a=…, b=…)`: one instance for each combination; the last argument varies fastest."""

    kind = "expand"

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = dict(value)
        self.spec()

    @property
    def value(self) -> dict[str, Any]:
        """The arguments by name."""
        return self._value

    def spec(self) -> MappedSpec:
        """See ExpandInput."""
        return MappedSpec(kind=self.kind, inputs={name: _lengths(value) for name, value in self._value.items()})

    def resolve(self, context: Mapping[str, Any], index: int) -> Resolved:
        """See ExpandInput."""
        found: dict[str, Any] = {}
        made_elsewhere = []
        for name in reversed(self._value):
            value = self._value[name]
            is_made_elsewhere = isinstance(value, RunTimeValue)
            if is_made_elsewhere:
                value = value.resolve(context)
                if not is_items(value):
                    raise AirflowException(f"argument {name!r}: can't map over value of type {type(value).__name__}")
            length = len(value)
            if not length:
                raise AirflowException(f"argument {name!r} is mapped over a value without items")
            found[name] = item_at(value, index % length)
            if is_made_elsewhere:
                made_elsewhere.append(found[name])
            index //= length
        return {name: found[name] for name in self._value}, made_elsewhere


class ExpandedKwargs(ExpandInput):
    """`.expand_kwargs(…)`: one instance for each dict of a list, which the file or another task makes."""

    kind = "expand_kwargs"

    def __init__(self, value: Any) -> None:
        items: Iterable[Any] = [] if isinstance(value, XComArg) else value
        if not isinstance(value, XComArg) and (not isinstance(value, Sequence) or isinstance(value, (str, bytes))):
            raise invalid(f"expected XComArg or list[dict], not {type(value).__name__}", error=InvalidArguments)
        for item in items:
            if not isinstance(item, (XComArg, Mapping)):
                raise invalid(
                    f"expected XComArg or list[dict], not list[{type(item).__name__}]",
                    value=item,
                    error=InvalidArguments,
                )
        self._value = value
        self.spec()

    @property
    def value(self) -> Any:
        """The list or XComArg."""
        return self._value

    def spec(self) -> MappedSpec:
        """See ExpandInput."""
        return MappedSpec(kind=self.kind, inputs={"kwargs": _lengths(self._value)})

    def resolve(self, context: Mapping[str, Any], index: int) -> Resolved:
        """See ExpandInput."""
        given = self._value
        is_made_elsewhere = isinstance(given, XComArg)
        values = given.resolve(context) if isinstance(given, XComArg) else given
        if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
            raise AirflowException(f"expand_kwargs() expects a list[dict], not {_kind_of(values)}")
        chosen = values[index]
        if isinstance(chosen, XComArg):
            chosen, is_made_elsewhere = chosen.resolve(context), True
        if not isinstance(chosen, Mapping):
            raise AirflowException(f"expand_kwargs() expects a list[dict], not list[{_kind_of(chosen)}]")
        for key in chosen:
            if not isinstance(key, str):
                raise AirflowException(
                    f"expand_kwargs() input dict keys must all be str, but {key!r} is of type {_kind_of(key)}"
                )
        return dict(chosen), list(chosen.values()) if is_made_elsewhere else []


def is_mappable(value: Any) -> bool:
    """Whether an argument of `.expand()` can be mapped over."""
    return is_items(value) or isinstance(value, (RunTimeValue, Mapping))


def refuse_duplicates(given: Iterable[str], more: Iterable[str], reason: str) -> None:
    """Raise UserError when a name is in both."""
    known = set(given)
    both = sorted({name for name in more if name in known})
    if both:
        plural = "s" if len(both) > 1 else ""
        raise invalid(f"{reason} argument{plural}: {', '.join(both)}", error=InvalidArguments)


def _lengths(value: Any) -> LengthSpec:
    if isinstance(value, XComArg):
        return value.lengths()
    if isinstance(value, RunTimeValue):
        raise invalid("Nested Mapped TaskGroups are not yet supported", value=value)
    for inner in _xcom_args(value):
        inner.lengths()
    return LengthSpec(length=len(value))


def _xcom_args(value: Any) -> Iterator[XComArg]:
    """The XComArgs directly inside a literal list or dict."""
    items = itertools.chain(value.values()) if isinstance(value, Mapping) else value
    return (item for item in items if isinstance(item, XComArg))


def _kind_of(value: Any) -> str:
    return "None" if value is None else type(value).__name__
