"""What the events of the stream mean, as typed messages.

Decides which events are understood; those of a newer server are passed over, malformed ones are named. Follows
docs/push.md. Called by `feed` for small events in the GUI thread, for large ones in a thread of its own.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from dagdeck_desktop.live.sse import SseEvent


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The stream begins. `boot` changes when the server was started anew; `resumed`: no snapshots of known topics."""

    boot: str
    sequence: int = 0
    server_time: datetime | None = None
    resumed: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it is now; it replaces all that was known of it. `data` is None for what does not exist."""

    topic: str
    data: Any


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed of a topic: new values, not operations."""

    topic: str
    data: dict[str, Any]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker measured in the last second."""

    data: dict[str, Any]


class LogPiece(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one dispatch's log, from byte `offset` on."""

    ti_id: str
    dispatch_no: int
    offset: int
    content: bytes


class Source(StrEnum):
    """Where the server itself learns of changes."""

    QUEUE = "queue"
    DATABASE = "database"
    NONE = "none"


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The server is there. `source` is a plain string: a newer server may name another one."""

    source: str = Source.QUEUE
    server_time: datetime | None = None


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """The server closes the stream on purpose."""

    reason: str = ""


SIGNED_OUT = "signed_out"


class _WireLog(msgspec.Struct, frozen=True, kw_only=True):
    ti_id: str
    dispatch_no: int
    offset: int
    base64: str


Message = Hello | Snapshot | Diff | Sample | LogPiece | Heartbeat | Bye


class MalformedEvent(ValueError):
    """An event that is not what its kind promises. Says which and why."""


def read_event(event: SseEvent) -> Message | None:
    """An event's message; None for a kind that is not known. Raises MalformedEvent."""
    try:
        match event.kind:
            case "heartbeat":
                return msgspec.json.decode(event.data, type=Heartbeat)
            case "hello":
                return msgspec.json.decode(event.data, type=Hello)
            case "bye":
                return msgspec.json.decode(event.data, type=Bye)
            case "snapshot":
                return msgspec.json.decode(event.data, type=Snapshot)
            case "diff":
                return msgspec.json.decode(event.data, type=Diff)
            case "sample":
                return Sample(data=msgspec.json.decode(event.data, type=dict[str, Any]))
            case "log":
                wire = msgspec.json.decode(event.data, type=_WireLog)
                content = base64.b64decode(wire.base64, validate=True)
                return LogPiece(ti_id=wire.ti_id, dispatch_no=wire.dispatch_no, offset=wire.offset, content=content)
            case _:
                return None
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise MalformedEvent(f"{event.kind}: {error}") from error
