"""Kinds of values on the command line: instants, JSON, files.

Decides how each is read and what is said when it is wrong. Used by the commands.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    InstantType = click.ParamType[datetime]
    JsonObjectType = click.ParamType[dict[str, Any]]
else:  # older releases of click have no type parameter here
    InstantType = JsonObjectType = click.ParamType


class Instant(InstantType):
    """A date and time in ISO 8601; without a zone it is UTC, as Airflow takes it."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read `value`."""
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write it as 2026-11-24 or 2026-11-24T05:30:00+00:00", param, ctx)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


class JsonObject(JsonObjectType):
    """A JSON object, or @FILE with one (@- for standard input)."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Read `value`."""
        if isinstance(value, dict):
            return value
        text = value
        if value.startswith("@"):
            try:
                text = read_text(value[1:])
            except (OSError, UnicodeDecodeError) as error:
                self.fail(f"{value[1:]} cannot be read: {error}", param, ctx)
        try:
            found = json.loads(text)
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail('a JSON object is expected, such as {"year": 2024}', param, ctx)
        return found


INSTANT = Instant()
JSON_OBJECT = JsonObject()


def read_text(path: str) -> str:
    """A file's text; - is standard input."""
    return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")


def read_json_file(path: str) -> Any:
    """A JSON file's content. Raises click.UsageError when it cannot be read."""
    try:
        return json.loads(read_text(path))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise click.UsageError(f"{path} is not a JSON file that can be read: {error}") from None
