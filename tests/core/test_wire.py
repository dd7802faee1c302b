"""Messages: each kind survives the way, and what is foreign, damaged or newer is told apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dagdeck_core import wire
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import (
    WIRE_VERSION,
    Changed,
    DagRunContext,
    Deferral,
    Effects,
    FinishedDispatch,
    Hint,
    LogTail,
    Mask,
    Nudge,
    Outcome,
    Reply,
    Report,
    Request,
    Revoked,
    RunTask,
    Shutdown,
    Started,
    TaskError,
    WireError,
    WorkerSample,
    from_runner_codec,
    queue_codec,
    to_runner_codec,
)

AT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
EFFECTS = Effects(skip=("a",), followed=("b",), mapped_length=3, outlet_events=({"uri": "x"},))
RUN = DagRunContext(
    1, "d", "r", "manual", "running", AT, AT, None, AT, AT, None, {"k": [1, None, "é"]}, "ann", None, "n"
)

QUEUE = [
    Hint(((1, 2), (3, 4))),
    Report(7, (FinishedDispatch(1, 2, 3, TaskInstanceState.UP_FOR_RETRY, 0.5, AT, EFFECTS),), ((1, 2, 3),), 4),
    Nudge("action", "d"),
    Revoked(((1, 2),)),
    WorkerSample(7, AT, 8, 3, 0.5, 1, 2, 0.25, 1.0, 2.0, ((1, 0.5, 2**40),)),
    LogTail(1, 2, 3, b"\x00\xff"),
    Changed(((1, 2, "running"),)),
]
TO_RUNNER = [
    RunTask(1, 2, "t", -1, 1, 0, "/root", "b", "v", "d.py", RUN, 3.5, 10, 20, "resume", '{"x": 1}', AT, "host"),
    Reply(1, {"a": 1}),
    Reply(2, None, ("not_found", "no such variable")),
    Shutdown(),
]
FROM_RUNNER = [
    Started(2, AT, 99),
    Outcome(2, "failed", AT, AT, 5, TaskError("ValueError", "no"), EFFECTS, AT, {"f": "v"}, "label", ("thread x",), 9),
    Outcome(2, "deferred", AT, AT, deferral=Deferral("x.Trigger", "{}", "go_on", "{}", 2.5, "q")),
    Request(1, "xcom_get", {"key": "k"}),
    Mask("secret"),
]


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        *((queue_codec, message) for message in QUEUE),
        *((to_runner_codec, message) for message in TO_RUNNER),
        *((from_runner_codec, message) for message in FROM_RUNNER),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_message_survives_the_way(codec: Any, message: Any) -> None:
    data = codec.encode(message)
    assert data[0] == WIRE_VERSION
    assert codec.decode(data) == message
    assert codec.decode(memoryview(data)) == message


@pytest.mark.parametrize("codec", [queue_codec, to_runner_codec, from_runner_codec])
@pytest.mark.parametrize("damage", ["empty", "newer", "cut", "noise", "kind"])
def test_what_cannot_be_read_is_a_wire_error(codec: Any, damage: str) -> None:
    whole = queue_codec.encode(Hint(((1, 2),)))
    data = {
        "empty": b"",
        "newer": bytes([WIRE_VERSION + 1]) + whole[1:],
        "cut": whole[:-1],
        "noise": bytes([WIRE_VERSION]) + b"\xc1\x00garbage",
        "kind": bytes([WIRE_VERSION]) + msgspec.msgpack.encode(["no_such_kind", 1]),
    }[damage]
    with pytest.raises(WireError):
        codec.decode(data)


def test_a_newer_version_is_named() -> None:
    with pytest.raises(WireError, match=f"wire version {WIRE_VERSION + 1}; this process speaks {WIRE_VERSION}"):
        queue_codec.decode(bytes([WIRE_VERSION + 1]))


def test_what_cannot_travel_is_named() -> None:
    with pytest.raises(WireError, match="Reply cannot be sent"):
        to_runner_codec.encode(Reply(1, object()))
    with pytest.raises(WireError, match="Reply cannot be sent"):
        to_runner_codec.encode(Reply(1, 2**70))


def test_fields_that_were_added_later_may_be_missing() -> None:
    """An older sender's report ends earlier; a newer one's is longer. Both are read."""
    short = bytes([WIRE_VERSION]) + msgspec.msgpack.encode(["report", 7])
    assert queue_codec.decode(short) == Report(7)
    long = bytes([WIRE_VERSION]) + msgspec.msgpack.encode(["nudge", "dag", "d", "more", 5])
    assert queue_codec.decode(long) == Nudge("dag", "d")


def test_messages_are_small() -> None:
    hint = Hint(tuple((2**60 + i, 2**60 + i) for i in range(wire.HINT_LIMIT)))
    assert len(queue_codec.encode(hint)) < 400


def test_every_request_names_its_arguments() -> None:
    assert all(name.islower() and isinstance(arguments, tuple) for name, arguments in wire.REQUEST_METHODS.items())
