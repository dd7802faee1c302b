"""The one reader behind all event streams of a process: a thread that hears hints, reads rows, and tells what is new.

Decides when each topic is looked at, that changes which follow each other closely are told together, what a client that
connects is told first, and that whatever hints missed is found by comparing. Does not know what topics show
(`topics`) or how events reach clients (`streams`, which calls `join`, `leave`, `renew`).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import Broker
from dagdeck_core.wire import LogTail, WorkerSample
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.push import rows
from dagdeck_master.api.push.history import History, TopicSets
from dagdeck_master.api.push.news import Hints, LiveTopic, News, Update
from dagdeck_master.api.push.protocol import Event, Place, Source, Topic, TopicKind, event
from dagdeck_master.api.push.sources import HintSource
from dagdeck_master.api.push.topics import TELLS_OF_ALL_RUNS, live_topic
from dagdeck_master.api.push.topics_of_runs import RunTopic
from dagdeck_master.api.push.topics_of_workers import sample_frame

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the reader does what. Seconds."""

    gather: float = 0.02
    """Changes that come within this time of the last telling are told together."""
    compare: float = 10.0
    """How often what was told is compared with the rows, whatever hints said."""
    keep: float = 30.0
    """How long a topic is followed after its last client left."""
    database_retry: float = 0.5
    idle: float = 1.0
    """Longest wait."""
    share: float = 0.05
    """Most of the time that polling or comparing one topic may take; a costly one is looked at less often."""


@dataclass(frozen=True, slots=True)
class Part:
    """One event on its way to clients. Diffs have a number; only what is worth nothing later may be dropped."""

    topic: str
    frame: bytes
    sequence: int | None = None
    may_be_dropped: bool = False


class Audience(Protocol):
    """Who takes what the reader tells; every method is thread-safe and returns at once."""

    def tell(self, parts: list[Part]) -> None:
        """Events for all who listen to their topics, in order."""


class Listener(Protocol):
    """One client, for what it alone is told."""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What it listens to."""

    def begin(self, frames: list[bytes], topic_set: int) -> None:
        """Tell it these, and from now on all that is told of its topics. Thread-safe."""

    def fail(self) -> None:
        """End its stream, so that it begins anew. Thread-safe."""


@dataclass(slots=True)
class _Live:
    """A topic that is followed."""

    topic: Topic
    shows: LiveTopic
    since: int
    """Diffs after this number lead on from what a client then knew."""
    listeners: int = 0
    left_at: float = 0.0
    poll_at: float = 0.0
    compare_at: float = 0.0
    is_broken: bool = False
    snapshot: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Join:
    listener: Listener
    place: Place | None
    fresh: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Leave:
    listener: Listener


@dataclass(frozen=True, slots=True)
class _Renew:
    listener: Listener


_Command = _Join | _Leave | _Renew


@dataclass(slots=True)
class _Pending:
    """Hints that were not looked at yet."""

    hints: Hints = field(default_factory=Hints)
    flush_at: float = 0.0


class ChangeReader:
    """Follows topics. `run` is a thread's target; `join`, `leave`, `renew`, `close` are thread-safe."""

    def __init__(
        self,
        database: ApiDatabase,
        connect: Callable[[], Broker] | None,
        audience: Audience,
        *,
        pace: Pace | None = None,
        history: History | None = None,
    ) -> None:
        self._database = database
        self._audience = audience
        self._pace = pace or Pace()
        self._source = HintSource(connect, database)
        self._history = history or History()
        self._sets = TopicSets()
        self._commands: deque[_Command] = deque()
        self._woken = threading.Event()
        self._closing = False
        self._live: dict[str, _Live] = {}
        self._pending = _Pending()
        self._samples: dict[int, WorkerSample] = {}
        self._listens = False
        self._is_database_down = False
        self.boot = secrets.token_hex(6)

    # ------------------------------------------------------------ what others call

    @property
    def source(self) -> Source:
        """Where changes come from now."""
        return Source.NONE if self._is_database_down else self._source.kind

    @property
    def sequence(self) -> int:
        """Number of the last diff."""
        return self._history.sequence

    def join(self, listener: Listener, place: Place | None, fresh: Iterable[str] = ()) -> None:
        """Tell `listener` of its topics from now on: what it missed since `place`, or how they are."""
        self._post(_Join(listener, place, frozenset(fresh)))

    def leave(self, listener: Listener) -> None:
        """Tell it nothing any more."""
        self._post(_Leave(listener))

    def renew(self, listener: Listener) -> None:
        """Tell it how its topics are: it lost some events."""
        self._post(_Renew(listener))

    def close(self) -> None:
        """Make `run` return."""
        self._closing = True
        self._wake()

    def _post(self, command: _Command) -> None:
        self._commands.append(command)
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        self._source.interrupt()

    # ------------------------------------------------------------ the thread

    def run(self) -> None:
        """Follow topics until `close`."""
        while not self._closing:
            try:
                self._turn()
            except Exception:
                # A bug here must not leave every window without news until somebody restarts the API.
                _logger.exception("the reader of live views failed; what they show is read anew")
                for live in self._live.values():
                    live.is_broken = True
                self._compare_all_now()
                self._pause()
        self._source.rest()

    def _turn(self) -> None:
        try:
            self._serve()
            if not self._live:
                self._rest()
                return
            hints = self._source.read(self._time_to_wait())
            self._note(hints)
            self._look()
            self._cool()
            if self._is_database_down:
                _logger.info("the database answers again")
                self._is_database_down = False
        except EnvironmentFault as error:
            if not self._is_database_down:
                _logger.warning("live views are not told of changes while the database does not answer: %s", error)
            self._is_database_down = True
            self._compare_all_now()
            self._pause()

    def _pause(self) -> None:
        if not self._closing:
            time.sleep(self._pace.database_retry)

    def _rest(self) -> None:
        """Nobody listens: hold no connection and use no time."""
        if self._listens:
            self._source.rest()
            self._listens = False
            self._samples.clear()
            self._pending = _Pending()
        self._woken.wait()
        self._woken.clear()

    def _time_to_wait(self) -> float:
        now = time.monotonic()
        due = now + self._pace.idle
        if self._pending.hints.has_rows:
            due = min(due, self._pending.flush_at)
        for live in self._live.values():
            due = min(due, live.compare_at)
            if live.shows.poll_interval is not None:
                due = min(due, live.poll_at)
        return max(0.0, due - now)

    # ------------------------------------------------------------ clients

    def _serve(self) -> None:
        """Carry out what was asked for, in order. Raises EnvironmentFault, and then what is left waits."""
        self._woken.clear()
        while self._commands:
            command = self._commands[0]
            try:
                self._carry_out(command)
            except EnvironmentFault:
                raise
            except Exception:
                _logger.exception("a client's stream is ended: its topics could not be read")
                command.listener.fail()
            self._commands.popleft()

    def _carry_out(self, command: _Command) -> None:
        match command:
            case _Join():
                self._join(command)
            case _Leave():
                self._leave(command.listener)
            case _Renew():
                self._renew(command.listener)

    def _join(self, command: _Join) -> None:
        listener, place = command.listener, command.place
        names = frozenset(topic.key for topic in listener.topics)
        fresh = {topic.key for topic in listener.topics if topic.name in command.fresh}
        known = self._known(place, names - fresh)
        self._follow(listener.topics)
        at = self._history.sequence if not known or place is None else place.sequence
        first = Place(self.boot, at, self._sets.number_of(known))
        hello = {
            "boot": self.boot,
            "sequence": self._history.sequence,
            "server_time": datetime.now(UTC),
            "resumed": bool(known),
        }
        frames = [first.line() + event(Event.HELLO, hello)]
        if known:
            missed = self._history.since(at, known)
            frames += [Place(self.boot, each.sequence, first.topics).line() + each.frame for each in missed]
        topic_set = self._sets.number_of(names)
        frames += self._snapshots((topic for topic in listener.topics if topic.key not in known), topic_set)
        for name in names:
            self._live[name].listeners += 1
        listener.begin(frames, topic_set)

    def _known(self, place: Place | None, names: frozenset[str]) -> frozenset[str]:
        """The topics among `names` that a client who was at `place` can go on with."""
        if place is None or place.boot != self.boot or not self._history.reaches(place.sequence):
            return frozenset()
        carried = self._sets.topics_of(place.topics)
        return frozenset(
            name
            for name in names & carried
            if name in self._live and self._live[name].shows.can_resume and self._live[name].since <= place.sequence
        )

    def _follow(self, topics: Iterable[Topic]) -> None:
        """Begin to follow what is not followed yet. All or none: raises EnvironmentFault."""
        new = [topic for topic in topics if topic.key not in self._live]
        if new and not self._listens:
            # Listen first, then read: what is committed between is heard.
            self._source.start()
            self._listens = True
        if not new:
            return
        now = time.monotonic()
        with self._database.reading() as connection:
            for topic in new:
                shows = live_topic(topic, self._samples, self._source.depth)
                shows.load(connection)
                self._live[topic.key] = _Live(
                    topic=topic,
                    shows=shows,
                    since=self._history.sequence,
                    left_at=now,
                    poll_at=now + (shows.poll_interval or 0.0),
                    compare_at=now + self._pace.compare,
                )

    def _snapshots(self, topics: Iterable[Topic], topic_set: int) -> list[bytes]:
        """The snapshots of these topics; the last has the id that says that all of them are known."""
        frames = [self._snapshot(self._live[topic.key]) for topic in topics]
        if frames:
            frames[-1] = Place(self.boot, self._history.sequence, topic_set).line() + frames[-1]
        return frames

    def _snapshot(self, live: _Live) -> bytes:
        if live.snapshot is None:
            live.snapshot = event(Event.SNAPSHOT, {"topic": live.topic.name, "data": live.shows.snapshot()})
        return live.snapshot

    def _leave(self, listener: Listener) -> None:
        for name in {topic.key for topic in listener.topics}:
            live = self._live.get(name)
            if live is not None:
                live.listeners -= 1
                live.left_at = time.monotonic()

    def _renew(self, listener: Listener) -> None:
        topic_set = self._sets.number_of(frozenset(topic.key for topic in listener.topics))
        listener.begin(self._snapshots(listener.topics, topic_set), topic_set)

    def _cool(self) -> None:
        """Follow no longer what nobody has listened to for a while."""
        late = time.monotonic() - self._pace.keep
        for name in [name for name, live in self._live.items() if live.listeners <= 0 and live.left_at < late]:
            del self._live[name]

    # ------------------------------------------------------------ changes

    def _note(self, hints: Hints) -> None:
        self._pending.hints.add(hints)
        if hints.samples:
            for sample in hints.samples:
                self._samples[sample.worker_id] = sample
            if TopicKind.WORKERS.value in self._live:
                self._audience.tell(
                    [Part(TopicKind.WORKERS.value, sample_frame(each), may_be_dropped=True) for each in hints.samples]
                )
            self._pending.hints.samples.clear()
        if self._pending.hints.is_gap:
            self._pending.hints.is_gap = False
            self._compare_all_now()

    def _compare_all_now(self) -> None:
        for live in self._live.values():
            live.compare_at = 0.0

    def _look(self) -> None:
        """Look at all that is due."""
        now = time.monotonic()
        news_due = self._pending.hints.has_rows and now >= self._pending.flush_at
        due = [
            live
            for live in self._live.values()
            if live.compare_at <= now or (live.shows.poll_interval is not None and live.poll_at <= now)
        ]
        if not news_due and not due:
            return
        with self._database.reading() as connection:
            if news_due:
                self._look_at_news(connection)
            for live in due:
                self._look_at(live, connection, now)

    def _look_at_news(self, connection: sa.Connection) -> None:
        hints = self._pending.hints
        news = self._news(connection, hints)
        # Not before the reads have worked: when the database fails, everything will be compared instead.
        self._pending = _Pending()
        if news is not None:
            for live in self._live.values():
                if not live.is_broken:
                    self._tell(live, self._guarded(live, partial(live.shows.take, connection, news)))
        self._pending.flush_at = time.monotonic() + self._pace.gather

    def _news(self, connection: sa.Connection, hints: Hints) -> News | None:
        """The hints that concern what is followed, with the rows of their runs; None when none does."""
        keys = {live.shows.run_key for live in self._live.values() if isinstance(live.shows, RunTopic)}
        runs = hints.runs
        if None not in keys and not any(live.topic.kind in TELLS_OF_ALL_RUNS for live in self._live.values()):
            runs = runs & {key for key in keys if key is not None}
        logged = {live.topic.ti_id for live in self._live.values() if live.topic.kind is TopicKind.LOG}
        tasks = hints.tasks if logged else {key: ids for key, ids in hints.tasks.items() if key in keys}
        logs: dict[int, list[LogTail]] = {}
        for tail in hints.logs:
            if tail.ti_id in logged:
                logs.setdefault(tail.ti_id, []).append(tail)
        if not (runs or tasks or logs):
            return None
        return News(runs=rows.runs_by_key(connection, runs), tasks=tasks, logs=logs)

    def _look_at(self, live: _Live, connection: sa.Connection, now: float) -> None:
        """Poll or compare one topic. A failure of the database leaves it due."""
        started = time.monotonic()
        compares = live.compare_at <= now
        if live.is_broken:
            live.compare_at = now + self._pace.compare
            self._tell(live, self._guarded(live, partial(_reloaded, live, connection)))
        else:
            look = live.shows.compare if compares else live.shows.poll
            self._tell(live, self._guarded(live, partial(look, connection)))
        cost = (time.monotonic() - started) / self._pace.share
        live.poll_at = now + max(live.shows.poll_interval or 0.0, cost)
        if compares:
            live.compare_at = now + max(self._pace.compare, cost)

    def _guarded(self, live: _Live, look: Callable[[], Update | None]) -> Update | None:
        """What `look` finds. A bug in one topic must not silence the others: it is read anew later."""
        try:
            update = look()
        except EnvironmentFault:
            # It may have taken in rows that it could not tell of, so nobody can go on from what was told before.
            live.is_broken = True
            raise
        except Exception:
            _logger.exception("the topic %s failed and will be read anew", live.topic.name)
            live.is_broken = True
            return None
        live.is_broken = False
        return update

    def _tell(self, live: _Live, update: Update | None) -> None:
        if update is None:
            return
        live.snapshot = None
        key = live.topic.key
        parts: list[Part] = []
        if update.is_reset:
            live.since = self._history.number()
            parts.append(Part(key, self._snapshot(live), live.since))
        parts += [Part(key, frame) for frame in update.frames]
        if update.diff is not None:
            frame = event(Event.DIFF, {"topic": live.topic.name, "data": update.diff})
            if live.shows.can_resume:
                parts.append(Part(key, frame, self._history.add(key, frame).sequence))
            else:
                parts.append(Part(key, frame, self._history.number()))
        self._audience.tell(parts)


def _reloaded(live: _Live, connection: sa.Connection) -> Update:
    live.shows.load(connection)
    return Update(is_reset=True)
