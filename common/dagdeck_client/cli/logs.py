"""`dagdeck logs …`.

Decides how a log is followed: range by range, on to the next try while the task is retried. Called by `root`.
"""

from __future__ import annotations

import time

import click

from dagdeck_client.cli.output import say
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.requests.runs import get_task_instance, read_log

PAUSE = 0.5
_GOES_ON = ("up_for_retry", "up_for_reschedule", "deferred", "scheduled", "queued", "running", "restarting", None)


@click.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@click.option("--try", "try_number", type=click.IntRange(min=1), help="Which try; the last one when absent.")
@click.option("--map-index", type=click.IntRange(min=0), default=None, help="Which instance of a mapped task.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@pass_session
def logs(
    session: Session,
    dag_id: str,
    run_id: str,
    task_id: str,
    try_number: int | None,
    map_index: int | None,
    follow: bool,
) -> None:
    """Show or follow a task's log."""
    index = -1 if map_index is None else map_index
    number = try_number
    if number is None:
        number = session.send(get_task_instance(dag_id, run_id, task_id, index)).try_number
    while True:
        if number:
            _print_try(session, dag_id, run_id, task_id, number, index, follow)
        if not follow or try_number is not None:
            return
        task = session.send(get_task_instance(dag_id, run_id, task_id, index))
        if task.try_number > number:
            number = task.try_number
            say(f"--- try {number}")
        elif task.state in _GOES_ON:
            time.sleep(PAUSE)
        else:
            return


def _print_try(
    session: Session, dag_id: str, run_id: str, task_id: str, number: int, map_index: int, follow: bool
) -> None:
    """Print one try's log to what there is, or with `follow` to its end."""
    offset = 0
    dispatch_no: int | None = None
    while True:
        part = session.send(read_log(dag_id, run_id, task_id, try_number=number, map_index=map_index, offset=offset))
        if dispatch_no is not None and part.dispatch_no != dispatch_no:
            say(f"--- try {number} went on elsewhere")
            offset, dispatch_no = 0, part.dispatch_no
            continue
        dispatch_no = part.dispatch_no
        click.echo(part.text, nl=False)
        offset = part.next_offset
        if part.is_complete or (not follow and offset >= part.size):
            return
        if not part.text:
            if not follow:
                return
            time.sleep(PAUSE)
