"""The administrative commands of `dagdeckd`: the schema, settings, users. They work without any daemon.

Decides their names and output. Does not decide what they do (`dagdeck_io.db.migrations`, `dagdeck_io.settings`,
`dagdeck_master.api.users`). Gathered by `cli`.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

import click

from dagdeck_core.errors import UserError
from dagdeckd.given_settings import GivenSettings


@click.group()
def db() -> None:
    """The metadata database's schema."""


@db.command("upgrade")
@click.pass_obj
def db_upgrade(given: GivenSettings) -> None:
    """Bring the schema up to this version; an empty database gets all tables."""
    from dagdeck_io.db import migrations

    url = given.settings().database.url
    migrations.upgrade(url)
    click.echo(f"the database is at revision {migrations.current(url)}")


@db.command("check")
@click.pass_obj
def db_check(given: GivenSettings) -> None:
    """Say whether the schema is that of this version; the exit code is not 0 when it is not."""
    from dagdeck_io.db import migrations

    url = given.settings().database.url
    migrations.check(url)
    click.echo(f"the database is at revision {migrations.current(url)}, as this version needs it")


@db.command("current")
@click.pass_obj
def db_current(given: GivenSettings) -> None:
    """Print the schema's revision; an empty line for an empty database."""
    from dagdeck_io.db import migrations

    click.echo(migrations.current(given.settings().database.url) or "")


@click.group()
def config() -> None:
    """Settings: what they mean and where their values come from."""


@config.command("list")
@click.option("--standalone", is_flag=True, help="With the defaults of `standalone`.")
@click.option("--changed", is_flag=True, help="Only settings that are not at their default.")
@click.pass_obj
def config_list(given: GivenSettings, standalone: bool, changed: bool) -> None:
    """Every setting with its value and where that comes from; secrets are masked."""
    from dagdeck_io.settings.render import render_table

    click.echo(render_table(given.settings(standalone=standalone), changed_only=changed), nl=False)


@config.command("template")
def config_template() -> None:
    """Print a commented config file with all defaults."""
    from dagdeck_io.settings.render import render_template

    click.echo(render_template(), nl=False)


@config.command("key")
def config_key() -> None:
    """Print a new key for security.secret_key; every process of a cluster needs the same one."""
    click.echo(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii"))


@click.group()
def users() -> None:
    """People and programs that may sign in to the control API."""


@users.command("add")
@click.argument("username")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), required=True, help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password's line from standard input.")
@click.pass_obj
def users_add(given: GivenSettings, username: str, role: str, password_stdin: bool) -> None:
    """Add a user. The password is asked for, unless it comes from standard input."""
    from dagdeck_io.composition import database_of
    from dagdeck_io.db.faults import DuplicateRow
    from dagdeck_master.api.permissions import Role
    from dagdeck_master.api.users import create_user

    password = _read_password(password_stdin)
    database = database_of(given.settings())
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
    except DuplicateRow as error:
        raise UserError("this user exists", field="username", value=username, remedy="Choose another name") from error
    finally:
        database.close()
    click.echo(f"added {role} {username}")


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        password = click.get_text_stream("stdin").readline().rstrip("\r\n")
    else:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    if not password:
        raise UserError("the password is empty", field="password", remedy="Give one of at least one character")
    return password
