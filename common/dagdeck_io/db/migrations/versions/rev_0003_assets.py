"""Revision 0003: aliases and references of assets, events under way, and what runs consumed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id, long_text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add them."""
    _names()
    _under_way()


def downgrade() -> None:
    """Older programs do not read what was added."""


def _names() -> None:
    _table(
        "asset_alias",
        _key("alias_id", big_id()),
        _column("name", sa.String(250)),
        _column("group", sa.String(250)),
        _column("created_at", UtcDateTime()),
        sa.UniqueConstraint("name", name="uq_asset_alias_name"),
    )
    _table("asset_alias_asset", _key("alias_id", big_id()), _key("asset_id", big_id()))
    _table("asset_event_alias", _key("asset_event_id", big_id()), _key("alias_id", big_id()))
    _index("asset_event_alias", "alias_id", "asset_event_id")
    _table(
        "asset_reference",
        _key("reference_id", big_id()),
        _column("dag_id", sa.String(250)),
        _column("task_id", sa.String(250)),
        _column("role", sa.String(16)),
        _column("asset_id", big_id(), nullable=True),
        _column("alias_id", big_id(), nullable=True),
        _column("ref_name", sa.String(250), nullable=True),
        _column("ref_uri", sa.String(500), nullable=True),
        _column("created_at", UtcDateTime()),
        _column("updated_at", UtcDateTime()),
    )
    _index("asset_reference", "dag_id")
    _index("asset_reference", "asset_id")


def _under_way() -> None:
    _table(
        "asset_change",
        _key("change_id", big_id()),
        _column("events", long_text()),
        _column("at", UtcDateTime()),
        _column("done", sa.Integer()),
        _column("source_dag_id", sa.String(250), nullable=True),
        _column("source_run_id", sa.String(250), nullable=True),
        _column("source_task_id", sa.String(250), nullable=True),
        _column("source_map_index", sa.Integer()),
        _column("partition_key", sa.String(250), nullable=True),
        _column("partition_date", UtcDateTime(), nullable=True),
    )
    _table(
        "queued_asset_event",
        _key("dag_id", sa.String(250)),
        _key("partition_id", big_id()),
        _key("asset_event_id", big_id()),
        _column("asset_id", big_id()),
        _column("queued_at", UtcDateTime()),
        _column("counts", sa.Boolean()),
        _column("source_key", sa.String(250), nullable=True),
    )
    _table(
        "asset_partition",
        _key("partition_id", big_id()),
        _column("dag_id", sa.String(250)),
        _column("partition_key", sa.String(250)),
        _column("partition_date", UtcDateTime(), nullable=True),
        _column("rollup", sa.String(64)),
        _column("created_at", UtcDateTime()),
    )
    _index("asset_partition", "dag_id")
    _table("dag_run_asset_event", _key("run_key", big_id()), _key("asset_event_id", big_id()))
    _index("dag_run_asset_event", "asset_event_id")


def _table(name: str, *items: Any) -> None:
    op.create_table(name, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, autoincrement=False)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
