"""`dagdeckd secrets`: the key under which variables, connections and arguments of triggers are stored.

Decides names, options and output. Does not decide what they do (`rotation`). Gathered by `cli`.
"""

from __future__ import annotations

import click

from dagdeckd.given_settings import GivenSettings


@click.group()
def secrets() -> None:
    """The key under which variables, connections and arguments of triggers are stored."""


@secrets.command("rotate-key")
@click.option("--wait", default=30.0, show_default=True, help="Seconds that workers have to learn of the new key.")
@click.option("--force", is_flag=True, help="Do not ask whether all workers know it.")
@click.pass_obj
def secrets_rotate_key(given: GivenSettings, wait: float, force: bool) -> None:
    """Encrypt everything with a new key, while the cluster runs. What was interrupted goes on when it is said again.

    With a key file on this machine the new key is made here. Otherwise security.secret_key has to hold it in front
    of the old one.
    """
    from dagdeckd.rotation import rotate_key

    rotate_key(given.settings(), force=force, wait=wait, tell=click.echo)


@secrets.command("status")
@click.pass_obj
def secrets_status(given: GivenSettings) -> None:
    """Which keys there are, how many values are under which, and which workers lack the newest."""
    from dagdeckd.rotation import status

    status(given.settings(), tell=click.echo)
