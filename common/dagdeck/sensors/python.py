"""PythonSensor: waits until a function returns something true.

Decides how the function is called. Used in DAG files and as the base of `@task.sensor`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.operators.callable_arguments import keyword_arguments
from dagdeck.sensors.base import BaseSensorOperator, PokeReturnValue


class PythonSensor(BaseSensorOperator):
    """Calls `python_callable(*op_args, **op_kwargs)` until it returns something true or a PokeReturnValue."""

    template_fields: ClassVar[Sequence[str]] = ("templates_dict", "op_args", "op_kwargs")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        templates_dict: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(python_callable):
            raise invalid(
                "python_callable must be a function",
                subject=f"task {self.task_id!r}",
                field="python_callable",
                value=python_callable,
                error=InvalidArguments,
            )
        self.python_callable = python_callable
        self.op_args: Collection[Any] = op_args or ()
        self.op_kwargs: Mapping[str, Any] = op_kwargs or {}
        self.templates_dict = templates_dict

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Call the function."""
        if self.templates_dict is not None:
            context["templates_dict"] = self.templates_dict
        kwargs = keyword_arguments(self.python_callable, self.op_args, self.op_kwargs, context)
        found = self.python_callable(*self.op_args, **kwargs)
        return found if isinstance(found, PokeReturnValue) else bool(found)
