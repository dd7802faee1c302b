"""Revision 0014: the chain over the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import big_id

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the tables; the records that are there are chained by and by."""
    op.create_table(
        "audit_chain",
        sa.Column("sequence", big_id(), primary_key=True, autoincrement=False),
        sa.Column("event_log_id", big_id(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("event_log_id", name="uq_audit_chain_event_log_id"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "audit_seal",
        sa.Column("sequence", big_id(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("sealed_at", sa.String(40), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("signature", sa.String(100), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    """Older programs do not read what was added."""
