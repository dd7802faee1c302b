"""How default_args reach operators: the metaclass that wraps each operator's `__init__`.

Decides which arguments a class's own `__init__` gets when the author did not give them, and what is said
when one is missing. Does not check values (`dagdeck.operator_arguments`). Works for operators written
by DAG authors in Airflow's style, at every level of their inheritance.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABCMeta
from collections.abc import Callable, Mapping
from typing import Any

from dagdeck import scope
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.old_keywords import OPERATOR_NAMES, for_default_args, for_operator
from dagdeck.operator_arguments import COMMON_ARGUMENTS

_KEYWORD_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class OperatorMeta(ABCMeta):
    """Makes every `__init__` of an operator class read default_args, and finishes a new operator."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **extra: Any) -> OperatorMeta:
        """The class, with its `__init__` wrapped."""
        init = namespace.get("__init__")
        if init is not None:
            namespace["__init__"] = _with_defaults(init)
        return super().__new__(mcs, name, bases, namespace, **extra)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """A new operator, with the dependencies that its template fields imply."""
        if not OPERATOR_NAMES.isdisjoint(kwargs):
            kwargs = for_operator(cls, kwargs)
        operator = super().__call__(*args, **kwargs)
        operator.__dict__.pop("_inherited_defaults", None)
        link_template_fields(operator)
        return operator

    def own_arguments(cls) -> frozenset[str]:
        """Names of the arguments that the class and its bases take besides the common ones."""
        found = cls.__dict__.get("_own_arguments")
        if found is None:
            found = cls._own_arguments = cls._collect_own_arguments()
        return found

    def _collect_own_arguments(cls) -> frozenset[str]:
        names = (name for base in cls.__mro__ for name in _named_parameters(base.__dict__.get("__init__")))
        return frozenset(names)


def link_template_fields(operator: Any) -> None:
    """Make `operator` depend on every task whose result stands in one of its template fields.

    One that a running task has made of its mapped definition depends on nothing more.
    """
    from dagdeck.xcom_arg import upstream_of

    if scope.is_detached():
        return
    values = operator.field_values() if operator.is_mapped else operator.__dict__
    for field in operator.template_fields:
        value = values.get(field)
        if value is not None and not isinstance(value, (str, int, float)):
            for source in upstream_of(value):
                operator.set_upstream(source)


def merged_default_args(dag: Any, group: Any, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """default_args as they hold for one task: the DAG's, then its groups' from the outside in, then its own."""
    levels = [own or {}]
    while group is not None:
        levels.append(group.default_args)
        group = group.parent_group
    if dag is not None:
        levels.append(dag.default_args)
    merged: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for level in reversed(levels):
        merged.update(level)
        params.update(level.get("params") or {})
    if params:
        merged["params"] = params
    return merged


def _named_parameters(init: Any) -> dict[str, inspect.Parameter]:
    """The parameters of an `__init__` that can be given by name, without self."""
    if init is None or not callable(init):
        return {}
    found = getattr(init, "_named_parameters", None)
    if found is None:
        parameters = list(inspect.signature(init).parameters.values())[1:]
        found = {parameter.name: parameter for parameter in parameters if parameter.kind in _KEYWORD_KINDS}
    return found


def _with_defaults(init: Callable[..., None]) -> Callable[..., None]:
    parameters = _named_parameters(init)
    required = [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    is_base = "task_id" in parameters and "pre_execute" in parameters
    fillable = [*parameters, *COMMON_ARGUMENTS] if is_base else list(parameters)
    never = {"dag", "task_group", "default_args", "params"}

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        if args:
            raise invalid(
                f"{type(self).__name__} takes its arguments by name only",
                subject=f"task {kwargs.get('task_id', args[0])!r}",
                error=InvalidArguments,
            )
        defaults = self.__dict__.get("_inherited_defaults")
        if defaults is None:
            defaults = self.__dict__["_inherited_defaults"] = _defaults_for(kwargs)
        for name in fillable:
            if name not in kwargs and name in defaults and name not in never:
                kwargs[name] = defaults[name]
        if is_base and defaults.get("params"):
            kwargs["params"] = {**defaults["params"], **(kwargs.get("params") or {})}
        missing = [name for name in required if name not in kwargs]
        if missing:
            raise invalid(
                f"{type(self).__name__} needs the argument{'s' if len(missing) > 1 else ''} "
                + ", ".join(repr(name) for name in missing),
                subject=f"task {kwargs.get('task_id', '?')!r}",
                error=InvalidArguments,
            )
        init(self, **kwargs)

    wrapped._named_parameters = parameters  # type: ignore[attr-defined]
    return wrapped


def _defaults_for(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    group = kwargs.get("task_group")
    dag = kwargs.get("dag") or (group.dag if group is not None else None) or scope.current_dag()
    if group is None:
        group = scope.current_group(dag)
    merged = merged_default_args(dag, group, kwargs.get("default_args"))
    return merged if OPERATOR_NAMES.isdisjoint(merged) else for_default_args(merged)
