"""`Operator.partial(...)`: the arguments that all instances of a mapped task have in common.

Decides which arguments are common ones, which can be mapped over, and what is said when they are wrong. Used in DAG
files; `@task` functions have the same methods (`decorators.task_factory`) and make their tasks with `make_mapped`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from dagdeck import scope
from dagdeck.exceptions import FeatureNotAvailable, InvalidArguments, close_match, invalid
from dagdeck.mapping.expand_inputs import ExpandedKwargs, ExpandedLists, ExpandInput, is_mappable, refuse_duplicates
from dagdeck.mapping.mapped_operator import REFUSED, UNMAPPABLE, MappedOperator
from dagdeck.operator import BaseOperator
from dagdeck.operator_arguments import COMMON_ARGUMENTS, CONSTRUCTION_ARGUMENTS

NESTED = "operator expansion in an expanded task group is not yet supported"


class OperatorPartial:
    """What `.partial()` returns. It makes no task before it is expanded."""

    def __init__(self, operator_class: type[BaseOperator], arguments: Mapping[str, Any]) -> None:
        self.operator_class = operator_class
        self.arguments = dict(arguments)
        self.is_expanded = False
        self._refuse_unknown("partial", self.arguments)
        dag = self.arguments.get("dag") or scope.current_dag()
        if dag is not None:
            dag.partials.append(weakref.ref(self))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.operator_class.__name__}.partial({arguments})"

    def expand(self, **mapped: Any) -> MappedOperator:
        """One instance for each combination of the values of these lists, dicts and results of tasks.

        Raises UserError for arguments that the operator does not take, that cannot be mapped or are given already.
        """
        if not mapped:
            raise invalid("no arguments to expand against", subject=repr(self), error=InvalidArguments)
        self._refuse_unknown("expand", mapped)
        for name, value in mapped.items():
            if not is_mappable(value):
                raise invalid(
                    f"{self.operator_class.__name__}.expand() got an unexpected type {type(value).__name__!r} for "
                    f"keyword argument {name}",
                    subject=self._subject(),
                    field=name,
                    value=value,
                    remedy="Give it a list, a dict or what a task returns",
                )
        refuse_duplicates({*self.arguments, *UNMAPPABLE}, mapped, REFUSED)
        return self._make(ExpandedLists(mapped), strict=False)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> MappedOperator:
        """One instance for each dict of arguments in this list, or in the list that a task returns.

        With `strict` they may not hold what `partial()` was given. Raises UserError when it is no list of dicts.
        """
        return self._make(ExpandedKwargs(kwargs), strict=strict)

    def _make(self, expand_input: ExpandInput, *, strict: bool) -> MappedOperator:
        self.is_expanded = True
        return make_mapped(self.operator_class, self.arguments, expand_input, strict=strict)

    def _refuse_unknown(self, method: str, arguments: Mapping[str, Any]) -> None:
        known = {*COMMON_ARGUMENTS, *CONSTRUCTION_ARGUMENTS, *self.operator_class.own_arguments()}
        unknown = [name for name in arguments if name not in known]
        if unknown:
            names = ", ".join(map(repr, unknown))
            plural = "s" if len(unknown) > 1 else ""
            raise invalid(
                f"{self.operator_class.__name__}.{method}() got {'' if plural else 'an '}unexpected keyword "
                f"argument{plural} {names}{close_match(unknown[0], known)}",
                subject=self._subject(),
                error=InvalidArguments,
            )

    def _subject(self) -> str:
        return f"task {self.arguments.get('task_id', '?')!r}"


def make_mapped(
    operator_class: type[BaseOperator],
    arguments: Mapping[str, Any],
    expand_input: ExpandInput,
    *,
    strict: bool,
    values_are_op_kwargs: bool = False,
) -> MappedOperator:
    """The mapped task of these arguments of `partial()`, in its DAG and group.

    Raises UserError; FeatureNotAvailable inside a mapped group, as Airflow does.
    """
    subject = f"task {arguments.get('task_id', '?')!r}"
    if "task_id" not in arguments:
        raise invalid(f"{operator_class.__name__}.partial() needs a task_id", error=InvalidArguments)
    group = arguments.get("task_group")
    dag = arguments.get("dag") or (group.dag if group is not None else scope.current_dag())
    if group is None:
        group = scope.current_group(dag)
    if group is not None and group.is_mapped_inside:
        raise FeatureNotAvailable(NESTED, field=subject, remedy="Expand the group over all values instead")
    own = {name: value for name, value in arguments.items() if not is_common(name)}
    return MappedOperator(
        mapped_class=operator_class,
        own=own,
        expand_input=expand_input,
        strict=strict,
        values_are_op_kwargs=values_are_op_kwargs,
        **{name: value for name, value in arguments.items() if is_common(name)},
    )


def is_common(name: str) -> bool:
    """Whether an argument is one that every operator takes."""
    return name in COMMON_ARGUMENTS or name in CONSTRUCTION_ARGUMENTS
