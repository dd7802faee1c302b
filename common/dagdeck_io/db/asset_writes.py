"""What the scheduler's decisions about assets write, and what a worker's success leaves for it.

Decides the statements and their order within one transaction: what is made before what refers to it, what is queued
before what is consumed. Each deletion is guarded by its number of rows. Called by decision_writes.py and
worker_writes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dagdeck_core.asset_records import OutletEvent
from dagdeck_core.ports import FinishWrite
from dagdeck_core.scheduling import asset_decisions as d
from dagdeck_io.db.dialects import Script, id_list
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.types import from_json, storable_json

CHANGE_COLUMNS = (
    "change_id, events, at, done, source_dag_id, source_run_id, source_task_id, source_map_index, partition_key, "
    "partition_date"
)


def write_assets(script: Script, decisions: Sequence[d.OfAssets], now: datetime, ids: IdMaker) -> None:
    """Append everything that decisions about assets ask for."""
    if not decisions:
        return
    writer = _Writer(script, now, ids)
    for each in decisions:
        if isinstance(each, d.CreateAsset):
            writer.create_asset(each)
    for each in decisions:
        if isinstance(each, d.LinkAlias):
            writer.link_alias(each)
    writer.events([each for each in decisions if isinstance(each, d.WriteAssetEvent)])
    for each in decisions:
        if isinstance(each, d.WritePartition):
            writer.partition(each)
    writer.queue([each for each in decisions if isinstance(each, d.QueueEvent)])
    for each in decisions:
        if isinstance(each, d.ConsumeEvents | d.DropQueued):
            writer.dequeue(each)
    for each in decisions:
        if isinstance(each, d.DropPartition):
            script.add(
                f"DELETE FROM asset_partition WHERE partition_id = {each.partition_id}",
                expect=1,
                what="dropping a pending partition",
            )
        elif isinstance(each, d.AdvanceChange):
            writer.advance(each)
    writer.problems([each for each in decisions if isinstance(each, d.NoteAssetProblem)])


class _Writer:
    """Appends statements of one transaction."""

    def __init__(self, script: Script, now: datetime, ids: IdMaker) -> None:
        self.script = script
        self.ids = ids
        self.at = script.instant(now)

    def create_asset(self, decision: d.CreateAsset) -> None:
        """One asset that an alias led to."""
        text, asset = self.script.text, decision.asset
        self.script.insert(
            "asset",
            "asset_id, name, uri, `group`, extra, is_active, created_at, updated_at",
            [asset],
            lambda row: (
                f"({row.asset_id},{text(row.name)},{text(row.uri)},{text(row.group)},{self.script.json(row.extra)},"
                f"{int(row.is_active)},{self.at},{self.at})"
            ),
        )

    def link_alias(self, decision: d.LinkAlias) -> None:
        """An alias that no DAG names any more is made again."""
        script, text = self.script, self.script.text
        script.insert(
            "asset_alias",
            "alias_id, name, `group`, created_at",
            [decision.alias],
            lambda name: f"({self.ids.next()},{text(name)},'asset',{self.at})",
            verb=script.dialect.insert_ignore,
        )
        script.add(
            f"{script.dialect.insert_ignore} asset_alias_asset (alias_id, asset_id) "
            f"SELECT alias_id, {decision.asset_id} FROM asset_alias WHERE name = {text(decision.alias)}"
        )
        if decision.activates:
            script.add(f"UPDATE asset SET is_active = 1, updated_at = {self.at} WHERE asset_id = {decision.asset_id}")

    def events(self, decisions: Sequence[d.WriteAssetEvent]) -> None:
        """Events, and the aliases that they came through."""
        script, text = self.script, self.script.text
        script.insert(
            "asset_event",
            "asset_event_id, asset_id, extra, source_dag_id, source_run_id, source_task_id, source_map_index, "
            "partition_key, timestamp",
            decisions,
            lambda e: (
                f"({e.event_id},{e.asset_id},{script.json(e.extra)},{text(e.source_dag_id)},{text(e.source_run_id)},"
                f"{text(e.source_task_id)},{e.source_map_index},{text(e.partition_key)},{script.instant(e.at)})"
            ),
        )
        for event in decisions:
            if event.aliases:
                names = ",".join(map(text, event.aliases))
                script.add(
                    f"INSERT INTO asset_event_alias (asset_event_id, alias_id) SELECT {event.event_id}, alias_id "
                    f"FROM asset_alias WHERE name IN ({names})"
                )

    def partition(self, decision: d.WritePartition) -> None:
        """One pending partition, new or with another date."""
        script, row = self.script, decision.partition
        if not decision.is_new:
            script.add(
                f"UPDATE asset_partition SET partition_date = {script.instant(row.date)} "
                f"WHERE partition_id = {row.partition_id}"
            )
            return
        script.insert(
            "asset_partition",
            "partition_id, dag_id, partition_key, partition_date, rollup, created_at",
            [row],
            lambda p: (
                f"({p.partition_id},{script.text(p.dag_id)},{script.text(p.key)},{script.instant(p.date)},"
                f"{script.text(p.rollup)},{script.instant(p.created_at)})"
            ),
        )

    def queue(self, decisions: Sequence[d.QueueEvent]) -> None:
        """Events that DAGs have not consumed."""
        script = self.script
        script.insert(
            "queued_asset_event",
            "dag_id, partition_id, asset_event_id, asset_id, queued_at, counts, source_key, mapped",
            [decision.queued for decision in decisions],
            lambda q: (
                f"({script.text(q.dag_id)},{q.partition_id},{q.event_id},{q.asset_id},{script.instant(q.at)},"
                f"{int(q.counts)},{script.text(q.source_key)},"
                f"{script.text(None if q.mapped is None else storable_json(q.mapped))})"
            ),
        )

    def dequeue(self, decision: d.ConsumeEvents | d.DropQueued) -> None:
        """Events that a run consumes, or that are forgotten."""
        script = self.script
        if isinstance(decision, d.ConsumeEvents):
            script.insert(
                "dag_run_asset_event",
                "run_key, asset_event_id",
                decision.event_ids,
                lambda event_id: f"({decision.run_key},{event_id})",
            )
        script.add(
            f"DELETE FROM queued_asset_event WHERE dag_id = {script.text(decision.dag_id)} "
            f"AND partition_id = {decision.partition_id} AND asset_event_id IN ({id_list(decision.event_ids)})",
            expect=len(decision.event_ids),
            what="taking queued asset events",
        )

    def advance(self, decision: d.AdvanceChange) -> None:
        """How far a change is registered."""
        where = f"WHERE change_id = {decision.change_id} AND done = {decision.old_done}"
        self.script.add(
            f"DELETE FROM asset_change {where}"
            if decision.ended
            else f"UPDATE asset_change SET done = {decision.done} {where}",
            expect=1,
            what="registering asset events",
        )

    def problems(self, decisions: Sequence[d.NoteAssetProblem]) -> None:
        """What people should know, in the audit log."""
        script, text = self.script, self.script.text
        numbers = iter(self.ids.take(len(decisions)))
        script.insert(
            "audit_log",
            "event_log_id, `when`, event, owner, source, dag_id, run_id, task_id, map_index, extra",
            decisions,
            lambda p: (
                f"({next(numbers)},{self.at},{text(p.event)},'scheduler','scheduler',{text(p.dag_id)},"
                f"{text(p.run_id)},{text(p.task_id)},{p.map_index},{script.json({'message': p.message})})"
            ),
        )


def leave_changes(script: Script, ended: Sequence[FinishWrite], now: datetime, ids: IdMaker) -> None:
    """Append the asset changes of successes. Where they come from is taken from the rows."""
    text, at = script.text, script.instant(now)
    for finish in ended:
        script.add(
            f"INSERT INTO asset_change ({CHANGE_COLUMNS}) SELECT {ids.next()}, "
            f"{text(storable_json(finish.outlet_events))}, {at}, 0, r.dag_id, r.run_id, t.task_id, t.map_index, "
            "r.partition_key, r.partition_date FROM dag_run r JOIN task_instance t ON t.run_key = r.run_key "
            f"WHERE t.ti_id = {finish.ti_id} AND r.run_key = {finish.run_key}",
            expect=1,
            what="storing asset events",
        )


def leave_watched_change(script: Script, change_id: int, asset_id: int, payload: str | None, now: datetime) -> None:
    """Append the asset change of a watching trigger's event; one that is stored already stays as it is."""
    extra = {"from_trigger": True, "payload": from_json(payload) if payload else None}
    events = storable_json([OutletEvent(asset_id=asset_id, extra=extra)])
    values = f"{change_id}, {script.text(events)}, {script.instant(now)}, 0, NULL, NULL, NULL, -1, NULL, NULL"
    script.add(f"{script.dialect.insert_ignore} asset_change ({CHANGE_COLUMNS}) VALUES ({values})")
