"""A client of the embedded queue.

Decides how a connection is made, kept and made anew. Does not decide what the queue keeps (`memory`). Made by
`open_broker` for URLs embedded+unix: and embedded+tcp:.
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
from dagdeck_core.ports import Delivery
from dagdeck_core.wire import Hint, QueueMessage
from dagdeck_io.broker import frames
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.messages import Reader, encode

A = TypeVar("A", bound=frames.Answer)
_FRAME_PAYLOAD_BYTES = 4 * 1024 * 1024


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
        self._socket: socket.socket | None = None
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
            if not self._waits or self._socket is None:
                self._interrupted = True
                return
            with contextlib.suppress(OSError):
                self._socket.sendall(frames.pack(frames.Cancel()))

    def ping(self) -> None:
        """See Broker."""
        self._ask(frames.Ping(), frames.Done)

    def close(self) -> None:
        """See Broker."""
        self._disconnect()

    # ------------------------------------------------------------ the connection

    def _ask(self, request: frames.Request, kind: type[A], waits: float = 0.0) -> A:
        """The answer to `request`, which may come after up to `waits` seconds."""
        try:
            connection = self._socket or self._connect()
            self._send(connection, request, waits)
            answer = self._receive(connection, waits + self._answer_timeout)
        except (OSError, frames.FrameError) as error:
            self._disconnect()
            raise self._fault(error) from error
        except BaseException:
            self._disconnect()  # Interrupted midway: the answer must not be taken for that to the next request.
            raise
        finally:
            with self._lock:
                self._waits = False
        if not isinstance(answer, kind):
            self._disconnect()
            raise self._fault(answer.reason if isinstance(answer, frames.Refused) else "an answer to something else")
        return answer

    def _send(self, connection: socket.socket, request: frames.Request, waits: float) -> None:
        data = frames.pack(request)
        connection.settimeout(self._answer_timeout)
        with self._lock:
            if waits > 0:
                self._waits = True
            connection.sendall(data)
            if waits > 0 and self._interrupted:
                connection.sendall(frames.pack(frames.Cancel()))
                self._interrupted = False

    def _connect(self) -> socket.socket:
        token = self._token_file.read_text("ascii").strip()
        if isinstance(self._address, str):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._connect_timeout)
            connection.connect(self._address)
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(frames.pack(frames.Hello(frames.PROTOCOL_VERSION, token)))
            answer = self._receive(connection, self._answer_timeout)
        except BaseException:
            connection.close()
            raise
        if isinstance(answer, frames.Refused):
            connection.close()
            raise frames.FrameError(answer.reason)
        with self._lock:
            self._socket = connection
        return connection

    def _receive(self, connection: socket.socket, timeout: float) -> frames.Answer:
        connection.settimeout(timeout)
        length = frames.body_length(_exactly(connection, frames.LENGTH.size))
        return frames.read_answer(_exactly(connection, length))

    def _disconnect(self) -> None:
        with self._lock:
            connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

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


def _exactly(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes. Raises OSError when the connection ends before."""
    data = connection.recv(size)
    if len(data) == size:
        return data
    parts = bytearray(data)
    while data and len(parts) < size:
        data = connection.recv(size - len(parts))
        parts += data
    if len(parts) < size:
        raise ConnectionResetError("the server closed the connection")
    return bytes(parts)


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
