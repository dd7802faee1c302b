"""What the DAG processor and its parsing children say to each other, on two pipes of their own.

Decides shapes, framing and the largest message. Does not decide how a file is parsed (`child`) or judged
(`catalog`). Imported on both sides, so it must stay free of heavy imports. Output of user code goes
elsewhere (fds 1 and 2), so nothing that a DAG file prints can be mistaken for a message.
"""

from __future__ import annotations

import os
import struct
from typing import Any

import msgspec

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.wire import Codec, Reply, Request, WireError

MAX_FRAME = 64 * 1024 * 1024
"""Most bytes of one message: all DAGs of one file."""

MOST_OUTDATED = 20
"""Names of earlier Airflow versions that are told of one file."""

_HEADER = struct.Struct(">I")


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what travels: a msgpack array whose first item names the kind."""


class ParseFile(_Message, frozen=True, tag="parse"):
    """Processor → child: import one file of an unpacked bundle and describe its DAGs."""

    root: str
    """Folder with the unpacked bundle."""
    path: str
    """The file's path in it, with forward slashes."""
    cron_data_intervals: bool = False
    """Whether a cron text in schedule= makes data intervals."""
    delta_data_intervals: bool = False
    """Whether a timedelta in schedule= makes data intervals."""
    catchup: bool = False
    """What a DAG without catchup= does."""
    was_broken: bool = False
    """Whether it had errors when it was parsed before."""


class Ready(_Message, frozen=True, tag="ready"):
    """Child → processor: imports are done, files may come."""


class ParsedDag(msgspec.Struct, frozen=True, array_like=True):
    """One DAG as a canonical JSON spec (`dagdeck_core.spec.encode_spec`)."""

    dag_id: str
    spec: bytes
    line: int | None = None


class ParseError(msgspec.Struct, frozen=True, array_like=True):
    """Why a file, or one DAG of it, cannot be used. `line` is in the DAG file itself, where it is known."""

    message: str
    line: int | None = None
    stack_trace: str = ""
    dag_id: str | None = None


class ParsedFile(_Message, frozen=True, tag="parsed"):
    """Child → processor: all that one file gave."""

    path: str
    dags: tuple[ParsedDag, ...] = ()
    errors: tuple[ParseError, ...] = ()
    touched: tuple[str, ...] = ()
    """What its import read of the bundle: files, and listed folders with a slash at the end ("" + "/" is the root)."""
    asked: bool = False
    """Whether it asked for Variables or Connections, which may change without any file changing."""
    duration: float = 0.0
    """Seconds that the import took."""
    outdated: tuple[str, ...] = ()
    """What it uses of earlier Airflow versions, with what to write instead: the first MOST_OUTDATED."""
    reusable: bool = True
    """False when the import left threads, children or too much memory behind."""


ToChild = ParseFile | Reply
FromChild = Ready | ParsedFile | Request

to_child_codec: Codec[ToChild] = Codec(ToChild)
from_child_codec: Codec[FromChild] = Codec(FromChild)


def frame(data: bytes) -> bytes:
    """`data` with its length in front. Raises WireError when it is larger than MAX_FRAME."""
    if len(data) > MAX_FRAME:
        raise WireError(f"a message of {len(data):,} bytes is larger than the {MAX_FRAME:,} allowed")
    return _HEADER.pack(len(data)) + data


class FrameBuffer:
    """Puts messages together from whatever pieces a pipe gives."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The messages that are complete with `piece`. Raises WireError when the stream is not ours."""
        self._data += piece
        complete = []
        while len(self._data) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._data)
            if length > MAX_FRAME:
                raise WireError(f"a message of {length:,} bytes is announced; at most {MAX_FRAME:,} are allowed")
            end = _HEADER.size + length
            if len(self._data) < end:
                break
            complete.append(bytes(self._data[_HEADER.size : end]))
            del self._data[:end]
        return complete


class ChildChannel:
    """The child's end of both pipes: blocking, one thread."""

    def __init__(self, request_fd: int, result_fd: int) -> None:
        self._request_fd = request_fd
        self._result_fd = result_fd
        self._number = 0
        self.asked = False

    def receive(self) -> ToChild | None:
        """The next message, or None when the processor has closed its end."""
        data = self._read_frame()
        return None if data is None else to_child_codec.decode(data)

    def send(self, message: FromChild) -> None:
        """Write `message` whole. Raises WireError when a value cannot travel or it is too large."""
        data = memoryview(frame(from_child_codec.encode(message)))
        while data:
            data = data[os.write(self._result_fd, data) :]

    def request(self, method: str, arguments: dict[str, Any]) -> Reply:
        """Ask the processor on behalf of user code and wait for the answer."""
        self.asked = True
        self._number += 1
        self.send(Request(number=self._number, method=method, arguments=arguments))
        reply = self.receive()
        if not isinstance(reply, Reply) or reply.number != self._number:
            raise EnvironmentFault("the DAG processor did not answer", transient=False)
        return reply

    def _read_frame(self) -> bytes | None:
        header = self._read_exactly(_HEADER.size)
        return None if header is None else self._read_exactly(_HEADER.unpack(header)[0])

    def _read_exactly(self, size: int) -> bytes | None:
        pieces = bytearray()
        while len(pieces) < size:
            piece = os.read(self._request_fd, min(size - len(pieces), 1 << 20))
            if not piece:
                return None
            pieces += piece
        return bytes(pieces)
