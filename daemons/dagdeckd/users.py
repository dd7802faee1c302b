"""`dagdeckd users`: accounts of the control API, for whoever may read the daemons' settings.

Decides what these commands check and print. Passwords come from a prompt or standard input, never from an argument,
which other users of the machine could read. Called by `cli`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click
import sqlalchemy as sa

from dagdeck_core.errors import UserError
from dagdeck_io.composition import database_of
from dagdeck_io.db.engine import Database
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import token, user
from dagdeck_io.settings import Settings
from dagdeck_master.api.audit import before_and_after
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.users import create_user, hash_password
from dagdeckd.recording import record_in

SHORTEST_PASSWORD = 10


def read_password(from_stdin: bool) -> str:
    """A new password: the first line of standard input, or typed twice. Raises UserError when it is too short."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(password) < SHORTEST_PASSWORD:
        raise UserError("the password is too short", remedy=f"Choose at least {SHORTEST_PASSWORD} characters")
    return str(password)


def add_user(settings: Settings, username: str, role: str, password: str) -> None:
    """Make an account. Raises UserError when the name is taken."""
    database = database_of(settings)
    try:
        with database.writing() as connection:
            create_user(
                connection,
                user_id=database.new_id(),
                username=username,
                password=password,
                role=Role.named(role),
                now=datetime.now(UTC),
            )
            record_in(database, connection, "create_user", {"username": username, "after": {"role": role}})
    except DuplicateRow:
        raise UserError(
            "a user of this name exists already", field="users add", value=username, remedy="Choose another name"
        ) from None
    finally:
        database.close()


def change_user(settings: Settings, username: str, **values: object) -> None:
    """Set columns of an account; a new password or role, or deactivation, also ends its tokens.

    Raises UserError when there is no such user.
    """
    database = database_of(settings)
    try:
        with database.writing() as connection:
            row = connection.execute(sa.select(user).where(user.c.username == username)).one_or_none()
            if row is None:
                raise UserError("there is no such user", value=username, remedy="See `dagdeckd users list`")
            found = row.user_id
            connection.execute(user.update().where(user.c.user_id == found).values(**values))
            before = {name: getattr(row, name) for name in values}
            told = before_and_after(before, values, fields=values, secret=("password_hash",))
            record_in(database, connection, "patch_user", {"username": username, **told})
            connection.execute(
                token.update()
                .where(token.c.user_id == found, token.c.revoked_at.is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
    finally:
        database.close()


def set_password(settings: Settings, username: str, password: str) -> None:
    """Change a password and lift a lock. Raises UserError when there is no such user."""
    change_user(settings, username, password_hash=hash_password(password), failed_attempts=0, locked_until=None)


def list_users(settings: Settings) -> list[tuple[str, str, str]]:
    """(name, role, "active" or "inactive") of every account, by name."""
    database: Database = database_of(settings)
    try:
        with database.reading() as connection:
            rows = connection.execute(
                sa.select(user.c.username, user.c.role, user.c.is_active).order_by(user.c.username)
            )
            return [(row.username, row.role, "active" if row.is_active else "inactive") for row in rows]
    finally:
        database.close()
