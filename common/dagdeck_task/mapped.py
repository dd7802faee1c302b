"""What is special when a task is mapped, or when others map over what it returns.

Decides how the concrete operator of one instance is made and rendered, which return values can be mapped over, and
the name that an instance is shown under. Called by `execution`; a task that has nothing to do with mapping gets no
further than a look into a set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagdeck.exceptions import UnmappableXComLengthPushed, UnmappableXComTypePushed, XComForMappingNotPushed
from dagdeck.mapping.derived_xcom_args import is_items
from dagdeck.mapping.mapped_operator import MappedOperator
from dagdeck.mapping.relations import expansion_sources
from dagdeck.operator import BaseOperator
from dagdeck.templating import render, render_fields
from dagdeck_task.task_instance import TaskInstance


def concrete(operator: BaseOperator, context: Mapping[str, Any], ti: TaskInstance) -> tuple[BaseOperator, list[Any]]:
    """The operator that `ti` runs, and those of its values that are not to be rendered as templates.

    Raises what finding the values raises.
    """
    if not isinstance(operator, MappedOperator):
        return operator, []
    found, kept = operator.unmap(context, ti.map_index)
    ti.task = found
    return found, kept


def render_all(operator: BaseOperator, context: Mapping[str, Any], kept: list[Any]) -> None:
    """Render the operator's template fields, all but the values `kept`, which other tasks have made."""
    if not kept:
        render_fields(operator, context)
        return
    known = {id(value) for value in kept}
    for field in operator.template_fields:
        value = getattr(operator, field)
        if value is not None and value != () and value != {}:
            setattr(operator, field, _render_but(value, known, context, operator))


def _render_but(value: Any, known: set[int], context: Mapping[str, Any], operator: BaseOperator) -> Any:
    if id(value) in known:
        return value
    if type(value) is dict:
        return {key: _render_but(item, known, context, operator) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_render_but(item, known, context, operator) for item in value)
    return render(value, context, operator)


def is_expanded_over(ti: TaskInstance, result: Any, limit: int) -> bool:
    """Whether other tasks are expanded over the items of what the task returns. Raises when they cannot be.

    `limit` is the most items (0: no limit). Of a task that is itself expanded, each value counts as one item.
    """
    if ti.task_id not in expansion_sources(ti.task.dag) or ti.map_index >= 0:
        return False
    if result is None or not ti.task.do_xcom_push:
        raise XComForMappingNotPushed
    if not is_items(result):
        raise UnmappableXComTypePushed(result)
    if limit and len(result) > limit:
        raise UnmappableXComLengthPushed(result, limit)
    return True


def counts_for_expansion(ti: TaskInstance) -> bool:
    """Whether a mapped instance has returned something that another expansion counts."""
    return ti.map_index >= 0 and ti.has_returned and ti.task_id in expansion_sources(ti.task.dag)


def shown_index(ti: TaskInstance, context: Mapping[str, Any]) -> str | None:
    """What an instance is shown as, by its map_index_template; None without one. Raises what rendering raises."""
    template = context.get("map_index_template") if ti.map_index >= 0 else None
    if not template:
        return None
    return str(render(template, context, ti.task))
