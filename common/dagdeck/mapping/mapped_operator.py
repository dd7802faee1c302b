"""MappedOperator: a task that becomes one instance for each value of its input.

Decides how it is described before it runs, and how the concrete operator of one instance is made out of the common
arguments and that instance's values. Made by `.expand()` and `.expand_kwargs()`; `dagdeck_task` asks it for the
concrete operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagdeck import scope
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.mapping.expand_inputs import ExpandInput, refuse_duplicates
from dagdeck.operator import BaseOperator
from dagdeck.operator_arguments import COMMON_ARGUMENTS, CONSTRUCTION_ARGUMENTS
from dagdeck.operator_defaults import merged_default_args

UNMAPPABLE = frozenset({*COMMON_ARGUMENTS, *CONSTRUCTION_ARGUMENTS} - {"params"})
"""Arguments that all instances of a task have in common."""
REFUSED = "unmappable or already specified"
_SHARED = ("trigger_rule", "is_setup", "is_teardown", "on_failure_fail_dagrun", "doc_md", "map_index_template")
_OF_CLASS = (
    "template_fields",
    "template_ext",
    "template_fields_renderers",
    "ui_color",
    "ui_fgcolor",
    "custom_operator_name",
    "operator_extra_links",
    "start_trigger_args",
    "start_from_trigger",
)


class MappedOperator(BaseOperator):
    """The definition of all instances.

    `own` are the arguments of `mapped_class` besides the common ones. With `values_are_op_kwargs` an instance's
    values are arguments of the decorated function, otherwise of the class. With `strict` a value may not stand for
    an argument that is given already.
    """

    is_mapped = True

    def __init__(
        self,
        *,
        mapped_class: type[BaseOperator],
        own: Mapping[str, Any],
        expand_input: ExpandInput,
        strict: bool,
        values_are_op_kwargs: bool = False,
        **common: Any,
    ) -> None:
        self.mapped_class = mapped_class
        self.own = dict(own)
        self.common = {name: value for name, value in common.items() if name not in ("dag", "task_group", "task_id")}
        self.expand_input = expand_input
        self.strict = strict
        self.values_are_op_kwargs = values_are_op_kwargs
        self.__dict__.update({name: getattr(mapped_class, name) for name in _OF_CLASS})
        self.is_sensor = bool(getattr(mapped_class, "is_sensor", False))
        super().__init__(**common)
        for source in dict.fromkeys(expand_input.sources()):
            self.set_upstream(source)

    @property
    def task_type(self) -> str:
        """The name of the class of its instances."""
        return self.mapped_class.__name__

    @property
    def operator_class(self) -> type[BaseOperator]:
        """The class of its instances."""
        return self.mapped_class

    def __repr__(self) -> str:
        return f"<Mapped({self.task_type}): {self.task_id}>"

    def field_values(self) -> dict[str, Any]:
        """The arguments of its instances by name, as far as they stand in the file; mapped ones as they are written."""
        values = {**self.common, **self.own}
        if self.values_are_op_kwargs:
            values["op_kwargs"] = {**values.get("op_kwargs", {}), **self._mapped_values()}
            return values
        return {**values, **self._mapped_values()}

    def _mapped_values(self) -> dict[str, Any]:
        value = self.expand_input.value
        return dict(value) if isinstance(value, Mapping) else {"kwargs": value}

    def unmap(self, context: Mapping[str, Any], map_index: int) -> tuple[BaseOperator, list[Any]]:
        """The operator of one instance, and those of its values that are not to be rendered as templates.

        Raises what resolving the values raises, and UserError when the operator does not take them.
        """
        values, made_elsewhere = self.expand_input.resolve(context, map_index)
        with scope.detached():
            operator = self.mapped_class(**self._arguments(values))
        operator.__dict__.update({name: getattr(self, name) for name in _SHARED})
        operator._label = self._label
        operator._dag = self._dag
        operator.task_group = self.task_group
        operator.upstream_task_ids = self.upstream_task_ids
        operator.downstream_task_ids = self.downstream_task_ids
        return operator, made_elsewhere

    def _arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        given = {**self.common, **self.own, "task_id": self.task_id}
        given["default_args"] = merged_default_args(self._dag, self.task_group, self.common.get("default_args"))
        if self.values_are_op_kwargs:
            partial = given.get("op_kwargs", {})
            self._check(partial, values)
            return {**given, "op_kwargs": {**partial, **values}}
        self._check((*UNMAPPABLE, *self.own), values)
        if "params" in values:
            values["params"] = {**self._own_params, **values["params"]}
        return {**given, **values}

    def _check(self, taken: Any, values: dict[str, Any]) -> None:
        try:
            refuse_duplicates(taken if self.strict else (), values, REFUSED)
        except InvalidArguments as error:
            raise invalid(
                str(error),
                subject=f"dag {self.dag_id!r}, task {self.task_id!r}",
                remedy="Give it either in partial() or in the dicts, not in both",
            ) from error
