"""Tables of triggers and of their events, written by the workers' stores; events are deleted by the scheduler's.

Decides their columns, keys and indexes. Joined by tables.py, through which everyone reads them.

A trigger belongs to a task instance (it is the waiting of the dispatch that it names), or, with another `owner`, to
whatever `owner_key` names there. `triggerer_id` and `claim_no` say which claim of which worker may fire it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String

from dagdeck_io.db.columns import ENCRYPTED, id_, name_, table_, time_
from dagdeck_io.db.types import long_text

TASK = "task"
"""The owner of a deferred task instance's trigger."""
ASSET = "asset"
"""The owner of a trigger that watches an asset; `owner_key` is its asset_id."""

trigger = table_(
    "trigger",
    id_("trigger_id", primary_key=True),
    id_("ti_id"),
    id_("dispatch_no"),
    Column("classpath", String(1000), nullable=False),
    Column("kwargs", long_text(), nullable=False, info=ENCRYPTED),  # JSON
    name_("queue"),
    id_("triggerer_id"),  # the worker whose triggerer has it
    time_("created_at", nullable=False),
    Column("owner", String(24), nullable=False, default=TASK),
    name_("owner_key"),
    id_("run_key"),
    id_("version_id"),  # the DAG version whose code it needs
    id_("claim_no", nullable=False, default=0),  # raised with each claim
    Column("log_offset", BigInteger(), nullable=False, default=0),  # where its next line goes in its dispatch's log
    Index(None, "ti_id"),
    Index(None, "triggerer_id"),
    Index(None, "owner", "owner_key"),
)

trigger_event = table_(  # what fired and is still to be carried out
    "trigger_event",
    id_("event_id", primary_key=True),
    id_("trigger_id", nullable=False),
    Column("owner", String(24), nullable=False, default=TASK),
    name_("owner_key"),
    id_("ti_id"),
    id_("dispatch_no"),
    id_("run_key"),
    Column("outcome", String(24), nullable=False),
    Column("payload", long_text()),  # JSON; a task's stands in its next_kwargs
    time_("created_at", nullable=False),
    Index(None, "ti_id"),
    Index(None, "owner", "event_id"),
)
