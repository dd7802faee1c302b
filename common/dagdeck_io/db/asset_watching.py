"""Triggers that watch assets: one for each watcher that a published DAG names.

Decides when such a trigger is made and when it goes. Does not run it (a worker's triggerer does) nor register what it
yields (the scheduler does). Called by asset_publishing.py within the DAG processor's transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import sqlalchemy as sa

from dagdeck_core.errors import UserError
from dagdeck_core.spec import WatcherSpec
from dagdeck_io.db.tables import asset_watcher, trigger
from dagdeck_io.db.trigger_tables import ASSET
from dagdeck_io.db.types import to_json
from dagdeck_io.secrets import FIELD, Vault

_table = asset_watcher


@dataclass(slots=True)
class Watching:
    """Writes on one connection, at one time."""

    connection: sa.Connection
    new_id: Callable[[], int]
    now: datetime
    vault: Vault | None

    def update(self, dag_id: str, version_id: int, wanted: Mapping[tuple[int, str], WatcherSpec]) -> None:
        """Let a DAG have these watchers, by asset_id and name, and no others."""
        kept: set[tuple[int, str]] = set()
        for row in self.connection.execute(sa.select(_table).where(_table.c.dag_id == dag_id)).all():
            spec = wanted.get((row.asset_id, row.name))
            if spec is not None and _digest(spec) == row.digest:
                kept.add((row.asset_id, row.name))
                self._renew(row.trigger_id, version_id)
            else:
                self._forget(row.asset_id, row.name, dag_id, row.trigger_id)
        for (asset_id, name), spec in wanted.items():
            if (asset_id, name) not in kept:
                self._watch(dag_id, version_id, asset_id, spec)

    def _renew(self, trigger_id: int, version_id: int) -> None:
        """Let whoever claims the trigger next run it with the code of this version."""
        chosen = (trigger.c.trigger_id == trigger_id, trigger.c.version_id != version_id)
        values = {"version_id": version_id, "triggerer_id": None}
        self.connection.execute(trigger.update().where(*chosen).values(values))

    def _watch(self, dag_id: str, version_id: int, asset_id: int, spec: WatcherSpec) -> None:
        """Note the watcher; several DAGs that name one share its trigger."""
        digest = _digest(spec)
        same = (_table.c.asset_id == asset_id, _table.c.name == spec.name, _table.c.digest == digest)
        trigger_id = self.connection.execute(sa.select(_table.c.trigger_id).where(*same).limit(1)).scalar()
        if trigger_id is not None:
            self._renew(trigger_id, version_id)
        else:
            if self.vault is None:
                raise UserError("triggers that watch assets need a key", field=FIELD, remedy="Set it")
            trigger_id = self.new_id()
            self.connection.execute(
                trigger.insert().values(
                    trigger_id=trigger_id,
                    classpath=spec.class_path,
                    kwargs=self.vault.encrypt(to_json(spec.kwargs)),
                    created_at=self.now,
                    owner=ASSET,
                    owner_key=str(asset_id),
                    version_id=version_id,
                )
            )
        values = {"asset_id": asset_id, "name": spec.name, "dag_id": dag_id, "digest": digest}
        self.connection.execute(_table.insert().values(trigger_id=trigger_id, **values))

    def _forget(self, asset_id: int, name: str, dag_id: str, trigger_id: int) -> None:
        key = (_table.c.asset_id == asset_id, _table.c.name == name, _table.c.dag_id == dag_id)
        self.connection.execute(_table.delete().where(*key))
        others = sa.select(_table.c.trigger_id).where(_table.c.trigger_id == trigger_id).limit(1)
        if self.connection.execute(others).scalar() is None:
            self.connection.execute(trigger.delete().where(trigger.c.trigger_id == trigger_id))


def _digest(spec: WatcherSpec) -> str:
    return hashlib.sha256(msgspec.json.encode(spec, order="deterministic")).hexdigest()
