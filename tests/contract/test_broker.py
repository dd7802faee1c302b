"""One contract for every adapter of the queue: what `dagdeck_core.ports.Broker` promises holds for each of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import LOGS, REPORTS, revocation_topic
from dagdeck_core.wire import Hint, LogTail, Nudge, QueueMessage, Revoked, WireError
from dagdeck_io.broker import (
    BrokerLimits,
    EmbeddedQueueServer,
    MemoryBroker,
    MemoryQueues,
    OffBroker,
    QueueBroker,
    open_broker,
)
from dagdeck_io.broker.redis_broker import FIELD
from tests.support.services import RedisServer

LIMITS = BrokerLimits(max_hints=200, topic_length=300, reports_length=400, topic_bytes=1_000_000)


@dataclass
class Backend:
    """A queue, however it is made: `connect` gives a new adapter, `flush` loses all, `inject` writes raw bytes."""

    connect: Callable[[], QueueBroker]
    flush: Callable[[], object]
    inject: Callable[[str, bytes], object]
    trims_exactly: bool


def _memory(queues: MemoryQueues) -> Backend:
    return Backend(
        lambda: MemoryBroker(queues), queues.flush, lambda queue, data: queues.offer(queue, [data]), trims_exactly=True
    )


def _embedded(server: EmbeddedQueueServer) -> Backend:
    return Backend(
        lambda: open_broker(server.url, cluster="test", limits=LIMITS),
        server.queues.flush,
        lambda queue, data: server.queues.offer(queue, [data]),
        trims_exactly=True,
    )


def _redis(server: RedisServer, url: str) -> Backend:
    def inject(queue: str, data: bytes) -> None:
        import redis

        with redis.Redis.from_url(url) as client:
            client.xadd(f"{{dagdeck:test}}:1:queue:{queue}", {FIELD: data})

    return Backend(
        lambda: open_broker(url, cluster="test", limits=LIMITS),
        lambda: server.execute("FLUSHALL"),
        inject,
        trims_exactly=False,
    )


@pytest.fixture(params=["memory", "embedded-unix", "embedded-tcp", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each kind of queue, empty."""
    if request.param == "memory":
        yield _memory(MemoryQueues(LIMITS))
    elif request.param == "redis":
        server = request.getfixturevalue("redis_server")
        yield _redis(server, request.getfixturevalue("redis_url"))
    else:
        with EmbeddedQueueServer(
            tmp_path / "q", transport=request.param.removeprefix("embedded-"), limits=LIMITS
        ) as served:
            yield _embedded(served)


@pytest.fixture
def connect(backend: Backend) -> Iterator[Callable[[], QueueBroker]]:
    """New adapters, closed at the end."""
    made: list[QueueBroker] = []

    def make() -> QueueBroker:
        made.append(backend.connect())
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(connect: Callable[[], QueueBroker]) -> QueueBroker:
    """One adapter."""
    return connect()


def _hint(*numbers: int) -> Hint:
    return Hint(tuple((number, number * 10) for number in numbers))


def _take(broker: QueueBroker, *queues: str, limit: int = 10, timeout: float = 0.0) -> list[Hint]:
    deliveries = broker.take(queues, "w1", limit=limit, timeout=timeout)
    broker.acknowledge(deliveries)
    return [delivery.hint for delivery in deliveries]


def _nudges(count: int, start: int = 0) -> list[QueueMessage]:
    return [Nudge("action", str(number)) for number in range(start, start + count)]


def _in_background(action: Callable[[], object], delay: float = 0.15) -> threading.Thread:
    def run() -> None:
        time.sleep(delay)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


# ---------------------------------------------------------------- queues


def test_hints_come_in_order_and_each_once(broker: QueueBroker, connect: Callable[[], QueueBroker]) -> None:
    broker.offer("default", [_hint(1), _hint(2), _hint(3)])
    other = connect()
    assert _take(broker, "default", limit=2) == [_hint(1), _hint(2)]
    assert _take(other, "default") == [_hint(3)]
    assert _take(broker, "default") == []


def test_an_offer_of_nothing_is_no_offer(broker: QueueBroker) -> None:
    broker.offer("default", [])
    broker.append(REPORTS, [])
    assert broker.depth("default") == 0


def test_hints_offered_before_the_first_taker_are_kept(broker: QueueBroker, connect: Callable[[], QueueBroker]) -> None:
    broker.offer("default", [_hint(1)])
    assert _take(connect(), "default") == [_hint(1)]


def test_a_taken_hint_is_not_delivered_again(broker: QueueBroker, connect: Callable[[], QueueBroker]) -> None:
    broker.offer("default", [_hint(1)])
    assert len(broker.take(["default"], "w1", limit=1, timeout=0)) == 1
    assert _take(connect(), "default") == []
    assert _take(broker, "default") == []


def test_earlier_queues_come_first_and_the_limit_holds_over_all(broker: QueueBroker) -> None:
    broker.offer("low", [_hint(1), _hint(2)])
    broker.offer("high", [_hint(3), _hint(4)])
    assert _take(broker, "high", "low", limit=3) == [_hint(3), _hint(4), _hint(1)]
    assert _take(broker, "high", "low", limit=3, timeout=0.5) == [_hint(2)]


def test_a_waiting_taker_of_several_queues_keeps_the_limit(
    broker: QueueBroker, connect: Callable[[], QueueBroker]
) -> None:
    taker = connect()
    taken: list[Hint] = []
    _take(taker, "a", "b")  # Both queues exist now.

    def offer() -> None:
        broker.offer("b", [_hint(1)])
        broker.offer("a", [_hint(2)])

    thread = _in_background(offer)
    taken += _take(taker, "a", "b", limit=1, timeout=5)
    assert len(taken) == 1
    thread.join()
    taken += _take(taker, "a", "b", limit=1, timeout=5)
    assert sorted(taken, key=str) == [_hint(1), _hint(2)]


def test_acknowledging_twice_or_after_a_flush_is_harmless(broker: QueueBroker, backend: Backend) -> None:
    broker.offer("default", [_hint(1)])
    deliveries = broker.take(["default"], "w1", limit=1, timeout=0)
    broker.acknowledge(deliveries)
    broker.acknowledge(deliveries)
    backend.flush()
    broker.acknowledge(deliveries)
    broker.acknowledge([])


def test_depth_counts_what_waits(broker: QueueBroker) -> None:
    assert broker.depth("default") == 0
    broker.offer("default", [_hint(1), _hint(2), _hint(3)])
    assert broker.depth("default") == 3
    deliveries = broker.take(["default"], "w1", limit=2, timeout=0)
    assert broker.depth("default") == 1
    broker.acknowledge(deliveries)
    assert broker.depth("default") == 1
    assert broker.depth("nobody knows it") == 0


def test_the_age_of_the_oldest_waiting_hint_is_known(broker: QueueBroker) -> None:
    assert broker.oldest_age("default") is None
    broker.offer("default", [_hint(1)])
    time.sleep(0.12)
    broker.offer("default", [_hint(2)])
    age = broker.oldest_age("default")
    assert age is not None
    assert 0.1 <= age < 5
    _take(broker, "default", limit=1)
    younger = broker.oldest_age("default")
    assert younger is not None
    assert younger < age
    _take(broker, "default")
    assert broker.oldest_age("default") is None


def test_take_waits_for_a_hint_and_no_longer(broker: QueueBroker, connect: Callable[[], QueueBroker]) -> None:
    taker = connect()
    start = time.monotonic()
    thread = _in_background(lambda: broker.offer("default", [_hint(7)]))
    assert _take(taker, "default", timeout=10) == [_hint(7)]
    assert 0.1 < time.monotonic() - start < 2
    thread.join()


def test_take_gives_up_after_its_timeout(broker: QueueBroker) -> None:
    start = time.monotonic()
    assert _take(broker, "default", timeout=0.3) == []
    assert 0.25 < time.monotonic() - start < 2


def test_take_ends_when_interrupted(broker: QueueBroker) -> None:
    start = time.monotonic()
    thread = _in_background(broker.interrupt)
    assert _take(broker, "default", timeout=10) == []
    assert 0.1 < time.monotonic() - start < 2
    thread.join()
    broker.offer("default", [_hint(1)])
    assert _take(broker, "default", timeout=5) == [_hint(1)]


def test_an_interrupt_ends_the_next_wait_once(broker: QueueBroker) -> None:
    broker.interrupt()
    start = time.monotonic()
    assert _take(broker, "default", timeout=5) == []
    assert time.monotonic() - start < 2
    assert _take(broker, "default", timeout=0.3) == []
    assert time.monotonic() - start > 0.25


def test_interrupts_never_break_other_calls(broker: QueueBroker) -> None:
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            broker.interrupt()
            time.sleep(0.002)

    thread = threading.Thread(target=disturb)
    thread.start()
    taken: list[Hint] = []
    try:
        for number in range(60):
            broker.offer("default", [_hint(number)])
            taken += _take(broker, "default", timeout=0.02)
            broker.ping()
    finally:
        stop.set()
        thread.join()
    taken += _take(broker, "default", limit=100, timeout=0.1) + _take(broker, "default", limit=100, timeout=0.1)
    # A hint may get lost when a wait is cut off just as it arrives; the database offers it again.
    assert len(set(taken)) == len(taken) >= 55


def test_a_full_queue_drops_its_oldest_and_says_so(broker: QueueBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for start in range(0, 1000, 50):
        broker.offer("default", [_hint(number) for number in range(start, start + 50)])
    assert 200 <= broker.depth("default") <= 320
    hints = _take(broker, "default", limit=1000)
    assert hints[-1] == _hint(999)
    assert _hint(0) not in hints
    assert "queue.max_hints" in caplog.text


def test_poison_is_passed_over_counted_and_logged_once(
    broker: QueueBroker, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    broker.offer("default", [_hint(1)])
    for data in (b"", b"\x01garbage", b"\x63" + b"from the future"):
        backend.inject("default", data)
    broker.append(revocation_topic(1), [Revoked(((1, 1),))])
    broker.offer("default", [_hint(2)])
    assert _take(broker, "default", timeout=2) == [_hint(1), _hint(2)]
    assert broker.poisoned == 3
    assert broker.depth("default") == 0
    assert len([record for record in caplog.records if "dropped" in record.message]) == 1


def test_poison_alone_does_not_end_the_wait(
    broker: QueueBroker, connect: Callable[[], QueueBroker], backend: Backend
) -> None:
    source = connect()
    backend.inject("default", b"garbage")
    thread = _in_background(lambda: backend.inject("default", b"more"), delay=0.1)
    later = _in_background(lambda: source.offer("default", [_hint(5)]), delay=0.3)
    assert _take(broker, "default", timeout=5) == [_hint(5)]
    thread.join()
    later.join()


def test_a_message_that_is_too_large_is_refused(broker: QueueBroker) -> None:
    huge = LogTail(1, 1, 0, bytes(LIMITS.max_message_bytes))
    with pytest.raises(WireError, match="larger than the queue takes"):
        broker.append(LOGS, [huge])
    broker.ping()


def test_names_may_hold_any_character(broker: QueueBroker) -> None:
    for name in ("größe ☃", "a b:c*{d}", "x" * 200):
        broker.offer(name, [_hint(1)])
        assert _take(broker, name) == [_hint(1)]


# ---------------------------------------------------------------- topics


def test_every_reader_gets_every_later_message(broker: QueueBroker, connect: Callable[[], QueueBroker]) -> None:
    other = connect()
    broker.append(REPORTS, _nudges(2))
    here, there = {REPORTS: broker.last_position(REPORTS)}, {REPORTS: other.last_position(REPORTS)}
    broker.append(REPORTS, _nudges(3, start=2))
    messages, here = broker.read(here, limit=2, timeout=0)
    assert messages == _nudges(2, start=2)
    messages, here = broker.read(here, limit=2, timeout=0)
    assert messages == _nudges(1, start=4)
    assert broker.read(here, limit=2, timeout=0)[0] == []
    assert other.read(there, limit=10, timeout=0)[0] == _nudges(3, start=2)


def test_an_unknown_topic_has_a_position(broker: QueueBroker) -> None:
    position = broker.last_position("new")
    broker.append("new", _nudges(1))
    assert broker.read({"new": position}, limit=5, timeout=0)[0] == _nudges(1)


def test_read_waits_for_a_message(broker: QueueBroker, connect: Callable[[], QueueBroker]) -> None:
    reader = connect()
    positions = {"a": reader.last_position("a"), "b": reader.last_position("b")}
    start = time.monotonic()
    thread = _in_background(lambda: broker.append("b", _nudges(1)))
    messages, moved = reader.read(positions, limit=10, timeout=10)
    assert messages == _nudges(1)
    assert moved["a"] == positions["a"]
    assert time.monotonic() - start < 2
    thread.join()


def test_read_gives_up_after_its_timeout_and_when_interrupted(broker: QueueBroker) -> None:
    positions = {"a": broker.last_position("a")}
    start = time.monotonic()
    assert broker.read(positions, limit=10, timeout=0.3)[0] == []
    assert 0.25 < time.monotonic() - start < 2
    thread = _in_background(broker.interrupt)
    messages, moved = broker.read(positions, limit=10, timeout=10)
    assert messages == []
    assert time.monotonic() - start < 4
    thread.join()
    broker.append("a", _nudges(1))
    assert broker.read(moved, limit=10, timeout=5)[0] == _nudges(1)


def test_a_busy_topic_does_not_hide_another(broker: QueueBroker) -> None:
    positions = {"busy": broker.last_position("busy"), "calm": broker.last_position("calm")}
    broker.append("busy", _nudges(50))
    broker.append("calm", [Nudge("pool")])
    messages, moved = broker.read(positions, limit=10, timeout=0)
    assert len(messages) <= 10
    assert Nudge("pool") in messages
    rest: list[QueueMessage] = []
    while more := broker.read(moved, limit=10, timeout=0)[0]:
        rest += more
        moved = broker.read(moved, limit=10, timeout=0)[1]
    assert [each for each in messages + rest if each != Nudge("pool")] == _nudges(50)


def test_a_topic_keeps_about_its_last_messages(broker: QueueBroker, backend: Backend) -> None:
    start = broker.last_position("live")
    broker.append("live", _nudges(1000))
    messages, _ = broker.read({"live": start}, limit=2000, timeout=0)
    assert messages == _nudges(len(messages), start=1000 - len(messages))
    assert len(messages) == 300 if backend.trims_exactly else 300 <= len(messages) <= 500


def test_a_topic_is_bounded_in_bytes(broker: QueueBroker) -> None:
    start = broker.last_position(LOGS)
    for number in range(100):
        broker.append(LOGS, [LogTail(1, 1, number, bytes(50_000))])
    messages, _ = broker.read({LOGS: start}, limit=1000, timeout=0)
    assert 15 <= len(messages) <= 40
    assert isinstance(messages[-1], LogTail)
    assert messages[-1].offset == 99


def test_large_answers_come_in_parts(broker: QueueBroker) -> None:
    tails = [LogTail(1, 1, number, bytes(100_000)) for number in range(9)]
    start = broker.last_position(LOGS)
    broker.append(LOGS, tails)
    messages: list[QueueMessage] = []
    positions = {LOGS: start}
    while len(messages) < 9:
        more, positions = broker.read(positions, limit=100, timeout=1)
        assert more
        messages += more
    assert messages == tails


# ---------------------------------------------------------------- faults


def test_after_a_flush_everything_goes_on(
    broker: QueueBroker, connect: Callable[[], QueueBroker], backend: Backend
) -> None:
    reader = connect()
    broker.append(REPORTS, _nudges(5))
    positions = {REPORTS: reader.last_position(REPORTS)}
    broker.offer("default", [_hint(1)])
    assert _take(broker, "default") == [_hint(1)]
    backend.flush()
    broker.offer("default", [_hint(2)])
    broker.append(REPORTS, _nudges(1, start=5))
    assert _take(broker, "default", timeout=2) == [_hint(2)]
    assert reader.read(positions, limit=10, timeout=1)[0] == _nudges(1, start=5)


def test_a_flush_during_a_wait_goes_unnoticed(
    broker: QueueBroker, connect: Callable[[], QueueBroker], backend: Backend
) -> None:
    taker, reader = connect(), connect()
    _take(taker, "default")
    position = {REPORTS: reader.last_position(REPORTS)}
    read: list[QueueMessage] = []
    reading = threading.Thread(target=lambda: read.extend(reader.read(position, limit=5, timeout=10)[0]))
    reading.start()

    def flush_then_offer() -> None:
        backend.flush()
        time.sleep(0.2)
        broker.offer("default", [_hint(3)])
        broker.append(REPORTS, _nudges(1))

    thread = _in_background(flush_then_offer)
    assert _take(taker, "default", timeout=10) == [_hint(3)]
    thread.join()
    reading.join(timeout=10)
    assert read == _nudges(1)


def test_many_takers_share_the_work(connect: Callable[[], QueueBroker]) -> None:
    source = connect()
    takers = [connect() for _ in range(4)]
    taken: list[list[Hint]] = [[] for _ in takers]

    def work(index: int) -> None:
        while hints := _take(takers[index], "default", limit=3, timeout=0.7):
            taken[index] += hints

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(takers))]
    for thread in threads:
        thread.start()
    for number in range(100):
        source.offer("default", [_hint(number)])
    for thread in threads:
        thread.join()
    assert sorted(hint.dispatches[0][0] for hints in taken for hint in hints) == list(range(100))


# ---------------------------------------------------------------- the queue that is off


def test_off_offers_vanish_and_nothing_ever_comes() -> None:
    broker = open_broker("off", cluster="test")
    assert isinstance(broker, OffBroker)
    broker.offer("default", [_hint(1)])
    broker.append(REPORTS, _nudges(1))
    assert broker.depth("default") == 0
    start = time.monotonic()
    assert broker.take(["default"], "w1", limit=1, timeout=0.15) == []
    messages, positions = broker.read({REPORTS: "0"}, limit=1, timeout=0.15)
    assert (messages, positions) == ([], {REPORTS: "0"})
    assert time.monotonic() - start > 0.28
    thread = _in_background(broker.interrupt, delay=0.1)
    assert broker.take(["default"], "w1", limit=1, timeout=10) == []
    assert time.monotonic() - start < 3
    thread.join()


def test_an_adapter_connects_on_first_use_only(tmp_path: Path) -> None:
    for url in ("redis://127.0.0.1:1/0", f"embedded+unix://{tmp_path}/none?token_file={tmp_path}/none"):
        broker = open_broker(url, cluster="test")
        with pytest.raises(EnvironmentFault) as caught:
            broker.ping()
        assert caught.value.transient
        broker.close()
