"""Revision 0005: what deadlines need to be found and told apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import big_id

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Give each deadline its number in its DAG, and the work that its miss made."""
    with op.batch_alter_table("deadline") as table:
        table.add_column(sa.Column("number", sa.Integer(), nullable=False, server_default="0", autoincrement=False))
        table.add_column(sa.Column("work_id", big_id(), autoincrement=False))
    with op.batch_alter_table("deadline") as table:
        table.alter_column("number", existing_type=sa.Integer(), existing_nullable=False, server_default=None)
    op.create_index("ix_deadline_callback_state", "deadline", ["callback_state"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_deadline_callback_state", "deadline")
    with op.batch_alter_table("deadline") as table:
        table.drop_column("work_id")
        table.drop_column("number")
