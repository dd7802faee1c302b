"""Revision 0006: what watches assets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import big_id

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "asset_watcher",
        sa.Column("asset_id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(250), primary_key=True),
        sa.Column("dag_id", sa.String(250), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("trigger_id", big_id(), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("ix_asset_watcher_dag_id", "asset_watcher", ["dag_id"])
    op.create_index("ix_asset_watcher_trigger_id", "asset_watcher", ["trigger_id"])


def downgrade() -> None:
    """Older programs do not read what was added."""
