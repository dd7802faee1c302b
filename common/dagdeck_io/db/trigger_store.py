"""A triggerer's store: claiming triggers, and storing what they yield while the claim holds.

Decides the transactions. Locks are taken in the order in which the scheduler takes them: task instances, then
triggers. Implements `dagdeck_core.ports.TriggerStore`; made by `Database.trigger_store`, used by one thread of a
worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from dagdeck_core.deferral import FAILED_DEFERRAL
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import ClaimedTrigger, TriggerCounts, TriggerFiring, TriggerLog, XComWrite
from dagdeck_core.wire import FiredTrigger
from dagdeck_io.db.asset_writes import leave_watched_change
from dagdeck_io.db.dialects import REPLACE, GuardMiss, HotConnection, Row, Script, id_list, with_retry
from dagdeck_io.db.ids import IdMaker
from dagdeck_io.db.task_writes import free_triggers
from dagdeck_io.db.trigger_tables import ASSET, TASK
from dagdeck_io.db.types import storable_json
from dagdeck_io.db.worker_writes import LOG_COLUMNS, WORKER_ALIVE, pack_log
from dagdeck_io.secrets import Vault

_CLAIMED_COLUMNS = (
    "g.trigger_id, g.claim_no, g.owner, g.classpath, g.kwargs, g.owner_key, g.version_id, g.run_key, g.ti_id, "
    "g.dispatch_no, t.task_id, t.map_index, t.try_number, g.log_offset, r.run_id"
)
_EVENT_COLUMNS = "event_id, trigger_id, owner, owner_key, ti_id, dispatch_no, run_key, outcome, payload, created_at"
Result = TypeVar("Result")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class SqlTriggerStore:
    """See the port for each method's contract."""

    connection: HotConnection
    ids: IdMaker
    vault: Vault | None = None
    now: Callable[[], datetime] = _utc_now

    def new_id(self) -> int:
        """A new event_id."""
        return self.ids.next()

    # -------------------------------------------------------------- claims

    def look(self, worker_id: int) -> TriggerCounts:
        """Two questions that an index answers, in one round trip."""
        script = self.connection.script()
        script.read("SELECT trigger_id FROM `trigger` WHERE triggerer_id IS NULL LIMIT 1")
        script.read(f"SELECT COUNT(*) FROM `trigger` WHERE triggerer_id = {int(worker_id)}")
        free, held = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        return TriggerCounts(are_free=bool(free), held=held[0][0])

    def held(self, worker_id: int) -> dict[int, int]:
        """All that this worker holds."""
        script = self.connection.script()
        script.read(f"SELECT trigger_id, claim_no FROM `trigger` WHERE triggerer_id = {int(worker_id)}")
        (found,) = with_retry(lambda: self.connection.run(script, begin=False, commit=False))
        return {row[0]: row[1] for row in found}

    def claim(self, worker_id: int, limit: int) -> list[ClaimedTrigger]:
        """Claim free triggers."""
        if limit < 1:
            return []
        try:
            return self._whole(lambda: self._claim(worker_id, limit))
        except GuardMiss as miss:
            if miss.what == WORKER_ALIVE:
                return []
            raise EnvironmentFault(f"{miss.message}; the transaction is tried again") from miss

    def _claim(self, worker_id: int, limit: int) -> list[ClaimedTrigger]:
        script = self.connection.script()
        # First, as for whoever declares the worker lost: that sees either this claim or none.
        script.add(
            f"UPDATE worker SET slots = slots WHERE worker_id = {int(worker_id)} AND state IN ('active', 'draining')",
            expect=1,
            what=WORKER_ALIVE,
        )
        script.read(
            "SELECT trigger_id FROM `trigger` WHERE triggerer_id IS NULL "
            f"ORDER BY trigger_id LIMIT {int(limit)}{script.dialect.skip_locked}"
        )
        (free,) = self.connection.run(script, commit=False)
        if not free:
            self.connection.rollback()
            return []
        ids = id_list(row[0] for row in free)
        script = self.connection.script()
        script.add(
            f"UPDATE `trigger` SET triggerer_id = {int(worker_id)}, claim_no = claim_no + 1 "
            f"WHERE trigger_id IN ({ids}) AND triggerer_id IS NULL"
        )
        script.read(
            f"SELECT {_CLAIMED_COLUMNS} FROM `trigger` g LEFT JOIN task_instance t ON t.ti_id = g.ti_id "
            "LEFT JOIN dag_run r ON r.run_key = g.run_key "
            f"WHERE g.trigger_id IN ({ids}) AND g.triggerer_id = {int(worker_id)} ORDER BY g.trigger_id"
        )
        (found,) = self.connection.run(script, begin=False)
        return [self._claimed(row) for row in found]

    def _claimed(self, row: Row) -> ClaimedTrigger:
        trigger_id, claim_no, owner, classpath, kwargs, owner_key, version_id, run_key, ti_id, dispatch_no = row[:10]
        task_id, map_index, try_number, log_offset, run_id = row[10:]
        return ClaimedTrigger(
            trigger_id=trigger_id,
            claim_no=claim_no,
            owner=owner,
            classpath=classpath,
            kwargs=self._decrypted(kwargs),
            owner_key=owner_key,
            version_id=version_id or 0,
            run_key=run_key or 0,
            run_id=run_id or "",
            ti_id=ti_id or 0,
            dispatch_no=dispatch_no or 0,
            task_id=task_id or "",
            map_index=-1 if map_index is None else map_index,
            try_number=try_number or 0,
            log_offset=log_offset,
        )

    def _decrypted(self, stored: str) -> str | None:
        if self.vault is None:
            return None
        try:
            return self.vault.decrypt(stored)
        except EnvironmentFault:
            return None

    def release(self, worker_id: int) -> None:
        """Let others claim all."""
        script = self.connection.script()
        free_triggers(script, str(int(worker_id)))
        with_retry(lambda: self.connection.run(script))

    # -------------------------------------------------------------- events and lines

    def commit(
        self, worker_id: int, firings: Sequence[TriggerFiring], logs: Sequence[TriggerLog] = ()
    ) -> list[FiredTrigger]:
        """Store what counts, in one transaction."""
        if not (firings or logs):
            return []
        self.ids.keep()  # not later: inside the transaction, SQLite could not renew
        return self._whole(lambda: self._commit(worker_id, firings, logs))

    def _commit(
        self, worker_id: int, firings: Sequence[TriggerFiring], logs: Sequence[TriggerLog]
    ) -> list[FiredTrigger]:
        tasks, held = self._lock(worker_id, firings, logs)
        ours = [firing for firing in firings if held.get(firing.trigger.trigger_id) == firing.trigger.claim_no]
        lines = [log for log in logs if held.get(log.trigger.trigger_id) == log.trigger.claim_no]
        if not (ours or lines):
            self.connection.rollback()
            return []
        script = self.connection.script()
        self._write_logs(script, lines)
        for firing in ours:
            if firing.trigger.owner == TASK:
                self._resume(script, firing, tasks.get(firing.trigger.ti_id))
        ended = [firing.trigger.trigger_id for firing in ours if firing.ends]
        if ended:
            script.add(f"DELETE FROM `trigger` WHERE trigger_id IN ({id_list(ended)})")
        self._write_events(script, ours)
        self.connection.run(script, begin=False)
        return [
            FiredTrigger(each.event_id, t.run_key, t.ti_id, t.dispatch_no, each.outcome.value)
            for each in ours
            if (t := each.trigger).owner == TASK
        ]

    def _lock(
        self, worker_id: int, firings: Sequence[TriggerFiring], logs: Sequence[TriggerLog]
    ) -> tuple[dict[int, str | None], dict[int, int]]:
        """Lock what is written: ({ti_id: next_kwargs}, {trigger_id: claim_no} of those that this worker holds)."""
        ti_ids = sorted({firing.trigger.ti_id for firing in firings if firing.trigger.ti_id})
        trigger_ids = sorted({each.trigger_id for each in (*(f.trigger for f in firings), *(g.trigger for g in logs))})
        script = self.connection.script()
        lock = script.dialect.for_update
        script.read(
            f"SELECT ti_id, next_kwargs FROM task_instance WHERE ti_id IN ({id_list(ti_ids or [0])}) "
            f"ORDER BY ti_id{lock}"
        )
        script.read(
            f"SELECT trigger_id, claim_no FROM `trigger` WHERE trigger_id IN ({id_list(trigger_ids)}) "
            f"AND triggerer_id = {int(worker_id)} ORDER BY trigger_id{lock}"
        )
        tasks, held = self.connection.run(script, commit=False)
        return {row[0]: row[1] for row in tasks}, {row[0]: row[1] for row in held}

    def _resume(self, script: Script, firing: TriggerFiring, next_kwargs: str | None) -> None:
        """Write down how the task instance goes on. A trigger that is there proves that it is deferred."""
        trigger, text = firing.trigger, script.text
        if firing.failed is not None:
            next_method = f"next_method = {text(FAILED_DEFERRAL)}, "
            kwargs: Mapping[str, Any] = firing.failed
        else:
            next_method = ""
            event = json.loads(firing.payload) if firing.payload else None
            kwargs = {**json.loads(next_kwargs or "{}"), "event": event}
        script.add(
            f"UPDATE task_instance SET {next_method}next_kwargs = {text(storable_json(kwargs))} "
            f"WHERE ti_id = {trigger.ti_id} AND dispatch_no = {trigger.dispatch_no} AND state = 'deferred'",
            expect=1,
            what="firing a trigger",
        )
        at = script.instant(self.now())

        def render(item: XComWrite) -> str:
            key, value = text(item.key), text(item.value)
            return f"({trigger.ti_id},{key},{trigger.run_key},{trigger.dispatch_no},{value},{at})"

        columns = "ti_id, `key`, run_key, dispatch_no, value, timestamp"
        script.insert("xcom", columns, firing.xcoms, render, verb=REPLACE)

    def _write_events(self, script: Script, firings: Sequence[TriggerFiring]) -> None:
        now = self.now()
        rows = []
        for firing in firings:
            t = firing.trigger
            if t.owner == ASSET:
                leave_watched_change(script, firing.event_id, int(t.owner_key or 0), firing.payload, now)
                continue
            payload = None if t.owner == TASK else firing.payload
            ids = (t.ti_id, t.dispatch_no, t.run_key) if t.owner == TASK else (None, None, None)
            rows.append((firing.event_id, t.trigger_id, t.owner, t.owner_key, *ids, firing.outcome.value, payload, now))
        # An event of a trigger that goes on may have been stored by a commit whose answer was lost.
        script.insert_rows("trigger_event", _EVENT_COLUMNS, rows, verb=script.dialect.insert_ignore)

    def _write_logs(self, script: Script, logs: Sequence[TriggerLog]) -> None:
        now = self.now()
        rows = []
        for log in logs:
            t = log.trigger
            if t.owner != TASK:
                continue
            data, encoding = pack_log(log.data)
            rows.append((t.ti_id, t.dispatch_no, log.offset, t.try_number, len(log.data), encoding, data, now))
            script.add(
                f"UPDATE `trigger` SET log_offset = {log.offset + len(log.data)} WHERE trigger_id = {t.trigger_id}"
            )
        script.insert_rows("log_chunk", LOG_COLUMNS, rows, verb=script.dialect.insert_ignore)

    def _whole(self, operation: Callable[[], Result]) -> Result:
        """Run a transaction of several round trips; nothing stays open whatever happens between them."""

        def attempt() -> Result:
            try:
                return operation()
            except BaseException:
                self.connection.rollback()
                raise

        return with_retry(attempt)
