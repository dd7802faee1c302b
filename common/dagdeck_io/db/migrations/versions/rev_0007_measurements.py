"""Revision 0007: what daemons tell of their own work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, long_text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "measurement",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("owner", sa.String(250), nullable=False),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.Column("figures", long_text(), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    """Older programs do not read what was added."""
