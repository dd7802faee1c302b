"""The `dagdeckd` command line.

Decides names, options and exit codes of commands. Does not decide what they do: each imports its module when it
is called, so that `--help` and the supervisor stay light. Called by `__main__`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dagdeck_core.errors import DagDeckError, UserError
from dagdeckd.exit_codes import ExitCode, code_for

_STARTED = time.monotonic()


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. Errors meant for people are printed as one line."""
    try:
        return int(dagdeckd.main(list(arguments), prog_name="dagdeckd", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return ExitCode.USER_ERROR
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except DagDeckError as error:
        click.echo(f"dagdeckd: {error}", err=True)
        return code_for(error)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="Config file; default: the system's and the user's.")
@click.option("--set", "values", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting; repeatable.")
@click.version_option(package_name="dagdeck", prog_name="dagdeckd")
@click.pass_context
def dagdeckd(context: click.Context, config: Path | None, values: tuple[str, ...]) -> None:
    """The daemons of DagDeck, a distributed workflow orchestrator."""
    context.obj = _Given(config, values)


class _Given:
    """What was given on the command line for all commands."""

    def __init__(self, config: Path | None, values: tuple[str, ...]) -> None:
        self.config = config
        self.values = values

    def settings(self, overrides: dict[str, Any] | None = None, *, standalone: bool = False) -> Any:
        """All settings; `overrides` by a command's own options win over --set."""
        from dagdeck_io.settings import load_settings

        given: dict[str, Any] = {}
        for text in self.values:
            name, equals, value = text.partition("=")
            if not equals:
                raise UserError("this is no setting", field="--set", value=text, remedy="Write section.key=value")
            given[name.strip()] = value
        given |= {name: value for name, value in (overrides or {}).items() if value is not None}
        return load_settings(config=self.config, overrides=given, standalone=standalone)


# ---------------------------------------------------------------- daemons


@dagdeckd.command()
@click.option("--home", help="State folder (paths.home).")
@click.option("--dags-folder", help="Folder with DAG files (paths.dags_folder).")
@click.option("--host", help="Address of the control API (api.host).")
@click.option("--port", type=int, help="Port of the control API; 0 takes a free one (api.port).")
@click.option("--slots", type=int, help="Tasks that run at the same time (worker.slots).")
@click.option("--samples/--no-samples", default=None, help="Copy the sample DAGs into an empty DAG folder.")
@click.pass_obj
def standalone(given: _Given, /, **options: Any) -> int:
    """Run everything on this machine: master, worker, embedded database and queue."""
    from dagdeckd.standalone import run_standalone

    names = {
        "home": "paths.home",
        "dags_folder": "paths.dags_folder",
        "host": "api.host",
        "port": "api.port",
        "slots": "worker.slots",
        "samples": "standalone.samples",
    }
    overrides = {setting: options[option] for option, setting in names.items()}
    return run_standalone(given.settings(overrides, standalone=True), started=_STARTED)


@dagdeckd.command()
@click.option("--dags-folder", help="Folder with DAG files (paths.dags_folder).")
@click.option("--host", help="Address of the control API (api.host).")
@click.option("--port", type=int, help="Port of the control API (api.port).")
@click.pass_obj
def master(given: _Given, dags_folder: str | None, host: str | None, port: int | None) -> int:
    """Run the scheduler, the DAG processor and the control API."""
    from dagdeckd.master import run_master

    return run_master(given.settings({"paths.dags_folder": dags_folder, "api.host": host, "api.port": port}))


def _process_options(command: Any) -> Any:
    """The hidden options by which a supervisor passes file descriptors."""
    for name in ("settings-fd", "ready-fd", "gate-fd", "supervisor-pid"):
        command = click.option(f"--{name}", type=int, hidden=True)(command)
    return command


def _run_process(given: _Given, name: str, fds: dict[str, int | None], overrides: dict[str, Any] | None = None) -> int:
    from dagdeckd import processes

    options = processes.ProcessOptions(**fds)
    if options.supervisor_pid is not None:
        processes.die_with_supervisor(options.supervisor_pid)
    settings = processes.take_settings(options) or given.settings(overrides)
    return processes.run_process(getattr(processes, name), settings, options)


@dagdeckd.command()
@click.option("--queues", help="Queues to take work from, with commas between (worker.queues).")
@click.option("--slots", type=int, help="Tasks that run at the same time (worker.slots).")
@click.option("--name", help="Name of this worker, unique in the cluster (worker.name).")
@_process_options
@click.pass_obj
def worker(given: _Given, /, queues: str | None, slots: int | None, name: str | None, **fds: int | None) -> int:
    """Run a worker. It needs the database's and the queue's URL; DAG code comes to it by itself."""
    overrides = {"worker.queues": queues, "worker.slots": slots, "worker.name": name}
    return _run_process(given, "WORKER", fds, overrides)


@dagdeckd.command(hidden=True)
@_process_options
@click.pass_obj
def scheduler(given: _Given, /, **fds: int | None) -> int:
    """Run the scheduler alone; `master` does."""
    return _run_process(given, "SCHEDULER", fds)


@dagdeckd.command("dag-processor", hidden=True)
@_process_options
@click.pass_obj
def dag_processor(given: _Given, /, **fds: int | None) -> int:
    """Run the DAG processor alone; `master` does."""
    return _run_process(given, "DAG_PROCESSOR", fds)


@dagdeckd.command(hidden=True)
@_process_options
@click.pass_obj
def api(given: _Given, /, **fds: int | None) -> int:
    """Run the control API alone; `master` does."""
    return _run_process(given, "API", fds)


@dagdeckd.command(hidden=True)
@_process_options
@click.pass_obj
def preparation(given: _Given, /, **fds: int | None) -> int:
    """Prepare the database of a standalone cluster; `standalone` does."""
    return _run_process(given, "PREPARATION", fds)


# ---------------------------------------------------------------- administration


@dagdeckd.group()
def db() -> None:
    """The metadata database's schema."""


@db.command("upgrade")
@click.pass_obj
def db_upgrade(given: _Given) -> None:
    """Bring the schema up to this version; an empty database gets all tables."""
    from dagdeck_io.db import migrations

    url = given.settings().database.url
    migrations.upgrade(url)
    click.echo(f"the database is at revision {migrations.current(url)}")


@db.command("check")
@click.pass_obj
def db_check(given: _Given) -> None:
    """Say whether the schema is that of this version; exit code 3 when it is not."""
    from dagdeck_io.db import migrations

    url = given.settings().database.url
    migrations.check(url)
    click.echo(f"the database is at revision {migrations.current(url)}, as this version needs it")


@db.command("current")
@click.pass_obj
def db_current(given: _Given) -> None:
    """Print the schema's revision; nothing for an empty database."""
    from dagdeck_io.db import migrations

    click.echo(migrations.current(given.settings().database.url) or "")


@dagdeckd.group()
def users() -> None:
    """Accounts of the control API."""


_ROLE = click.Choice(("viewer", "operator", "admin"))
_FROM_STDIN = "Read the password from the first line of standard input."


@users.command("add")
@click.argument("username")
@click.option("--role", type=_ROLE, required=True)
@click.option("--password-stdin", is_flag=True, help=_FROM_STDIN)
@click.pass_obj
def users_add(given: _Given, username: str, role: str, password_stdin: bool) -> None:
    """Make an account."""
    from dagdeckd.users import add_user, read_password

    add_user(given.settings(), username, role, read_password(password_stdin))
    click.echo(f"{username} may sign in as {role}")


@users.command("set-password")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help=_FROM_STDIN)
@click.pass_obj
def users_set_password(given: _Given, username: str, password_stdin: bool) -> None:
    """Change a password; ends the account's tokens and lifts a lock."""
    from dagdeckd.users import read_password, set_password

    set_password(given.settings(), username, read_password(password_stdin))
    click.echo(f"{username} has a new password")


@users.command("set-role")
@click.argument("username")
@click.argument("role", type=_ROLE)
@click.pass_obj
def users_set_role(given: _Given, username: str, role: str) -> None:
    """Change what an account may do; ends its tokens."""
    from dagdeckd.users import change_user

    change_user(given.settings(), username, role=role)
    click.echo(f"{username} is {role} now")


@users.command("deactivate")
@click.argument("username")
@click.pass_obj
def users_deactivate(given: _Given, username: str) -> None:
    """Let an account do nothing more; its name stays in the audit log."""
    from dagdeckd.users import change_user

    change_user(given.settings(), username, is_active=False)
    click.echo(f"{username} is inactive")


@users.command("list")
@click.pass_obj
def users_list(given: _Given) -> None:
    """Name, role and state of every account."""
    from dagdeckd.users import list_users

    for row in list_users(given.settings()):
        click.echo("\t".join(row))


@dagdeckd.group()
def config() -> None:
    """Settings: what they mean and where their values come from."""


@config.command("list")
@click.option("--standalone", is_flag=True, help="With the defaults of `standalone`.")
@click.pass_obj
def config_list(given: _Given, standalone: bool) -> None:
    """Every setting with its value, where that comes from, and what it means; secrets are masked."""
    from dagdeck_io.settings.render import render_table

    click.echo(render_table(given.settings(standalone=standalone)))


@config.command("template")
def config_template() -> None:
    """A commented config file with all defaults."""
    from dagdeck_io.settings.render import render_template

    click.echo(render_template())


@config.command("key")
def config_key() -> None:
    """A new key for security.secret_key, which encrypts variables and connections."""
    from dagdeck_io.secrets import generate_key

    click.echo(generate_key())


@dagdeckd.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder for everything; default: <paths.home>/demo.")
@click.option("--cluster", is_flag=True, help="On MariaDB and Redis with two workers, instead of standalone.")
@click.option("--servers-command", help="With --cluster: starts both servers and prints their URLs as JSON.")
@click.pass_obj
def demo(given: _Given, home: Path | None, cluster: bool, servers_command: str | None) -> int:
    """Run the sample pipeline through every daemon and show what came of it."""
    from dagdeckd.demo import run_demo

    if cluster and not servers_command:
        raise UserError(
            "the cluster demo needs servers", field="--servers-command", remedy="Run it as `./dev demo --cluster`"
        )
    folder = home or given.settings(standalone=True).paths.home / "demo"
    return run_demo(folder.resolve(), servers_command=servers_command if cluster else None)


@dagdeckd.command()
def version() -> None:
    """Print the version of DagDeck and of Python."""
    from importlib.metadata import version as installed

    click.echo(f"dagdeckd {installed('dagdeck')} (Python {sys.version.split()[0]})")
