"""The embedded queue: `MemoryQueues` served on a local socket, so that nothing has to be installed.

Decides who may connect (those who know the token), how long a request waits, and what becomes of a client
that vanishes: its waiting request is dropped and hints that did not reach it go back. Does not decide what the
frames mean for a client (`socket_broker`) nor what is kept (`memory`). Made by the supervisor of `standalone`;
one thread serves all connections and sleeps while nothing happens.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.broker import frames
from dagdeck_io.broker.embedded_connection import Connection
from dagdeck_io.broker.limits import BrokerLimits
from dagdeck_io.broker.memory import MemoryQueues

_log = logging.getLogger(__name__)

TOKEN_FILE = "queue.token"
SOCKET_FILE = "queue.sock"
MAX_SOCKET_PATH_BYTES = 100
"""The kernel's limit is 107 on Linux and 103 on macOS."""
MAX_CONNECTIONS = 256
HELLO_SECONDS = 5.0
MAX_WAIT_SECONDS = 3600.0
ANSWER_BYTES = 4 * 1024 * 1024
"""An answer takes no further message once it has so many bytes."""


class EmbeddedQueueServer:
    """Serves one queue from a thread of its own.

    `folder` gets the token file and, for a Unix socket, the socket; it is made with mode 0700.
    `transport` is "auto" (a Unix socket where the system has one and the path is short enough, else loopback
    TCP), "unix" or "tcp". `start` and `close` are called by one thread; `queues` may be used by any.
    """

    def __init__(self, folder: Path, *, transport: str = "auto", limits: BrokerLimits | None = None) -> None:
        self.queues = MemoryQueues(limits)
        self.url = ""
        self._folder = folder
        self._transport = transport
        self._token = secrets.token_urlsafe(32)
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._bell_in, self._bell_out = socket.socketpair()
        self._bell_in.setblocking(False)
        self._bell_out.setblocking(False)
        self._woken: deque[Connection] = deque()
        self._connections: set[Connection] = set()
        self._stopping = False

    def start(self) -> str:
        """Listen and serve; returns the URL for `open_broker`. Raises EnvironmentFault; then nothing is left behind."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._listener, address = self._listen()
            # Only now: the token of a server that already runs here must stay.
            _write_private(self._folder / TOKEN_FILE, self._token)
        except OSError as error:
            self.close()
            raise EnvironmentFault(
                f"the embedded queue cannot be served from {self._folder}: {error}",
                remedy="Check that the folder belongs to this user and that the disk is not full",
            ) from error
        except EnvironmentFault:
            self.close()
            raise
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._bell_out, selectors.EVENT_READ, None)
        self.url = f"{address}?token_file={quote(str(self._folder / TOKEN_FILE))}"
        self._thread = threading.Thread(target=self._serve, name="embedded-queue", daemon=True)
        self._thread.start()
        return self.url

    def close(self) -> None:
        """Stop serving, cut all connections and remove the socket and the token."""
        self._stopping = True
        self._ring()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._listener is not None:
            for name in (SOCKET_FILE, TOKEN_FILE):
                (self._folder / name).unlink(missing_ok=True)
            self._listener.close()
            self._listener = None
        self._bell_in.close()
        self._bell_out.close()
        self._selector.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------ listening

    def _listen(self) -> tuple[socket.socket, str]:
        path = self._folder / SOCKET_FILE
        fits = len(os.fsencode(str(path))) <= MAX_SOCKET_PATH_BYTES
        if self._transport == "unix" and not fits:
            raise EnvironmentFault(
                f"the path {path} is too long for a Unix socket",
                transient=False,
                remedy="Choose a shorter paths.home or set queue.embedded_transport to tcp",
            )
        if self._transport != "tcp" and fits and hasattr(socket, "AF_UNIX"):
            return self._listen_unix(path), f"embedded+unix://{quote(str(path))}"
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        return listener, f"embedded+tcp://127.0.0.1:{listener.getsockname()[1]}"

    @staticmethod
    def _listen_unix(path: Path) -> socket.socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink(missing_ok=True)  # Left behind by a process that was killed.
            else:
                raise EnvironmentFault(
                    f"another process serves the queue at {path}",
                    transient=False,
                    remedy="Stop it or choose another paths.home",
                )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(64)
        except OSError:
            listener.close()
            raise
        return listener

    # ------------------------------------------------------------ the serving thread

    def _serve(self) -> None:
        try:
            while not self._stopping:
                for key, events in self._selector.select(self._next_deadline()):
                    self._handle(key, events)
                self._end_waits(time.monotonic())
                self._serve_woken()
        except Exception:
            _log.exception("the embedded queue has stopped by an error")
            raise
        finally:
            for connection in list(self._connections):
                self._drop(connection)

    def _handle(self, key: selectors.SelectorKey, events: int) -> None:
        connection: Connection | None = key.data
        if connection is None:
            if key.fileobj is self._listener:
                self._accept()
            else:
                with contextlib.suppress(BlockingIOError):
                    while self._bell_out.recv(4096):
                        pass
            return
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
            if events & selectors.EVENT_READ:
                connection.receive()
            self._work(connection)
        except frames.FrameError as error:
            _log.warning("embedded queue: a client is cut off: %s", error)
            self._drop(connection)
        except OSError:
            self._drop(connection)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            accepted, _ = self._listener.accept()
        except OSError as error:
            _log.warning("embedded queue: a connection could not be accepted: %s", error)
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            _log.warning("embedded queue: more than %d connections; another is refused", MAX_CONNECTIONS)
            accepted.close()
            return
        connection = Connection(accepted, deadline=time.monotonic() + HELLO_SECONDS)
        self._connections.add(connection)
        connection.events = selectors.EVENT_READ
        self._selector.register(accepted, connection.events, connection)

    def _work(self, connection: Connection) -> None:
        """Work on what has come, until a request waits or the client is slow to take its answers."""
        while not connection.wants_to_write:
            if connection.waiting is not None:
                if not connection.cancel_requested():
                    break
                self._end_wait(connection)
                continue
            request = connection.next_request()
            if request is None:
                break
            self._answer(connection, request)
        # A client that does not take its answers is not read from either, so its buffers stay bounded.
        events = selectors.EVENT_WRITE if connection.wants_to_write else selectors.EVENT_READ
        if events != connection.events:
            self._selector.modify(connection.socket, events, connection)
            connection.events = events

    def _answer(self, connection: Connection, request: frames.Request) -> None:
        if not connection.is_known:
            self._greet(connection, request)
            return
        match request:
            case frames.Take(queues=queues) | frames.Read(positions=queues):
                if not self._try_request(connection, request):
                    kind = "queue" if isinstance(request, frames.Take) else "topic"
                    wake = self._waker(connection)
                    timeout = min(max(request.timeout, 0.0), MAX_WAIT_SECONDS)
                    connection.wait(request, kind, tuple(queues), wake, time.monotonic() + timeout)
                    self.queues.watch(kind, connection.watched, wake)
            case frames.Offer():
                self.queues.offer(request.queue, request.payloads)
                connection.send(frames.Done())
            case frames.Append():
                self.queues.append(request.topic, request.payloads)
                connection.send(frames.Done())
            case frames.LastPosition():
                connection.send(frames.Position(self.queues.last_position(request.topic)))
            case frames.Inspect():
                depth, age = self.queues.depth(request.queue), self.queues.oldest_age(request.queue)
                connection.send(frames.Inspected(depth, age))
            case frames.Ping():
                connection.send(frames.Done())
            case frames.Hello():
                raise frames.FrameError("a second greeting")
            case frames.Cancel():
                pass  # It came too late: the request has been answered.

    def _greet(self, connection: Connection, request: frames.Request) -> None:
        if not isinstance(request, frames.Hello) or not hmac.compare_digest(
            request.token.encode(), self._token.encode()
        ):
            connection.send(frames.Refused("the token is wrong"))
            raise frames.FrameError("it did not show the token")
        if request.version != frames.PROTOCOL_VERSION:
            connection.send(frames.Refused(f"this queue speaks version {frames.PROTOCOL_VERSION} of its protocol"))
            raise frames.FrameError(f"it speaks version {request.version} of the protocol")
        connection.is_known = True
        connection.deadline = None
        connection.send(frames.Done())

    def _try_request(self, connection: Connection, request: frames.Take | frames.Read) -> bool:
        """Answer if something is there (or nothing is to be waited for)."""
        at_once = request.timeout <= 0
        if isinstance(request, frames.Take):
            taken = self.queues.take_now(request.queues, max(1, request.limit), max_bytes=ANSWER_BYTES)
            if taken or at_once:
                items = tuple((each.queue, each.number, each.payload) for each in taken)
                connection.send(frames.Hints(items), taken)
            return bool(taken) or at_once
        found, positions = self.queues.read_now(request.positions, max(1, request.limit), max_bytes=ANSWER_BYTES)
        if found or at_once:
            connection.send(frames.Messages(tuple(found), positions))
        return bool(found) or at_once

    # ------------------------------------------------------------ waiting requests

    def _waker(self, connection: Connection) -> Callable[[], None]:
        def wake() -> None:
            self._woken.append(connection)
            if threading.current_thread() is not self._thread:
                self._ring()

        return wake

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._bell_in.send(b"\0")

    def _serve_woken(self) -> None:
        while self._woken:
            connection = self._woken.popleft()
            if connection.waiting is None:
                continue
            request = connection.waiting
            try:
                if self._try_request(connection, request):
                    self._stop_waiting(connection)
                    self._work(connection)
            except (OSError, frames.FrameError):
                self._drop(connection)

    def _next_deadline(self) -> float | None:
        deadlines = [each.deadline for each in self._connections if each.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _end_waits(self, now: float) -> None:
        for connection in [each for each in self._connections if each.deadline is not None and each.deadline <= now]:
            try:
                if connection.waiting is None:
                    self._drop(connection)  # It did not greet in time.
                else:
                    self._end_wait(connection)
                    self._work(connection)
            except (OSError, frames.FrameError):
                self._drop(connection)

    def _end_wait(self, connection: Connection) -> None:
        request = connection.waiting
        self._stop_waiting(connection)
        if isinstance(request, frames.Take):
            connection.send(frames.Hints(()))
        elif request is not None:
            connection.send(frames.Messages((), request.positions))

    def _stop_waiting(self, connection: Connection) -> None:
        if connection.waiting is not None and connection.wake is not None:
            self.queues.unwatch(connection.kind, connection.watched, connection.wake)
        connection.stop_waiting()

    def _drop(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._stop_waiting(connection)
        self._connections.discard(connection)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(connection.socket)
        connection.socket.close()
        self.queues.put_back(connection.undelivered())


def _write_private(path: Path, text: str) -> None:
    """Replace the file by one that only this user may read."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)
    temporary.replace(path)
