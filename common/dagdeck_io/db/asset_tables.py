"""Tables of assets beside asset, asset_event and their state store: names, references, and what is under way.

Decides their columns, keys and indexes. References are written by the DAG processor, asset changes by workers (an
outbox that the scheduler empties), everything else by the scheduler alone. Joined by tables.py.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, PrimaryKeyConstraint, String, UniqueConstraint

from dagdeck_io.db.columns import PATH, count_, id_, name_, table_, time_
from dagdeck_io.db.types import JsonText

asset_alias = table_(
    "asset_alias",
    id_("alias_id", primary_key=True),
    name_("name", nullable=False),
    name_("group", nullable=False),
    time_("created_at", nullable=False),
    UniqueConstraint("name"),
)

asset_alias_asset = table_(  # what an alias was found to stand for
    "asset_alias_asset",
    id_("alias_id"),
    id_("asset_id"),
    PrimaryKeyConstraint("alias_id", "asset_id"),
)

asset_event_alias = table_(  # the aliases that an event came through
    "asset_event_alias",
    id_("asset_event_id"),
    id_("alias_id"),
    PrimaryKeyConstraint("asset_event_id", "alias_id"),
    Index(None, "alias_id", "asset_event_id"),
)

asset_reference = table_(  # what the newest versions of DAGs name
    "asset_reference",
    id_("reference_id", primary_key=True),
    name_("dag_id", nullable=False),
    name_("task_id", nullable=False),  # "" for a schedule
    Column("role", String(16), nullable=False),  # "schedule", "inlet" or "outlet"
    id_("asset_id"),
    id_("alias_id"),
    name_("ref_name"),
    Column("ref_uri", String(PATH)),
    time_("created_at", nullable=False),
    time_("updated_at", nullable=False),
    Index(None, "dag_id"),
    Index(None, "asset_id"),
)

asset_change = table_(
    "asset_change",
    id_("change_id", primary_key=True),
    Column("events", JsonText(), nullable=False),  # `dagdeck_core.asset_records.OutletEvent`s
    time_("at", nullable=False),
    count_("done"),  # so many events of it are registered
    name_("source_dag_id"),
    name_("source_run_id"),
    name_("source_task_id"),
    count_("source_map_index", -1),
    name_("partition_key"),
    time_("partition_date"),
)

queued_asset_event = table_(  # what a DAG, or a pending partition of it, has not consumed yet
    "queued_asset_event",
    name_("dag_id"),
    id_("partition_id"),  # 0: without partitions
    id_("asset_event_id"),
    id_("asset_id", nullable=False),
    time_("queued_at", nullable=False),
    Column("counts", Boolean(), nullable=False, default=True),  # for the DAG's condition
    name_("source_key"),
    Column("mapped", JsonText()),  # `MappedKey`, where an author's code mapped the event
    PrimaryKeyConstraint("dag_id", "partition_id", "asset_event_id"),
)

asset_partition = table_(
    "asset_partition",
    id_("partition_id", primary_key=True),
    name_("dag_id", nullable=False),
    name_("partition_key", nullable=False),
    time_("partition_date"),
    Column("rollup", String(64), nullable=False),  # identifies the mappers
    time_("created_at", nullable=False),
    Index(None, "dag_id"),
)

dag_run_asset_event = table_(  # the events that a run consumed
    "dag_run_asset_event",
    id_("run_key"),
    id_("asset_event_id"),
    PrimaryKeyConstraint("run_key", "asset_event_id"),
    Index(None, "asset_event_id"),
)

asset_watcher = table_(  # the triggers that watch assets, and the DAGs that name them
    "asset_watcher",
    id_("asset_id"),
    name_("name"),
    name_("dag_id"),
    Column("digest", String(64), nullable=False),  # of the trigger's class path and arguments
    id_("trigger_id", nullable=False),
    PrimaryKeyConstraint("asset_id", "name", "dag_id"),
    Index(None, "dag_id"),
    Index(None, "trigger_id"),
)
