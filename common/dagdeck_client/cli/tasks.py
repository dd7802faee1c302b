"""`dagdeck tasks …`.

Decides options and columns of these commands. Called by `root`.
"""

from __future__ import annotations

from typing import Any

import click

from dagdeck_client.cli.output import column, print_list, say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.requests import runs as requests
from dagdeck_client.requests.dags import list_tasks

_TASK_COLUMNS = (
    column("TASK", "task_id"),
    column("OPERATOR", "operator_name"),
    column("TRIGGER RULE", "trigger_rule"),
    column("POOL", "pool"),
    column("QUEUE", "queue"),
    column("DOWNSTREAM", "downstream_task_ids"),
)
_STATE_COLUMNS = (
    column("TASK", "task_id"),
    column("MAP", "map_index"),
    column("STATE", "state", is_state=True),
    column("TRY", "try_number"),
    column("STARTED", "start_date"),
    column("SECONDS", "duration"),
    column("HOST", "hostname"),
)


@click.group()
def tasks() -> None:
    """Tasks and their states."""


@tasks.command("list")
@click.argument("dag_id")
@pass_session
def list_(session: Session, dag_id: str) -> None:
    """List the tasks of a DAG."""
    print_list(session.send(list_tasks(dag_id)).tasks, _TASK_COLUMNS, session.form, what="tasks")


@tasks.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.option("--state", "only", multiple=True, help="Only task instances in this state.")
@pass_session
def states(session: Session, dag_id: str, run_id: str, only: tuple[str, ...]) -> None:
    """Show the states of a run's tasks."""

    def page(size: int, offset: int) -> Any:
        return requests.list_task_instances(
            dag_id, run_id, limit=size, offset=offset, state=only, order_by=["start_date", "task_id"]
        )

    found = list(session.every(page, "task_instances"))
    print_list(found, _STATE_COLUMNS, session.form, what="task instances")


@tasks.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_ids", nargs=-1, metavar="[TASK_ID...]")
@click.option("--only-failed", is_flag=True, help="Only those that failed.")
@click.option("--upstream", is_flag=True, help="Also what comes before them.")
@click.option("--downstream", is_flag=True, help="Also what comes after them.")
@click.option("--future", is_flag=True, help="Also in later runs.")
@click.option("--past", is_flag=True, help="Also in earlier runs.")
@click.option("--latest-version", is_flag=True, help="Move the run to the DAG's newest version first.")
@click.option("--dry-run", is_flag=True, help="Only show which task instances it would be.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def clear(
    session: Session,
    dag_id: str,
    run_id: str,
    task_ids: tuple[str, ...],
    only_failed: bool,
    upstream: bool,
    downstream: bool,
    future: bool,
    past: bool,
    latest_version: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Run task instances once more: the given tasks or groups, or all of the run."""

    def request(is_dry: bool) -> Any:
        return requests.clear_task_instances(
            dag_id,
            run_id,
            task_ids=task_ids or None,
            only_failed=only_failed,
            include_upstream=upstream,
            include_downstream=downstream,
            include_future=future,
            include_past=past,
            latest_version=latest_version,
            dry_run=is_dry,
        )

    meant = session.send(request(True)).task_instances
    if dry_run or not meant:
        print_list(meant, _STATE_COLUMNS[:4], session.form, what="task instances to clear")
        return
    if not yes:
        names = ", ".join(task.task_id for task in meant[:8]) + (", …" if len(meant) > 8 else "")
        click.confirm(f"Clear {len(meant)} task instances ({names})?", abort=True, err=True)
    cleared = session.send(request(False)).task_instances
    say(f"cleared {len(cleared)} task instances")
    print_list(cleared, _STATE_COLUMNS[:4], session.form, what="task instances")


@tasks.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@click.argument("state", type=click.Choice(("success", "failed", "skipped")))
@click.option("--map-index", type=click.IntRange(min=0), help="Only this instance of a mapped task.")
@pass_session
def mark(session: Session, dag_id: str, run_id: str, task_id: str, state: str, map_index: int | None) -> None:
    """Mark a task success, failed or skipped."""
    changed = session.send(requests.set_task_instance_state(dag_id, run_id, task_id, state, map_index=map_index))
    print_list(changed.task_instances, _STATE_COLUMNS[:4], session.form, what="task instances")
