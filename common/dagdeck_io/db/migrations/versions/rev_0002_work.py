"""Revision 0002: callbacks and questions to user code, as claimable work beside task instances."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id, long_text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of other work than task instances."""
    op.create_table(
        "work",
        sa.Column("work_id", big_id(), primary_key=True, autoincrement=False),
        _column("kind", sa.String(24), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("settled", sa.Boolean(), nullable=False),
        _column("dag_id", sa.String(250), nullable=False),
        _column("version_id", big_id(), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("queue", sa.String(250), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("worker_id", big_id()),
        _column("lost_count", sa.Integer(), nullable=False),
        _column("order", long_text(), nullable=False),
        _column("answer", long_text()),
        _column("error", long_text()),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("queued_at", UtcDateTime()),
        _column("start_date", UtcDateTime()),
        _column("end_date", UtcDateTime()),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("ix_work_settled_work_id", "work", ["settled", "work_id"])
    op.create_index("ix_work_run_key", "work", ["run_key"])


def downgrade() -> None:
    """Take it away; what was not done yet is forgotten."""
    op.drop_table("work")


def _column(name: str, kind: Any, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, autoincrement=False)
