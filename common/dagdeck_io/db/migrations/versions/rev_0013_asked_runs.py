"""Revision 0013: what authors' timetables say of runs beyond their times."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import JsonText

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column; until a timetable is asked next, its DAG's next run has the id that it would have had."""
    op.add_column("dag", sa.Column("asked_runs", JsonText()))


def downgrade() -> None:
    """Older programs do not read what was added."""
