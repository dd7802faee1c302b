"""Revision 0008: from where, and with which token, people act."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import big_id

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns; what was recorded before has no address."""
    for table in ("action", "audit_log"):
        op.add_column(table, sa.Column("address", sa.String(64)))
        op.add_column(table, sa.Column("token_id", big_id()))


def downgrade() -> None:
    """Older programs do not read what was added."""
