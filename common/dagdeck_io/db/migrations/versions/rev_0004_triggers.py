"""Revision 0004: whose a trigger is and which claim may fire it, and the events that are still to be carried out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id, long_text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add them."""
    _add("owner", sa.String(24), default="task")
    _add("owner_key", sa.String(250))
    _add("run_key", big_id())
    _add("version_id", big_id())
    _add("claim_no", big_id(), default="0")
    _add("log_offset", sa.BigInteger(), default="0")
    op.add_column("worker", sa.Column("trigger_capacity", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_trigger_owner_owner_key", "trigger", ["owner", "owner_key"])
    op.create_table(
        "trigger_event",
        sa.Column("event_id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("trigger_id", big_id(), nullable=False),
        sa.Column("owner", sa.String(24), nullable=False),
        sa.Column("owner_key", sa.String(250)),
        sa.Column("ti_id", big_id()),
        sa.Column("dispatch_no", big_id()),
        sa.Column("run_key", big_id()),
        sa.Column("outcome", sa.String(24), nullable=False),
        sa.Column("payload", long_text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("ix_trigger_event_ti_id", "trigger_event", ["ti_id"])
    op.create_index("ix_trigger_event_owner_event_id", "trigger_event", ["owner", "event_id"])


def downgrade() -> None:
    """Older programs do not read what was added."""


def _add(name: str, kind: Any, default: str | None = None) -> None:
    op.add_column("trigger", sa.Column(name, kind, nullable=default is None, server_default=default))
