"""`.map`, `.zip` and `.concat` of a task's result: what an expansion over them gives at each index.

Decides that and the lengths. Nothing is computed before the task that uses an item runs, and then only for that
item. Made by the methods of `XComArg`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from dagdeck.dependencies import EdgeModifier, Related
from dagdeck.exceptions import AirflowException, InvalidArguments, invalid
from dagdeck.xcom_arg import NOTSET, ArgNotSet, XComArg
from dagdeck_core.spec import LengthSpec

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator


class DerivedXComArg(XComArg):
    """Base of the three: made of other XComArgs, and depends on all that they depend on."""

    def __init__(self, args: Sequence[XComArg]) -> None:
        wrong = next((arg for arg in args if not isinstance(arg, XComArg)), None)
        if wrong is not None:
            raise invalid(
                f"only results of tasks can be combined, not a {type(wrong).__name__}",
                value=wrong,
                error=InvalidArguments,
            )
        self.args = tuple(args)

    def sources(self) -> Iterator[BaseOperator]:
        """All tasks whose results it is made of."""
        for arg in self.args:
            yield from arg.sources()

    @property
    def roots(self) -> list[BaseOperator]:
        """These tasks."""
        return list(self.sources())

    @property
    def leaves(self) -> list[BaseOperator]:
        """These tasks."""
        return list(self.sources())

    def set_upstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make these tasks depend on `other`."""
        for task in self.sources():
            task.set_upstream(other, edge_modifier)

    def set_downstream(self, other: Related, edge_modifier: EdgeModifier | None = None) -> None:
        """Make `other` depend on these tasks."""
        for task in self.sources():
            task.set_downstream(other, edge_modifier)

    def as_setup(self) -> XComArg:
        """Make these tasks setup tasks."""
        for task in self.sources():
            task.as_setup()
        return self

    def as_teardown(self, *, setups: Any = None, on_failure_fail_dagrun: bool = False, **arguments: Any) -> XComArg:
        """Make these tasks teardown tasks."""
        for task in self.sources():
            task.as_teardown(setups=setups, on_failure_fail_dagrun=on_failure_fail_dagrun)
        return self

    def __enter__(self) -> NoReturn:
        raise invalid("only a setup or teardown task can be used with `with`", value=self)

    def __getitem__(self, item: str) -> XComArg:
        raise invalid("this has no keys; index the task's own result", value=self, error=InvalidArguments)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return repr(self)

    def _return_value(self, method: str) -> XComArg:
        return self

    def _values(self, context: Mapping[str, Any], what: str) -> list[Any]:
        values = [arg.resolve(context) for arg in self.args]
        for value in values:
            if not is_items(value):
                raise AirflowException(f"XCom {what} expects sequence or dict, not {type(value).__name__}")
        return values


class MapXComArg(DerivedXComArg):
    """Each item passed through functions, in their order. They run in the process of the task that uses the item."""

    def __init__(self, arg: XComArg, functions: Sequence[Callable[[Any], Any]]) -> None:
        super().__init__([arg])
        for function in functions:
            if hasattr(function, "operator_class") or not callable(function):
                raise invalid("map() argument must be a plain function, not a @task operator", value=function)
        self.functions = tuple(functions)

    def __repr__(self) -> str:
        names = "".join(f".map({getattr(function, '__name__', '<function>')})" for function in self.functions)
        return f"{self.args[0]!r}{names}"

    def map(self, f: Callable[[Any], Any]) -> XComArg:
        """One more function after the others."""
        return MapXComArg(self.args[0], [*self.functions, f])

    def lengths(self) -> LengthSpec:
        """As many as there are items."""
        return self.args[0].lengths()

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """A sequence that computes each item when it is asked for."""
        (value,) = self._values(context, "map")
        return _MappedItems(value, self.functions)


class ZipXComArg(DerivedXComArg):
    """Tuples of the items at one index of each."""

    def __init__(self, args: Sequence[XComArg], *, fillvalue: Any = NOTSET) -> None:
        super().__init__(args)
        self.fillvalue = fillvalue

    def __repr__(self) -> str:
        first, *rest = map(repr, self.args)
        if not isinstance(self.fillvalue, ArgNotSet):
            rest.append(f"fillvalue={self.fillvalue!r}")
        return f"{first}.zip({', '.join(rest)})"

    def lengths(self) -> LengthSpec:
        """As many as the shortest has, or with a fillvalue the longest."""
        parts = tuple(arg.lengths() for arg in self.args)
        return LengthSpec(zipped=parts, longest=not isinstance(self.fillvalue, ArgNotSet))

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """A sequence of tuples."""
        return _ZippedItems(self._values(context, "zip"), self.fillvalue)


class ConcatXComArg(DerivedXComArg):
    """The items of the first, then those of the second, and so on."""

    def __repr__(self) -> str:
        first, *rest = map(repr, self.args)
        return f"{first}.concat({', '.join(rest)})"

    def concat(self, *others: XComArg) -> XComArg:
        """One more at the end."""
        return ConcatXComArg([*self.args, *others])

    def lengths(self) -> LengthSpec:
        """As many as all have together."""
        return LengthSpec(joined=tuple(arg.lengths() for arg in self.args))

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """A sequence of all items."""
        return _JoinedItems(self._values(context, "concat"))


def is_items(value: Any) -> bool:
    """Whether a value can be mapped over: an ordered collection of items that is no text."""
    return isinstance(value, (Sequence, dict)) and not isinstance(value, (str, bytes, bytearray))


def item_at(value: Any, index: int) -> Any:
    """The item of a sequence, or the (key, value) pair of a dict, at `index`. Raises IndexError."""
    if isinstance(value, dict):
        for pair in itertools.islice(value.items(), index, None):
            return pair
        raise IndexError(index)
    return value[index]


class _Items(Sequence[Any]):
    """What the three give: a sequence whose items are worked out one by one."""

    def _at(self, index: int) -> Any:
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        length = len(self)
        if isinstance(index, slice):
            return [self._at(position) for position in range(*index.indices(length))]
        position = index + length if index < 0 else index
        if not 0 <= position < length:
            raise IndexError(index)
        return self._at(position)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<{len(self)} items>"


class _MappedItems(_Items):
    def __init__(self, value: Any, functions: Sequence[Callable[[Any], Any]]) -> None:
        self._value = value
        self._functions = functions

    def __len__(self) -> int:
        return len(self._value)

    def _at(self, index: int) -> Any:
        item = item_at(self._value, index)
        for function in self._functions:
            item = function(item)
        return item


class _ZippedItems(_Items):
    def __init__(self, values: Sequence[Any], fillvalue: Any) -> None:
        self._values = values
        self._fillvalue = fillvalue
        lengths = [len(value) for value in values]
        self._length = min(lengths) if isinstance(fillvalue, ArgNotSet) else max(lengths)

    def __len__(self) -> int:
        return self._length

    def _at(self, index: int) -> Any:
        return tuple(item_at(value, index) if index < len(value) else self._fillvalue for value in self._values)


class _JoinedItems(_Items):
    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self._lengths = [len(value) for value in values]

    def __len__(self) -> int:
        return sum(self._lengths)

    def _at(self, index: int) -> Any:
        for value, length in zip(self._values, self._lengths, strict=True):
            if index < length:
                return item_at(value, index)
            index -= length
        raise IndexError(index)


__all__ = ["ConcatXComArg", "DerivedXComArg", "MapXComArg", "ZipXComArg", "is_items", "item_at"]
