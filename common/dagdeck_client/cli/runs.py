"""`dagdeck runs …`.

Decides options and columns of these commands. Called by `root`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from dagdeck_client.cli.arguments import INSTANT
from dagdeck_client.cli.output import OutputFormat, column, print_list, print_object, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.requests import runs as requests
from dagdeck_client.requests.base import ANY

RUN_STATES = ("queued", "running", "success", "failed")
_COLUMNS = (
    column("DAG", "dag_id"),
    column("RUN", "dag_run_id"),
    column("STATE", "state", is_state=True),
    column("TYPE", "run_type"),
    column("RUN AFTER", "run_after"),
    column("STARTED", "start_date"),
    column("SECONDS", "duration"),
)

_GATE_COLUMNS = (column("GATE", "kind"), column("WHY", "reason"), column("OPENS", "opens"))


@click.group()
def runs() -> None:
    """Runs of DAGs."""


@runs.command("list")
@click.argument("dag_id", default=ANY)
@click.option("--state", "states", multiple=True, type=click.Choice(RUN_STATES), help="Only runs in this state.")
@click.option("--since", type=INSTANT, help="Only runs that were due at this time or later.")
@click.option("--until", type=INSTANT, help="Only runs that were due at this time or earlier.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most so many.")
@pass_session
def list_(
    session: Session,
    dag_id: str,
    states: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List runs of a DAG, or of all, newest first."""

    def page(size: int, offset: int) -> Any:
        return requests.list_runs(
            dag_id,
            limit=size,
            offset=offset,
            state=states,
            run_after_gte=since,
            run_after_lte=until,
            order_by=["-run_after"],
        )

    print_list(list(session.every(page, "dag_runs", limit)), _COLUMNS, session.form, what="runs")


@runs.command()
@click.argument("dag_id")
@click.argument("run_id")
@pass_session
def show(session: Session, dag_id: str, run_id: str) -> None:
    """Show one run with all its fields."""
    print_object(session.send(requests.get_run(dag_id, run_id)), session.form)


@runs.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.option("--timeout", type=click.FloatRange(min=0), help="Stop waiting after so many seconds (exit code 6).")
@pass_session
def wait(session: Session, dag_id: str, run_id: str, timeout: float | None) -> int:
    """Wait for a run to end; the exit code says how it ended."""
    from dagdeck_client.cli.waiting import wait_for_run

    ended, code = wait_for_run(session, dag_id, run_id, timeout=timeout)
    if session.form is not OutputFormat.TABLE:
        print_object(ended, session.form)
    return code


@runs.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("state", type=click.Choice(("success", "failed", "queued")))
@pass_session
def mark(session: Session, dag_id: str, run_id: str, state: str) -> None:
    """Mark a run success or failed, or queue it again."""
    print_list([session.send(requests.set_run_state(dag_id, run_id, state))], _COLUMNS, session.form, what="runs")


@runs.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, dag_id: str, run_id: str, yes: bool) -> None:
    """Delete a run with its tasks, logs and XComs."""
    if not yes:
        click.confirm(f"Delete run {run_id} of {dag_id}?", abort=True, err=True)
    session.send(requests.delete_run(dag_id, run_id))
    say(f"deleted run {run_id} of {dag_id}")


@runs.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id", required=False)
@click.option("--map-index", type=click.IntRange(min=0), help="Which instance of a mapped task.")
@pass_session
def why(session: Session, dag_id: str, run_id: str, task_id: str | None, map_index: int | None) -> None:
    """Say why a run, or one task of it, does not run, and what would let it."""
    found = session.send(requests.explain(dag_id, run_id, task_id, map_index=-1 if map_index is None else map_index))
    print_list(found.gates, _GATE_COLUMNS, session.form, what=f"gates hold it; its state is {found.state or 'none'}")
