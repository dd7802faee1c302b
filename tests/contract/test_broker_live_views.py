"""The embedded queue's live views: nobody waits for their answers, and nothing else is confused by that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import CHANGES, REPORTS
from dagdeck_core.wire import Changed, Hint, Nudge
from dagdeck_io.broker import EmbeddedQueueServer, QueueBroker, open_broker

CHANGE = Changed(((1, 2, "queued"),))
HINT = Hint(((1, 2),))


@pytest.fixture(params=["unix", "tcp"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedQueueServer]:
    """A running embedded queue, on each kind of socket."""
    with EmbeddedQueueServer(tmp_path / "q", transport=request.param) as served:
        yield served


@pytest.fixture
def broker(server: EmbeddedQueueServer) -> Iterator[QueueBroker]:
    """A client of it."""
    with closing(open_broker(server.url, cluster="test")) as client:
        yield client


def _read_all(server: EmbeddedQueueServer, count: int) -> int:
    """How many changes arrive, waiting for `count`."""
    found = 0
    positions = {CHANGES: "0"}
    with closing(open_broker(server.url, cluster="test")) as reader:
        while found < count:
            messages, positions = reader.read(positions, limit=1000, timeout=2)
            if not messages:
                break
            found += len(messages)
    return found


def test_other_requests_get_their_own_answers(server: EmbeddedQueueServer, broker: QueueBroker) -> None:
    position = broker.last_position(REPORTS)
    for number in range(100):
        broker.append(CHANGES, [CHANGE])
        if number % 3 == 0:
            broker.offer("default", [HINT])
            broker.append(CHANGES, [CHANGE])
            assert [each.hint for each in broker.take(["default"], "w", limit=5, timeout=1)] == [HINT]
        if number % 7 == 0:
            broker.append(REPORTS, [Nudge("dag")])
            messages, moved = broker.read({REPORTS: position}, limit=10, timeout=1)
            assert messages == [Nudge("dag")]
            position = moved[REPORTS]
    assert _read_all(server, 134) == 134


def test_what_was_sent_last_before_closing_arrives(server: EmbeddedQueueServer) -> None:
    for _ in range(20):
        with closing(open_broker(server.url, cluster="test")) as short:
            for _ in range(10):
                short.append(CHANGES, [CHANGE])
    assert _read_all(server, 200) == 200


def test_an_interrupt_ends_a_wait_behind_unread_answers(server: EmbeddedQueueServer, broker: QueueBroker) -> None:
    for _ in range(10):
        broker.append(CHANGES, [CHANGE])
    timer = threading.Timer(0.2, broker.interrupt)
    timer.start()
    assert broker.take(["default"], "w", limit=1, timeout=20) == []
    timer.join()
    broker.ping()


def test_a_large_message_is_sent_while_the_queue_is_busy(server: EmbeddedQueueServer, broker: QueueBroker) -> None:
    # More than the socket takes at once, behind answers that nobody has read.
    large = Changed(tuple((number, number, "x" * 100) for number in range(4000)))
    for _ in range(40):
        broker.append(CHANGES, [large])
    broker.ping()
    assert _read_all(server, 1) > 0


def test_a_queue_that_went_away_is_a_fault_of_the_next_request(tmp_path: Path) -> None:
    with EmbeddedQueueServer(tmp_path / "q", transport="unix") as first:
        broker = open_broker(first.url, cluster="test")
        broker.append(CHANGES, [CHANGE])
    with pytest.raises(EnvironmentFault):
        broker.offer("default", [HINT])
    with EmbeddedQueueServer(tmp_path / "q", transport="unix") as second:
        broker.append(CHANGES, [CHANGE])
        broker.offer("default", [HINT])
        assert second.queues.depth("default") == 1
        broker.close()
