"""The top of the command line: global options, groups that load when used, and how errors end it.

Decides global options and that every known error is one line on standard error with its exit code. Called by
`dagdeck_client.cli.main` and by tests.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from dagdeck_client.cli.exit_codes import ExitCode, exit_code_of
from dagdeck_client.cli.output import OutputFormat
from dagdeck_client.cli.session import Session
from dagdeck_client.profiles import CA_VARIABLE, PROFILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE
from dagdeck_core.errors import DagDeckError

_COMMANDS = {
    "auth": ("dagdeck_client.cli.auth", "auth", "Sign in and out."),
    "connections": ("dagdeck_client.cli.connections", "connections", "Connections to other systems."),
    "dags": ("dagdeck_client.cli.dags", "dags", "List, pause and trigger DAGs; try DAG files out."),
    "import-errors": ("dagdeck_client.cli.dags", "import_errors", "DAG files that could not be loaded."),
    "logs": ("dagdeck_client.cli.logs", "logs", "Show or follow a task's log."),
    "pools": ("dagdeck_client.cli.pools", "pools", "Pools and their slots."),
    "runs": ("dagdeck_client.cli.runs", "runs", "Runs of DAGs."),
    "tasks": ("dagdeck_client.cli.tasks", "tasks", "Tasks and their states."),
    "variables": ("dagdeck_client.cli.variables", "variables", "Variables."),
    "version": ("dagdeck_client.cli.auth", "version", "Versions of client and server."),
    "workers": ("dagdeck_client.cli.workers", "workers", "Workers and their load."),
}


class LazyGroup(click.Group):
    """Knows its commands' names and one-line helps; imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, imported now."""
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry[0]), entry[1])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help's list, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in sorted(_COMMANDS.items())])


@click.command(cls=LazyGroup, name="dagdeck", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", help=f"The server, such as http://127.0.0.1:8080.  [env: {URL_VARIABLE}]")
@click.option("--token", metavar="TOKEN", help=f"The token to sign in with.  [env: {TOKEN_VARIABLE}]")
@click.option("--profile", metavar="NAME", help=f"A sign-in kept by `auth login`.  [env: {PROFILE_VARIABLE}]")
@click.option("--ca-file", metavar="FILE", help=f"Certificates to trust, in PEM.  [env: {CA_VARIABLE}]")
@click.option(
    "-o",
    "--output",
    type=click.Choice([form.value for form in OutputFormat]),
    default=OutputFormat.TABLE.value,
    show_default=True,
    help="How to print data.",
)
@click.pass_context
def cli(
    context: click.Context,
    url: str | None,
    token: str | None,
    profile: str | None,
    ca_file: str | None,
    output: str,
) -> None:
    """Watch and steer a DagDeck cluster, or an Airflow 3 one, by its REST API."""
    session = Session(url=url, token=token, profile=profile, ca_file=ca_file, form=OutputFormat(output))
    context.obj = session
    context.call_on_close(session.close)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    words = _output_first(list(sys.argv[1:] if arguments is None else arguments))
    try:
        return _code(cli.main(args=words, prog_name="dagdeck", standalone_mode=False))
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except DagDeckError as error:
        click.echo(f"error: {error}", err=True)
        return exit_code_of(error)
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not fail when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.SUCCESS


def _code(value: Any) -> int:
    return int(value) if isinstance(value, int) else ExitCode.SUCCESS


def _output_first(words: list[str]) -> list[str]:
    """`-o json` may stand anywhere, as people write it last: it is moved to where click looks for it."""
    forms = {form.value for form in OutputFormat}
    kept: list[str] = []
    moved: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            break
        following = words[at + 1] if at + 1 < len(words) else ""
        if word in ("-o", "--output") and following in forms:
            moved = ["-o", following]
            at += 2
            continue
        if word.startswith("--output=") and word.partition("=")[2] in forms:
            moved = ["-o", word.partition("=")[2]]
            at += 1
            continue
        kept.append(word)
        at += 1
    return [*moved, *kept, *words[at:]]
