"""The fields of the trigger dialog, out of a DAG's params and their JSON schemas.

Decides which kind of field a param gets, how what a person typed becomes a value, and what is wrong with it. Does not
draw. Used by `views.trigger_dialog`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jsonschema
from referencing.exceptions import Unresolvable

from dagdeck_core.errors import UserError


class FieldKind(StrEnum):
    """What a person fills in."""

    TEXT = "text"
    LINES = "lines"
    """Text of several lines."""
    LIST = "list"
    """A list of texts, one a line."""
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamField:
    """One param as a field. `choices` pairs what is shown with the value; `is_nullable`: empty means null."""

    name: str
    title: str
    kind: FieldKind
    schema: Mapping[str, Any]
    default: Any = None
    description: str = ""
    choices: tuple[tuple[str, Any], ...] = ()
    hints: tuple[str, ...] = ()
    """Values to offer that do not exclude others."""
    is_nullable: bool = False
    is_required: bool = False
    section: str = ""

    @property
    def default_text(self) -> str:
        """The default as it stands in a field of text."""
        return text_of(self.kind, self.default)


def fields_of(params: Mapping[str, Any]) -> list[ParamField]:
    """The fields of a DAG's params, in their order. A param without a schema is judged by its default."""
    return [_field(name, described) for name, described in params.items()]


def _field(name: str, described: Any) -> ParamField:
    if isinstance(described, Mapping) and ("schema" in described or "__class" in described):
        default = described.get("value")
        schema = described.get("schema") or {}
        description = described.get("description") or schema.get("description") or ""
    else:
        default, schema, description = described, {}, ""
    types = _types(schema, default)
    choices = _choices(schema)
    return ParamField(
        name=name,
        title=str(schema.get("title") or name),
        kind=FieldKind.CHOICE if choices else _kind(types, schema),
        schema=schema,
        default=default,
        description=str(description),
        choices=choices,
        hints=tuple(str(each) for each in schema.get("examples") or ()) if not choices else (),
        is_nullable="null" in types,
        is_required=default is None and "null" not in types and bool(schema),
        section=str(schema.get("section") or ""),
    )


def _types(schema: Mapping[str, Any], default: Any) -> frozenset[str]:
    told = schema.get("type")
    if isinstance(told, str):
        return frozenset({told})
    if isinstance(told, (list, tuple)):
        return frozenset(str(each) for each in told)
    if schema:
        return frozenset()
    by_type = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return frozenset({by_type.get(type(default), "any")})


def _choices(schema: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    values = schema.get("enum")
    if not isinstance(values, (list, tuple)) or not values:
        return ()
    shown = schema.get("values_display")
    names = shown if isinstance(shown, Mapping) else {}
    return tuple((str(names.get(str(value), "–" if value is None else value)), value) for value in values)


def _kind(types: frozenset[str], schema: Mapping[str, Any]) -> FieldKind:
    real = types - {"null"}
    if real == {"boolean"}:
        # A switch has no third position for null.
        return FieldKind.JSON if "null" in types else FieldKind.SWITCH
    if real == {"integer"}:
        return FieldKind.INTEGER
    if real in ({"number"}, {"integer", "number"}):
        return FieldKind.NUMBER
    if real == {"string"}:
        return FieldKind.LINES if schema.get("format") == "multiline" else FieldKind.TEXT
    items = schema.get("items")
    if real == {"array"} and (items is None or (isinstance(items, Mapping) and items.get("type") == "string")):
        return FieldKind.LIST
    return FieldKind.JSON


def text_of(kind: FieldKind, value: Any) -> str:
    """A value as it stands in a field of text; "" for null."""
    if value is None:
        return ""
    if kind is FieldKind.LIST and isinstance(value, (list, tuple)):
        return "\n".join(str(each) for each in value)
    if kind is FieldKind.JSON or not isinstance(value, (str, int, float)):
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def value_of(field: ParamField, typed: str) -> Any:
    """What a person typed, as a value. Raises UserError with a sentence when it is none of the kind."""
    text = typed.strip()
    if not text and (field.is_nullable or field.kind in (FieldKind.INTEGER, FieldKind.NUMBER, FieldKind.JSON)):
        return None
    try:
        match field.kind:
            case FieldKind.INTEGER:
                return int(text)
            case FieldKind.NUMBER:
                number = float(text)
                return int(number) if number.is_integer() and "." not in text and "e" not in text.casefold() else number
            case FieldKind.LIST:
                return [line for line in typed.splitlines() if line.strip()]
            case FieldKind.JSON:
                return json.loads(text)
            case _:
                return typed
    except json.JSONDecodeError as error:
        raise UserError(f"this is not JSON: {error.msg} in line {error.lineno}") from None
    except ValueError:
        wanted = "a whole number" if field.kind is FieldKind.INTEGER else "a number"
        raise UserError(f"{text!r} is not {wanted}") from None


def problem_of(field: ParamField, value: Any) -> str:
    """What is wrong with a value by the param's schema, as a sentence; "" when it is right."""
    if value is None and field.is_required:
        return "This is needed."
    if not field.schema:
        return ""
    try:
        validator = jsonschema.validators.validator_for(field.schema, default=jsonschema.Draft202012Validator)
        validator.check_schema(dict(field.schema))
        error = next(iter(validator(field.schema, format_checker=validator.FORMAT_CHECKER).iter_errors(value)), None)
    except (jsonschema.exceptions.SchemaError, Unresolvable):
        # The DAG's own schema is wrong; the server says so when the run is created.
        return ""
    return "" if error is None else _sentence(error)


def _sentence(error: Any) -> str:
    bound = error.validator_value
    match error.validator:
        case "minimum":
            return f"It must be {bound} or more."
        case "maximum":
            return f"It must be {bound} or less."
        case "minLength":
            return f"It must have at least {bound} characters."
        case "maxLength":
            return f"It must have at most {bound} characters."
        case "pattern":
            return f"It must match {bound}"
        case "format":
            return f"It is not a valid {bound}."
        case "type":
            names = bound if isinstance(bound, str) else " or ".join(bound)
            return f"It must be of the type {names}."
        case _:
            text = str(error.message)
            return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def conf_from_json(text: str) -> dict[str, Any]:
    """A whole configuration typed as JSON. Raises UserError naming what is wrong where."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"this is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    if not isinstance(value, dict):
        raise UserError("the configuration must be a JSON object, such as {}")
    return value


def changed_conf(fields: list[ParamField], values: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the defaults: only that is sent, so that later defaults apply to what was left alone."""
    return {field.name: values[field.name] for field in fields if values.get(field.name) != field.default}
