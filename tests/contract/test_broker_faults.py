"""What the queue's adapters do when Redis or the embedded server fails, and what that server does about bad clients."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import REPORTS, revocation_topic
from dagdeck_core.wire import Hint, Nudge, Revoked
from dagdeck_io.broker import (
    BrokerLimits,
    EmbeddedQueueServer,
    QueueBroker,
    broker_for,
    embedded_server,
    frames,
    open_broker,
    redis_broker,
)
from dagdeck_io.settings import load_settings
from tests.support.services import RedisServer

HINT = Hint(((1, 10),))
Opener = Callable[..., QueueBroker]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Like `open_broker`; what it opened is closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(url: str, *, cluster: str = "test", **options: float) -> QueueBroker:
            broker = open_broker(url, cluster=cluster, **options)  # type: ignore[arg-type]
            stack.callback(broker.close)
            return broker

        yield make


def _seconds(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def _faults(action: Callable[[], object]) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as caught:
        action()
    return caught.value


# ---------------------------------------------------------------- Redis


def test_redis_killed_and_restarted(redis_server: RedisServer, redis_url: str, opened: Opener) -> None:
    broker, waiting = opened(redis_url), opened(redis_url)
    broker.offer("default", [HINT])
    position = {REPORTS: broker.last_position(REPORTS)}
    killer = threading.Timer(0.3, redis_server.kill)
    killer.start()
    fault = _faults(lambda: waiting.take(["other"], "w1", limit=1, timeout=20))
    killer.join()
    assert fault.transient
    assert f"127.0.0.1:{redis_server.port}" in str(fault)
    assert "queue.url" in str(fault)
    assert _seconds(lambda: _faults(lambda: broker.offer("default", [HINT]))) < 2
    redis_server.start()
    broker.offer("default", [HINT])
    assert [each.hint for each in waiting.take(["default"], "w1", limit=5, timeout=5)] == [HINT]
    broker.append(REPORTS, [Nudge("action")])
    assert broker.read(position, limit=5, timeout=1)[0] == [Nudge("action")]


def test_a_connection_that_broke_while_idle_is_replaced(
    redis_server: RedisServer, redis_url: str, opened: Opener
) -> None:
    broker = opened(redis_url)
    broker.ping()
    redis_server.restart(crash=True)
    broker.offer("default", [HINT])
    assert broker.depth("default") == 1


def test_a_short_freeze_is_waited_out(redis_server: RedisServer, redis_url: str, opened: Opener) -> None:
    broker, taker = opened(redis_url), opened(redis_url)
    broker.ping()
    redis_server.freeze()
    thaw = threading.Timer(3.0, redis_server.thaw)
    thaw.start()
    assert 2 < _seconds(lambda: broker.offer("default", [HINT])) < 5
    thaw.join()
    assert len(taker.take(["default"], "w1", limit=1, timeout=2)) == 1


def test_a_long_freeze_is_a_fault_and_can_be_interrupted(
    redis_server: RedisServer, redis_url: str, opened: Opener
) -> None:
    broker = opened(redis_url, answer_timeout=0.8)
    broker.take(["default"], "w1", limit=1, timeout=0)
    redis_server.freeze()
    try:
        assert _seconds(lambda: _faults(lambda: broker.take(["default"], "w1", limit=1, timeout=30))) < 4
        assert _seconds(lambda: _faults(lambda: broker.offer("default", [HINT]))) < 4
        patient = opened(redis_url, answer_timeout=20.0)
        interrupter = threading.Timer(0.3, patient.interrupt)
        interrupter.start()
        assert _seconds(lambda: patient.take(["default"], "w1", limit=1, timeout=30)) < 2
        interrupter.join()
    finally:
        redis_server.thaw()
    broker.offer("default", [HINT])
    assert len(patient.take(["default"], "w1", limit=5, timeout=2)) >= 1


def test_a_wrong_password_is_said_and_never_shown(opened: Opener) -> None:
    with RedisServer(password="ri:ght/p@ss") as server:
        opened(server.url()).ping()
        for url in (
            f"redis://:wr0ngpass@127.0.0.1:{server.port}/0",
            f"redis://127.0.0.1:{server.port}/0",
            f"redis://nobody:wr0ngpass@127.0.0.1:{server.port}/0",
        ):
            broker = opened(url)
            fault = _faults(broker.ping)
            assert not fault.transient
            assert "refuses the sign-in" in str(fault)
            assert str(server.port) in str(fault)
            assert "wr0ngpass" not in str(fault)


def test_errors_of_redis_are_named(redis_server: RedisServer, redis_url: str, opened: Opener) -> None:
    broker = opened(redis_url)
    redis_server.execute("SET", "{dagdeck:test}:1:queue:default", "a stranger's")
    fault = _faults(lambda: broker.offer("default", [HINT]))
    assert not fault.transient
    assert "queue.cluster" in str(fault)
    redis_server.execute("ACL", "SETUSER", "guest", "on", ">pw", "~*", "+ping")
    guest = opened(f"redis://guest:pw@127.0.0.1:{redis_server.port}/0")
    guest.ping()
    assert "forbids a command" in str(_faults(lambda: guest.offer("other", [HINT])))
    redis_server.execute("ACL", "DELUSER", "guest")
    redis_server.execute("CONFIG", "SET", "maxmemory", "1")
    try:
        assert "maxmemory" in str(_faults(lambda: broker.offer("other", [HINT])))
    finally:
        redis_server.execute("CONFIG", "SET", "maxmemory", "0")
    broker.offer("other", [HINT])


@pytest.mark.parametrize(
    "url",
    [
        "redis://:geheim@h:port/0",
        "redis://:geheim@h:6379/0?no_such_option=1",
        "redis://:geheim@h:6379/0?db=x",
        "amqp://u:geheim@h/0",
        "embedded",
        "embedded+unix:///geheim",
        "embedded+tcp://127.0.0.1?token_file=/geheim",
    ],
)
def test_bad_urls_are_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(UserError) as caught:
        open_broker(url, cluster="test")
    assert "geheim" not in str(caught.value)
    assert caught.value.field == "queue.url"
    assert "redis://" in str(caught.value) or "embedded+" in str(caught.value)


def test_clusters_on_one_redis_do_not_meet(redis_url: str, opened: Opener) -> None:
    here, there = opened(redis_url, cluster="here"), opened(redis_url, cluster="there")
    here.offer("default", [HINT])
    assert there.depth("default") == 0
    assert there.take(["default"], "w1", limit=1, timeout=0) == []
    assert len(here.take(["default"], "w1", limit=1, timeout=0)) == 1


def test_what_vanished_workers_took_is_deleted(
    redis_server: RedisServer, redis_url: str, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(redis_url).offer("default", [HINT, HINT])
    assert len(opened(redis_url).take(["default"], "vanished", limit=2, timeout=0)) == 2
    for name in ("SWEEP_SECONDS", "ABANDONED_SECONDS", "CONSUMER_SECONDS"):
        monkeypatch.setattr(redis_broker, name, -1.0 if name == "SWEEP_SECONDS" else 0.0)
    time.sleep(0.01)
    broker = opened(redis_url)
    assert broker.take(["default"], "w1", limit=1, timeout=0.1) == []
    key = "{dagdeck:test}:1:queue:default"
    assert redis_server.execute("XLEN", key) == b":0\r\n"
    assert b"vanished" not in redis_server.execute("XINFO", "CONSUMERS", key, "workers")
    assert broker.depth("default") == 0


def test_topics_of_single_workers_are_forgotten_some_day(
    redis_server: RedisServer, redis_url: str, opened: Opener
) -> None:
    broker = opened(redis_url)
    broker.append(revocation_topic(7), [Revoked(((1, 1),))])
    broker.append(REPORTS, [Nudge("action")])
    expiry = int(redis_server.execute("TTL", f"{{dagdeck:test}}:1:topic:{revocation_topic(7)}")[1:])
    assert 80_000 < expiry <= 86_400
    assert redis_server.execute("TTL", f"{{dagdeck:test}}:1:topic:{REPORTS}") == b":-1\r\n"


def test_a_hint_arrives_at_once(redis_url: str, opened: Opener) -> None:
    source, taker = opened(redis_url), opened(redis_url)
    arrivals: list[float] = []

    def take() -> None:
        for _ in range(30):
            taker.acknowledge(taker.take(["default"], "w1", limit=1, timeout=5))
            arrivals.append(time.monotonic())

    thread = threading.Thread(target=take)
    thread.start()
    offers: list[float] = []
    for number in range(30):
        time.sleep(0.005)
        offers.append(time.monotonic())
        source.offer("default", [HINT])
        while len(arrivals) <= number and thread.is_alive():
            time.sleep(0.0005)
    thread.join()
    # 0.1 ms on a quiet machine; any polling on the way would cost far more than this bound.
    assert statistics.median(b - a for a, b in zip(offers, arrivals, strict=True)) < 0.02


# ---------------------------------------------------------------- the embedded queue


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedQueueServer]:
    """A running embedded queue."""
    with EmbeddedQueueServer(tmp_path / "q", transport="unix") as served:
        yield served


def _raw(tmp_path: Path, *, greet: bool = True) -> socket.socket:
    """A bare connection, after its greeting if wished."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(str(tmp_path / "q" / embedded_server.SOCKET_FILE))
    if greet:
        token = (tmp_path / "q" / embedded_server.TOKEN_FILE).read_text()
        connection.sendall(frames.pack(frames.Hello(frames.PROTOCOL_VERSION, token)))
        assert isinstance(_answer(connection), frames.Done)
    return connection


def _answer(connection: socket.socket) -> frames.Answer:
    length = frames.body_length(connection.recv(4, socket.MSG_WAITALL))
    return frames.read_answer(connection.recv(length, socket.MSG_WAITALL))


def _is_cut_off(connection: socket.socket) -> bool:
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def test_only_this_user_may_reach_it(server: EmbeddedQueueServer, tmp_path: Path) -> None:
    folder = tmp_path / "q"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in (embedded_server.SOCKET_FILE, embedded_server.TOKEN_FILE):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 4,
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        frames.pack(frames.Ping()),
        frames.pack(frames.Hello(frames.PROTOCOL_VERSION, "wrong")),
        frames.pack(frames.Hello(99, "wrong")),
        frames.pack(frames.Hello(frames.PROTOCOL_VERSION, "ungültig")),
    ],
)
def test_strangers_are_cut_off(server: EmbeddedQueueServer, tmp_path: Path, opened: Opener, data: bytes) -> None:
    with _raw(tmp_path, greet=False) as stranger:
        stranger.sendall(data)
        assert _is_cut_off(stranger)
    opened(server.url).ping()


@pytest.mark.parametrize(
    "data",
    [
        b"\x05\x00\x00\x00hello",
        b"\xff\xff\xff\x7f",
        frames.pack(frames.Hello(frames.PROTOCOL_VERSION, "again")),
        frames.pack(frames.Take(("a",), 1, 60.0)) + frames.pack(frames.Ping()),
    ],
)
def test_malformed_frames_cost_only_their_client(
    server: EmbeddedQueueServer, tmp_path: Path, opened: Opener, data: bytes
) -> None:
    with _raw(tmp_path) as client:
        client.sendall(data)
        assert _is_cut_off(client)
    opened(server.url).ping()


def test_frames_may_come_byte_by_byte_and_several_at_once(server: EmbeddedQueueServer, tmp_path: Path) -> None:
    with _raw(tmp_path) as client:
        for byte in frames.pack(frames.Ping()):
            client.sendall(bytes([byte]))
        assert isinstance(_answer(client), frames.Done)
        client.sendall(frames.pack(frames.Offer("a", (b"x",))) + frames.pack(frames.Inspect("a")))
        assert isinstance(_answer(client), frames.Done)
        inspected = _answer(client)
        assert isinstance(inspected, frames.Inspected)
        assert inspected.depth == 1


def test_who_does_not_greet_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "HELLO_SECONDS", 0.2)
    with EmbeddedQueueServer(tmp_path / "q", transport="unix"), _raw(tmp_path, greet=False) as silent:
        assert _seconds(lambda: _is_cut_off(silent)) < 3


def test_too_many_connections_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "MAX_CONNECTIONS", 2)
    with EmbeddedQueueServer(tmp_path / "q", transport="unix"):
        with _raw(tmp_path), _raw(tmp_path), _raw(tmp_path, greet=False) as third:
            assert _is_cut_off(third)


def test_a_wrong_or_missing_token_is_a_fault(server: EmbeddedQueueServer, tmp_path: Path, opened: Opener) -> None:
    other = tmp_path / "other-token"
    broker = opened(f"{server.url.partition('?')[0]}?token_file={other}")
    assert "No such file" in str(_faults(broker.ping))
    other.write_text("wrong")
    assert "token is wrong" in str(_faults(broker.ping))
    other.write_text((tmp_path / "q" / embedded_server.TOKEN_FILE).read_text())
    broker.ping()


def test_a_vanished_taker_takes_nothing(server: EmbeddedQueueServer, tmp_path: Path, opened: Opener) -> None:
    with _raw(tmp_path) as vanishing:
        vanishing.sendall(frames.pack(frames.Take(("default",), 1, 60.0)))
        time.sleep(0.1)
    broker = opened(server.url)
    broker.offer("default", [HINT])
    assert [each.hint for each in broker.take(["default"], "w1", limit=1, timeout=2)] == [HINT]


def test_hints_that_were_not_delivered_go_back(server: EmbeddedQueueServer, tmp_path: Path, opened: Opener) -> None:
    payloads = [bytes([number]) * 100_000 for number in range(30)]
    server.queues.offer("default", payloads)
    with _raw(tmp_path) as slow:
        slow.sendall(frames.pack(frames.Take(("default",), 30, 60.0)))
        time.sleep(0.2)
        assert server.queues.depth("default") == 0
    broker = opened(server.url)
    deadline = time.monotonic() + 5
    while broker.depth("default") != 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [each.payload for each in server.queues.take_now(["default"], 30)] == payloads


def test_a_restarted_server_is_found_again(tmp_path: Path, opened: Opener) -> None:
    with EmbeddedQueueServer(tmp_path / "q", transport="unix") as first:
        broker, waiting = opened(first.url), opened(first.url)
        broker.ping()
        closer = threading.Timer(0.2, first.close)
        closer.start()
        assert _seconds(lambda: _faults(lambda: waiting.take(["default"], "w1", limit=1, timeout=20))) < 3
        closer.join()
        assert _faults(broker.ping).transient
        assert "standalone" in str(_faults(broker.ping))
    with EmbeddedQueueServer(tmp_path / "q", transport="unix"):
        broker.offer("default", [HINT])
        assert len(waiting.take(["default"], "w1", limit=1, timeout=1)) == 1


def test_one_folder_has_one_server(server: EmbeddedQueueServer, tmp_path: Path, opened: Opener) -> None:
    second = EmbeddedQueueServer(tmp_path / "q", transport="unix")
    assert "another process" in str(_faults(second.start))
    opened(server.url).ping()


def test_a_socket_left_behind_is_replaced(tmp_path: Path, opened: Opener) -> None:
    (tmp_path / "q").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "q" / embedded_server.SOCKET_FILE))
    with EmbeddedQueueServer(tmp_path / "q") as server:
        opened(server.url).ping()
    assert os.listdir(tmp_path / "q") == []


def test_a_path_too_long_for_a_socket_falls_back_to_tcp(tmp_path: Path, opened: Opener) -> None:
    deep = tmp_path / ("x" * 120)
    with EmbeddedQueueServer(deep) as server:
        assert server.url.startswith("embedded+tcp://127.0.0.1:")
        opened(server.url).ping()
    assert "queue.embedded_transport" in str(_faults(EmbeddedQueueServer(deep, transport="unix").start))


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fault = _faults(EmbeddedQueueServer(tmp_path / "file" / "q").start)
    assert str(tmp_path) in str(fault)


def test_waiting_clients_cost_nothing(server: EmbeddedQueueServer, opened: Opener) -> None:
    brokers = [opened(server.url) for _ in range(5)]
    threads = [
        threading.Thread(target=broker.take, args=(["default"], "w1"), kwargs={"limit": 1, "timeout": 30})
        for broker in brokers
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(0.8)
    spent = time.process_time() - before
    for broker in brokers:
        broker.interrupt()
    for thread in threads:
        thread.join()
    assert spent < 0.05


def test_many_clients_at_once(server: EmbeddedQueueServer, opened: Opener) -> None:
    brokers = [opened(server.url) for _ in range(12)]
    taken: list[Hint] = []

    def produce(index: int) -> None:
        for number in range(50):
            brokers[index].offer("default", [Hint(((index, number),))])

    def consume(index: int) -> None:
        while found := brokers[index].take(["default"], "w", limit=4, timeout=1.0):
            taken.extend(each.hint for each in found)

    threads = [threading.Thread(target=produce if index < 6 else consume, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(hint.dispatches[0] for hint in taken) == [
        (index, number) for index in range(6) for number in range(50)
    ]


def test_the_settings_choose_the_queue_and_its_bounds(server: EmbeddedQueueServer, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "DAGDECK__QUEUE__URL": server.url, "DAGDECK__QUEUE__TOPIC_LENGTH": "123"}
    settings = load_settings(environ=environ, config_files=())
    broker = broker_for(settings.queue)
    broker.offer("default", [HINT])
    assert server.queues.depth("default") == 1
    broker.close()
    limits = BrokerLimits(topic_length=123, reports_length=7)
    assert (limits.length_of("changes"), limits.length_of(REPORTS)) == (123, 7)
