"""A small HTTP(S) server in threads, whose answers a test scripts; it remembers what it was asked.

Decides nothing about DagDeck. Used by tests of the transport and of the live feed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Exchange:
    """One request and the way to answer it."""

    seen: Seen
    handler: BaseHTTPRequestHandler
    closing: threading.Event

    def answer(
        self, status: int = 200, body: bytes = b"{}", content_type: str = "application/json", **more: str
    ) -> None:
        """Send a whole answer; underscores in header names stand for hyphens."""
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", content_type)
        self.handler.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.write(body)

    def begin_stream(self, **more: str) -> None:
        """Send the head of an event stream; underscores in header names stand for hyphens."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.handler.send_header("Cache-Control", "no-store")
        for name, value in more.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.flush()

    def write(self, data: bytes) -> bool:
        """Send bytes; False when the client is gone."""
        try:
            self.handler.wfile.write(data)
            self.handler.wfile.flush()
        except OSError:
            return False
        return True

    def event(self, kind: str, data: str, event_id: str = "") -> bool:
        """Send one event."""
        head = f"event: {kind}\ndata: {data}\n" + (f"id: {event_id}\n" if event_id else "")
        return self.write(f"{head}\n".encode())

    def wait(self, seconds: float) -> bool:
        """Wait; False when the server is being closed."""
        return not self.closing.wait(seconds)

    def cut(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError):
            self.handler.connection.shutdown(socket.SHUT_RDWR)


Script = Callable[[Exchange], None]


@dataclass(slots=True)
class ScriptedServer:
    """A server on the loopback."""

    script: Script
    context: ssl.SSLContext | None = None
    wanted_port: int = 0
    seen: list[Seen] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ScriptedServer:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            """Hands each request to the script."""

            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                """Read the request and answer it."""
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(method=self.command, path=self.path, headers=headers, body=self.rfile.read(length))
                owner.seen.append(seen)
                self.close_connection = True
                owner.script(Exchange(seen, self, owner._closing))

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        server = _QuietServer(("127.0.0.1", self.wanted_port), Handler)
        if self.context is not None:
            server.socket = self.context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every answer under way."""
        self._closing.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.context is not None else 'http'}://127.0.0.1:{self.port}"


class _QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that leave."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is what many tests are about."""


@contextlib.contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[ScriptedServer]:
    """A server for the block, on a free port unless one is given."""
    with ScriptedServer(script, context, port) as server:
        yield server
