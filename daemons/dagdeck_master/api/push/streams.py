"""The clients of the event streams, on the event loop: their queues, heartbeats, and who may stay.

Decides how much may wait for a client, that one which lags gets snapshots instead of its backlog, how many streams
there may be, and that a stream ends with its token. Does not know what events say. Opened by `route`, fed by `reader`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from anyio.to_thread import run_sync

from dagdeck_core.errors import DagDeckError
from dagdeck_core.ports import Broker
from dagdeck_master.api.auth import Authority
from dagdeck_master.api.dag_scope import NOTHING
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.push.protocol import Event, Place, Topic, event
from dagdeck_master.api.push.reader import ChangeReader, Pace, Part

_logger = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0
CHECK_SECONDS = 15.0
"""How often the tokens of open streams are looked at."""
STOP_SECONDS = 3.0
MOST_TOPICS = 1_000
"""Different topics that one process follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Bounds of an API process."""

    streams: int = 500
    streams_per_user: int = 50
    waiting_bytes: int = 1024 * 1024
    """Diffs that may wait for one client."""
    live_bytes: int = 128 * 1024
    """A client with more than this waiting is not sent what is live only."""
    stall: float = 60.0
    """Seconds after which a client that takes nothing is given up."""


class StreamClient:
    """One open stream. Event loop only, except `begin` and `fail`."""

    def __init__(
        self,
        streams: EventStreams,
        topics: tuple[Topic, ...],
        *,
        username: str,
        token: str,
        scope: frozenset[str] | None = None,
    ) -> None:
        self.scope = scope
        self._streams = streams
        self.topics = topics
        self.username = username
        self.token = token
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._takes_diffs = False
        self._lags = False
        self._is_over = False
        self._topic_set = 0
        self._heartbeat: bytes | None = None
        self._has_begun = False

    def begin(self, frames: list[bytes], topic_set: int) -> None:
        """See Listener."""
        self._streams.on_loop(self._begin, frames, topic_set)

    def fail(self) -> None:
        """See Listener."""
        self._streams.on_loop(self.end, None)

    def _begin(self, frames: list[bytes], topic_set: int) -> None:
        # Not counted: many clients share one snapshot's bytes, and without it a client has nothing.
        self._waiting.extend(frames)
        self._topic_set = topic_set
        self._takes_diffs = True
        self._has_begun = True
        self._news.set()

    def offer(self, part: Part, boot: str) -> None:
        """Put an event into the queue; too many of them are replaced by a snapshot."""
        if not self._takes_diffs or self._is_over:
            return
        frame = part.frame
        if part.sequence is not None:
            frame = Place(boot, part.sequence, self._topic_set).line() + frame
        if self._size + len(frame) > self._streams.limits.waiting_bytes:
            self._waiting.clear()
            self._size = 0
            self._takes_diffs = False
            self._lags = True
        else:
            self._waiting.append(frame)
            self._size += len(frame)
        self._news.set()

    def offer_live(self, frame: bytes) -> None:
        """Put an event into the queue that is worth nothing later."""
        if self._takes_diffs and not self._is_over and self._size + len(frame) <= self._streams.limits.live_bytes:
            self._waiting.append(frame)
            self._size += len(frame)
            self._news.set()

    def beat(self, frame: bytes) -> None:
        """Send a heartbeat, unless an earlier one waits still."""
        if self._has_begun and not self._is_over:
            self._heartbeat = frame
            self._news.set()

    def end(self, frame: bytes | None) -> None:
        """Close the stream after `frame`."""
        if not self._is_over:
            self._is_over = True
            self._waiting.clear()
            if frame is not None:
                self._waiting.append(frame)
            self._news.set()

    async def next_chunk(self) -> bytes | None:
        """All that waits; None when the stream is over."""
        while True:
            if self._waiting or self._heartbeat is not None:
                chunk = b"".join(self._waiting) + (self._heartbeat or b"")
                self._waiting.clear()
                self._size = 0
                self._heartbeat = None
                return chunk
            if self._is_over:
                return None
            if self._lags:
                # Only now: while the client does not take what it has, snapshots would wait as well.
                self._lags = False
                self._streams.renew(self)
            self._news.clear()
            await self._news.wait()


class EventStreams:
    """All open streams of a process, and the thread that feeds them, which starts with the first."""

    def __init__(
        self,
        database: ApiDatabase,
        connect: Callable[[], Broker] | None,
        authority: Authority,
        *,
        limits: StreamLimits | None = None,
        pace: Pace | None = None,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self.limits = limits or StreamLimits()
        self._authority = authority
        self._reader = ChangeReader(database, connect, self, pace=pace)
        self._check_seconds = check_seconds
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beating: asyncio.Task[None] | None = None
        self._clients: dict[StreamClient, None] = {}
        self._by_topic: dict[str, dict[StreamClient, None]] = {}
        self._by_user: Counter[str] = Counter()
        self._is_closing = False

    @property
    def is_closing(self) -> bool:
        """Whether the server is being stopped."""
        return self._is_closing

    @property
    def open_streams(self) -> int:
        """How many there are."""
        return len(self._clients)

    # ------------------------------------------------------------ event loop

    def open(
        self,
        topics: tuple[Topic, ...],
        place: Place | None,
        fresh: Iterable[str],
        *,
        username: str,
        token: str,
        scope: frozenset[str] | None = None,
    ) -> StreamClient:
        """A new stream; `scope`: the DAGs that its user may see, None for all.

        Raises ApiProblem 429 or 503 when there are too many.
        """
        self._require_room(topics, username)
        self._start()
        client = StreamClient(self, topics, username=username, token=token, scope=scope)
        self._clients[client] = None
        self._by_user[username] += 1
        for topic in topics:
            self._by_topic.setdefault(topic.key, {})[client] = None
        self._reader.join(client, place, fresh)
        return client

    def leave(self, client: StreamClient) -> None:
        """A stream has ended. A second call changes nothing."""
        if client not in self._clients:
            return
        del self._clients[client]
        self._by_user[client.username] -= 1
        if not self._by_user[client.username]:
            del self._by_user[client.username]
        for topic in client.topics:
            listeners = self._by_topic[topic.key]
            listeners.pop(client, None)
            if not listeners:
                del self._by_topic[topic.key]
        client.end(None)
        self._reader.leave(client)

    def renew(self, client: StreamClient) -> None:
        """Send a client snapshots instead of what it lost."""
        _logger.debug("a stream of %s lags and gets snapshots", client.username)
        self._reader.renew(client)

    def end_all(self) -> None:
        """Tell every client that the server stops, and end its stream."""
        self._is_closing = True
        frame = event(Event.BYE, {"reason": "stopping"})
        for client in list(self._clients):
            client.end(frame)

    async def close(self) -> None:
        """End all streams and wait for the thread."""
        self.end_all()
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        self._reader.close()
        if self._thread is not None:
            await run_sync(self._thread.join, STOP_SECONDS)

    def _require_room(self, topics: tuple[Topic, ...], username: str) -> None:
        again = {"Retry-After": "5"}
        if self._is_closing:
            raise ApiProblem(503, "The server is being stopped", headers=again)
        if self._by_user[username] >= self.limits.streams_per_user:
            detail = f"{username} has {self._by_user[username]} open streams (setting api.max_streams_per_user)"
            raise ApiProblem(429, detail, headers=again)
        new = sum(topic.key not in self._by_topic for topic in topics)
        if len(self._clients) >= self.limits.streams or len(self._by_topic) + new > MOST_TOPICS:
            raise ApiProblem(503, "The server has as many streams as it takes (api.max_streams)", headers=again)

    def _start(self) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._reader.run, name="push", daemon=True)
            self._thread.start()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        """A heartbeat each second, and a look at the tokens now and then, while there are streams."""
        next_check = time.monotonic() + self._check_seconds
        next_beat = time.monotonic()
        checking: asyncio.Task[None] | None = None
        while self._clients:
            frame = event(
                Event.HEARTBEAT,
                {
                    "server_time": datetime.now(UTC),
                    "sequence": self._reader.sequence,
                    "source": self._reader.source.value,
                },
            )
            for client in self._clients:
                client.beat(frame)
            if time.monotonic() >= next_check and (checking is None or checking.done()):
                # Beside the heartbeats: a slow database must not look like a lost link.
                checking = asyncio.get_running_loop().create_task(self._check_tokens())
                next_check = time.monotonic() + self._check_seconds
            next_beat = max(next_beat + HEARTBEAT_SECONDS, time.monotonic())
            await asyncio.sleep(max(0.0, next_beat - time.monotonic()))

    async def _check_tokens(self) -> None:
        """End the streams whose token is not good any more."""
        for token in {client.token for client in self._clients}:
            try:
                principal = await run_sync(self._authority.recognise, token)
            except DagDeckError as error:
                _logger.debug("open streams go on unchecked for now: %s", error)
                return
            theirs = [each for each in self._clients if each.token == token]
            if principal is None or principal.role is Role.PUBLIC:
                frame = event(Event.BYE, {"reason": "signed_out"})
                for client in theirs:
                    client.end(frame)
                continue
            may_see = None if principal.role >= Role.VIEWER else (principal.grants or NOTHING).viewer
            for client in [each for each in theirs if each.scope != may_see]:
                # What it shows was chosen by other rights: the client comes again, and gets what it may see now.
                client.end(event(Event.BYE, {"reason": "access_changed"}))

    def _deliver(self, parts: list[Part]) -> None:
        boot = self._reader.boot
        for part in parts:
            for client in self._by_topic.get(part.topic, ()):
                if part.may_be_dropped:
                    client.offer_live(part.frame)
                else:
                    client.offer(part, boot)

    # ------------------------------------------------------------ from the reader's thread

    def tell(self, parts: list[Part]) -> None:
        """See Audience."""
        self.on_loop(self._deliver, parts)

    def on_loop(self, call: Callable[..., None], *arguments: object) -> None:
        """Have `call` run on the event loop; nothing when that has ended. Thread-safe."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: so are all streams
                self._loop.call_soon_threadsafe(call, *arguments)
