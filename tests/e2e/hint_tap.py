"""Listens to everything that is sent through Redis, to see that hints only name what has been committed.

Decides what counts as sent too early: a dispatch that cannot be found in the database right after its hint was seen.
Called by the end-to-end tests, in a thread of its own.
"""

from __future__ import annotations

import ast
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from dagdeck_core.wire import Hint, WireError, queue_codec
from tests.e2e.cluster_database import ClusterDatabase


class HintTap:
    """Redis' MONITOR, decoded. `early` are (ti_id, dispatch_no) seen in a hint but not in the database."""

    def __init__(self, redis_url: str, database: ClusterDatabase, cluster: str) -> None:
        url = urlsplit(redis_url)
        self._address = (url.hostname or "127.0.0.1", url.port or 6379)
        self._database = database
        self._cluster = cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hint-tap", daemon=True)
        self.seen: set[tuple[int, int]] = set()
        self.early: set[tuple[int, int]] = set()
        self.unchecked: set[tuple[int, int]] = set()
        """Seen while the database did not answer; judged at the end by `settle`."""

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(5)

    def settle(self) -> None:
        """Judge what could not be judged when it was seen."""
        pending, self.unchecked = sorted(self.unchecked), set()
        known = self._database.known_dispatches(pending)
        self.early |= {pair for pair in pending if pair[1] not in known}

    def _run(self) -> None:
        while not self._stopped.is_set():
            # The server is away now and then: tests stop it.
            with suppress(OSError), socket.create_connection(self._address, timeout=1) as connection:
                connection.sendall(b"*1\r\n$7\r\nMONITOR\r\n")
                connection.settimeout(0.2)
                self._listen(connection)
            self._stopped.wait(0.05)

    def _listen(self, connection: socket.socket) -> None:
        rest = b""
        while not self._stopped.is_set():
            try:
                data = connection.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                return
            *lines, rest = (rest + data).split(b"\r\n")
            pairs = [pair for line in lines for pair in self._dispatches(line)]
            if pairs:
                self._judge(pairs)

    def _dispatches(self, line: bytes) -> list[tuple[int, int]]:
        """The dispatches of the hint that this line of MONITOR shows, if it shows one of this cluster."""
        if b'"XADD"' not in line or self._cluster.encode() not in line:
            return []
        payload = line.rsplit(b' "', 1)[1].rstrip(b'"')
        try:
            message = queue_codec.decode(ast.literal_eval(f'b"{payload.decode("ascii")}"'))
        except (WireError, SyntaxError, ValueError):
            return []
        return list(message.dispatches) if isinstance(message, Hint) else []

    def _judge(self, pairs: list[tuple[int, int]]) -> None:
        self.seen |= set(pairs)
        try:
            known = self._database.known_dispatches(pairs)
        except SQLAlchemyError:
            self.unchecked |= set(pairs)
            return
        self.early |= {pair for pair in pairs if pair[1] not in known}
