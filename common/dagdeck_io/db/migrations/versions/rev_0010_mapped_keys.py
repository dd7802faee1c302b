"""Revision 0010: what authors' partition mappers said of queued events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import JsonText

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column; for events that are queued already it says nothing, as no author's code mapped them."""
    op.add_column("queued_asset_event", sa.Column("mapped", JsonText()))


def downgrade() -> None:
    """Older programs do not read what was added."""
