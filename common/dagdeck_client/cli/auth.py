"""`dagdeck auth …` and `dagdeck version`.

Decides how a sign-in is kept and shown. Called by `root`.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click
import msgspec

from dagdeck_client.cli.output import OutputFormat, column, print_data, print_list, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.errors import ApiRefusal, ServerFault, Unreachable, VersionMismatch
from dagdeck_client.profiles import DEFAULT_PROFILE, write_profile
from dagdeck_client.requests.admin import create_token, get_version, list_tokens, log_in, revoke_token

_LIFETIME_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TOKENS = (
    column("ID", "token_id"),
    column("NAME", "name"),
    column("ORIGIN", "origin"),
    column("SCOPE", "scope"),
    column("CREATED", "created_at"),
    column("EXPIRES", "expires_at"),
    column("LAST USED", "last_used_at"),
)


def lifetime_seconds(_context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Seconds of a time like 90d, 12h, 30m or 45s. Raises BadParameter for anything else."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit in _LIFETIME_UNITS and number.isascii() and number.isdigit() and 0 < int(number) < 10**9:
        return int(number) * _LIFETIME_UNITS[unit]
    raise click.BadParameter(f"{text!r} is not a time; write for example 90d, 12h or 30m", param=parameter)


@click.group()
def auth() -> None:
    """Sign in and out."""


@auth.command()
@click.option("--username", prompt=True, help="Who you are.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--save-as", default=DEFAULT_PROFILE, show_default=True, help="The profile to keep the token in.")
@click.option("--scope", type=click.Choice(["viewer", "operator", "admin"]), help="The most that the token may do.")
@click.option("--lifetime", callback=lifetime_seconds, help="How long the token lasts, for example 12h or 90d.")
@pass_session
def login(
    session: Session, username: str, password_stdin: bool, save_as: str, scope: str | None, lifetime: int | None
) -> None:
    """Exchange a password for a token and keep it for later commands."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, err=True)
    target = session.target()
    answer = session.send(log_in(username, password, scope=scope, lifetime=lifetime))
    profile = {"url": target.url, "token": answer.access_token}
    if target.ca_file is not None:
        profile["ca_file"] = target.ca_file
    path = write_profile(save_as, profile, os.environ)
    say(f"signed in to {target.url} as {username}; kept as profile {save_as} in {path}")


@auth.command("token")
@click.option("--scope", type=click.Choice(["viewer", "operator", "admin"]), help="The most that it may do.")
@click.option("--lifetime", callback=lifetime_seconds, help="How long it lasts, for example 12h or 90d.")
@click.option("--name", help="What it is for.")
@pass_session
def token(session: Session, scope: str | None, lifetime: int | None, name: str | None) -> None:
    """Make a further token, for a script, and print it. It may never do more than yours, and never lasts longer."""
    made = session.send(create_token(name=name, scope=scope, lifetime=lifetime))
    if session.form in (OutputFormat.JSON, OutputFormat.YAML):
        print_data(msgspec.to_builtins(made), session.form)
        return
    click.echo(made.access_token)
    until = "" if made.token.expires_at is None else f" until {made.token.expires_at:%Y-%m-%d %H:%M} UTC"
    say(f"token {made.token.token_id} of the scope {made.token.scope or 'of its user'}{until}; it is shown only now")


@auth.command("tokens")
@pass_session
def tokens(session: Session) -> None:
    """List your tokens that are still good."""
    print_list(session.send(list_tokens()).tokens, _TOKENS, session.form, what="tokens")


@auth.command("revoke")
@click.argument("token_id", type=int)
@pass_session
def revoke(session: Session, token_id: int) -> None:
    """Make one of your tokens useless."""
    session.send(revoke_token(token_id))
    say(f"token {token_id} is useless now")


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
