"""The command `dagdeckd demo`: its options, and the folder it works in.

Decides where the demo's state goes. Does not decide what it shows (`demo`). Added to the command line by `cli`.
"""

from __future__ import annotations

from pathlib import Path

import click

from dagdeck_core.errors import UserError
from dagdeckd.given_settings import GivenSettings


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder for everything; default: <paths.home>/demo.")
@click.option("--cluster", is_flag=True, help="On MariaDB and Redis with two workers, instead of standalone.")
@click.option("--servers-command", help="With --cluster: starts both servers and prints their URLs as JSON.")
@click.option(
    "--window/--no-window",
    default=None,
    help="Open the control center on the cluster; default: when there is a display and it is installed.",
)
@click.pass_obj
def demo(
    given: GivenSettings, home: Path | None, cluster: bool, servers_command: str | None, window: bool | None
) -> int:
    """Run the sample pipeline through every daemon and show what came of it."""
    from dagdeckd.demo import run_demo, wants_window

    if cluster and not servers_command:
        raise UserError(
            "the cluster demo needs servers", field="--servers-command", remedy="Run it as `./dev demo --cluster`"
        )
    folder = home or given.settings(standalone=True).paths.home / "demo"
    return run_demo(
        folder.resolve(),
        servers_command=servers_command if cluster else None,
        window=wants_window() if window is None else window,
    )
