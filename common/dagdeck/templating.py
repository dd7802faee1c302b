"""Jinja templates: environments, rendering of template fields, template files.

Decides how a value of a template field is rendered. Does not decide when (`dagdeck_task.execution`, just
before a task runs) nor what the names in a template mean (the context). Strings without any template
marker never reach Jinja, so that tasks without templates do not even import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dagdeck.context import REMOVED_KEYS
from dagdeck.xcom_arg import MAX_NESTING, RunTimeValue

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from dagdeck.dags import DAG
    from dagdeck.operator import BaseOperator

_MARKERS = ("{{", "{%", "{#", "\r")
_COMPILED_LIMIT = 512


def may_be_template(text: str) -> bool:
    """Whether rendering `text` could give anything else."""
    return any(marker in text for marker in _MARKERS)


class Literal:
    """A string that is not to be rendered; made by `literal`."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The string itself."""
        return self.value


def literal(value: Any) -> Literal:
    """`value` as it is, even if it looks like a template or like the name of a template file."""
    return Literal(value)


def render_fields(operator: BaseOperator, context: Mapping[str, Any], environment: Environment | None = None) -> None:
    """Replace the values of the operator's template fields by their rendered form.

    Raises what rendering raises (jinja2.UndefinedError, TemplateNotFound, XComNotFound, …); AttributeError
    for a template field that the operator does not have.
    """
    for field in operator.template_fields:
        try:
            value = getattr(operator, field)
        except AttributeError:
            raise AttributeError(
                f"{field!r} is listed in template_fields of {operator.task_type}, but task "
                f"{operator.task_id!r} has no such attribute"
            ) from None
        if value is not None and value != () and value != {}:
            setattr(operator, field, render(value, context, operator, environment))


def render(
    value: Any,
    context: Mapping[str, Any],
    operator: BaseOperator,
    environment: Environment | None = None,
    depth: int = MAX_NESTING,
) -> Any:
    """`value` rendered for one task instance; containers are rebuilt, objects with template_fields changed."""
    if isinstance(value, str):
        return _render_text(value, context, operator, environment)
    if value is None or isinstance(value, (int, float, bytes)) or not depth:
        return value
    resolve = getattr(value, "resolve", None)
    if callable(resolve) and not isinstance(value, type) and _is_placeholder(value):
        return resolve(context)
    depth -= 1
    if isinstance(value, tuple):
        items = [render(item, context, operator, environment, depth) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [render(item, context, operator, environment, depth) for item in value]
    if isinstance(value, dict):
        return {key: render(item, context, operator, environment, depth) for key, item in value.items()}
    if isinstance(value, set):
        return {render(item, context, operator, environment, depth) for item in value}
    for field in getattr(value, "template_fields", None) or ():
        inner = getattr(value, field, None)
        if inner:
            setattr(value, field, render(inner, context, operator, environment, depth))
    return value


def _is_placeholder(value: Any) -> bool:
    from dagdeck.params import DagParam

    return isinstance(value, (RunTimeValue, Literal, DagParam))


def _render_text(text: str, context: Mapping[str, Any], operator: BaseOperator, environment: Environment | None) -> Any:
    extensions = operator.template_ext
    is_file = bool(extensions) and text.endswith(tuple(extensions))
    dag = operator._dag
    plain = dag is None or not (dag.render_template_as_native_obj or dag.jinja_environment_kwargs)
    if plain and not is_file and environment is None and not any(marker in text for marker in _MARKERS):
        # What Jinja would make of it: one newline at the end goes.
        return text[:-1] if text.endswith("\n") else text
    environment = environment or environment_of(operator)
    template = environment.get_template(text) if is_file else _compiled(environment, text)
    return render_template(template, context)


def render_template(template: Template, context: Mapping[str, Any]) -> Any:
    """`template` rendered; names are looked up in `context` only when the template uses them."""
    environment = template.environment
    scope = _Scope(context, template.globals)
    jinja_context = template.new_context(scope, shared=True)  # type: ignore[arg-type]
    try:
        return environment.concat(template.root_render_func(jinja_context))
    except Exception:  # noqa: BLE001 - Jinja rewrites its traceback and raises it again
        environment.handle_exception()


def environment_of(operator: BaseOperator) -> Environment:
    """The environment of the operator's DAG; a bare one when it has none."""
    return environment_for(operator._dag)


def environment_for(dag: DAG | None, *, force_sandboxed: bool = False) -> Environment:
    """The Jinja environment of a DAG, made once."""
    if dag is None:
        return _bare_environment()
    cached = dag.__dict__.get("_jinja_environment")
    if cached is None or force_sandboxed:
        cached = _build_environment(dag, native=dag.render_template_as_native_obj and not force_sandboxed)
        if not force_sandboxed:
            dag.__dict__["_jinja_environment"] = cached
    environment: Environment = cached
    return environment


def _build_environment(dag: DAG, *, native: bool) -> Environment:
    import jinja2

    from dagdeck.jinja_environments import environment_class

    options: dict[str, Any] = {
        "loader": jinja2.FileSystemLoader([dag.folder, *dag.template_searchpath]),
        "undefined": dag.template_undefined or jinja2.StrictUndefined,
        "extensions": ["jinja2.ext.do"],
        **dag.jinja_environment_kwargs,
    }
    environment: Environment = environment_class(native)(**options)
    _add_filters(environment)
    environment.globals.update(dag.user_defined_macros)
    environment.filters.update(dag.user_defined_filters)
    return environment


@lru_cache(maxsize=1)
def _bare_environment() -> Environment:
    import jinja2

    from dagdeck.jinja_environments import environment_class

    environment: Environment = environment_class(False)(undefined=jinja2.StrictUndefined, extensions=["jinja2.ext.do"])
    _add_filters(environment)
    return environment


def _add_filters(environment: Environment) -> None:
    from dagdeck import date_filters

    environment.filters.update(date_filters.FILTERS)


def _compiled(environment: Environment, text: str) -> Template:
    """The compiled template of `text`, kept with its environment: a warm process renders it again."""
    cache: dict[str, Template] = environment.__dict__.setdefault("dagdeck_compiled", {})
    template = cache.get(text)
    if template is None:
        if len(cache) >= _COMPILED_LIMIT:
            cache.pop(next(iter(cache)))
        template = cache[text] = environment.from_string(text)
    return template


class _Scope(Mapping[str, Any]):
    """The context in front of the environment's globals, for Jinja to look names up in."""

    __slots__ = ("_context", "_globals")

    def __init__(self, context: Mapping[str, Any], template_globals: Mapping[str, Any]) -> None:
        self._context = context
        self._globals = template_globals

    def __getitem__(self, key: str) -> Any:
        return self._context[key] if key in self._context else self._globals[key]

    def __contains__(self, key: object) -> bool:
        if key in self._context or key in self._globals:
            return True
        if key in REMOVED_KEYS:
            from jinja2 import UndefinedError

            raise UndefinedError(f"{key!r} is undefined; use {{{{ {REMOVED_KEYS[str(key)]} }}}} instead")
        return False

    def __iter__(self) -> Iterator[str]:
        """The names whose values cost nothing: Jinja asks for all of them to explain an error."""
        asking = getattr(self._context, "asking", ())
        yield from (key for key in self._context if key not in asking)
        for key in self._globals:
            if key not in self._context:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def copy(self) -> dict[str, Any]:
        """The values under these names."""
        return {key: self[key] for key in self}
