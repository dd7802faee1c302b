"""The live feed against servers that behave, cut, stall, refuse, swallow and come back."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from dagdeck_desktop.live import HOME, Feed, LinkState, log_topic, run_topic
from dagdeck_desktop.live import feed as feed_module
from dagdeck_desktop.transport import Api, Endpoint, PinStore
from tests.desktop.certificates import issue
from tests.desktop.http_server import Exchange, ScriptedServer, serving

HELLO = '{"boot": "b1", "sequence": 4, "server_time": "2026-11-24T06:00:00Z", "resumed": false}'
BEAT = '{"server_time": "2026-11-24T06:00:00Z", "sequence": 4, "source": "queue"}'
RUN = run_topic("churn", "manual__1")


class Log:
    """What a feed told."""

    def __init__(self, feed: Feed) -> None:
        self.states: list[str] = []
        self.all: list[tuple[Any, ...]] = []
        feed.link_state_changed.connect(self._state)
        for name in (
            "snapshot_received",
            "diff_received",
            "run_changed",
            "tasks_changed",
            "worker_sample",
            "log_chunk",
        ):
            getattr(feed, name).connect(lambda *values, name=name: self.all.append((name, *values)))
        self.refreshes: list[str] = []
        feed.refresh_wanted.connect(self.refreshes.append)
        self.refusals: list[object] = []
        feed.refused.connect(self.refusals.append)
        self.sign_ins: list[bool] = []
        feed.sign_in_needed.connect(lambda: self.sign_ins.append(True))

    def _state(self, state: str, _age: float) -> None:
        if not self.states or self.states[-1] != state:
            self.states.append(state)

    def named(self, name: str) -> list[list[Any]]:
        """What one signal told."""
        return [list(told[1:]) for told in self.all if told[0] == name]


@pytest.fixture
def feed(qtbot: QtBot, tmp_path: Path) -> Iterator[Feed]:
    """A feed that is not started."""
    pins = PinStore(tmp_path / "pins.json")
    api = Api(pins)
    made = Feed(api, pins)
    yield made
    made.close()
    api.close()
    # What was aborted is ended by Qt's own thread; only then may its manager go.
    qtbot.wait(50)


@pytest.fixture
def log(feed: Feed) -> Log:
    """What it tells."""
    return Log(feed)


def start(feed: Feed, server: ScriptedServer) -> None:
    """Listen to a server."""
    endpoint = Endpoint(url=server.url, token="secret")
    feed._api.set_endpoint(endpoint)
    feed.start(endpoint)


def streams(server: ScriptedServer) -> list[Any]:
    """The requests for the stream."""
    return [seen for seen in server.seen if seen.path.startswith("/api/dagdeck/v1/events")]


def beating(events: Callable[[Exchange], None] = lambda exchange: None) -> Callable[[Exchange], None]:
    """A server that says hello, sends some events, and then a heart beat every 50 ms."""

    def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.event("hello", HELLO)
        events(exchange)
        while exchange.event("heartbeat", BEAT) and exchange.wait(0.05):
            pass

    return script


def test_events_become_signals(feed: Feed, log: Log, qtbot: QtBot) -> None:
    task = ["ti-1", "running", "load", -1, 1, None, None, None, 3]

    def events(exchange: Exchange) -> None:
        exchange.event("snapshot", json.dumps({"topic": RUN, "data": {"run": {}, "tasks": [task]}}), "b1-5-0")
        exchange.event(
            "diff", json.dumps({"topic": RUN, "data": {"run": {"state": "failed"}, "tasks": [task]}}), "b1-6-0"
        )
        exchange.event("diff", json.dumps({"topic": HOME, "data": {"runs": [{"a": 1}, {"a": 2}]}}), "b1-7-0")
        exchange.event("sample", json.dumps({"worker_id": 2**62, "cpu": 0.5}))
        piece = base64.b64encode(b"\xff\x00line\n").decode()
        exchange.event("log", json.dumps({"ti_id": "t", "dispatch_no": 2**62, "offset": 5 * 2**32, "base64": piece}))
        exchange.event("novelty", '{"unknown": true}')

    feed.subscribe(RUN)
    feed.subscribe(HOME)
    with serving(beating(events)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: bool(log.named("log_chunk")), timeout=4_000)
    assert log.named("snapshot_received") == [[RUN, {"run": {}, "tasks": [task]}]]
    assert log.named("run_changed") == [[{"state": "failed"}], [{"a": 1}], [{"a": 2}]]
    assert log.named("tasks_changed") == [["churn/manual__1", [task]]]
    assert log.named("worker_sample") == [[{"worker_id": 2**62, "cpu": 0.5}]]
    assert log.named("log_chunk") == [["t", 5 * 2**32, b"\xff\x00line\n", 2**62]]
    (seen,) = streams(server)
    assert seen.path == "/api/dagdeck/v1/events?subscribe=home&subscribe=run%3Achurn%2Fmanual__1"
    assert seen.headers["authorization"] == "Bearer secret"
    assert log.states[:2] == ["connecting", "live"]


def test_large_and_small_events_stay_in_order(feed: Feed, log: Log, qtbot: QtBot) -> None:
    def events(exchange: Exchange) -> None:
        for number in range(30):
            filling = "x" * (200_000 if number % 5 == 0 else 1)
            exchange.event("diff", json.dumps({"topic": HOME, "data": {"number": number, "filling": filling}}))

    with serving(beating(events)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: len(log.named("diff_received")) == 30, timeout=8_000)
    assert [data["number"] for _topic, data in log.named("diff_received")] == list(range(30))


def test_a_cut_link_is_seen_and_continued_without_a_gap(feed: Feed, log: Log, qtbot: QtBot) -> None:
    def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.event("hello", HELLO)
        if len(streams(server)) == 1:
            exchange.event("diff", json.dumps({"topic": HOME, "data": {"number": 1}}), "b1-8-0")
            # What was sent just before may else be lost with the connection.
            exchange.wait(0.1)
            exchange.cut()
            return
        exchange.event("diff", json.dumps({"topic": HOME, "data": {"number": 2}}), "b1-9-0")
        while exchange.event("heartbeat", BEAT) and exchange.wait(0.05):
            pass

    feed.subscribe(HOME)
    with serving(script) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: len(log.named("diff_received")) == 2, timeout=6_000)
        second = streams(server)[1]
    assert second.headers["last-event-id"] == "b1-8-0"


def test_silence_shows_within_two_seconds(feed: Feed, log: Log, qtbot: QtBot) -> None:
    fell_silent: list[float] = []

    def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.event("hello", HELLO)
        fell_silent.append(time.monotonic())
        exchange.wait(10)

    with serving(script) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.LOST, timeout=4_000)
        seconds = time.monotonic() - fell_silent[0]
        assert 1.5 <= seconds <= 2.3
        qtbot.waitUntil(lambda: len(streams(server)) >= 2, timeout=6_000)


def test_a_server_that_comes_back_is_found(feed: Feed, log: Log, qtbot: QtBot) -> None:
    with serving(beating()) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.LIVE, timeout=4_000)
        port = server.port
    qtbot.waitUntil(lambda: feed.state is LinkState.LOST, timeout=4_000)
    with serving(beating(), port=port):
        qtbot.waitUntil(lambda: feed.state is LinkState.LIVE, timeout=8_000)


def test_a_swallowed_stream_is_replaced_by_polling(
    feed: Feed, log: Log, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FIRST_EVENT_SECONDS", 0.4)
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0.3)

    def script(exchange: Exchange) -> None:
        if "events" in exchange.seen.path:
            exchange.begin_stream()
            exchange.wait(10)
        else:
            exchange.answer(body=b'{"version": "1"}')

    feed.subscribe(HOME)
    with serving(script) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: log.refreshes.count(HOME) >= 3, timeout=6_000)
    assert feed.state is LinkState.POLLING


@pytest.mark.parametrize(("status", "kind"), [(404, "application/json"), (200, "text/html"), (200, "application/json")])
def test_a_server_without_a_stream_is_polled(feed: Feed, log: Log, qtbot: QtBot, status: int, kind: str) -> None:
    feed.subscribe(HOME)
    with serving(lambda exchange: exchange.answer(status, b"{}", kind)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.POLLING, timeout=4_000)
    # At once, and again with every poll, of which a slow machine may already have seen a second.
    assert set(log.refreshes) == {HOME}


def test_polling_sees_a_lost_server(feed: Feed, qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer(404)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.POLLING, timeout=4_000)
    qtbot.waitUntil(lambda: feed.state is LinkState.LOST, timeout=8_000)


def test_an_expired_sign_in_is_told_and_not_tried_again(feed: Feed, log: Log, qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer(401)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: log.sign_ins == [True], timeout=4_000)
        qtbot.wait(600)
    assert len(streams(server)) == 1


def say_bye(exchange: Exchange) -> None:
    """End the stream as for somebody whose token was revoked."""
    exchange.event("bye", '{"reason": "signed_out"}')


def test_a_sign_out_by_the_server_is_told(feed: Feed, log: Log, qtbot: QtBot) -> None:
    with serving(beating(say_bye)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: log.sign_ins == [True], timeout=4_000)


def test_a_topic_that_is_refused_is_told(feed: Feed, log: Log, qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer(400, b'{"detail": "there is no topic huh"}')) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: bool(log.refusals), timeout=4_000)
    assert "huh" in str(log.refusals[0])


def test_a_busy_server_is_left_alone_as_long_as_it_asks(feed: Feed, log: Log, qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer(503, Retry_After="7")) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.LOST, timeout=4_000)
        qtbot.wait(800)
    assert len(streams(server)) == 1


def test_a_server_without_its_sources_is_shown_as_stalled(feed: Feed, log: Log, qtbot: QtBot) -> None:
    stalled = BEAT.replace("queue", "none")

    def script(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.event("hello", HELLO)
        for beat in [stalled] * 5 + [BEAT] * 100:
            if not (exchange.event("heartbeat", beat) and exchange.wait(0.05)):
                return

    with serving(script) as server:
        start(feed, server)
        qtbot.wait(600)
        assert "stalled" not in log.states, "nothing was asked of it"
        feed.subscribe(HOME)
        qtbot.waitUntil(lambda: log.states[-1:] == ["live"] and "stalled" in log.states, timeout=6_000)


def test_malformed_events_are_passed_over(feed: Feed, log: Log, qtbot: QtBot) -> None:
    def events(exchange: Exchange) -> None:
        exchange.event("diff", "{")
        exchange.event("diff", '{"topic": 5, "data": {}}')
        exchange.event("snapshot", "[]")
        exchange.event("log", '{"ti_id": "t", "dispatch_no": 1, "offset": 0, "base64": "%%%"}')
        exchange.event("sample", "null")
        exchange.event("diff", json.dumps({"topic": HOME, "data": {"good": True}}))

    with serving(beating(events)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: bool(log.named("diff_received")), timeout=4_000)
    assert log.named("diff_received") == [[HOME, {"good": True}]]
    assert feed.state is LinkState.LIVE


def test_a_change_of_topics_reconnects_once_with_the_last_id(feed: Feed, log: Log, qtbot: QtBot) -> None:
    def events(exchange: Exchange) -> None:
        exchange.event("diff", json.dumps({"topic": HOME, "data": {"n": 1}}), "b1-8-0")

    home = feed.subscribe(HOME)
    with serving(beating(events)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: bool(log.named("diff_received")), timeout=4_000)
        run = feed.subscribe(RUN)
        twice = feed.subscribe(RUN)
        feed.subscribe(log_topic("0190-ab"))
        qtbot.waitUntil(lambda: len(streams(server)) == 2, timeout=4_000)
        assert feed.topics == ("home", "log:0190-ab", "run:churn/manual__1")
        run.close()
        run.close()
        qtbot.wait(120)
        assert len(streams(server)) == 2, "a topic that somebody else still listens to must not reconnect"
        twice.close()
        home.close()
        qtbot.waitUntil(lambda: len(streams(server)) == 3, timeout=4_000)
    assert streams(server)[1].headers["last-event-id"] == "b1-8-0"
    assert list(feed.topics) == ["log:0190-ab"]
    assert "lost" not in log.states[: log.states.index("live") + 1]


def test_a_second_view_asks_for_a_snapshot_of_a_topic_that_is_on_the_stream(feed: Feed, log: Log, qtbot: QtBot) -> None:
    def events(exchange: Exchange) -> None:
        exchange.event("diff", json.dumps({"topic": HOME, "data": {"n": 1}}), "b1-8-0")

    first = feed.subscribe(HOME)
    with serving(beating(events)) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: bool(log.named("diff_received")), timeout=4_000)
        second = feed.subscribe(HOME)
        qtbot.waitUntil(lambda: len(streams(server)) == 2, timeout=4_000)
        qtbot.waitUntil(lambda: len(log.named("diff_received")) == 2, timeout=4_000)
        # One that leaves at once needs nothing, and a view less is no reason to ask again.
        feed.subscribe(HOME).close()
        second.close()
        qtbot.wait(150)
    first.close()
    paths = [seen.path for seen in streams(server)]
    assert paths[0] == "/api/dagdeck/v1/events?subscribe=home"
    assert paths[1] == "/api/dagdeck/v1/events?subscribe=home&fresh=home"


def test_a_certificate_announced_on_the_stream_is_remembered(feed: Feed, qtbot: QtBot, tmp_path: Path) -> None:
    one, two = issue(tmp_path, "one"), issue(tmp_path, "two")

    def script(exchange: Exchange) -> None:
        exchange.begin_stream(dagdeck_api_version="1", dagdeck_next_certificate=two.fingerprint)
        exchange.event("hello", HELLO)
        exchange.wait(5)

    with serving(script, one.context()) as server:
        feed._pins.accept(server.url, one.fingerprint)
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.LIVE, timeout=4_000)
        assert feed._pins.fingerprints(server.url) == (one.fingerprint, two.fingerprint)


def test_stopping_is_final(feed: Feed, log: Log, qtbot: QtBot) -> None:
    with serving(beating()) as server:
        start(feed, server)
        qtbot.waitUntil(lambda: feed.state is LinkState.LIVE, timeout=4_000)
        feed.stop()
        qtbot.wait(300)
        assert feed.state is LinkState.OFFLINE
        assert len(streams(server)) == 1
