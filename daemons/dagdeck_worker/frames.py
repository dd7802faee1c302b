"""Length-prefixed frames on plain pipes between a worker, its runners and the portable host's watchdog.

Decides the framing: four bytes of length, big endian, then that many bytes. Does not decide what is in a
frame (`dagdeck_core.wire`). Called by the process hosts and, on the other end, by `runner.channel`.
"""

from __future__ import annotations

import struct

from dagdeck_core.errors import DagDeckError
from dagdeck_core.process_port import FRAME_LIMIT

PREFIX = struct.Struct(">I")


class FrameError(DagDeckError):
    """The bytes on a pipe are not frames of ours."""


def framed(payload: bytes) -> bytes:
    """`payload` behind its length. Raises FrameError when it is larger than FRAME_LIMIT."""
    if len(payload) > FRAME_LIMIT:
        raise FrameError(f"a message of {len(payload):,} bytes exceeds the limit of {FRAME_LIMIT:,} bytes")
    return PREFIX.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes, fed in any pieces, into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes. Raises FrameError for a length beyond FRAME_LIMIT."""
        if not self._buffer and len(data) >= 4:
            (size,) = PREFIX.unpack_from(data)
            if len(data) == 4 + size:  # by far the most frequent case: one read, one frame
                return [data[4:]]
        self._buffer += data
        return self._cut()

    def _cut(self) -> list[bytes]:
        frames = []
        start, end = 0, len(self._buffer)
        while end - start >= 4:
            (size,) = PREFIX.unpack_from(self._buffer, start)
            if size > FRAME_LIMIT:
                raise FrameError(f"a frame announces {size:,} bytes; the limit is {FRAME_LIMIT:,}")
            if end - start < 4 + size:
                break
            frames.append(bytes(self._buffer[start + 4 : start + 4 + size]))
            start += 4 + size
        if start:
            del self._buffer[:start]
        return frames
