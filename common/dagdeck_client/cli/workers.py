"""`dagdeck workers …`.

Decides options and columns of these commands. Called by `root`.
"""

from __future__ import annotations

import click

from dagdeck_client.cli.output import Column, column, print_list
from dagdeck_client.cli.session import Session, pass_session
from dagdeck_client.models import Worker
from dagdeck_client.requests.admin import list_workers, set_worker_drain


def _memory(worker: Worker) -> str:
    if worker.memory_used is None or not worker.memory_total:
        return ""
    return f"{worker.memory_used / 2**30:.1f}/{worker.memory_total / 2**30:.1f} GiB"


_COLUMNS = (
    column("ID", "worker_id"),
    column("NAME", "name"),
    column("HOST", "hostname"),
    column("STATE", "state", is_state=True),
    Column(title="TASKS", value=lambda worker: f"{worker.running}/{worker.slots}"),
    column("QUEUES", "queues"),
    Column(title="CPU", value=lambda worker: "" if worker.cpu is None else f"{worker.cpu:.0%}"),
    Column(title="MEMORY", value=_memory),
    column("STARTED", "started_at"),
)


@click.group()
def workers() -> None:
    """Workers and their load."""


@workers.command("list")
@click.option("--all", "include_gone", is_flag=True, help="Also workers that stopped or were lost.")
@pass_session
def list_(session: Session, include_gone: bool) -> None:
    """List workers."""
    found = session.send(list_workers(include_gone=include_gone)).workers
    print_list(found, _COLUMNS, session.form, what="workers")


@workers.command()
@click.argument("worker", metavar="ID_OR_NAME")
@pass_session
def drain(session: Session, worker: str) -> None:
    """Let a worker take nothing new; what it runs goes on."""
    _set_drain(session, worker, True)


@workers.command()
@click.argument("worker", metavar="ID_OR_NAME")
@pass_session
def resume(session: Session, worker: str) -> None:
    """Let a draining worker take work again."""
    _set_drain(session, worker, False)


def _set_drain(session: Session, wanted: str, drain: bool) -> None:
    known = session.send(list_workers()).workers
    matches = [each for each in known if wanted in (str(each.worker_id), each.name)]
    if not matches:
        raise click.UsageError(f"there is no live worker {wanted!r}; `dagdeck workers list` shows them")
    if len(matches) > 1:
        ids = ", ".join(str(each.worker_id) for each in matches)
        raise click.UsageError(f"several workers are named {wanted!r}; give an id: {ids}")
    changed = session.send(set_worker_drain(matches[0].worker_id, drain))
    print_list([changed], _COLUMNS[:5], session.form, what="workers")
