"""Links between a desktop and a real API that behave badly: one that freezes or is cut, a proxy that swallows streams.

Decides what passes. Used by tests of the live feed with a real server behind it.
"""

from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Link:
    """Passes bytes between a port of its own and a server, until it is told otherwise."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passes = threading.Event()
        self._passes.set()
        self._is_over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the server seems to be."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def freeze(self) -> None:
        """Nothing passes from now on, and nobody is told: as when a cable is pulled out."""
        self._passes.clear()

    def thaw(self) -> None:
        """What waits passes, and all that follows."""
        self._passes.set()

    def cut(self) -> None:
        """Break every connection that is open now."""
        for each in tuple(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it."""
        self._is_over.set()
        self._passes.set()
        self.cut()
        self._listener.close()
        self._thread.join(5)

    def _run(self) -> None:
        self._listener.settimeout(0.05)
        while not self._is_over.is_set():
            try:
                client, _address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(client)
            server = stack.enter_context(socket.create_connection(self._server))
            other = {client: server, server: client}
            self._sockets += other
            selector = stack.enter_context(selectors.DefaultSelector())
            for each in other:
                selector.register(each, selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                while not self._is_over.is_set():
                    for key, _mask in selector.select(0.05):
                        source: Any = key.fileobj
                        data = source.recv(65_536)
                        while not self._passes.wait(0.05):
                            pass
                        if not data:
                            return
                        other[source].sendall(data)


class _SwallowingHandler(BaseHTTPRequestHandler):
    """Asks the server, waits for the whole answer, and only then gives it on."""

    protocol_version = "HTTP/1.1"
    server_url = ""

    def handle_any(self) -> None:
        """Give one request on, and its answer back."""
        parts = urlsplit(self.server_url)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        self.close_connection = True
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def link_to(server_url: str) -> Iterator[Link]:
    """A link for the block."""
    link = Link(server_url)
    try:
        yield link
    finally:
        link.close()


@contextlib.contextmanager
def swallowing_proxy(server_url: str) -> Iterator[str]:
    """The address of a proxy that holds back every answer until it is whole, so that a stream never comes."""
    handler = type("Handler", (_SwallowingHandler,), {"server_url": server_url})
    proxy = _Proxy(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        proxy.server_close()
