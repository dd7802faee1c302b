"""`dagdeck dags …` and `dagdeck import-errors …`.

Decides options and columns of these commands. Called by `root`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from dagdeck_client.cli import local
from dagdeck_client.cli.arguments import INSTANT, JSON_OBJECT
from dagdeck_client.cli.output import Column, OutputFormat, column, print_list, print_object, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.requests import dags as requests
from dagdeck_client.requests.runs import trigger_run

_COLUMNS = (
    column("DAG", "dag_id"),
    column("PAUSED", "is_paused"),
    column("SCHEDULE", "timetable_summary"),
    column("NEXT RUN", "next_dagrun_run_after"),
    column("OWNERS", "owners"),
    column("TAGS", "tags"),
)
_ERROR_COLUMNS = (
    column("FILE", "filename"),
    column("WHEN", "timestamp"),
    Column(title="ERROR", value=lambda item: item.stack_trace.strip().rpartition("\n")[2]),
)


@click.group()
def dags() -> None:
    """List, pause and trigger DAGs; try DAG files out."""


dags.add_command(local.test)
dags.add_command(local.migrate_check)


@dags.command("list")
@click.option("--pattern", help="Only DAGs whose id contains this text; | means or.")
@click.option("--tag", "tags", multiple=True, help="Only DAGs with this tag (repeatable: any of them).")
@click.option("--owner", "owners", multiple=True, help="Only DAGs of this owner (repeatable: any of them).")
@click.option("--paused/--not-paused", default=None, help="Only paused DAGs, or only others.")
@click.option("--all", "with_stale", is_flag=True, help="Also DAGs that are no longer in the DAG folder.")
@click.option("--limit", type=click.IntRange(min=1), help="Show at most so many.")
@pass_session
def list_(
    session: Session,
    pattern: str | None,
    tags: tuple[str, ...],
    owners: tuple[str, ...],
    paused: bool | None,
    with_stale: bool,
    limit: int | None,
) -> None:
    """List DAGs."""

    def page(size: int, offset: int) -> Any:
        return requests.list_dags(
            limit=size,
            offset=offset,
            dag_id_pattern=pattern,
            tags=tags,
            owners=owners,
            paused=paused,
            exclude_stale=not with_stale,
        )

    print_list(list(session.every(page, "dags", limit)), _COLUMNS, session.form, what="DAGs")


@dags.command()
@click.argument("dag_id")
@pass_session
def show(session: Session, dag_id: str) -> None:
    """Show one DAG with all its fields."""
    print_object(session.send(requests.get_dag(dag_id)), session.form)


@dags.command()
@click.argument("dag_ids", nargs=-1, required=True, metavar="DAG_ID...")
@pass_session
def pause(session: Session, dag_ids: tuple[str, ...]) -> None:
    """Start nothing new in these DAGs; what runs goes on."""
    _set_paused(session, dag_ids, True)


@dags.command()
@click.argument("dag_ids", nargs=-1, required=True, metavar="DAG_ID...")
@pass_session
def unpause(session: Session, dag_ids: tuple[str, ...]) -> None:
    """Let these DAGs run again."""
    _set_paused(session, dag_ids, False)


def _set_paused(session: Session, dag_ids: tuple[str, ...], is_paused: bool) -> None:
    changed = [session.send(requests.set_paused(dag_id, is_paused)) for dag_id in dag_ids]
    print_list(changed, _COLUMNS[:3], session.form, what="DAGs")


@dags.command()
@click.argument("dag_id")
@click.option("--conf", type=JSON_OBJECT, help="The run's configuration: JSON, @FILE, or @- for standard input.")
@click.option("--run-id", help="The run's id; made up when absent.")
@click.option("--logical-date", type=INSTANT, help="The run's logical date.")
@click.option("--run-after", type=INSTANT, help="Do not start before.")
@click.option("--note", help="A note to attach.")
@click.option("--wait", is_flag=True, help="Wait for the run to end; the exit code says how it ended.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Stop waiting after so many seconds (exit code 6).")
@pass_session
def trigger(
    session: Session,
    dag_id: str,
    conf: dict[str, Any] | None,
    run_id: str | None,
    logical_date: datetime | None,
    run_after: datetime | None,
    note: str | None,
    wait: bool,
    timeout: float | None,
) -> int:
    """Run a DAG now."""
    run = session.send(
        trigger_run(dag_id, run_id=run_id, logical_date=logical_date, run_after=run_after, conf=conf, note=note)
    )
    if not wait:
        print_object(run, session.form)
        return 0
    from dagdeck_client.cli.waiting import wait_for_run

    say(f"triggered {run.dag_id}, run {run.dag_run_id}")
    ended, code = wait_for_run(session, run.dag_id, run.dag_run_id, timeout=timeout)
    if session.form is not OutputFormat.TABLE:
        print_object(ended, session.form)
    return code


@dags.command()
@click.argument("dag_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, dag_id: str, yes: bool) -> None:
    """Delete a DAG with its history. While its file exists, the DAG comes back without it."""
    if not yes:
        click.confirm(f"Delete {dag_id} with all its runs?", abort=True, err=True)
    session.send(requests.delete_dag(dag_id))
    say(f"deleted {dag_id}")


@click.group("import-errors")
def import_errors() -> None:
    """DAG files that could not be loaded."""


@import_errors.command("list")
@pass_session
def list_errors(session: Session) -> None:
    """List DAG files that could not be loaded."""

    def page(size: int, offset: int) -> Any:
        return requests.list_import_errors(limit=size, offset=offset)

    errors = list(session.every(page, "import_errors"))
    print_list(errors, _ERROR_COLUMNS, session.form, what="import errors")
