"""`dagdeck pools …`.

Decides options and columns of these commands, and the file format of export and import (Airflow's: an object of pools
by name). Called by `root`.
"""

from __future__ import annotations

import json
from typing import Any

import click

from dagdeck_client.cli.arguments import read_json_file
from dagdeck_client.cli.output import column, print_list, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.errors import Conflict, NotFound
from dagdeck_client.models import Pool
from dagdeck_client.requests import admin as requests

_COLUMNS = (
    column("POOL", "name"),
    column("SLOTS", "slots"),
    column("RUNNING", "running_slots"),
    column("QUEUED", "queued_slots"),
    column("OPEN", "open_slots"),
    column("COUNTS DEFERRED", "include_deferred"),
    column("DESCRIPTION", "description"),
)


@click.group()
def pools() -> None:
    """Pools and their slots."""


def _all(session: Session) -> list[Pool]:
    return list(session.every(lambda size, offset: requests.list_pools(limit=size, offset=offset), "pools"))


@pools.command("list")
@pass_session
def list_(session: Session) -> None:
    """List pools."""
    print_list(_all(session), _COLUMNS, session.form, what="pools")


@pools.command("set")
@click.argument("name")
@click.argument("slots", type=click.IntRange(min=-1))
@click.argument("description", required=False)
@click.option("--include-deferred/--no-include-deferred", default=None, help="Whether deferred tasks hold slots.")
@pass_session
def set_(session: Session, name: str, slots: int, description: str | None, include_deferred: bool | None) -> None:
    """Create or change a pool; -1 slots means without limit."""
    put = put_pool(session, name, slots, description, include_deferred)
    print_list([put], _COLUMNS, session.form, what="pools")


def put_pool(session: Session, name: str, slots: int, description: str | None, include_deferred: bool | None) -> Pool:
    """Change a pool, or create it when there is none."""
    change = requests.change_pool(name, slots=slots, description=description, include_deferred=include_deferred)
    try:
        return session.send(change)
    except NotFound:
        pass
    try:
        return session.send(
            requests.create_pool(name, slots, description=description, include_deferred=bool(include_deferred))
        )
    except Conflict:  # somebody else was faster
        return session.send(change)


@pools.command()
@click.argument("name")
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete a pool."""
    session.send(requests.delete_pool(name))
    say(f"deleted pool {name}")


@pools.command()
@click.argument("file", type=click.File("w", encoding="utf-8", atomic=True), default="-")
@pass_session
def export(session: Session, file: Any) -> None:
    """Write all pools as JSON to a file or standard output."""
    data = {
        pool.name: {
            "slots": pool.slots,
            "description": pool.description or "",
            "include_deferred": pool.include_deferred,
        }
        for pool in _all(session)
    }
    file.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@pools.command("import")
@click.argument("file")
@pass_session
def import_(session: Session, file: str) -> None:
    """Create or change the pools of a JSON file (- for standard input)."""
    data = read_json_file(file)
    if not isinstance(data, dict) or not all(
        isinstance(entry, dict) and isinstance(entry.get("slots"), int) for entry in data.values()
    ):
        raise click.UsageError(f'{file}: expected {{"name": {{"slots": 4, "description": "…"}}}}')
    for name, entry in data.items():
        put_pool(session, name, entry["slots"], entry.get("description"), bool(entry.get("include_deferred", False)))
    say(f"imported {len(data)} pools")
