"""Whether the metadata database can store anything now.

Decides that by storing something that leaves no trace. Asked only when the scheduler is silent, since a database that
takes its renewals has room. Called by the routes that tell of health.
"""

from __future__ import annotations

from datetime import UTC, datetime

from dagdeck_core.errors import DagDeckError, DiskFull
from dagdeck_io.db.tables import problem
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.models.admin import BaseInfoResponse, HealthInfoResponse

FULL = "the disk of the metadata database is full"


def has_room(database: ApiDatabase) -> bool:
    """False when a small write fails for want of space; True also when that cannot be found out."""
    row = {"name": "probe", "owner": str(database.new_id())}
    now = datetime.now(UTC)
    try:
        with database.writing() as connection:
            connection.execute(problem.insert().values(message="x" * 4096, since=now, told_at=now, **row))
            connection.execute(problem.delete().where(problem.c.name == row["name"], problem.c.owner == row["owner"]))
    except DiskFull:
        return False
    except DagDeckError:
        pass
    return True


def with_room(database: ApiDatabase, found: HealthInfoResponse) -> HealthInfoResponse:
    """Health, with a full database told where the scheduler is silent."""
    if found.scheduler.status != "healthy" and not has_room(database):
        found.metadatabase = BaseInfoResponse(status="unhealthy")
    return found
