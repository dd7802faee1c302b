"""`dagdeck connections …`.

Decides options and columns of these commands, and how a connection is given as a URI or in parts. Called by `root`.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import click

from dagdeck_client.cli.output import column, print_list, print_object, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.requests import admin as requests

_COLUMNS = (
    column("CONNECTION", "connection_id"),
    column("TYPE", "conn_type"),
    column("HOST", "host"),
    column("PORT", "port"),
    column("SCHEMA", "schema"),
    column("LOGIN", "login"),
    column("DESCRIPTION", "description"),
)


@click.group()
def connections() -> None:
    """Connections to other systems."""


@connections.command("list")
@pass_session
def list_(session: Session) -> None:
    """List connections without their secrets."""
    found = list(
        session.every(lambda size, offset: requests.list_connections(limit=size, offset=offset), "connections")
    )
    print_list(found, _COLUMNS, session.form, what="connections")


@connections.command()
@click.argument("connection_id")
@pass_session
def get(session: Session, connection_id: str) -> None:
    """Show one connection without its secrets."""
    print_object(session.send(requests.get_connection(connection_id)), session.form)


@connections.command()
@click.argument("connection_id")
@click.option("--uri", help="All in one: type://login:password@host:port/schema?extra=value")
@click.option("--type", "conn_type", help="Its type, such as postgres or http.")
@click.option("--host")
@click.option("--port", type=click.IntRange(0, 65_535))
@click.option("--login")
@click.option("--password", help="Its password; better by --password-stdin, where no process list shows it.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--schema")
@click.option("--extra", help="Further fields as a JSON object.")
@click.option("--description")
@pass_session
def add(
    session: Session,
    /,
    connection_id: str,
    uri: str | None,
    conn_type: str | None,
    password_stdin: bool,
    **fields: Any,
) -> None:
    """Create a connection, from a URI or from parts."""
    values = {name: value for name, value in fields.items() if value is not None}
    if password_stdin:
        values["password"] = sys.stdin.readline().rstrip("\n")
    if uri is not None:
        parts = parse_uri(uri)
        conn_type = conn_type or parts.pop("conn_type")
        values = {**{name: value for name, value in parts.items() if name != "conn_type"}, **values}
    if conn_type is None:
        raise click.UsageError("give --uri or --type")
    created = session.send(requests.create_connection(connection_id, conn_type, **values))
    print_list([created], _COLUMNS, session.form, what="connections")


def parse_uri(uri: str) -> dict[str, Any]:
    """The fields of a connection URI in Airflow's form. Raises click.UsageError when it is none."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise click.UsageError(f"not a connection URI: {error}") from None
    if not parts.scheme:
        raise click.UsageError("not a connection URI: it begins with the type, such as postgres://host/db")
    extras = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = extras.pop("__extra__", None) or (json.dumps(extras) if extras else None)
    found = {
        "conn_type": parts.scheme.replace("-", "_"),
        "login": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "host": unquote(parts.hostname) if parts.hostname else None,
        "port": port,
        "schema": unquote(parts.path.lstrip("/")) or None,
        "extra": extra,
    }
    return {name: value for name, value in found.items() if value is not None}


@connections.command()
@click.argument("connection_id")
@pass_session
def delete(session: Session, connection_id: str) -> None:
    """Delete a connection."""
    session.send(requests.delete_connection(connection_id))
    say(f"deleted connection {connection_id}")
