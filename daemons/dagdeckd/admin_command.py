"""`dagdeckd admin`: what an administrator does once for a cluster.

Decides names, options and output. Does not decide what is granted (`grants`). Gathered by `cli`.
"""

from __future__ import annotations

import sys

import click

from dagdeckd.given_settings import GivenSettings


@click.group()
def admin() -> None:
    """What an administrator does once for a cluster."""


@admin.command("grants")
@click.option("--apply", "applies", is_flag=True, help="Carry it out; without this it is printed only.")
@click.option("--name", default="dagdeck", show_default=True, help="The accounts are NAME_master and NAME_worker.")
@click.option("--host", default="%", show_default=True, help="From where the accounts may connect to the database.")
@click.option("--passwords-stdin", is_flag=True, help="Read the master's and the worker's password, one a line.")
@click.option("--keep-passwords", is_flag=True, help="The accounts exist: change their rights only.")
@click.option(
    "--reset", is_flag=True, help="Take all other rights on the database away first; stop the cluster before."
)
@click.pass_obj
def admin_grants(
    given: GivenSettings,
    applies: bool,
    name: str,
    host: str,
    passwords_stdin: bool,
    keep_passwords: bool,
    reset: bool,
) -> None:
    """Accounts for master and workers that may do what these need on MySQL or MariaDB and on Redis, and no more.

    The settings name the servers with an account that may make others; the schema must be there (`dagdeckd db
    upgrade`). Say it again after an upgrade, with --keep-passwords.
    """
    from dagdeckd.grants import Grants, accounts, as_redis_line

    passwords = [sys.stdin.readline().rstrip("\n") for _ in range(2)] if passwords_stdin else None
    grants = Grants(
        settings=given.settings(),
        accounts=accounts(name, passwords, keep=keep_passwords),
        host=host,
        reset=reset,
    )
    if applies:
        for note in grants.apply():
            click.echo(f"# {note}")
        from dagdeckd.recording import record_afterwards

        told = {"accounts": [each.name for each in grants.accounts], "host": host, "reset": reset}
        record_afterwards(
            grants.settings, "admin_grants", {**told, "passwords": "unchanged" if keep_passwords else "changed"}
        )
    else:
        from dagdeck_io.db.grants import script

        click.echo("# for the database's server")
        click.echo(script(grants.sql()), nl=False)
        for number, command in enumerate(grants.acl()):
            click.echo(("# for redis-cli\n" if not number else "") + as_redis_line(command))
    for role, database_url, queue_url in grants.urls():
        click.echo(f"# settings of the {role}")
        click.echo(f"DAGDECK__DATABASE__URL={database_url}")
        click.echo(f"DAGDECK__QUEUE__URL={queue_url}")
