"""`dagdeckd health`: whether a daemon works, for probes of containers and scripts; one answer, one exit code.

Decides by the leases in the metadata database and the database's own clock, as the control API's health does, so that
it can be asked on any machine of the cluster. Does not look further (`doctor` does). Called by `administration`.
"""

from __future__ import annotations

import contextlib
from datetime import datetime

import sqlalchemy as sa

from dagdeck_core.records import WorkerState
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import lease, worker
from dagdeck_io.settings import Settings


def complaint_about(settings: Settings, component: str, name: str | None = None) -> str | None:
    """Why the component does not work; None when it does. `name`: of a worker, None for any worker.

    Raises EnvironmentFault when the database does not answer.
    """
    with contextlib.closing(open_database(settings.database.address)) as database, database.reading() as connection:
        now: datetime = connection.execute(
            sa.select(sa.literal_column(database.clock, lease.c.renewed_at.type))
        ).scalar_one()
        if component == "worker":
            return _of_worker(connection, now, name, settings.scheduler.lease_timeout)
        key = component.replace("-", "_")
        row = connection.execute(sa.select(lease).where(lease.c.name == key, lease.c.shard == 0)).first()
        if row is None or row.owner is None or row.renewed_at is None:
            return f"no {component} is in charge"
        silent = (now - row.renewed_at).total_seconds()
        limit = 3 * settings.scheduler.takeover_timeout
        return f"the {component} of {row.owner} has been silent for {silent:.0f} s" if silent > limit else None


def _of_worker(connection: sa.Connection, now: datetime, name: str | None, limit: float) -> str | None:
    living = sa.select(sa.func.max(worker.c.last_seen_at)).where(
        worker.c.state.in_((WorkerState.ACTIVE, WorkerState.DRAINING))
    )
    if name is not None:
        living = living.where(worker.c.name == name)
    seen: datetime | None = connection.execute(living).scalar()
    told = "no worker" if name is None else f"no worker named {name}"
    if seen is None:
        return f"{told} is there"
    silent = (now - seen).total_seconds()
    return f"{told} has been heard for {silent:.0f} s" if silent > limit else None
