"""Revision 0012: which keys a worker knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; workers of an earlier version tell nothing."""
    op.add_column("worker", sa.Column("key_ids", sa.String(200)))


def downgrade() -> None:
    """Older programs do not read what was added."""
