"""What commands print: tables for people; JSON, YAML and plain text for programs.

Decides the form of each output format. Does not decide which columns a command shows. Data go to standard output,
everything else to standard error, so that a pipe only ever sees data.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import click
import msgspec

STATE_STYLES = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "dark_orange",
    "running": "bright_green",
    "queued": "grey62",
    "scheduled": "tan",
    "up_for_retry": "gold1",
    "up_for_reschedule": "turquoise2",
    "deferred": "medium_purple",
    "skipped": "hot_pink",
    "restarting": "violet",
    "active": "green",
    "draining": "gold1",
    "lost": "red",
}


class OutputFormat(StrEnum):
    """How data are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its heading, the field it shows, and how (default: as text)."""

    title: str
    value: Callable[[Any], Any]
    is_state: bool = False


def column(title: str, name: str, *, is_state: bool = False) -> Column:
    """A column that shows the attribute `name`."""
    return Column(title=title, value=lambda item: getattr(item, name), is_state=is_state)


def print_list(items: Sequence[Any], columns: Sequence[Column], form: OutputFormat, *, what: str) -> None:
    """Print items of one kind; `what` names them in the plural, for a table without rows."""
    if form is OutputFormat.TABLE:
        _print_table(items, columns, what)
    elif form is OutputFormat.PLAIN:
        for item in items:
            click.echo("\t".join(plain_text(each.value(item)) for each in columns))
    else:
        print_data([msgspec.to_builtins(item) for item in items], form)


def print_object(item: Any, form: OutputFormat) -> None:
    """Print one object with all its fields."""
    data = msgspec.to_builtins(item)
    if form in (OutputFormat.JSON, OutputFormat.YAML):
        print_data(data, form)
        return
    if form is OutputFormat.PLAIN:
        for name, value in data.items():
            click.echo(f"{name}\t{plain_text(value)}")
        return
    width = max((len(name) for name in data), default=0)
    for name in data:
        click.echo(f"{name:<{width}}  {shown_text(getattr(item, name))}".rstrip())


def print_data(data: Any, form: OutputFormat) -> None:
    """Print plain data as JSON or YAML (other formats: JSON)."""
    if form is OutputFormat.YAML:
        click.echo("\n".join(yaml_lines(data)))
    else:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """Tell a person something, beside the data."""
    click.echo(text, err=True)


def _print_table(items: Sequence[Any], columns: Sequence[Column], what: str) -> None:
    if not items:
        say(f"No {what}.")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if is_terminal else 10_000)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for each in columns:
        table.add_column(each.title, overflow="fold" if is_terminal else "ignore", no_wrap=not is_terminal)
    for item in items:
        cells = []
        for each in columns:
            text = shown_text(each.value(item))
            cells.append(Text(text, style=STATE_STYLES.get(text, "") if each.is_state else ""))
        table.add_row(*cells)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def shown_text(value: Any) -> str:
    """A value for people: times in the local zone, lists with commas, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown_text(getattr(item, "name", item)) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def plain_text(value: Any) -> str:
    """A value for programs that cut columns: UTC times, no tabs or line breaks within."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return ",".join(plain_text(getattr(item, "name", item)) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).replace("\t", " ").replace("\n", " ")


def yaml_lines(data: Any, indent: str = "") -> Iterator[str]:
    """`data` in YAML. Texts are quoted as in JSON, which every YAML reader takes for the same text."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _yaml_entry(f"{indent}{_yaml_scalar(str(key), is_key=True)}:", value, indent)
    elif isinstance(data, list) and data:
        for value in data:
            yield from _yaml_item(value, indent)
    else:
        yield indent + _yaml_scalar(data)


def _yaml_entry(start: str, value: Any, indent: str) -> Iterable[str]:
    if isinstance(value, (dict, list)) and value:
        return [start, *yaml_lines(value, indent + "  ")]
    return [f"{start} {_yaml_scalar(value)}"]


def _yaml_item(value: Any, indent: str) -> Iterable[str]:
    lines = list(yaml_lines(value, indent + "  "))
    return [f"{indent}- {lines[0][len(indent) + 2 :]}", *lines[1:]]


def _yaml_scalar(value: Any, *, is_key: bool = False) -> str:
    if is_key and value.isidentifier() and value not in ("yes", "no", "on", "off", "y", "n", "true", "false", "null"):
        return str(value)
    return json.dumps(value, ensure_ascii=False)
