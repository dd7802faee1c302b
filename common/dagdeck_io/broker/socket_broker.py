"""A client of the embedded queue.

Decides how a connection is made, kept and made anew, and which requests wait for their answer. Does not decide what
the queue keeps (`memory`) nor how bytes travel (`socket_link`). Made by `open_broker` for URLs embedded+unix: and
embedded+tcp:.

Live views may be lost, so nobody waits until the queue has confirmed them: their answers are read before that to the
next request that does wait.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import CHANGES, LOGS, SAMPLES, Delivery
from dagdeck_core.wire import Hint, QueueMessage
from dagdeck_io.broker import frames
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.messages import Reader, encode
from dagdeck_io.broker.socket_link import SocketLink

A = TypeVar("A", bound=frames.Answer)
_FRAME_PAYLOAD_BYTES = 4 * 1024 * 1024
_LIVE_VIEWS = frozenset({CHANGES, LOGS, SAMPLES})
_MOST_UNANSWERED = 32
"""Requests whose answer nobody waited for: the next one waits for all."""


class SocketBroker:
    """One thread's adapter on an embedded queue. Implements `dagdeck_core.ports.Broker`.

    `address` is the path of a Unix socket or a (host, port). The token is read at each connect, so that a
    restarted server is found again. It connects on first use and again after a fault.
    """

    def __init__(
        self,
        address: str | tuple[str, int],
        token_file: Path,
        *,
        connect_timeout: float = 3.0,
        answer_timeout: float = 5.0,
        limits: BrokerLimits | None = None,
    ) -> None:
        self._address = address
        self._token_file = token_file
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._limits = limits or BrokerLimits()
        self._reader = Reader()
        self._link: SocketLink | None = None
        self._unanswered = 0
        # Guards the three below and the sending on a connection against `interrupt`.
        self._lock = threading.Lock()
        self._waits = False
        self._interrupted = False

    @property
    def poisoned(self) -> int:
        """Messages that could not be read."""
        return self._reader.poisoned

    def offer(self, queue: str, hints: Sequence[Hint]) -> None:
        """See Broker."""
        for payloads in _portions(encode(hints, limit=self._limits.max_message_bytes)):
            self._ask(frames.Offer(queue, payloads), frames.Done)

    def take(self, queues: Sequence[str], consumer: str, *, limit: int, timeout: float) -> list[Delivery]:
        """See Broker."""
        deadline = time.monotonic() + timeout
        while True:
            remaining = max(0.0, deadline - time.monotonic())
            answer = self._ask(frames.Take(tuple(queues), limit, remaining), frames.Hints, remaining)
            hints = ((queue, number, self._reader.hint(queue, payload)) for queue, number, payload in answer.items)
            found = [Delivery(queue, str(number), hint) for queue, number, hint in hints if hint is not None]
            if found or not answer.items:
                return found

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See Broker. A taken hint is gone already."""

    def depth(self, queue: str) -> int:
        """See Broker."""
        return self._ask(frames.Inspect(queue), frames.Inspected).depth

    def oldest_age(self, queue: str) -> float | None:
        """Seconds that the oldest hint of `queue` has waited; None when none waits."""
        return self._ask(frames.Inspect(queue), frames.Inspected).oldest_age

    def append(self, topic: str, messages: Sequence[QueueMessage]) -> None:
        """See Broker."""
        for payloads in _portions(encode(messages, limit=self._limits.max_message_bytes)):
            if topic in _LIVE_VIEWS and self._unanswered < _MOST_UNANSWERED:
                self._tell(frames.Append(topic, payloads))
            else:
                self._ask(frames.Append(topic, payloads), frames.Done)

    def last_position(self, topic: str) -> str:
        """See Broker."""
        return self._ask(frames.LastPosition(topic), frames.Position).position

    def read(
        self, positions: Mapping[str, str], *, limit: int, timeout: float
    ) -> tuple[list[QueueMessage], dict[str, str]]:
        """See Broker."""
        deadline = time.monotonic() + timeout
        moved = dict(positions)
        while True:
            remaining = max(0.0, deadline - time.monotonic())
            answer = self._ask(frames.Read(moved, limit, remaining), frames.Messages, remaining)
            moved = answer.positions
            messages = [each for topic, payload in answer.items for each in self._reader.messages(topic, [payload])]
            if messages or not answer.items:
                return messages, moved

    def interrupt(self) -> None:
        """See Broker."""
        with self._lock:
            if not self._waits or self._link is None:
                self._interrupted = True
                return
            with contextlib.suppress(OSError):
                self._link.send_if_possible(frames.pack(frames.Cancel()))

    def ping(self) -> None:
        """See Broker."""
        self._ask(frames.Ping(), frames.Done)

    def close(self) -> None:
        """See Broker."""
        if self._link is not None and self._unanswered:
            # A connection that is closed before its answers were read may lose what was sent last.
            with contextlib.suppress(EnvironmentFault):
                self.ping()
        self._disconnect()

    # ------------------------------------------------------------ the connection

    def _ask(self, request: frames.Request, kind: type[A], waits: float = 0.0) -> A:
        """The answer to `request`, which may come after up to `waits` seconds."""
        try:
            link = self._link or self._connect()
            self._send(link, request, waits)
            while self._unanswered:
                self._expect(link.receive(self._answer_timeout), frames.Done)
                self._unanswered -= 1
            return self._expect(link.receive(waits + self._answer_timeout), kind)
        except (OSError, frames.FrameError) as error:
            self._disconnect()
            raise self._fault(error) from error
        except BaseException:
            self._disconnect()  # Interrupted midway: the answer must not be taken for that to the next request.
            raise
        finally:
            with self._lock:
                self._waits = False

    def _tell(self, request: frames.Request) -> None:
        """Send a request whose answer a later one reads."""
        try:
            self._send(self._link or self._connect(), request, 0.0)
            self._unanswered += 1
        except (OSError, frames.FrameError) as error:
            self._disconnect()
            raise self._fault(error) from error
        except BaseException:
            self._disconnect()  # Perhaps half of it was sent.
            raise

    def _send(self, link: SocketLink, request: frames.Request, waits: float) -> None:
        data = frames.pack(request)
        with self._lock:
            if waits > 0:
                self._waits = True
            link.send(data, self._answer_timeout)
            if waits > 0 and self._interrupted:
                link.send(frames.pack(frames.Cancel()), self._answer_timeout)
                self._interrupted = False

    @staticmethod
    def _expect(answer: frames.Answer, kind: type[A]) -> A:
        if isinstance(answer, kind):
            return answer
        raise frames.FrameError(answer.reason if isinstance(answer, frames.Refused) else "an answer to something else")

    def _connect(self) -> SocketLink:
        token = self._token_file.read_text("ascii").strip()
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._connect_timeout)
            connection.connect(self._address)
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = SocketLink(connection)
        except BaseException:
            connection.close()
            raise
        try:
            link.send(frames.pack(frames.Hello(frames.PROTOCOL_VERSION, token)), self._answer_timeout)
            self._expect(link.receive(self._answer_timeout), frames.Done)
        except BaseException:
            link.close()
            raise
        with self._lock:
            self._link, self._unanswered = link, 0
        return link

    def _disconnect(self) -> None:
        with self._lock:
            link, self._link = self._link, None
            self._unanswered = 0
        if link is not None:
            link.close()

    def _fault(self, error: Exception | str) -> EnvironmentFault:
        where = self._address if isinstance(self._address, str) else "{}:{}".format(*self._address)
        if isinstance(error, TimeoutError):
            reason = "no answer in time"
        elif isinstance(error, OSError):
            reason = error.strerror or str(error) or type(error).__name__
        else:
            reason = str(error)
        return EnvironmentFault(
            f"the embedded queue at {where} cannot be reached: {reason}",
            remedy="Check that `dagdeckd standalone` runs under the same user",
        )


def _portions(payloads: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """The payloads, grouped so that each group fits into a frame."""
    portion: list[bytes] = []
    size = 0
    for payload in payloads:
        if portion and size + len(payload) > _FRAME_PAYLOAD_BYTES:
            yield tuple(portion)
            portion, size = [], 0
        portion.append(payload)
        size += len(payload)
    if portion:
        yield tuple(portion)
