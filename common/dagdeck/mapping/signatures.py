"""What a decorated function takes, and what is said when an expansion gives it something else.

Decides the checks of `.partial()` and `.expand()` on functions. Called by the `@task` and `@task_group` factories.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dagdeck.exceptions import InvalidArguments, close_match, invalid
from dagdeck.mapping.expand_inputs import is_mappable
from dagdeck.xcom_arg import NOTSET

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def named_parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The function's parameters that can be given by name, each with its default (NOTSET: none)."""
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: NOTSET if parameter.default is inspect.Parameter.empty else parameter.default
        for parameter in parameters
        if parameter.kind not in _VARIADIC
    }


def check_names(function: Callable[..., Any], method: str, arguments: Mapping[str, Any]) -> None:
    """Raise UserError unless the function takes all `arguments` and, for "expand", each can be mapped over."""
    subject = f"{getattr(function, '__name__', function)}.{method}()"
    if method == "expand":
        if not arguments:
            raise invalid("no arguments to expand against", subject=subject, error=InvalidArguments)
        for name, value in arguments.items():
            if not is_mappable(value):
                raise invalid(
                    f"expand() got an unexpected type {type(value).__name__!r} for keyword argument {name!r}",
                    subject=subject,
                    value=value,
                    remedy="Give it a list, a dict or what a task returns",
                )
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    known = named_parameters(function)
    unknown = [name for name in arguments if name not in known]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise invalid(
            f"{method}() got {'' if plural else 'an '}unexpected keyword argument{plural} "
            f"{', '.join(map(repr, unknown))}{close_match(unknown[0], list(known))}",
            subject=subject,
            error=InvalidArguments,
        )
