"""What a Python callable is called with: its own arguments, and what it asks for from the context.

Decides which context values a function gets by the names of its parameters. Used by all operators that call
a Python function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from dagdeck.context import REMOVED_KEYS, Context

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Shape(NamedTuple):
    """What a signature says about passing arguments."""

    by_name: tuple[str, ...]
    by_position: tuple[str, ...]
    takes_any: bool
    old_names: tuple[str, ...] = ()
    """Names of Airflow 2's context that the function has as parameters or in its code."""


@lru_cache(maxsize=4096)
def _shape(function: Callable[..., Any]) -> _Shape | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Some built-in functions have no signature; they get what the author gave and nothing else.
        return None
    used = {*_texts_in(function), *(parameter.name for parameter in parameters)}
    return _Shape(
        by_name=tuple(parameter.name for parameter in parameters if parameter.kind in _BY_NAME),
        by_position=tuple(parameter.name for parameter in parameters if parameter.kind in _BY_POSITION),
        takes_any=any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters),
        old_names=tuple(name for name in REMOVED_KEYS if name in used),
    )


def _texts_in(function: Any) -> frozenset[str]:
    """Strings that stand as constants in the function's code and in functions inside it."""
    waiting, found = [getattr(inspect.unwrap(function), "__code__", None)], set()
    while waiting:
        for constant in getattr(waiting.pop(), "co_consts", ()):
            if isinstance(constant, str):
                found.add(constant)
            elif isinstance(constant, CodeType):
                waiting.append(constant)
    return frozenset(found)


def _shape_of(function: Callable[..., Any]) -> _Shape | None:
    try:
        return _shape(function)
    except TypeError:
        return _shape.__wrapped__(function)


def keyword_arguments(
    function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    """`kwargs`, and those values of the context that the function has parameters for (all, for `**context`).

    Arguments of the author's win over the context; a parameter filled by position is left alone.
    """
    shape = _shape_of(function)
    if shape is None:
        return dict(kwargs)
    if shape.takes_any:
        merged = context.arguments(shape.old_names)
        merged.update(kwargs)
    else:
        merged = dict(kwargs)
        for name in shape.by_name:
            if name not in merged and name in context:
                merged[name] = context[name]
    for name in shape.by_position[: len(args)]:
        if name not in kwargs:
            merged.pop(name, None)
    return merged
