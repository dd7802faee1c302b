"""What every route needs: the database, ids, the vault, the queue, settings and the door for actions.

Decides nothing; it is composed once by `app.create_app` and reached through `context_of`. There is no module-level
state: two apps in one process (tests) do not know of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeVar

import sqlalchemy as sa
from anyio.to_thread import run_sync
from fastapi import Depends, Header, Request

from dagdeck_io.settings import Settings
from dagdeck_master.api.actions import MAX_KEY, ActionDoor, Sender
from dagdeck_master.api.auth import Authority, Principal
from dagdeck_master.api.client_address import address_of
from dagdeck_master.api.dag_scope import DagScope
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.live import LiveCluster
from dagdeck_master.api.push.streams import EventStreams
from dagdeck_master.api.request_layer import RequestFigures
from dagdeck_master.api.specs import SpecCache

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiContext:
    """The API's parts, wired together."""

    database: ApiDatabase
    clock: Callable[[], datetime]
    settings: Settings
    authority: Authority
    door: ActionDoor
    live: LiveCluster
    streams: EventStreams
    specs: SpecCache
    version: str
    requests: RequestFigures

    @property
    def cap(self) -> int:
        """Most objects in one answer."""
        return self.settings.api.max_page

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """What `query` finds, from the event loop: it runs in a worker thread."""

        def run() -> T:
            with self.database.reading() as connection:
                return query(connection)

        return await run_sync(run)


# These wait for nothing; as coroutines they run in the event loop instead of going through a thread each.


async def context_of(request: Request) -> ApiContext:
    """The context of the app that serves `request`."""
    context: ApiContext = request.app.state.context
    return context


async def principal_of(request: Request) -> Principal:
    """Who asks; set by the check of permissions that every route has."""
    principal: Principal = request.state.principal
    return principal


Context = Annotated[ApiContext, Depends(context_of)]
Caller = Annotated[Principal, Depends(principal_of)]


async def scope_of(request: Request) -> DagScope | None:
    """The DAGs that the request may touch; None for all. Set by the check of permissions."""
    scope: DagScope | None = getattr(request.state, "dags", None)
    return scope


Scoped = Annotated[DagScope | None, Depends(scope_of)]


async def sender_of(
    request: Request,
    caller: Caller,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=MAX_KEY)] = None,
    dagdeck_source: Annotated[Literal["rest_api", "cli", "ui"], Header()] = "rest_api",
) -> Sender:
    """On whose behalf an action is sent, and from which kind of program, as its headers say."""
    return Sender(
        username=caller.username,
        source=dagdeck_source,
        idempotency_key=idempotency_key,
        address=address_of(request.scope),
        token_id=caller.token_id,
    )


Sending = Annotated[Sender, Depends(sender_of)]
