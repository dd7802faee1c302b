"""Plain pipes to another process, served by threads: for systems where a pipe can be neither polled nor non-blocking.

Decides how much waits on this side and whom it wakes. Does not decide what travels, nor what becomes of the process.
Called by the portable forms of a supervised process (`dagdeckd.portable_child`) and of a parsing child
(`dagdeck_master.dag_processor.portable_child`). Where a pipe can be polled, that is done instead: a thread costs more.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

_READ = 64 * 1024
_MOST_WAITING = 1024 * 1024


class OutputPump:
    """Reads a pipe to its end, ahead of whoever takes what has come, within a limit."""

    def __init__(self, stream: IO[bytes], wake: Callable[[], None], *, most_waiting: int = _MOST_WAITING) -> None:
        """`stream` is this object's from now on. `wake` is called in the pump's thread whenever there is something to
        take and nothing was before, and at the end; it must not block. The writer is held up while `most_waiting`
        bytes have not been taken."""
        self._stream = stream
        self._wake = wake
        self._most = most_waiting
        self._waiting = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the pipe has ended and all of it has been taken."""
        with self._changed:
            return self._ended and not self._waiting

    def take(self) -> bytes:
        """What has come since the last call; b"" when nothing has."""
        with self._changed:
            data = bytes(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        return data

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the pipe has ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    def abandon(self) -> None:
        """Nobody takes anything any more. The thread ends with the pipe, which a forgotten process may keep open."""
        with self._changed:
            self._abandoned = True
            self._waiting.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        descriptor = self._stream.fileno()
        with self._stream, contextlib.suppress(OSError):
            while piece := os.read(descriptor, _READ):
                self._keep(piece)
        with self._changed:
            self._ended = True
        self._wake()

    def _keep(self, piece: bytes) -> None:
        with self._changed:
            if self._abandoned:
                return
            is_first = not self._waiting
            self._waiting += piece
        if is_first:
            self._wake()
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or len(self._waiting) < self._most)


class InputFeed:
    """Writes to a pipe, behind whoever gives what is to be written."""

    def __init__(self, stream: IO[bytes], *, most_waiting: int = _MOST_WAITING) -> None:
        """`stream` is this object's from now on; it is closed when all that was given before `end` has been written."""
        self._stream = stream
        self._most = most_waiting
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._ending = False
        self._broken = False
        threading.Thread(target=self._run, name="input", daemon=True).start()

    def give(self, data: bytes) -> bool:
        """Have `data` written; False, and nothing of it is, when the reader is gone or has stopped reading."""
        with self._changed:
            if self._broken or self._ending or (self._pieces and self._size + len(data) > self._most):
                return False
            self._pieces.append(data)
            self._size += len(data)
            self._changed.notify_all()
        return True

    def end(self) -> None:
        """Close the pipe when all that was given has been written."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def _run(self) -> None:
        descriptor = self._stream.fileno()
        try:
            while (data := self._next()) is not None:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
        except OSError:
            pass
        finally:
            with self._changed:
                self._broken = True
                self._pieces.clear()
            with contextlib.suppress(OSError):
                self._stream.close()

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._pieces) or self._ending)
            if not self._pieces:
                return None
            data = self._pieces.popleft()
            self._size -= len(data)
            return data
