"""`dagdeck variables …`.

Decides options and columns of these commands, and the file format of export and import (Airflow's: an object of
values by key). Called by `root`.
"""

from __future__ import annotations

import json
from typing import Any

import click

from dagdeck_client.cli.arguments import read_json_file, read_text
from dagdeck_client.cli.output import OutputFormat, column, print_list, print_object, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.errors import Conflict, NotFound
from dagdeck_client.models import Variable
from dagdeck_client.requests import admin as requests

HIDDEN = "***"
_COLUMNS = (column("KEY", "key"), column("VALUE", "value"), column("DESCRIPTION", "description"))


@click.group()
def variables() -> None:
    """Variables."""


def _all(session: Session, pattern: str | None = None) -> list[Variable]:
    def page(size: int, offset: int) -> Any:
        return requests.list_variables(limit=size, offset=offset, pattern=pattern)

    return list(session.every(page, "variables"))


@variables.command("list")
@click.option("--pattern", help="Only variables whose key contains this text; | means or.")
@pass_session
def list_(session: Session, pattern: str | None) -> None:
    """List variables; values of secret-sounding ones are hidden."""
    print_list(_all(session, pattern), _COLUMNS, session.form, what="variables")


@variables.command()
@click.argument("key")
@pass_session
def get(session: Session, key: str) -> None:
    """Print a variable's value."""
    found = session.send(requests.get_variable(key))
    if session.form in (OutputFormat.TABLE, OutputFormat.PLAIN):
        click.echo(found.value or "")
    else:
        print_object(found, session.form)


@variables.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--description", help="What it is for.")
@click.option("--json", "is_json", is_flag=True, help="Check that the value is JSON.")
@pass_session
def set_(session: Session, key: str, value: str, description: str | None, is_json: bool) -> None:
    """Create or change a variable; the value - is read from standard input."""
    text = read_text("-") if value == "-" else value
    if is_json:
        try:
            json.loads(text)
        except ValueError as error:
            raise click.UsageError(f"the value is not JSON: {error}") from None
    _put(session, key, text, description)
    say(f"set variable {key}")


def _put(session: Session, key: str, value: Any, description: str | None) -> Variable:
    """Change a variable, or create it when there is none."""
    change = requests.change_variable(key, value, description)
    try:
        return session.send(change)
    except NotFound:
        pass
    try:
        return session.send(requests.create_variable(key, value, description))
    except Conflict:  # somebody else was faster
        return session.send(change)


@variables.command()
@click.argument("key")
@pass_session
def delete(session: Session, key: str) -> None:
    """Delete a variable."""
    session.send(requests.delete_variable(key))
    say(f"deleted variable {key}")


@variables.command()
@click.argument("file", type=click.File("w", encoding="utf-8", atomic=True), default="-")
@pass_session
def export(session: Session, file: Any) -> None:
    """Write variables as JSON to a file or standard output; hidden values are left out."""
    found = _all(session)
    hidden = [each.key for each in found if each.value is None or HIDDEN in each.value]
    data = {each.key: _value_of(each) for each in found if each.key not in hidden}
    file.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    if hidden:
        say(f"left out, because the server hides their values: {', '.join(hidden)}")


def _value_of(variable: Variable) -> Any:
    """A JSON value as itself, other text as text, so that a file is readable and imports to the same."""
    text = variable.value or ""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


@variables.command("import")
@click.argument("file")
@pass_session
def import_(session: Session, file: str) -> None:
    """Create or change the variables of a JSON file (- for standard input)."""
    data = read_json_file(file)
    if not isinstance(data, dict):
        raise click.UsageError(f'{file}: expected an object of values by key, such as {{"region": "eu"}}')
    for key, value in data.items():
        _put(session, key, value, None)
    say(f"imported {len(data)} variables")
