"""One client's connection as the embedded queue's server sees it: buffers, the waiting request, deadlines.

Decides when a client may be read from and which hints were not delivered to it. Does not decide what a request
means (`embedded_server`, its only caller, from one thread).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from dagdeck_io.broker import frames
from dagdeck_io.broker.memory import Taken

_RECEIVE_BYTES = 64 * 1024


class Connection:
    """State of one client. Methods raise FrameError for bad bytes and OSError when the client is gone.

    `deadline` is the monotonic instant at which the waiting request ends or, before the greeting, the
    client is cut off. `events` is what the selector watches for.
    """

    def __init__(self, accepted: socket.socket, *, deadline: float) -> None:
        accepted.setblocking(False)
        if accepted.family == socket.AF_INET:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = accepted
        self.deadline: float | None = deadline
        self.events = 0
        self.is_known = False
        self.waiting: frames.Take | frames.Read | None = None
        self.kind = ""
        self.watched: tuple[str, ...] = ()
        self.wake: Callable[[], None] | None = None
        self._received = bytearray()
        self._unsent = memoryview(b"")
        self._hints_under_way: Sequence[Taken] = ()

    @property
    def wants_to_write(self) -> bool:
        """Whether part of an answer has not left yet."""
        return bool(self._unsent)

    def receive(self) -> None:
        """Read what the client sent. Raises OSError at its end."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("the client closed the connection")
        self._received += data

    def next_request(self) -> frames.Request | None:
        """The next complete request; None when there is none."""
        start = frames.LENGTH.size
        if len(self._received) < start:
            return None
        end = start + frames.body_length(self._received[:start])
        if len(self._received) < end:
            return None
        body = bytes(self._received[start:end])
        del self._received[:end]
        return frames.read_request(body)

    def cancel_requested(self) -> bool:
        """Whether the client wants its waiting request ended."""
        request = self.next_request()
        if request is not None and not isinstance(request, frames.Cancel):
            raise frames.FrameError("it sent a request while another waits")
        return request is not None

    def send(self, answer: frames.Answer, hints: Sequence[Taken] = ()) -> None:
        """Send an answer, as much as goes now. `hints` are what it delivers."""
        self._unsent = memoryview(frames.pack(answer))
        self._hints_under_way = hints
        self.flush()

    def flush(self) -> None:
        """Send more of the answer."""
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]
        self._hints_under_way = ()

    def wait(
        self,
        request: frames.Take | frames.Read,
        kind: str,
        watched: tuple[str, ...],
        wake: Callable[[], None],
        deadline: float,
    ) -> None:
        """Let `request` wait for something on the `watched` queues or topics."""
        self.waiting, self.kind, self.watched, self.wake, self.deadline = request, kind, watched, wake, deadline

    def stop_waiting(self) -> None:
        """Forget the waiting request."""
        self.waiting, self.watched, self.wake, self.deadline = None, (), None, None

    def undelivered(self) -> Sequence[Taken]:
        """Hints of an answer that did not leave completely."""
        return self._hints_under_way
