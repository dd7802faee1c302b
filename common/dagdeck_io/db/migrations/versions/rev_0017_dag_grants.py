"""Revision 0017: rights on single DAGs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id, long_text

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the tables and the users' roles."""
    op.create_table(
        "dag_grant",
        sa.Column("grant_id", big_id(), primary_key=True, autoincrement=False),
        sa.Column("subject_kind", sa.String(10), nullable=False),
        sa.Column("subject", sa.String(250), nullable=False),
        sa.Column("level", sa.String(20), nullable=False),
        sa.Column("target_kind", sa.String(10), nullable=False),
        sa.Column("target", sa.String(250), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(250)),
        sa.UniqueConstraint(
            "subject_kind",
            "subject",
            "target_kind",
            "target",
            name="uq_dag_grant_subject_kind_subject_target_kind_target",
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "dag_access",
        sa.Column("dag_id", sa.String(250), primary_key=True),
        sa.Column("role", sa.String(250), primary_key=True),
        sa.Column("level", sa.String(20), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index("ix_dag_access_role", "dag_access", ["role"])
    op.add_column("user", sa.Column("roles", long_text()))


def downgrade() -> None:
    """Older programs do not read what was added."""
