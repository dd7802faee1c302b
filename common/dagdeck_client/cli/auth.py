"""`dagdeck auth …` and `dagdeck version`.

Decides how a sign-in is kept and shown. Called by `root`.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click

from dagdeck_client.cli.output import OutputFormat, print_data, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.errors import ApiRefusal, ServerFault, Unreachable, VersionMismatch
from dagdeck_client.profiles import DEFAULT_PROFILE, write_profile
from dagdeck_client.requests.admin import get_version, log_in


@click.group()
def auth() -> None:
    """Sign in and out."""


@auth.command()
@click.option("--username", prompt=True, help="Who you are.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--save-as", default=DEFAULT_PROFILE, show_default=True, help="The profile to keep the token in.")
@pass_session
def login(session: Session, username: str, password_stdin: bool, save_as: str) -> None:
    """Exchange a password for a token and keep it for later commands."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, err=True)
    target = session.target()
    answer = session.send(log_in(username, password))
    profile = {"url": target.url, "token": answer.access_token}
    if target.ca_file is not None:
        profile["ca_file"] = target.ca_file
    path = write_profile(save_as, profile, os.environ)
    say(f"signed in to {target.url} as {username}; kept as profile {save_as} in {path}")


@auth.command()
@click.option("--fingerprint", help="Accept only the certificate with this SHA-256.")
@pass_session
def trust(session: Session, fingerprint: str | None) -> None:
    """Accept the certificate that the server shows now; from then on no other one is taken for it."""
    from dagdeck_client.trust import normal_fingerprint, shown_fingerprint

    wanted = None if fingerprint is None else normal_fingerprint(fingerprint)
    accepted = session.trust(wanted)
    say(f"{session.target().url} is trusted with the certificate of SHA-256 {shown_fingerprint(accepted)}")


@auth.command()
@pass_session
def status(session: Session) -> None:
    """Say which server commands would talk to, and where that comes from."""
    target = session.target()
    data = {"url": target.url, "has_token": target.token is not None, "origin": target.origin}
    if session.form in (OutputFormat.JSON, OutputFormat.YAML):
        print_data(data, session.form)
    else:
        signed = "with a token" if target.token else "without a token"
        click.echo(f"{target.url} {signed} ({target.origin})")


@click.command()
@pass_session
def version(session: Session) -> None:
    """Show the versions of this client and of the server."""
    try:
        own = installed_version("dagdeck")
    except PackageNotFoundError:
        own = "unknown"
    server: str | None = None
    problem = ""
    try:
        server = session.send(get_version()).version
    except (Unreachable, ServerFault, VersionMismatch, ApiRefusal) as error:
        problem = str(error)
    if session.form in (OutputFormat.JSON, OutputFormat.YAML):
        print_data({"client": own, "server": server}, session.form)
    else:
        click.echo(f"client  {own}")
        click.echo(f"server  {server or 'unknown: ' + problem}")
