"""Commands that work on DAG files of this machine, without any server.

Decides their options. What they do runs in a Python of its own, which loads users' code: the command line itself knows
neither DAG files nor the packages that run them. Added to `dagdeck dags` by `dags`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from dagdeck_client.cli.arguments import INSTANT, JSON_OBJECT
from dagdeck_client.cli.output import OutputFormat
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_core.errors import EnvironmentFault

_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument("target", metavar="FILE_OR_DAG_ID")
@click.argument("dag_id", required=False)
@click.option("--folder", type=click.Path(exists=True, file_okay=False), help="The DAG folder, for ids and imports.")
@click.option("--conf", type=JSON_OBJECT, help="The run's configuration: JSON, @FILE, or @- for standard input.")
@click.option("--logical-date", type=INSTANT, help="The run's logical date; now when absent.")
@click.option("--variables", type=_FILE, help="A JSON file with Variables.")
@click.option("--connections", type=_FILE, help="A JSON file with Connections.")
@click.option("--mark-success", metavar="REGEX", help="Tasks that succeed without being run.")
@pass_session
def test(
    session: Session,
    target: str,
    dag_id: str | None,
    folder: str | None,
    conf: dict[str, Any] | None,
    logical_date: datetime | None,
    variables: str | None,
    connections: str | None,
    mark_success: str | None,
) -> int:
    """Run one DAG here, task by task, with its logs. No server is asked; exit code 1 when the run failed.

    FILE_OR_DAG_ID is a DAG file (DAG_ID says which DAG, when it has several), or the id of a DAG in the DAG folder.
    """
    words = [target, *([dag_id] if dag_id else [])]
    given = {
        "--folder": folder,
        "--conf": None if conf is None else json.dumps(conf),
        "--logical-date": None if logical_date is None else logical_date.isoformat(),
        "--variables": variables,
        "--connections": connections,
        "--mark-success": mark_success,
    }
    for option, value in given.items():
        if value is not None:
            words += [option, value]
    return _run_apart("dagdeck_task.dags_test", [*words, *_json_if(session)])


@click.command("migrate-check")
@click.argument("folder", type=click.Path(exists=True))
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds that one file may take to load.")
@click.option("--strict", is_flag=True, help="Exit code 1 also for DAGs whose dates or runs change.")
@pass_session
def migrate_check(session: Session, folder: str, timeout: float | None, strict: bool) -> int:
    """Say what becomes of the DAG files of an Airflow installation. No server is asked, no task is run.

    For each DAG: whether its file loads, how its dates and runs differ from Airflow 2, what is not supported. Exit code
    1 when a file does not load or uses what DagDeck has not.
    """
    words = [folder, *(["--timeout", str(timeout)] if timeout else []), *(["--strict"] if strict else [])]
    return _run_apart("dagdeck_task.migration", [*words, *_json_if(session)])


def _json_if(session: Session) -> list[str]:
    if session.form in (OutputFormat.TABLE, OutputFormat.PLAIN):
        return []
    if session.form is OutputFormat.JSON:
        return ["--json"]
    raise click.UsageError(f"this command prints a table or JSON, not {session.form.value}")


def _run_apart(module: str, arguments: Sequence[str]) -> int:
    """Run `python -m module` with this Python, on this terminal; its exit code."""
    if getattr(sys, "frozen", False):
        raise EnvironmentFault(
            "this command loads DAG files, which needs DagDeck in a Python environment",
            transient=False,
            remedy="Install it with pip and use that dagdeck",
        )
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told the other process too; it ends in its own way.
            continue
