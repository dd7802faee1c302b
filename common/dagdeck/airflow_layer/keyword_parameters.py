"""Which keyword arguments a function takes, as `airflow.utils.operator_helpers` answers it.

Decides nothing: `dagdeck.operators.callable_arguments` does. Found by custom operators through the table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any

from dagdeck.context import Context
from dagdeck.operators.callable_arguments import keyword_arguments


def determine_kwargs(
    func: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any]
) -> MutableMapping[str, Any]:
    """Those of `kwargs`, usually the context, that the function has parameters for."""
    context = kwargs if isinstance(kwargs, Context) else Context(kwargs)
    return keyword_arguments(func, args, {}, context)


class KeywordParameters:
    """What `determine` finds out, unpacked when it is needed."""

    def __init__(self, kwargs: Mapping[str, Any]) -> None:
        self._kwargs = kwargs

    @classmethod
    def determine(cls, func: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any]) -> KeywordParameters:
        """See `determine_kwargs`."""
        return cls(determine_kwargs(func, args, kwargs))

    def unpacking(self) -> Mapping[str, Any]:
        """The arguments."""
        return self._kwargs
