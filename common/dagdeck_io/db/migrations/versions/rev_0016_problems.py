"""Revision 0016: what daemons cannot do now until somebody helps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, long_text

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "problem",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("owner", sa.String(250), primary_key=True),
        sa.Column("message", long_text(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    """Older programs do not read what was added."""
