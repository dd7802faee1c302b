"""Operators that call a Python function.

Decides how the function is called and what its result means. Used in DAG files and as the base of `@task`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.async_operator import BaseAsyncOperator, is_async_callable
from dagdeck.context import Context
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.operators.callable_arguments import keyword_arguments
from dagdeck.operators.skipping import BranchMixIn, SkipMixin, short_circuit
from dagdeck.operators.yielded import exhausted, take_metadata


class PythonOperator(BaseAsyncOperator):
    """Calls `python_callable(*op_args, **op_kwargs)`; parameters named like context values get these.

    `templates_dict` is rendered and reaches the function under that name. `templates_exts` are the endings of
    template files. With `show_return_value_in_logs=False` the result is not logged. An `async def`
    function is run to its end.
    """

    template_fields: ClassVar[Sequence[str]] = ("templates_dict", "op_args", "op_kwargs")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {
        "templates_dict": "json",
        "op_args": "py",
        "op_kwargs": "py",
    }
    ui_color = "#ffefeb"
    shallow_copy_attrs: ClassVar[Sequence[str]] = ("python_callable", "op_kwargs")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        templates_dict: dict[str, Any] | None = None,
        templates_exts: Sequence[str] | None = None,
        show_return_value_in_logs: bool = True,
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
        self.op_args: Collection[Any] = op_args if op_args is not None else ()
        self.op_kwargs: Mapping[str, Any] = op_kwargs if op_kwargs is not None else {}
        self.templates_dict = templates_dict
        self.show_return_value_in_logs = show_return_value_in_logs
        if templates_exts is not None:
            self.template_ext = tuple(templates_exts)

    @property
    def is_async(self) -> bool:
        """Whether the function is an `async def`."""
        return is_async_callable(self.python_callable)

    async def aexecute(self, context: Context) -> Any:
        """Call the function from within an event loop, for callers that have one."""
        self._take_context(context)
        result = self.python_callable(*self.op_args, **self.op_kwargs)
        return await _awaited(result)

    def execute(self, context: Context) -> Any:
        """Call the function."""
        self._take_context(context)
        result = self.execute_callable()
        if result is not None:
            if self.show_return_value_in_logs:
                self.log.info("Done. Returned value was: %s", _shortened(result))
            else:
                self.log.info("Done. Returned value not shown")
        return result

    def _take_context(self, context: Context) -> None:
        if self.templates_dict is not None:
            context["templates_dict"] = self.templates_dict
        self.op_kwargs = self.determine_kwargs(context)

    def determine_kwargs(self, context: Context) -> Mapping[str, Any]:
        """The keyword arguments that the function is called with."""
        return keyword_arguments(self.python_callable, self.op_args, self.op_kwargs, context)

    def execute_callable(self) -> Any:
        """Call the function and return what it returns; a coroutine is awaited."""
        result: Any = self.python_callable(*self.op_args, **self.op_kwargs)
        if inspect.iscoroutine(result) or inspect.isasyncgen(result):
            import asyncio  # most tasks do without

            return asyncio.run(_awaited(result))
        if inspect.isgenerator(result):
            return exhausted(result)
        return result


class BranchPythonOperator(PythonOperator, BranchMixIn):
    """Calls a function that returns the id, or ids, of the downstream tasks or groups to follow."""

    def execute(self, context: Context) -> Any:
        """Call the function and skip what it did not choose."""
        return self.do_branch(context, super().execute(context))


class ShortCircuitOperator(PythonOperator, SkipMixin):
    """Calls a function; when it returns something false, what comes after the task is skipped.

    By default all of it; with `ignore_downstream_trigger_rules=False` only the tasks directly downstream, and
    the trigger rules of those behind them decide.
    """

    def __init__(self, *, ignore_downstream_trigger_rules: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def execute(self, context: Context) -> Any:
        """Call the function and skip, or go on."""
        condition = super().execute(context)
        self.log.info("Condition result is %s", _shortened(condition))
        if not condition:
            ignore = self.ignore_downstream_trigger_rules
            short_circuit(self, context["ti"], self, ignore_downstream_trigger_rules=ignore)
        return condition


async def _awaited(result: Any) -> Any:
    """What a coroutine gives, the items of an asynchronous generator; anything else as it is."""
    if inspect.isasyncgen(result):
        items = [item async for item in result]
        for item in items:
            take_metadata(item)
        return items
    return await result if inspect.isawaitable(result) else result


def _shortened(value: Any, limit: int = 2_000) -> str:
    """`value` as text for the log, cut where it gets long; a big container is not even written out whole."""
    import reprlib

    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}… ({len(value)} characters)"
    if isinstance(value, (int, float, bool)) or value is None:
        return str(value)
    shortener = reprlib.Repr()
    shortener.maxdict = shortener.maxlist = shortener.maxtuple = shortener.maxset = 50
    shortener.maxstring = shortener.maxother = 500
    return _shortened(shortener.repr(value), limit)
