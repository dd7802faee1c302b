"""The embedded queue's protocol: typed frames between `embedded_server` and `socket_broker`.

Decides the shape of requests and answers and the largest frame. Does not decide what they do. A frame is
four bytes of length (little endian) and a msgpack array. A connection's first frame is `Hello`; after that
every request gets one answer, in order, except `Cancel`, which ends a waiting request and has no answer of its own.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Room for the largest message and its frame; whoever announces more is cut off."""
LENGTH = struct.Struct("<I")


class FrameError(Exception):
    """Bytes that are no frame of this protocol."""


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what travels: a msgpack array whose first item names the kind."""


class Hello(_Frame, frozen=True, tag="hello"):
    """First of all: the token from the token file."""

    version: int
    token: str


class Offer(_Frame, frozen=True, tag="offer"):
    """Append encoded hints to a queue."""

    queue: str
    payloads: tuple[bytes, ...]


class Take(_Frame, frozen=True, tag="take"):
    """Take up to `limit` hints, waiting up to `timeout` seconds."""

    queues: tuple[str, ...]
    limit: int
    timeout: float


class Append(_Frame, frozen=True, tag="append"):
    """Append encoded messages to a topic."""

    topic: str
    payloads: tuple[bytes, ...]


class Read(_Frame, frozen=True, tag="read"):
    """Read after positions, waiting up to `timeout` seconds."""

    positions: dict[str, str]
    limit: int
    timeout: float


class LastPosition(_Frame, frozen=True, tag="last"):
    """Ask where a topic ends."""

    topic: str


class Inspect(_Frame, frozen=True, tag="inspect"):
    """Ask for a queue's depth and the age of its oldest hint."""

    queue: str


class Ping(_Frame, frozen=True, tag="ping"):
    """Ask for an answer."""


class Cancel(_Frame, frozen=True, tag="cancel"):
    """End the request that waits, if one does: it is answered with what is there, which is nothing."""


Request = Hello | Offer | Take | Append | Read | LastPosition | Inspect | Ping | Cancel


class Done(_Frame, frozen=True, tag="done"):
    """Answer to Hello, Offer, Append and Ping."""


class Hints(_Frame, frozen=True, tag="hints"):
    """Answer to Take: (queue, number, payload)."""

    items: tuple[tuple[str, int, bytes], ...]


class Messages(_Frame, frozen=True, tag="messages"):
    """Answer to Read: (topic, payload), and the positions to read on from."""

    items: tuple[tuple[str, bytes], ...]
    positions: dict[str, str]


class Position(_Frame, frozen=True, tag="position"):
    """Answer to LastPosition."""

    position: str


class Inspected(_Frame, frozen=True, tag="inspected"):
    """Answer to Inspect."""

    depth: int
    oldest_age: float | None


class Refused(_Frame, frozen=True, tag="refused"):
    """The server does not serve this connection; it closes it. `reason` is a sentence for people."""

    reason: str


Answer = Done | Hints | Messages | Position | Inspected | Refused

_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(Request)
_answer_decoder = msgspec.msgpack.Decoder(Answer)


def pack(frame: Request | Answer) -> bytes:
    """The frame with its length. Raises FrameError when it is too large."""
    body = _encoder.encode(frame)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is larger than {MAX_FRAME_BYTES}")
    return LENGTH.pack(len(body)) + body


def body_length(header: bytes | bytearray | memoryview) -> int:
    """Length of the body that these four bytes announce. Raises FrameError when it is too large."""
    (length,) = LENGTH.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes was announced, more than {MAX_FRAME_BYTES}")
    return int(length)


def read_request(body: bytes | bytearray | memoryview) -> Request:
    """The request in `body`. Raises FrameError."""
    return _decode(_request_decoder, body)  # type: ignore[no-any-return]


def read_answer(body: bytes | bytearray | memoryview) -> Answer:
    """The answer in `body`. Raises FrameError."""
    return _decode(_answer_decoder, body)  # type: ignore[no-any-return]


def _decode(decoder: msgspec.msgpack.Decoder[Any], body: bytes | bytearray | memoryview) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(f"a frame cannot be read: {error}") from error
