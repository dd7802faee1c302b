"""The operation that opens an event stream, and the answer that carries it.

Decides how a request's parameters become topics and a place to go on from, and how bytes go out: in slices, each after
the client has taken the ones before. Included by `dagdeck_master.api.app`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from dagdeck_master.api.context import Caller, Context, Scoped
from dagdeck_master.api.dag_scope import DagScope
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.push import rows
from dagdeck_master.api.push.protocol import MAX_TOPICS, Place, Topic, TopicKind, parse_topic
from dagdeck_master.api.push.streams import EventStreams, StreamClient
from dagdeck_master.api.reply import documented

_logger = logging.getLogger(__name__)
EVENT_STREAM = "text/event-stream"
SLICE = 64 * 1024

router = APIRouter(prefix="/api/dagdeck/v1", tags=["DagDeck"])


@router.get("/events", operation_id="stream_events", **documented(None, also=(EVENT_STREAM,)))
async def stream_events(
    request: Request,
    context: Context,
    caller: Caller,
    scope: Scoped,
    subscribe: Annotated[list[str] | None, Query()] = None,
    fresh: Annotated[list[str] | None, Query()] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream what changes as server-sent events: see docs/push.md for topics and events."""
    names = list(dict.fromkeys(subscribe or ()))
    if len(names) > MAX_TOPICS:
        raise ApiProblem(400, f"subscribe: {len(names)} topics were given; one stream carries at most {MAX_TOPICS}")
    topics = tuple(parse_topic(name) for name in names)
    if scope is not None:
        topics = await context.read(partial(_within, topics=topics, scope=scope))
    place = Place.parse(last_event_id) if last_event_id else None
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    may_see = None if scope is None else scope.dag_ids
    client = context.streams.open(topics, place, fresh or (), username=caller.username, token=token, scope=may_see)
    return EventStreamAnswer(context.streams, client)


def _within(connection: sa.Connection, *, topics: tuple[Topic, ...], scope: DagScope) -> tuple[Topic, ...]:
    """The topics as somebody with rights on single DAGs may see them. Raises ApiProblem 403 or 404."""
    for topic in topics:
        if topic.kind is TopicKind.WORKERS:
            raise ApiProblem(403, "Forbidden: the topic workers needs the role viewer")
        dag_id: str | None = topic.dag_id or None
        if topic.kind is TopicKind.LOG:
            subject = rows.log_subject(connection, topic.ti_id)
            dag_id = None if subject is None else subject.dag_id
        if topic.kind in (TopicKind.DAG, TopicKind.RUN, TopicKind.LOG) and not scope.has(dag_id):
            raise ApiProblem(404, f"There is no topic {topic.name}")
    return tuple(topic.scoped(scope.dag_ids) for topic in topics)


class EventStreamAnswer(Response):
    """An answer that goes on until the client or the server ends it."""

    def __init__(self, streams: EventStreams, client: StreamClient) -> None:
        super().__init__(
            media_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._streams = streams
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the end."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (chunk := await self._client.next_chunk()) is not None:
                # A slice is sent once the client has taken the ones before, so little of it is copied.
                for start in range(0, len(chunk), SLICE):
                    async with asyncio.timeout(self._streams.limits.stall):
                        part = chunk[start : start + SLICE]
                        await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            _logger.info("a stream of %s is given up: its client takes nothing", self._client.username)
        finally:
            self._streams.leave(self._client)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, receive: Receive) -> None:
        """End the stream when the client goes away."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client.end(None)
