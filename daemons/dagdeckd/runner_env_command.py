"""The commands of `dagdeckd runner-env`.

Decides their names, options and what they print. Does not make environments (`runner_env`). Gathered by `cli`.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from dagdeck_core.errors import UserError
from dagdeckd.given_settings import GivenSettings


@click.group("runner-env")
def runner_env() -> None:
    """Python environments that run DAG files and tasks."""


@runner_env.command("create")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--python", help="The Python to make it from, 3.11 or newer; default: one on the command search path.")
@click.option("--wheels", type=click.Path(path_type=Path, exists=True), help="Folder with DagDeck's runner wheels.")
def create(folder: Path, python: str | None, wheels: Path | None) -> None:
    """Make an environment with the runner package in FOLDER, or bring it up to date. Downloads nothing.

    Install what your DAG files import with its pip, and name its Python by the setting core.runner_python.
    """
    from dagdeckd.runner_env import bundled_wheels, create_runner_environment

    source = wheels or bundled_wheels()
    if source is None:
        raise UserError(
            "this DagDeck was installed by pip and brings no wheels",
            field="--wheels",
            remedy="Name a folder with them, or leave core.runner_python empty: users' code then runs in this Python",
        )
    click.echo(create_runner_environment(folder, wheels=source, python=python))


@runner_env.command("pythons")
def pythons() -> None:
    """Print the Pythons on the command search path, as JSON, and whether an environment can be made from each."""
    from dagdeckd.runner_env import pythons_of_this_machine

    click.echo(json.dumps(pythons_of_this_machine()))


@runner_env.command("show")
@click.option("--standalone", is_flag=True, help="With the defaults of `standalone`.")
@click.pass_obj
def show(given: GivenSettings, standalone: bool) -> None:
    """Print the Python that runs users' code."""
    from dagdeck_io.user_python import python_for_user_code

    click.echo(python_for_user_code(given.settings(standalone=standalone)))
