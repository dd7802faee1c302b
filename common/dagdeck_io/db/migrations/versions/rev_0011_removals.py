"""Revision 0011: what is removed and whose rows are still there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import big_id

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "removal",
        sa.Column("kind", sa.String(24), primary_key=True),
        sa.Column("subject_id", big_id(), primary_key=True, autoincrement=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    """Older programs do not read what was added."""
