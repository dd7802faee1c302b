"""Assets and references of published DAGs: rows for what DAGs name, and which assets are active.

Decides that an asset is active while a DAG that is not stale names it or an alias led to it, that of two assets with
one name, or one URI, the earlier stays active, and what people are told of the other. Does not schedule anything.
Called by processor_store.py within its transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_core.spec import DEFAULT_QUEUE, DagSpec, ReferenceSpec, WatcherSpec
from dagdeck_core.work import AssetNews, NamedAsset, WorkKind, WorkState, order_encoder
from dagdeck_io.db.asset_watching import Watching
from dagdeck_io.db.tables import asset, asset_alias, asset_alias_asset, asset_reference, dag, work
from dagdeck_io.secrets import Vault

CONFLICT = "asset conflict"
"""Airflow's DagWarningType of it."""
_AT_ONCE = 500
Reference = tuple[str, str, int | None, int | None, str | None, str | None]
"""task_id, role, asset_id, alias_id, ref_name, ref_uri."""


@dataclass(slots=True)
class AssetPublisher:
    """Writes on one connection, at one time."""

    connection: sa.Connection
    new_id: Callable[[], int]
    now: datetime
    vault: Vault | None = None
    fresh: dict[tuple[str, str, str], bool | None] = field(default_factory=dict)
    """(kind, name, URI) of what was made and no listener was told of yet."""

    def publish(self, specs: Sequence[DagSpec]) -> None:
        """Store what these new versions of DAGs name, instead of what their earlier ones did."""
        named = [(spec.dag_id, *each) for spec in specs for each in _named(spec)]
        self.fresh = {}
        assets = self._assets([each for _, _, _, each in named if each.kind == "asset"])
        aliases = self._aliases([each for _, _, _, each in named if each.kind == "alias"])
        for spec in specs:
            wanted: dict[Reference, None] = {}
            for dag_id, task_id, role, each in named:
                if dag_id == spec.dag_id:
                    wanted[_reference(task_id, role, each, assets, aliases)] = None
            self._references(spec.dag_id, wanted)
        versions = self._versions([spec.dag_id for spec in specs])
        for spec in specs:
            watchers: dict[tuple[int, str], WatcherSpec] = {}
            for dag_id, _, _, each in named:
                if dag_id == spec.dag_id:
                    watchers |= {(assets[each.name, each.uri], watcher.name): watcher for watcher in each.watchers}
            self._watching().update(spec.dag_id, versions[spec.dag_id], watchers)
            self._tell_listeners(spec, versions[spec.dag_id])

    def _tell_listeners(self, spec: DagSpec, version_id: int) -> None:
        """Leave work that tells listeners of what this DAG is the first to name, where any wants to know."""
        if not self.fresh:
            return
        mine = {(each.kind, each.name, each.uri): each for _, _, each in _named(spec)}
        new = {key: each for key, each in mine.items() if self.fresh.pop(key, False) is None}
        if not new or not any(each in spec.asset_listeners for each in ("on_asset_created", "on_asset_alias_created")):
            return
        news = {
            kind: tuple(
                NamedAsset(name=each.name, uri=each.uri, group=each.group) for each in new.values() if each.kind == kind
            )
            for kind in ("asset", "alias")
        }
        self.connection.execute(
            work.insert().values(
                work_id=self.new_id(),
                kind=WorkKind.CALLBACK,
                state=WorkState.NEW,
                dag_id=spec.dag_id,
                version_id=version_id,
                queue=spec.tasks[0].queue if spec.tasks else DEFAULT_QUEUE,
                order=order_encoder.encode(AssetNews(assets=news["asset"], aliases=news["alias"])).decode(),
                created_at=self.now,
            )
        )

    def retire(self, dag_ids: Sequence[str]) -> None:
        """These DAGs are stale: what they alone had watched is watched no more."""
        for dag_id in dag_ids:
            self._watching().update(dag_id, 0, {})

    def _watching(self) -> Watching:
        return Watching(self.connection, self.new_id, self.now, self.vault)

    def _versions(self, dag_ids: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(dag_ids), _AT_ONCE):
            query = sa.select(dag.c.dag_id, dag.c.version_id).where(dag.c.dag_id.in_(dag_ids[start : start + _AT_ONCE]))
            found.update({row.dag_id: row.version_id for row in self.connection.execute(query)})
        return found

    def _assets(self, named: Sequence[ReferenceSpec]) -> dict[tuple[str, str], int]:
        """asset_id by name and URI; rows are made, or changed where group or extra differ."""
        wanted = {(each.name, each.uri): each for each in named}
        known: dict[tuple[str, str], Any] = {}
        names = sorted({name for name, _ in wanted})
        for start in range(0, len(names), _AT_ONCE):
            query = sa.select(asset).where(asset.c.name.in_(names[start : start + _AT_ONCE]))
            known.update({(row.name, row.uri): row for row in self.connection.execute(query)})
        found: dict[tuple[str, str], int] = {}
        for key, each in wanted.items():
            row = known.get(key)
            if row is None:
                found[key] = self._new_asset(each)
                self.fresh["asset", each.name, each.uri] = None
                continue
            found[key] = row.asset_id
            if row.group != each.group or (each.extra and row.extra != each.extra):
                values = {"group": each.group, "extra": each.extra or row.extra, "updated_at": self.now}
                self.connection.execute(asset.update().where(asset.c.asset_id == row.asset_id).values(**values))
        return found

    def _new_asset(self, each: ReferenceSpec) -> int:
        asset_id = self.new_id()
        self.connection.execute(
            asset.insert().values(
                asset_id=asset_id,
                name=each.name,
                uri=each.uri,
                group=each.group,
                extra=each.extra,
                is_active=False,
                created_at=self.now,
                updated_at=self.now,
            )
        )
        return asset_id

    def _aliases(self, named: Sequence[ReferenceSpec]) -> dict[str, int]:
        wanted = {each.name: each for each in named}
        found: dict[str, int] = {}
        names = sorted(wanted)
        for start in range(0, len(names), _AT_ONCE):
            query = sa.select(asset_alias).where(asset_alias.c.name.in_(names[start : start + _AT_ONCE]))
            found.update({row.name: row.alias_id for row in self.connection.execute(query)})
        for name in names:
            if name not in found:
                found[name] = self.new_id()
                self.fresh["alias", name, wanted[name].uri] = None
                self.connection.execute(
                    asset_alias.insert().values(
                        alias_id=found[name], name=name, group=wanted[name].group, created_at=self.now
                    )
                )
        return found

    def _references(self, dag_id: str, wanted: dict[Reference, None]) -> None:
        """Replace the references of a DAG; those that stay keep their times."""
        of_dag = asset_reference.c.dag_id == dag_id
        gone: list[int] = []
        for row in self.connection.execute(sa.select(asset_reference).where(of_dag)):
            key = (row.task_id, row.role, row.asset_id, row.alias_id, row.ref_name, row.ref_uri)
            if key in wanted:
                del wanted[key]
            else:
                gone.append(row.reference_id)
        for start in range(0, len(gone), _AT_ONCE):
            some = gone[start : start + _AT_ONCE]
            self.connection.execute(asset_reference.delete().where(asset_reference.c.reference_id.in_(some)))
        rows = [
            {
                "reference_id": self.new_id(),
                "dag_id": dag_id,
                "task_id": task_id,
                "role": role,
                "asset_id": asset_id,
                "alias_id": alias_id,
                "ref_name": name,
                "ref_uri": uri,
                "created_at": self.now,
                "updated_at": self.now,
            }
            for task_id, role, asset_id, alias_id, name, uri in wanted
        ]
        if rows:
            self.connection.execute(asset_reference.insert(), rows)

    # -------------------------------------------------------------- which are active

    def activate(self) -> None:
        """Let exactly those assets be active that something names, as far as their names and URIs allow."""
        in_use = asset_reference.join(dag, dag.c.dag_id == asset_reference.c.dag_id)
        referenced = sa.select(asset_reference.c.asset_id).select_from(in_use).where(~dag.c.is_stale)
        through_alias = sa.select(asset_alias_asset.c.asset_id)
        wanted = set(self.connection.execute(referenced.distinct()).scalars()) - {None}
        wanted |= set(self.connection.execute(through_alias.distinct()).scalars())
        columns = (asset.c.asset_id, asset.c.name, asset.c.uri, asset.c.is_active)
        rows = self.connection.execute(sa.select(*columns).order_by(asset.c.asset_id)).all()
        names: dict[str, int] = {}
        uris: dict[str, int] = {}
        active: set[int] = set()
        # What is active stays so before anything else is asked for.
        for row in sorted(rows, key=lambda row: (not row.is_active, row.asset_id)):
            if row.asset_id in wanted and row.name not in names and row.uri not in uris:
                names[row.name] = uris[row.uri] = row.asset_id
                active.add(row.asset_id)
        for is_active in (True, False):
            changed = [
                row.asset_id
                for row in rows
                if bool(row.is_active) is not is_active and (row.asset_id in active) is is_active
            ]
            for start in range(0, len(changed), _AT_ONCE):
                some = asset.c.asset_id.in_(changed[start : start + _AT_ONCE])
                self.connection.execute(asset.update().where(some).values(is_active=is_active, updated_at=self.now))

    def conflicts(self) -> dict[str, str]:
        """dag_id → what to tell about the assets that it names and that are not active."""
        source = asset.join(asset_reference, asset_reference.c.asset_id == asset.c.asset_id).join(
            dag, dag.c.dag_id == asset_reference.c.dag_id
        )
        query = (
            sa.select(asset.c.name, asset.c.uri, asset.c.group, dag.c.dag_id)
            .select_from(source)
            .where(~asset.c.is_active, ~dag.c.is_stale)
            .distinct()
            .order_by(dag.c.dag_id, asset.c.name, asset.c.uri)
        )
        told: dict[str, list[str]] = {}
        for row in self.connection.execute(query).all():
            message = (
                f'Cannot activate asset Asset(name="{row.name}", uri="{row.uri}", group="{row.group}"); '
                "its name or its URI is that of another asset"
            )
            told.setdefault(row.dag_id, []).append(message)
        return {dag_id: "\n".join(messages) for dag_id, messages in told.items()}


def _named(spec: DagSpec) -> Iterator[tuple[str, str, ReferenceSpec]]:
    """task_id, role and what is named."""
    for each in spec.schedule_assets:
        yield "", "schedule", each
    for task in spec.tasks:
        for each in task.inlets:
            yield task.task_id, "inlet", each
        for each in task.outlets:
            yield task.task_id, "outlet", each


def _reference(
    task_id: str, role: str, each: ReferenceSpec, assets: dict[tuple[str, str], int], aliases: dict[str, int]
) -> Reference:
    if each.kind == "asset":
        return task_id, role, assets[each.name, each.uri], None, None, None
    if each.kind == "alias":
        return task_id, role, None, aliases[each.name], None, None
    return task_id, role, None, None, each.name or None, each.uri or None
