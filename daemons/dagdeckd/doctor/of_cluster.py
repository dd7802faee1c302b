"""What `dagdeckd doctor` reads of the cluster's own rows: who leads, which workers there are, what does not load.

Decides from which values on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version

import sqlalchemy as sa

from dagdeck_core.records import WorkerState
from dagdeck_core.wire import WIRE_VERSION
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.problems import problems_now
from dagdeck_io.db.tables import import_error, lease, worker
from dagdeck_io.settings import Settings
from dagdeckd.doctor.findings import Finding, failure, good, warning

AREA = "cluster"
LIVING = (WorkerState.ACTIVE, WorkerState.DRAINING)


def cluster(settings: Settings) -> Iterator[Finding]:
    """Leader, workers, import errors; by the database's own clock."""
    if migrations.current(settings.database.address) != migrations.HEAD:
        return  # of which the look at the database has told
    own = open_database(settings.database.address)
    try:
        with own.reading() as connection:
            now = _now(connection, own.clock)
            yield _leader(connection, now, settings)
            yield from _workers(connection, now, settings)
            for each in problems_now(connection, now):
                yield failure(AREA, f"{each.owner}: {each.message}", "It goes on by itself when that is mended")
            broken = connection.execute(sa.select(sa.func.count()).select_from(import_error)).scalar_one()
            if broken:
                yield warning(
                    AREA, f"{broken} DAG files do not load", "`dagdeck dags errors`, or the desktop, shows why"
                )
    finally:
        own.close()


def _now(connection: sa.Connection, clock: str) -> datetime:
    """The database's own time, as its dialect writes it: by that the rows were stamped."""
    now: datetime = connection.execute(sa.select(sa.literal_column(clock, lease.c.renewed_at.type))).scalar_one()
    return now


def _leader(connection: sa.Connection, now: datetime, settings: Settings) -> Finding:
    row = connection.execute(sa.select(lease).where(lease.c.name == "scheduler")).first()
    if row is None or row.owner is None or row.renewed_at is None:
        return warning(AREA, "no scheduler leads", "Start a master: `dagdeckd master`, or `dagdeckd standalone`")
    silent = (now - row.renewed_at).total_seconds()
    if silent > settings.scheduler.takeover_timeout:
        return failure(AREA, f"the scheduler of {row.owner} has been silent for {silent:.0f} s", "Look at its log")
    return good(AREA, f"the scheduler of {row.owner} leads")


def _workers(connection: sa.Connection, now: datetime, settings: Settings) -> Iterator[Finding]:
    rows = connection.execute(sa.select(worker).where(worker.c.state.in_(LIVING)).order_by(worker.c.name)).all()
    if not rows:
        yield warning(AREA, "no worker is there: nothing will run", "Start one: `dagdeckd worker`")
    mine = version("dagdeck")
    for row in rows:
        silent = (now - row.last_seen_at).total_seconds()
        if silent > settings.scheduler.lease_timeout:
            yield failure(AREA, f"worker {row.name} has been silent for {silent:.0f} s", "Look at its log and machine")
        elif row.wire_version != WIRE_VERSION:
            text = f"worker {row.name} speaks wire version {row.wire_version}, not {WIRE_VERSION}: it gets no work"
            older = f"worker {row.name}" if row.wire_version < WIRE_VERSION else "this machine"
            yield failure(AREA, text, f"Upgrade {older}: the same release everywhere")
        elif row.version != mine:
            yield warning(AREA, f"worker {row.name} is version {row.version}, this is {mine}", "Finish the upgrade")
        else:
            yield good(AREA, f"worker {row.name} on {row.hostname}: {row.slots} slots, {row.state.value}")
