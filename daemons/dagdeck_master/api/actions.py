"""The one door for people's actions: store what is wanted, wake the scheduler, wait for what became of it.

Decides how an action is stored (one row, or several in one transaction, with an idempotency key), how long a request
waits, and which status a refusal has. Does not decide an action's effect (`dagdeck_core.scheduling`), nor who
may act (`permissions`). Called by the routes that change something.

All waiting requests share one look at the table: every few milliseconds while somebody waits, and never otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from anyio.to_thread import run_sync

from dagdeck_core.actions import Action, ActionState, action_encoder
from dagdeck_core.errors import DagDeckError
from dagdeck_core.ports import REPORTS, Broker
from dagdeck_core.wire import Nudge
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import action as action_table
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.errors import ApiProblem

_logger = logging.getLogger(__name__)

FIRST_LOOK = 0.005
"""Seconds between the first looks at an action that is under way."""
LAST_LOOK = 0.05
"""Seconds between looks after a while."""
MAX_KEY = 200
Check = Callable[[sa.Connection], None]
"""Looks at rows and raises ApiProblem for an action that cannot succeed."""
_REFUSAL_STATUS = {"not_found": 404, "invalid": 400, "conflict": 409}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """On whose behalf, from which kind of program, and under which idempotency key an action is sent."""

    username: str
    source: str = "rest_api"
    idempotency_key: str | None = None
    address: str | None = None
    """From where, and with which token."""
    token_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAction:
    """What became of one action."""

    action_id: int
    refused: str | None
    result: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class _Awaited:
    """An action that requests wait for; more than one when a request was repeated under its key."""

    future: asyncio.Future[EndedAction]
    waiters: int = 0


class ActionDoor:
    """Stores actions and waits for their ends. One per process, used from its event loop."""

    def __init__(
        self,
        *,
        database: ApiDatabase,
        clock: Callable[[], datetime],
        broker: Broker | None,
        wait: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._broker = broker
        self._broker_lock = threading.Lock()
        self._wait = wait
        self._waiting: dict[int, _Awaited] = {}
        self._looker: asyncio.Task[None] | None = None

    async def carry_out(
        self, actions: Sequence[Action], sender: Sender, *, check: Check | None = None
    ) -> list[EndedAction]:
        """Store all `actions` in one transaction and wait until the scheduler has ended each.

        `check` runs first in that transaction, and nothing is stored when it raises.

        Raises ApiProblem: 503 with the actions' ids when the scheduler does not answer in time, 404, 409 or 400 when
        it refuses one, 409 when the idempotency key was used for something else.
        """
        if not actions:
            return []
        ids = await run_sync(self._store, actions, sender, check)
        ended = await self._ends_of(ids)
        for each in ended:
            if each.refused is not None:
                status = _REFUSAL_STATUS.get(str(each.result.get("kind")), 409)
                raise ApiProblem(status, each.refused, extra={"action_id": each.action_id})
        return ended

    async def carry_out_one(self, action: Action, sender: Sender, *, check: Check | None = None) -> dict[str, Any]:
        """The same for one action; returns its result."""
        return (await self.carry_out([action], sender, check=check))[0].result

    def _store(self, actions: Sequence[Action], sender: Sender, check: Check | None) -> list[int]:
        """Insert the rows (or find those of an earlier request with the same key), then wake the scheduler."""
        rows = [self._row(number, each, sender) for number, each in enumerate(actions)]
        try:
            with self._database.writing() as connection:
                if check is not None:
                    check(connection)
                connection.execute(action_table.insert(), rows)
        except DuplicateRow:
            return self._stored_before(rows, sender)
        ids = [row["action_id"] for row in rows]
        self._nudge(ids[0])
        return ids

    def _row(self, number: int, action: Action, sender: Sender) -> dict[str, Any]:
        key = sender.idempotency_key
        payload = msgspec.json.decode(action_encoder.encode(action))
        return {
            "action_id": self._database.new_id(),
            "idempotency_key": key if key is None or number == 0 else f"{key}#{number}",
            "kind": payload["kind"],
            "payload": payload,
            "state": ActionState.PENDING,
            "actor": sender.username,
            "source": sender.source,
            "address": sender.address,
            "token_id": sender.token_id,
            "requested_at": self._clock(),
        }

    def _stored_before(self, rows: Sequence[dict[str, Any]], sender: Sender) -> list[int]:
        """Ids of the actions of an earlier request with the same key, which must have asked for the same."""
        keys = [row["idempotency_key"] for row in rows]
        statement = sa.select(action_table.c.action_id, action_table.c.idempotency_key, action_table.c.payload).where(
            action_table.c.actor == sender.username, action_table.c.idempotency_key.in_(keys)
        )
        with self._database.reading() as connection:
            known = {row.idempotency_key: row for row in connection.execute(statement)}
        for row in rows:
            earlier = known.get(row["idempotency_key"])
            if earlier is None or earlier.payload != row["payload"]:
                raise ApiProblem(
                    409, "The Idempotency-Key was used before for another request; take a new one for each request"
                )
        return [int(known[key].action_id) for key in keys]

    def _nudge(self, action_id: int) -> None:
        """Tell the scheduler at once. It also looks by itself, so a queue that is down only costs time."""
        if self._broker is None:
            return
        try:
            with self._broker_lock:
                self._broker.append(REPORTS, [Nudge("action", str(action_id))])
        except DagDeckError as error:
            _logger.warning("the scheduler could not be woken for action %s: %s", action_id, error)

    # ------------------------------------------------------------ waiting

    async def _ends_of(self, ids: Sequence[int]) -> list[EndedAction]:
        loop = asyncio.get_running_loop()
        awaited = [self._waiting.setdefault(each, _Awaited(future=loop.create_future())) for each in ids]
        for each in awaited:
            each.waiters += 1
        if self._looker is None or self._looker.done():
            self._looker = loop.create_task(self._look())
        try:
            async with asyncio.timeout(self._wait):
                return [await asyncio.shield(each.future) for each in awaited]
        except TimeoutError:
            raise ApiProblem(
                503,
                f"The scheduler has not carried this out within {self._wait:g} s. It was stored and will still be "
                "carried out; ask for it under its action_id",
                headers={"Retry-After": "2"},
                extra={"action_id": ids[0], "action_ids": list(ids)},
            ) from None
        finally:
            for action_id, each in zip(ids, awaited, strict=True):
                each.waiters -= 1
                if not each.waiters and self._waiting.get(action_id) is each:
                    del self._waiting[action_id]

    async def _look(self) -> None:
        """Look at all awaited actions until nobody waits any more; slower while nothing happens."""
        pause = FIRST_LOOK
        while self._waiting:
            await asyncio.sleep(pause)
            wanted = list(self._waiting)
            try:
                ended = await run_sync(self._ended_among, wanted)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it instead of waiting in vain
                self._fail(wanted, error)
                continue
            for each in ended:
                awaited = self._waiting.pop(each.action_id, None)
                if awaited is not None and not awaited.future.done():
                    awaited.future.set_result(each)
            pause = FIRST_LOOK if ended else min(pause * 1.3, LAST_LOOK)

    def _fail(self, wanted: Sequence[int], error: Exception) -> None:
        for each in wanted:
            awaited = self._waiting.pop(each, None)
            if awaited is not None and not awaited.future.done():
                awaited.future.set_exception(error)
                awaited.future.exception()  # a request waits for the first of its actions only

    def _ended_among(self, ids: Sequence[int]) -> list[EndedAction]:
        statement = sa.select(action_table.c.action_id, action_table.c.refused, action_table.c.result).where(
            action_table.c.action_id.in_(ids), action_table.c.state != ActionState.PENDING
        )
        with self._database.reading() as connection:
            return [
                EndedAction(action_id=row.action_id, refused=row.refused, result=row.result or {})
                for row in connection.execute(statement)
            ]
