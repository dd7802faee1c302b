"""Revision 0009: signatures of bundles."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id

revision = "0009"
down_revision = "0008"

_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "bundle_signature",
        sa.Column("bundle_id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("public_key", sa.String(64), primary_key=True),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "bundle_key_succession",
        sa.Column("old_key", sa.String(64), primary_key=True),
        sa.Column("new_key", sa.String(64), primary_key=True),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        **_OPTIONS,
    )


def downgrade() -> None:
    """Older programs do not read what was added."""
