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

from dagdeck_core.errors import DagDeckError
from dagdeckd.admin_command import admin
from dagdeckd.administration import config, db, doctor, health, users
from dagdeckd.audit_command import audit
from dagdeckd.bundle_keys_command import bundle_keys
from dagdeckd.certs_command import certs
from dagdeckd.dag_grants_command import dag_grants
from dagdeckd.demo_command import demo
from dagdeckd.exit_codes import ExitCode, code_for
from dagdeckd.given_settings import GivenSettings
from dagdeckd.runner_env_command import runner_env
from dagdeckd.secrets_command import secrets
from dagdeckd.shielding import close_to_tasks

_STARTED = time.monotonic()
_STOP_WITH_INPUT = click.option(
    "--stop-with-input", is_flag=True, hidden=True, help="Stop when standard input ends, as by SIGTERM."
)


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
    context.obj = GivenSettings(config, values)


# ---------------------------------------------------------------- daemons


@dagdeckd.command()
@click.option("--home", help="State folder (paths.home).")
@click.option("--dags-folder", help="Folder with DAG files (paths.dags_folder).")
@click.option("--host", help="Address of the control API (api.host).")
@click.option("--port", type=int, help="Port of the control API; 0 takes a free one (api.port).")
@click.option("--slots", type=int, help="Tasks that run at the same time (worker.slots).")
@click.option("--samples/--no-samples", default=None, help="Copy the sample DAGs into an empty DAG folder.")
@click.pass_obj
def standalone(given: GivenSettings, /, **options: Any) -> int:
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
@_STOP_WITH_INPUT
@click.pass_obj
def master(
    given: GivenSettings, dags_folder: str | None, host: str | None, port: int | None, stop_with_input: bool
) -> int:
    """Run the scheduler, the DAG processor and the control API."""
    from dagdeckd.master import run_master

    overrides: dict[str, Any] = {"paths.dags_folder": dags_folder, "api.host": host, "api.port": port}
    if stop_with_input:
        from dagdeckd.processes import stop_when_input_ends

        # A thread listens from now on, so nothing may be forked.
        overrides["supervisor.portable_processes"] = True
        stop_when_input_ends()
    return run_master(given.settings(overrides))


def _process_options(command: Any) -> Any:
    """The hidden options by which a supervisor joins a process to itself."""
    for name in ("settings-fd", "ready-fd", "gate-fd", "beat-ms", "supervisor-pid"):
        command = click.option(f"--{name}", type=int, hidden=True)(command)
    return click.option("--over-stdio", hidden=True)(command)


def _run_process(
    given: GivenSettings, name: str, supervision: dict[str, Any], overrides: dict[str, Any] | None = None
) -> int:
    from dagdeckd import processes

    close_to_tasks()
    options = processes.ProcessOptions(**supervision)
    passed, link = processes.enter(options)
    return processes.run_process(getattr(processes, name), passed or given.settings(overrides), options, link)


@dagdeckd.command()
@click.option("--queues", help="Queues to take work from, with commas between (worker.queues).")
@click.option("--slots", type=int, help="Tasks that run at the same time (worker.slots).")
@click.option("--triggerer/--no-triggerer", default=None, help="Run triggers of deferred tasks (worker.triggerer).")
@click.option("--name", help="Name of this worker, unique in the cluster (worker.name).")
@_STOP_WITH_INPUT
@_process_options
@click.pass_obj
def worker(
    given: GivenSettings,
    /,
    queues: str | None,
    slots: int | None,
    name: str | None,
    triggerer: bool | None,
    stop_with_input: bool,
    **supervision: Any,
) -> int:
    """Run a worker. It needs the database's and the queue's URL; DAG code comes to it by itself."""
    overrides = {
        "worker.queues": queues,
        "worker.slots": slots,
        "worker.name": name,
        "worker.triggerer": triggerer,
    }
    if stop_with_input:
        from dagdeckd.processes import stop_when_input_ends

        stop_when_input_ends()
    return _run_process(given, "WORKER", supervision, overrides)


@dagdeckd.command(hidden=True)
@_process_options
@click.pass_obj
def scheduler(given: GivenSettings, /, **supervision: Any) -> int:
    """Run the scheduler alone; `master` does."""
    return _run_process(given, "SCHEDULER", supervision)


@dagdeckd.command("dag-processor", hidden=True)
@_process_options
@click.pass_obj
def dag_processor(given: GivenSettings, /, **supervision: Any) -> int:
    """Run the DAG processor alone; `master` does."""
    return _run_process(given, "DAG_PROCESSOR", supervision)


@dagdeckd.command(hidden=True)
@_process_options
@click.pass_obj
def api(given: GivenSettings, /, **supervision: Any) -> int:
    """Run the control API alone; `master` does."""
    return _run_process(given, "API", supervision)


@dagdeckd.command(hidden=True)
@_process_options
@click.pass_obj
def preparation(given: GivenSettings, /, **supervision: Any) -> int:
    """Prepare the database of a standalone cluster; `standalone` does."""
    return _run_process(given, "PREPARATION", supervision)


# ---------------------------------------------------------------- administration

dagdeckd.add_command(admin)
dagdeckd.add_command(db)
dagdeckd.add_command(audit)
dagdeckd.add_command(config)
dagdeckd.add_command(doctor)
dagdeckd.add_command(health)
dagdeckd.add_command(users)
dagdeckd.add_command(dag_grants)
dagdeckd.add_command(certs)
dagdeckd.add_command(bundle_keys)
dagdeckd.add_command(demo)
dagdeckd.add_command(runner_env)
dagdeckd.add_command(secrets)


@dagdeckd.command()
def version() -> None:
    """Print the version of DagDeck and of Python."""
    from importlib.metadata import version as installed

    click.echo(f"dagdeckd {installed('dagdeck')} (Python {sys.version.split()[0]})")
