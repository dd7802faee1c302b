"""The event stream when something fails.

Slow clients, a queue that is off, dies or forgets, a database that is away, an API started anew, a bug in one topic.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import pytest

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import CHANGES, Broker
from dagdeck_core.wire import Changed
from dagdeck_io.broker import MemoryBroker, MemoryQueues, OffBroker
from dagdeck_io.broker.redis_broker import RedisBroker
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import dag_run, task_instance, transition
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import Settings, load_settings
from dagdeck_master.api.app import bind, create_app
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.push.history import History
from dagdeck_master.api.push.reader import Pace
from dagdeck_master.api.push.streams import EventStreams, StreamLimits
from dagdeck_master.api.push.topics_of_runs import HomeTopic
from dagdeck_master.api.users import TokenScope, create_user, issue_token
from tests.integration.api_cluster import publish, sample_specs, serving
from tests.integration.push_client import EVENTS, PushClient, tasks_of
from tests.support.services import RedisServer

TOPIC = "run:pipeline/r"
NEVER = Pace(compare=3600.0)
"""Nothing is found by comparing, so that a test shows what hints do."""


class Bench:
    """An API process's parts over a database in which a test writes like a scheduler; see `bench`."""

    def __init__(self, database: Database, settings: Settings, token: str) -> None:
        self.database = database
        self.settings = settings
        self.token = token
        self.run_key = 0
        self.tasks: list[int] = []
        self.streams: EventStreams

    def until(self, condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
        """Wait for something."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            time.sleep(0.02)

    def make_run(self, tasks: int) -> None:
        """A running run with so many task instances."""
        now = datetime.now(UTC)
        self.run_key = self.database.new_id()
        self.tasks = [self.database.new_id() for _ in range(tasks)]
        with self.database.writing() as connection:
            connection.execute(
                dag_run.insert().values(
                    run_key=self.run_key,
                    dag_id="pipeline",
                    run_id="r",
                    version_id=1,
                    state="running",
                    run_type="manual",
                    run_after=now,
                    created_tasks=tasks,
                    updated_at=now,
                )
            )
            connection.execute(
                task_instance.insert(),
                [
                    {
                        "ti_id": ti_id,
                        "run_key": self.run_key,
                        "task_id": f"t{number:05}",
                        "version_id": 1,
                        "pool": "default_pool",
                        "queue": "default",
                        "updated_at": now,
                    }
                    for number, ti_id in enumerate(self.tasks)
                ],
            )

    def move(
        self, numbers: list[int], state: str, broker: Broker | None = None, *, transition_id: int | None = None
    ) -> None:
        """Commit a state of some task instances, with transitions, and tell it when there is a queue."""
        ids = [self.tasks[number] for number in numbers]
        now = datetime.now(UTC)
        with self.database.writing() as connection:
            for start in range(0, len(ids), 500):
                some = ids[start : start + 500]
                connection.execute(task_instance.update().where(task_instance.c.ti_id.in_(some)).values(state=state))
                connection.execute(
                    transition.insert(),
                    [
                        {
                            "transition_id": transition_id or self.database.new_id(),
                            "run_key": self.run_key,
                            "ti_id": ti_id,
                            "from_state": "none",
                            "to_state": state,
                            "at": now,
                            "actor": "scheduler",
                        }
                        for ti_id in some
                    ],
                )
        if broker is not None:
            broker.append(CHANGES, [Changed(tuple((self.run_key, ti_id, state) for ti_id in ids))])

    @contextmanager
    def serving(
        self, connect: Callable[[], Broker] | None, pace: Pace = NEVER, limits: StreamLimits | None = None
    ) -> Iterator[httpx.Client]:
        """An API process."""
        app = create_app(self.database, None, self.settings, connect_live=connect)
        self.streams = app.state.context.streams
        self.streams._reader._pace = pace
        self.streams.limits = limits or StreamLimits()
        with serving(app, self.settings) as url:
            with httpx.Client(base_url=url, verify=False) as http:
                yield http

    def listen(self, http: httpx.Client, *topics: str, **more: Any) -> PushClient:
        """A stream."""
        return PushClient(http, self.token, *(topics or (TOPIC,)), **more)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    url = f"sqlite:///{tmp_path / 'dagdeck.db'}"
    migrations.upgrade(url)
    database = open_database(url, key=generate_key())
    publish(database, sample_specs(), [], "1")
    now = datetime.now(UTC)
    user_id = database.new_id()
    with database.writing() as connection:
        create_user(connection, user_id=user_id, username="v", password=None, role=Role.VIEWER, now=now)
    token = issue_token(database, user_id=user_id, scope=TokenScope(origin="api"), now=now, lifetime=None)
    overrides = {"paths.home": str(tmp_path), "database.url": url}
    yield Bench(database, load_settings(environ={}, config_files=[], overrides=overrides), token)
    database.close()


def sees(number: int, state: str) -> Callable[[PushClient], bool]:
    return lambda client: tasks_of(client, TOPIC).get(f"t{number:05}") == state


class TestSlowClients:
    @pytest.fixture(autouse=True)
    def little_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel would take megabytes for a client that does not read; here it is felt at once."""

        def bind_with_little_room(host: str, port: int) -> socket.socket:
            listener = bind(host, port)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            return listener

        monkeypatch.setattr("tests.integration.api_cluster.bind", bind_with_little_room)

    def test_it_gets_snapshots_instead_of_its_backlog_and_holds_nobody_up(self, bench: Bench) -> None:
        bench.make_run(400)
        queues = MemoryQueues()
        broker = MemoryBroker(queues)
        limits = StreamLimits(waiting_bytes=200_000)
        with bench.serving(lambda: MemoryBroker(queues), limits=limits) as http, bench.listen(http) as quick:
            quick.first("snapshot")
            slow = self.open_and_do_not_read(bench, http)
            everything = list(range(400))
            for turn in range(20):
                state = "running" if turn % 2 else "queued"
                bench.move(everything, state, broker)
                # The quick one is never behind while the other sleeps.
                quick.until(sees(399, state), f"turn {turn}", timeout=5.0)
            bench.move(everything, "success", broker)
            quick.until(sees(399, "success"), "the end")
            assert len(quick.of("snapshot")) == 1
            text = self.read_until(slow, b'"success"')
            snapshots, diffs = text.count(b"event: snapshot"), text.count(b"event: diff")
            assert snapshots >= 2
            assert diffs < len(quick.of("diff"))
            last = text.rindex(b"event: snapshot")
            assert text.count(b'"success"', last) >= 400

    def open_and_do_not_read(self, bench: Bench, http: httpx.Client) -> socket.socket:
        target = urlsplit(str(http.base_url))
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect((target.hostname, target.port))
        request = f"GET {EVENTS}?subscribe={TOPIC} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n\r\n"
        plain.sendall(request.encode())
        return plain

    def read_until(self, plain: socket.socket, needle: bytes) -> bytes:
        """All that comes until a snapshot has the needle and a heartbeat follows."""
        plain.settimeout(10.0)
        text = b""
        with plain:
            while True:
                text += plain.recv(65536)
                last = text.rfind(b"event: snapshot")
                if needle in text[last:] and b"event: heartbeat" in text[last:]:
                    return text

    def test_one_that_takes_nothing_is_given_up(self, bench: Bench) -> None:
        bench.make_run(3000)
        with bench.serving(None, limits=StreamLimits(stall=0.5)) as http:
            stuck = [self.open_and_do_not_read(bench, http) for _ in range(3)]
            bench.until(lambda: bench.streams.open_streams == 3, "three streams")
            try:
                bench.until(lambda: bench.streams.open_streams == 0, "all are given up")
                with bench.listen(http) as other:
                    other.first("snapshot")
            finally:
                for each in stuck:
                    each.close()


class TestQueue:
    def test_off_from_the_beginning(self, bench: Bench) -> None:
        bench.make_run(3)
        with bench.serving(OffBroker) as http, bench.listen(http) as client:
            client.until(
                lambda it: it.of("heartbeat") and it.of("heartbeat")[-1].data["source"] == "database", "source"
            )
            bench.move([1], "running")
            client.until(sees(1, "running"), "the transition is read", timeout=3.0)
            bench.move([1], "success")
            client.until(sees(1, "success"), "the next one, too", timeout=3.0)

    def test_a_transaction_that_commits_late_is_not_missed(self, bench: Bench) -> None:
        bench.make_run(3)
        late = bench.database.new_id()
        with bench.serving(None) as http, bench.listen(http) as client:
            client.first("snapshot")
            bench.move([0], "success")
            client.until(sees(0, "success"), "a transition with a larger id")
            bench.move([2], "failed", transition_id=late)
            client.until(sees(2, "failed"), "the one whose id is older", timeout=3.0)

    def test_each_transition_is_told_once(self, bench: Bench) -> None:
        bench.make_run(2)
        with bench.serving(None) as http, bench.listen(http) as client:
            client.first("snapshot")
            bench.move([0], "success")
            client.until(sees(0, "success"), "it is told")
            time.sleep(1.3)  # the window is read again twice
            assert len(client.of("diff")) == 1

    def test_redis_is_restarted(self, bench: Bench, redis_server: RedisServer, redis_url: str) -> None:
        bench.make_run(6)

        def connect() -> RedisBroker:
            return RedisBroker(redis_url, cluster="push", answer_timeout=1.0)

        def source(client: PushClient) -> Any:
            return client.of("heartbeat")[-1].data["source"] if client.of("heartbeat") else None

        with bench.serving(connect) as http, bench.listen(http) as client:
            client.until(lambda it: source(it) == "queue", "the queue feeds")
            teller = connect()
            bench.move([0], "running", teller)
            client.until(sees(0, "running"), "a change by the queue", timeout=2.0)
            redis_server.kill()
            client.until(lambda it: source(it) == "database", "the database feeds instead", timeout=8.0)
            bench.move([1], "running")
            client.until(sees(1, "running"), "a change by the table", timeout=3.0)
            redis_server.start()
            bench.move([2], "running")  # told by nobody while the source changes
            client.until(lambda it: source(it) == "queue", "the queue is back", timeout=8.0)
            client.until(sees(2, "running"), "what fell between", timeout=3.0)
            teller.close()
            teller = connect()
            bench.move([3], "running", teller)
            client.until(sees(3, "running"), "a change by the new queue", timeout=2.0)
            redis_server.execute("FLUSHALL")
            bench.move([4], "running", teller)
            client.until(sees(4, "running"), "a change after a flush", timeout=3.0)
            assert len(client.of("snapshot")) == 1
            teller.close()

    def test_hints_that_were_lost_are_found_by_comparing(self, bench: Bench) -> None:
        bench.make_run(3)
        queues = MemoryQueues()
        with bench.serving(lambda: MemoryBroker(queues), pace=Pace(compare=0.3)) as http, bench.listen(http) as client:
            client.first("snapshot")
            bench.move([2], "success")
            client.until(sees(2, "success"), "the lost change", timeout=3.0)
            with bench.database.writing() as connection:
                connection.execute(task_instance.delete().where(task_instance.c.ti_id == bench.tasks[0]))
            client.until(
                lambda it: any(len(each.data["data"].get("removed_tasks", ())) == 1 for each in it.of("diff")),
                "the removed one",
                timeout=3.0,
            )


class TestRestarts:
    def test_of_the_api(self, bench: Bench) -> None:
        bench.make_run(3)
        with bench.serving(None) as http, bench.listen(http) as client:
            boot = client.first("hello")["boot"]
            client.first("snapshot")
            known = client.last_id
        bench.move([0], "success")
        with bench.serving(None) as http, bench.listen(http, last_id=known) as client:
            hello = client.first("hello")
            assert hello["boot"] != boot
            assert not hello["resumed"]
            client.until(sees(0, "success"), "the snapshot of the new process")

    def test_a_place_that_is_too_old(self, bench: Bench) -> None:
        bench.make_run(200)
        queues = MemoryQueues()
        broker = MemoryBroker(queues)
        with bench.serving(lambda: MemoryBroker(queues)) as http:
            bench.streams._reader._history = History(max_bytes=20_000)
            with bench.listen(http) as first:
                first.first("snapshot")
                known = first.last_id
                for turn in range(6):
                    state = "queued" if turn % 2 else "running"
                    bench.move(list(range(200)), state, broker)
                    first.until(sees(199, state), f"turn {turn}")
                recent = first.last_id
            with bench.listen(http, last_id=known) as client:
                assert not client.first("hello")["resumed"]
                client.until(sees(199, "queued"), "a snapshot")
            with bench.listen(http, last_id=recent) as client:
                assert client.first("hello")["resumed"]
                client.first("heartbeat")
                assert not client.of("snapshot")

    def test_a_topic_that_nobody_followed_for_a_while(self, bench: Bench) -> None:
        bench.make_run(2)
        with bench.serving(None, pace=Pace(keep=0.2)) as http:
            with bench.listen(http, TOPIC) as client, bench.listen(http, "dags") as other:
                client.first("snapshot")
                known = client.last_id
                other.first("snapshot")
                client.__exit__()
                time.sleep(1.5)
                with bench.listen(http, last_id=known) as again:
                    assert not again.first("hello")["resumed"]
                    again.first("snapshot")


class TestDatabase:
    def test_away_for_a_while(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.make_run(4)
        queues = MemoryQueues()
        broker = MemoryBroker(queues)
        is_away = threading.Event()
        reading = Database.reading

        def guarded(database: Database) -> Any:
            if is_away.is_set() and threading.current_thread().name == "push":
                raise EnvironmentFault("the database does not answer")
            return reading(database)

        monkeypatch.setattr(Database, "reading", guarded)
        with bench.serving(lambda: MemoryBroker(queues)) as http, bench.listen(http) as client:
            client.first("snapshot")
            is_away.set()
            bench.move([0], "success", broker)
            client.until(
                lambda it: it.of("heartbeat") and it.of("heartbeat")[-1].data["source"] == "none", "nothing is known"
            )
            with bench.listen(http, "dags") as late:
                bench.move([1], "success", broker)
                is_away.clear()
                client.until(sees(0, "success"), "the first change")
                client.until(sees(1, "success"), "the second change")
                late.first("snapshot", "dags")
            client.until(lambda it: it.of("heartbeat")[-1].data["source"] == "queue", "all is well")

    def test_a_bug_in_one_topic_leaves_the_others_alone(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.make_run(2)
        polls = 0

        def broken(*_: object) -> None:
            nonlocal polls
            polls += 1
            raise ZeroDivisionError

        monkeypatch.setattr(HomeTopic, "poll", broken)
        with bench.serving(None, pace=Pace(compare=1.0)) as http, bench.listen(http, TOPIC, "home") as client:
            client.until(lambda it: polls, "Home is looked at")
            bench.move([0], "success")
            client.until(sees(0, "success"), "the run's change")
            client.until(lambda it: len(it.of("snapshot", "home")) >= 2, "Home is read anew")
        assert "the topic home failed" in caplog.text


class TestManyClients:
    def test_two_hundred_on_one_process(self, bench: Bench) -> None:
        bench.make_run(50)
        queues = MemoryQueues()
        broker = MemoryBroker(queues)
        limits = StreamLimits(streams=300, streams_per_user=300)
        with bench.serving(lambda: MemoryBroker(queues), limits=limits) as http, Crowd(bench, http, 200) as crowd:
            crowd.until(b"event: snapshot", 200)
            started = time.monotonic()
            used = time.thread_time()
            bench.move([7], "running", broker)
            crowd.until(b'"running"', 200)
            assert time.monotonic() - started < 2.0
            assert time.thread_time() - used < 2.0
            assert bench.streams.open_streams == 200
        bench.until(lambda: bench.streams.open_streams == 0, "all have left")


class Crowd:
    """Many clients read by one thread."""

    def __init__(self, bench: Bench, http: httpx.Client, size: int) -> None:
        target = urlsplit(str(http.base_url))
        request = f"GET {EVENTS}?subscribe={TOPIC} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.token}\r\n\r\n"
        self._selector = selectors.DefaultSelector()
        self._texts: dict[socket.socket, bytearray] = {}
        for _ in range(size):
            plain = socket.create_connection((target.hostname, target.port))
            plain.sendall(request.encode())
            plain.setblocking(False)
            self._texts[plain] = bytearray()
            self._selector.register(plain, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for each in self._texts:
            each.close()

    def until(self, needle: bytes, count: int, timeout: float = 20.0) -> None:
        """Read until so many have heard the needle."""
        deadline = time.monotonic() + timeout
        while sum(needle in text for text in self._texts.values()) < count:
            assert time.monotonic() < deadline, f"{needle!r} was not heard by {count}"
            for key, _ in self._selector.select(0.1):
                self._texts[key.fileobj] += key.fileobj.recv(1 << 20)  # type: ignore[index,union-attr]
