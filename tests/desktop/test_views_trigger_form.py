"""The fields of the trigger dialog out of params' schemas: kinds, values, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from dagdeck_core.errors import UserError
from dagdeck_desktop.viewmodels.trigger_form import (
    FieldKind,
    ParamField,
    changed_conf,
    conf_from_json,
    fields_of,
    problem_of,
    value_of,
)


def field(value: Any = None, **schema: Any) -> ParamField:
    return fields_of({"p": {"__class": "Param", "value": value, "schema": schema}})[0]


@pytest.mark.parametrize(
    ("value", "schema", "kind"),
    [
        ("x", {"type": "string"}, FieldKind.TEXT),
        (None, {"type": ["null", "string"]}, FieldKind.TEXT),
        ("x", {"type": "string", "format": "multiline"}, FieldKind.LINES),
        (1, {"type": "integer"}, FieldKind.INTEGER),
        (1, {"type": ["integer", "null"]}, FieldKind.INTEGER),
        (1.5, {"type": "number"}, FieldKind.NUMBER),
        (True, {"type": "boolean"}, FieldKind.SWITCH),
        (None, {"type": ["boolean", "null"]}, FieldKind.JSON),
        ("a", {"enum": ["a", "b", 3]}, FieldKind.CHOICE),
        ([], {"type": "array"}, FieldKind.LIST),
        ([], {"type": "array", "items": {"type": "number"}}, FieldKind.JSON),
        ({}, {"type": "object"}, FieldKind.JSON),
        (None, {"type": ["string", "integer"]}, FieldKind.JSON),
        (True, {}, FieldKind.SWITCH),
        (3, {}, FieldKind.INTEGER),
        (None, {}, FieldKind.JSON),
    ],
)
def test_kinds(value: Any, schema: dict[str, Any], kind: FieldKind) -> None:
    assert field(value, **schema).kind is kind


def test_a_plain_value_is_a_param_too() -> None:
    plain = fields_of({"retries": 3, "name": "x"})
    assert [(each.name, each.title, each.default) for each in plain] == [
        ("retries", "retries", 3),
        ("name", "name", "x"),
    ]


def test_titles_descriptions_choices() -> None:
    made = fields_of(
        {
            "size": {
                "value": "s",
                "description": "How large",
                "schema": {"title": "Size", "enum": ["s", "m"], "values_display": {"s": "Small"}, "section": "Output"},
            }
        }
    )[0]
    assert (made.title, made.description, made.section) == ("Size", "How large", "Output")
    assert made.choices == (("Small", "s"), ("m", "m"))


@pytest.mark.parametrize(
    ("value", "schema", "typed", "wanted"),
    [
        (1, {"type": "integer"}, " 42 ", 42),
        (1.0, {"type": "number"}, "0.25", 0.25),
        (1.0, {"type": "number"}, "3", 3),
        (None, {"type": ["null", "string"]}, "", None),
        ("x", {"type": "string"}, "", ""),
        ([], {"type": "array"}, "a\n\n b\n", ["a", " b"]),
        ({}, {"type": "object"}, '{"a": [1]}', {"a": [1]}),
    ],
)
def test_values(value: Any, schema: dict[str, Any], typed: str, wanted: Any) -> None:
    assert value_of(field(value, **schema), typed) == wanted


@pytest.mark.parametrize(
    ("schema", "typed", "sentence"),
    [
        ({"type": "integer"}, "4.5", "'4.5' is not a whole number"),
        ({"type": "number"}, "much", "'much' is not a number"),
        ({"type": "object"}, "{a", "this is not JSON"),
    ],
)
def test_what_is_no_value(schema: dict[str, Any], typed: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        value_of(field(1, **schema), typed)


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        ({"type": "number", "minimum": 0, "maximum": 1}, 2, "It must be 1 or less."),
        ({"type": "number", "minimum": 0, "maximum": 1}, -1, "It must be 0 or more."),
        ({"type": "number", "minimum": 0, "maximum": 1}, 0.5, ""),
        ({"type": "string", "minLength": 3}, "ab", "It must have at least 3 characters."),
        ({"type": "string", "pattern": "^a"}, "b", "It must match ^a"),
        ({"type": "string"}, None, "This is needed."),
        ({"type": ["null", "string"]}, None, ""),
        ({"type": "no such type"}, "x", ""),
        ({}, object(), ""),
    ],
)
def test_problems(schema: dict[str, Any], value: Any, sentence: str) -> None:
    assert problem_of(field(None, **schema), value) == sentence


def test_only_what_was_changed_is_sent() -> None:
    fields = fields_of({"a": 1, "b": "x"})
    assert changed_conf(fields, {"a": 1, "b": "y"}) == {"b": "y"}


@pytest.mark.parametrize(("text", "wanted"), [("", {}), ('{"a": 1}', {"a": 1})])
def test_whole_configuration(text: str, wanted: dict[str, Any]) -> None:
    assert conf_from_json(text) == wanted


@pytest.mark.parametrize(("text", "sentence"), [("[1]", "must be a JSON object"), ("{", "line 1, column 2")])
def test_no_configuration(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        conf_from_json(text)
