"""Audit records of what is done with `dagdeckd` itself, past the control API.

Decides who that was (the account of the operating system, and this machine), and what happens when nothing can be
recorded: the command has had its effect, so it says so and goes on. Does not decide which commands record themselves.
Called by the commands that change something.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
import sqlalchemy as sa

from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_io.composition import database_of
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import user
from dagdeck_io.settings import Settings
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.audit import audit

SOURCE = "dagdeckd"


def this_person() -> Sender:
    """Who runs this command: `account@machine`, with the account that used sudo behind it."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError, ImportError):  # an account without a name
        account = f"uid {os.getuid()}" if hasattr(os, "getuid") else "somebody"
    behind = os.environ.get("SUDO_USER")
    machine = socket.gethostname()
    return Sender(
        username=f"{account}@{machine}"[:200] + (f" (sudo by {behind[:40]})" if behind else ""),
        source=SOURCE,
        address=machine[:64],
    )


def record_in(
    database: Database, connection: sa.Connection, event: str, extra: Mapping[str, Any], *, now: datetime | None = None
) -> None:
    """Record `event` in the transaction that does it."""
    audit(
        connection,
        event_log_id=database.new_id(),
        event=event,
        sender=this_person(),
        now=now or datetime.now(UTC),
        extra=extra,
    )


def record_afterwards(settings: Settings, event: str, extra: Mapping[str, Any], *, address: str | None = None) -> None:
    """Record what a command has done outside the database (or in another one, at `address`). Without a database of
    this version it says so.

    Before there is an account there is no cluster yet, and nothing is recorded: a database is empty until it is used.
    """
    from dagdeck_io.db import migrations

    url = address or settings.database.address
    try:
        if migrations.current(url) is None:
            return
        migrations.check(url)
        database = _opened(settings) if address is None else open_database(address)
        try:
            with database.writing() as connection:
                if connection.execute(sa.select(user.c.user_id).limit(1)).first() is not None:
                    record_in(database, connection, event, extra)
        finally:
            database.close()
    except DagDeckError as error:
        click.echo(f"dagdeckd: this is not in the audit log: {error}", err=True)


def _opened(settings: Settings) -> Database:
    """The database, also where there is no key: records are not encrypted."""
    try:
        return database_of(settings)
    except UserError:
        return open_database(settings.database.address)
