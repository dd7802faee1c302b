"""Revision 0015: the questions of earlier tries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import JsonText, UtcDateTime, big_id, long_text

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the table; questions that wait now are taken for those of the try that their task instance is in."""
    op.add_column("hitl_detail", sa.Column("try_number", sa.Integer()))
    op.create_table(
        "hitl_detail_history",
        sa.Column("ti_id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("try_number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("subject", long_text(), nullable=False),
        sa.Column("body", long_text()),
        sa.Column("options", JsonText(), nullable=False),
        sa.Column("defaults", JsonText()),
        sa.Column("multiple", sa.Boolean(), nullable=False),
        sa.Column("params", JsonText()),
        sa.Column("assigned_users", JsonText()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("responded_at", UtcDateTime()),
        sa.Column("responded_by", JsonText()),
        sa.Column("chosen_options", JsonText()),
        sa.Column("params_input", JsonText()),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def downgrade() -> None:
    """Older programs do not read what was added."""
