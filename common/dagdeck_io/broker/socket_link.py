"""The client's end of a connection to the embedded queue: frames out, answers in, with few system calls.

Decides how bytes are sent and received in time. Does not decide what is asked or when a connection is made anew
(`socket_broker`, its only caller). The socket never blocks: a request is one `send`, and an answer is one wait and
one `recv` whatever its parts, which halves what a request costs against a socket with timeouts.
"""

from __future__ import annotations

import selectors
import socket
import time

from dagdeck_io.broker import frames

_RECEIVE_BYTES = 64 * 1024
"""Small enough that the allocator has such a piece at hand; larger ones are mapped and unmapped each time."""


class SocketLink:
    """One connection. Methods raise OSError when it is gone or time is up, FrameError for bytes that are no answer.

    Used by one thread, except `send_if_possible`.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._received = bytearray()
        self._readable = selectors.DefaultSelector()
        self._readable.register(connected, selectors.EVENT_READ)

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of `data` within `timeout` seconds."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_slowly(memoryview(data)[sent:], time.monotonic() + timeout)

    def send_if_possible(self, data: bytes) -> None:
        """Send a few bytes that may be lost when the connection is full. Any thread may call it between sends."""
        self._socket.send(data)

    def receive(self, timeout: float) -> frames.Answer:
        """The next answer, waiting up to `timeout` seconds."""
        start = frames.LENGTH.size
        deadline = time.monotonic() + timeout
        needed = start
        while True:
            if len(self._received) >= start:
                needed = start + frames.body_length(self._received[:start])
                if len(self._received) >= needed:
                    body = bytes(self._received[start:needed])
                    del self._received[:needed]
                    return frames.read_answer(body)
            self._receive_more(deadline)

    def close(self) -> None:
        """Disconnect."""
        self._readable.close()
        self._socket.close()

    def _receive_more(self, deadline: float) -> None:
        if not self._readable.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._received += data

    def _send_slowly(self, rest: memoryview, deadline: float) -> None:
        with selectors.DefaultSelector() as writable:
            writable.register(self._socket, selectors.EVENT_WRITE)
            while rest:
                if not writable.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    continue
