"""Where the reader hears that something may have changed: the queue, or without it the transition table.

Decides which of the two is listened to, that a queue which was away makes everything be compared, and how far back the
table is read again. Does not read what changed. Used by `reader`; `interrupt` alone by other threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS, id_time_ms
from dagdeck_core.ports import CHANGES, LOGS, SAMPLES, Broker
from dagdeck_core.wire import Changed, LogTail, QueueMessage, WorkerSample
from dagdeck_io.broker import OffBroker
from dagdeck_io.db.tables import transition
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.push.news import Hints
from dagdeck_master.api.push.protocol import Source

_logger = logging.getLogger(__name__)
TOPICS = (CHANGES, SAMPLES, LOGS)
MESSAGES = 1_000
PROBE_SECONDS = 1.0
POLL_SECONDS = 0.5
WINDOW_SECONDS = 15.0
"""How far back transitions are read again: longer than the longest transaction, whose rows appear late."""
PAGE = 5_000
PAGES = 4


class QueueProbe:
    """Tries to reach the queue in a thread of its own, since a queue that hangs would hold up everything else."""

    def __init__(self, connect: Callable[[], Broker]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._is_wanted = True
        self._found: tuple[Broker, dict[str, str]] | None = None
        self.is_off = False
        """The settings say that there is no queue."""
        self._thread = threading.Thread(target=self._try, name="push-queue-probe", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it has an answer."""
        return not self._thread.is_alive()

    def result(self, timeout: float = 0.0) -> tuple[Broker, dict[str, str]] | None:
        """An adapter and the topics' ends; None when the queue does not answer, or not in time."""
        self._thread.join(timeout)
        return None if self._thread.is_alive() else self._found

    def abandon(self) -> None:
        """Nobody will ask for the result: give up what was found, or will be."""
        with self._lock:
            self._is_wanted = False
            found, self._found = self._found, None
        if found is not None:
            found[0].close()

    def _try(self) -> None:
        broker: Broker | None = None
        try:
            broker = self._connect()
            if isinstance(broker, OffBroker):
                self.is_off = True
                return
            positions = {topic: broker.last_position(topic) for topic in TOPICS}
            with self._lock:
                if self._is_wanted:
                    self._found = broker, positions
                    return
            broker.close()
        except DagDeckError as error:
            _logger.debug("the queue does not answer yet: %s", error)
            if broker is not None:
                broker.close()


class Transitions:
    """Reads the transition table; each row is told once."""

    def __init__(self, database: ApiDatabase) -> None:
        self._database = database
        self._seen: set[int] = set()
        self._newest_ms = 0

    def begin(self) -> None:
        """Take what is there as seen."""
        self._seen.clear()
        with self._database.reading() as connection:
            newest = connection.execute(sa.select(sa.func.max(transition.c.transition_id))).scalar_one_or_none()
        self._newest_ms = 0 if newest is None else id_time_ms(newest)
        self.read()

    def read(self) -> Hints:
        """What was committed since the last call."""
        hints = Hints()
        # Ids carry the time of the machine that made them: ours may be ahead.
        floor = _first_id(min(self._newest_ms, int(time.time() * 1000)) - int(WINDOW_SECONDS * 1000))
        self._seen = {each for each in self._seen if each > floor}
        after = floor
        with self._database.reading() as connection:
            for _ in range(PAGES):
                page = connection.execute(
                    sa.select(transition.c.transition_id, transition.c.run_key, transition.c.ti_id)
                    .where(transition.c.transition_id > after)
                    .order_by(transition.c.transition_id)
                    .limit(PAGE)
                ).all()
                new = [row for row in page if row.transition_id not in self._seen]
                self._seen.update(row.transition_id for row in new)
                hints.note((row.run_key, row.ti_id or 0) for row in new)
                if page:
                    after = page[-1].transition_id
                    self._newest_ms = max(self._newest_ms, id_time_ms(after))
                if len(page) < PAGE:
                    return hints
        # More than can be read each time: look at what is shown instead.
        hints.is_gap = True
        return hints


def _first_id(ms: int) -> int:
    """The smallest id of a Unix millisecond."""
    return max(0, ms - EPOCH_MS) << (NODE_BITS + COUNTER_BITS)


class HintSource:
    """The queue while it answers, else the transition table."""

    def __init__(self, connect: Callable[[], Broker] | None, database: ApiDatabase) -> None:
        self._connect = connect
        self._transitions = Transitions(database)
        self._broker: Broker | None = None
        self._positions: dict[str, str] = {}
        self._probe: QueueProbe | None = None
        self._next_probe = 0.0
        self._next_poll = 0.0
        self._polls = False
        self._woken = threading.Event()
        self.kind = Source.NONE

    def start(self, patience: float = 1.0) -> None:
        """Begin to listen: what is committed from now on is heard. Waits a moment for the queue."""
        if self._connect is not None and self._broker is None:
            self._probe = QueueProbe(self._connect)
            self._adopt(self._probe.result(patience))
        if self._broker is None:
            self._begin_polling()

    def read(self, timeout: float) -> Hints:
        """Hints, waiting up to `timeout` seconds for the first. Raises EnvironmentFault when the database is down."""
        if self._broker is not None:
            return self._read_queue(self._broker, timeout)
        if self._is_queue_back():
            return Hints(is_gap=True)
        if not self._polls:
            self._begin_polling()
            return Hints(is_gap=True)
        self._woken.wait(min(timeout, max(0.0, self._next_poll - time.monotonic())))
        self._woken.clear()
        if time.monotonic() < self._next_poll:
            return Hints()
        started = time.monotonic()
        hints = self._transitions.read()
        # Under load it may take a fifth of the time, not more.
        self._next_poll = started + max(POLL_SECONDS, 5 * (time.monotonic() - started))
        return hints

    def depth(self, queue: str) -> int | None:
        """Hints that wait in `queue`; None when the queue cannot be asked."""
        if self._broker is None:
            return None
        try:
            return self._broker.depth(queue)
        except EnvironmentFault as error:
            self._lose_queue(error)
            return None

    def interrupt(self) -> None:
        """Make a `read` that waits return. Thread-safe."""
        self._woken.set()
        broker = self._broker
        if broker is not None:
            broker.interrupt()

    def rest(self) -> None:
        """Listen to nothing until `start`."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.abandon()
        self._polls = False
        self.kind = Source.NONE

    def _read_queue(self, broker: Broker, timeout: float) -> Hints:
        try:
            messages, self._positions = broker.read(self._positions, limit=MESSAGES, timeout=timeout)
        except EnvironmentFault as error:
            self._lose_queue(error)
            return Hints(is_gap=True)
        return hints_of(messages)

    def _lose_queue(self, error: EnvironmentFault) -> None:
        _logger.warning("the queue does not answer, so changes are read from the database: %s", error)
        self.rest()
        self._next_probe = time.monotonic()

    def _begin_polling(self) -> None:
        self._transitions.begin()
        self._polls = True
        self._next_poll = time.monotonic() + POLL_SECONDS
        self.kind = Source.DATABASE

    def _is_queue_back(self) -> bool:
        if self._connect is None:
            return False
        if self._probe is None:
            if time.monotonic() >= self._next_probe:
                self._probe = QueueProbe(self._connect)
            return False
        if not self._probe.is_over:
            return False
        probe, self._probe = self._probe, None
        if probe.is_off:
            self._connect = None
        self._next_probe = time.monotonic() + PROBE_SECONDS
        found = probe.result()
        self._adopt(found)
        return found is not None

    def _adopt(self, found: tuple[Broker, dict[str, str]] | None) -> None:
        if found is not None:
            self._probe = None
            self._broker, self._positions = found
            self._polls = False
            self.kind = Source.QUEUE
            _logger.info("live views are fed by the queue")


def hints_of(messages: list[QueueMessage]) -> Hints:
    """What messages of the queue's topics say."""
    hints = Hints()
    for message in messages:
        if isinstance(message, Changed):
            hints.note((run_key, ti_id) for run_key, ti_id, _ in message.items)
        elif isinstance(message, LogTail):
            hints.logs.append(message)
        elif isinstance(message, WorkerSample):
            hints.samples.append(message)
    return hints
