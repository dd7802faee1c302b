"""The transport: answers, refusals, failures, retries, and what never happens (a token sent to a stranger)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import shiboken6
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from dagdeck_client.errors import (
    BadRequest,
    Conflict,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    ServerFault,
    Unreachable,
    VersionMismatch,
)
from dagdeck_client.requests.base import API_VERSION, Request
from dagdeck_client.versions import own_release
from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_desktop.transport import Api, Endpoint, PinStore
from dagdeck_desktop.transport.endpoint import url_from_input
from tests.desktop.http_server import Exchange, serving


class Thing(msgspec.Struct):
    """An answer."""

    value: int


GET: Request[Thing] = Request(
    method="GET", path="/api/v2/things/1", answer=Thing, query=(("tag", "a+b&c=d é"), ("tag", "e"))
)
POST: Request[Thing] = Request(method="POST", path="/api/v2/things", answer=Thing, body={"value": 1}, is_action=True)


def keep_waiting(exchange: Exchange) -> None:
    """Never answer."""
    exchange.wait(5)


class Outcome:
    """What a call came to."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.errors: list[DagDeckError] = []

    @property
    def is_there(self) -> bool:
        """True once there is an answer or an error."""
        return bool(self.values or self.errors)

    @property
    def error(self) -> DagDeckError:
        """The error."""
        assert self.errors, f"no error, but {self.values}"
        return self.errors[0]


@pytest.fixture
def api(qtbot: QtBot, tmp_path: Path) -> Iterator[Api]:
    """An API client that gives up quickly."""
    made = Api(PinStore(tmp_path / "pins.json"))
    made.answer_seconds, made.connect_seconds = 1.0, 0.6
    yield made
    made.close()


@pytest.fixture
def call(api: Api, qtbot: QtBot) -> Callable[..., Outcome]:
    """Send a request to a URL and wait for what comes of it."""

    def send(url: str, request: Request[Any] = GET, token: str | None = "secret", **options: Any) -> Outcome:
        api.set_endpoint(Endpoint(url=url, token=token))
        outcome = Outcome()
        api.call(request, outcome.values.append, outcome.errors.append, **options)
        assert not outcome.is_there, "a callback came before the call had returned"
        qtbot.waitUntil(lambda: outcome.is_there, timeout=8_000)
        return outcome

    return send


def test_an_answer_is_decoded(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer(body=b'{"value": 7, "more": true}')) as server:
        assert call(server.url).values == [Thing(value=7)]
    (seen,) = server.seen
    assert seen.path == "/api/v2/things/1?tag=a%2Bb%26c%3Dd%20%C3%A9&tag=e"
    assert seen.headers["authorization"] == "Bearer secret"
    assert seen.headers["dagdeck-source"] == "ui"


def test_an_action_carries_a_key_and_a_body(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer(body=b'{"value": 1}')) as server:
        call(server.url, POST, idempotency_key="abc")
    (seen,) = server.seen
    assert (seen.method, json.loads(seen.body), seen.headers["idempotency-key"]) == ("POST", {"value": 1}, "abc")
    assert seen.headers["content-type"] == "application/json"


def test_no_token_where_none_is_needed(call: Callable[..., Outcome]) -> None:
    request: Request[Any] = Request(method="GET", path="/api/v2/version", answer=None, needs_token=False)
    with serving(lambda exchange: exchange.answer()) as server:
        call(server.url, request)
    assert "authorization" not in server.seen[0].headers


def test_a_large_answer_is_read_in_another_thread(call: Callable[..., Outcome], api: Api) -> None:
    numbers = list(range(200_000))
    request: Request[Any] = Request(method="GET", path="/api/v2/numbers", answer=list[int])
    with serving(lambda exchange: exchange.answer(body=json.dumps(numbers).encode())) as server:
        assert call(server.url, request).values == [numbers]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, NotAuthenticated),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (422, BadRequest),
    ],
)
def test_refusals(call: Callable[..., Outcome], status: int, kind: type[DagDeckError]) -> None:
    with serving(lambda exchange: exchange.answer(status, b'{"detail": "not like this"}')) as server:
        error = call(server.url).error
    assert type(error) is kind
    assert "not like this" in str(error)
    assert len(server.seen) == 1


def test_a_token_that_is_refused_asks_to_sign_in(call: Callable[..., Outcome], api: Api, qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer(401)) as server:
        with qtbot.waitSignal(api.sign_in_needed, timeout=4_000):
            call(server.url)


def test_a_wrong_password_does_not_ask_to_sign_in(call: Callable[..., Outcome], api: Api) -> None:
    asked: list[bool] = []
    api.sign_in_needed.connect(lambda: asked.append(True))
    request: Request[Any] = Request(method="POST", path="/auth/token/cli", answer=None, needs_token=False)
    with serving(lambda exchange: exchange.answer(401)) as server:
        assert isinstance(call(server.url, request).error, NotAuthenticated)
    assert asked == []


def test_what_changes_nothing_is_tried_again(call: Callable[..., Outcome]) -> None:
    def script(exchange: Exchange) -> None:
        exchange.answer(503 if len(server.seen) < 3 else 200, b'{"value": 3}')

    with serving(script) as server:
        assert call(server.url).values == [Thing(value=3)]
    assert len(server.seen) == 3


def test_a_server_that_is_asked_too_often_is_left_alone_for_a_while(call: Callable[..., Outcome]) -> None:
    times: list[float] = []

    def script(exchange: Exchange) -> None:
        times.append(time.monotonic())
        exchange.answer(200 if len(times) > 1 else 429, b'{"value": 3}', Retry_After="1")

    with serving(script) as server:
        assert call(server.url).values == [Thing(value=3)]
    assert times[1] - times[0] >= 0.95


def test_a_long_wait_is_told_instead(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer(429, b'{"detail": "too many"}', Retry_After="600")) as server:
        assert "too many" in str(call(server.url).error)
    assert len(server.seen) == 1


def test_an_action_is_sent_once(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer(503, b'{"detail": "busy", "action_id": 12}')) as server:
        error = call(server.url, POST).error
    assert isinstance(error, ServerFault)
    assert error.action_id == 12
    assert len(server.seen) == 1


def test_a_redirect_never_gets_the_token(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer()) as stranger:
        target = f"{stranger.url}/api"
        with serving(lambda exchange: exchange.answer(302, b"", Location=target)) as server:
            error = call(server.url).error
    assert isinstance(error, ServerFault)
    assert target in str(error)
    assert stranger.seen == []


def test_a_web_page_is_not_an_api(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer(200, b"<html>", "text/html")) as server:
        assert "web page" in str(call(server.url).error)


def test_another_version_is_named_with_its_remedy(call: Callable[..., Outcome]) -> None:
    with serving(lambda exchange: exchange.answer(dagdeck_api_version="9", dagdeck_version="9.1.0")) as server:
        error = call(server.url).error
        asked = server.seen[0].headers
    assert isinstance(error, VersionMismatch)
    assert "is DagDeck 9.1.0 and speaks version 9 of the API; this desktop is" in str(error)
    assert error.remedy == "Upgrade this desktop to DagDeck 9.1.0"
    # The server is told as well what asks, so that it can refuse an older or newer client by name.
    assert (asked["dagdeck-api-version"], asked["dagdeck-version"]) == (API_VERSION, own_release())


def test_dagdeck_is_told_from_airflow(call: Callable[..., Outcome], api: Api) -> None:
    with serving(lambda exchange: exchange.answer(body=b'{"value": 1}', dagdeck_api_version="1")) as server:
        call(server.url)
    assert api.is_dagdeck is True
    with serving(lambda exchange: exchange.answer(body=b'{"value": 1}')) as server:
        call(server.url)
    assert api.is_dagdeck is False


@pytest.mark.parametrize("body", [b"", b"{", b'{"value": "many"}', b"\xff\xfe", b"[]"])
def test_a_malformed_answer_is_a_fault_of_the_server(call: Callable[..., Outcome], body: bytes) -> None:
    with serving(lambda exchange: exchange.answer(body=body)) as server:
        error = call(server.url).error
    assert isinstance(error, ServerFault)
    assert "not what the API promises" in str(error)


def test_an_answer_that_breaks_off_is_no_answer(call: Callable[..., Outcome]) -> None:
    def script(exchange: Exchange) -> None:
        exchange.handler.send_response(200)
        exchange.handler.send_header("Content-Length", "1000")
        exchange.handler.end_headers()
        exchange.write(b'{"value": 1}')
        exchange.cut()

    with serving(script) as server:
        assert isinstance(call(server.url).error, Unreachable)
    assert len(server.seen) == 3


def test_nobody_listens(call: Callable[..., Outcome]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = call(url).error
    assert isinstance(error, Unreachable)
    assert "connection refused" in str(error)
    assert "start a local cluster" in error.remedy


def test_a_server_that_never_answers(call: Callable[..., Outcome], api: Api) -> None:
    api.answer_seconds = 0.3
    with serving(keep_waiting) as server:
        assert isinstance(call(server.url, POST).error, Unreachable)


def test_a_port_that_does_not_speak_http(call: Callable[..., Outcome]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail.example.com ESMTP\r\n")

        threading.Thread(target=greet, daemon=True).start()
        error = call(f"http://127.0.0.1:{listener.getsockname()[1]}", POST).error
        listener.shutdown(socket.SHUT_RDWR)
    assert isinstance(error, Unreachable | ServerFault)


def test_without_a_cluster_there_is_a_sentence(api: Api, qtbot: QtBot) -> None:
    outcome = Outcome()
    api.call(GET, outcome.values.append, outcome.errors.append)
    qtbot.waitUntil(lambda: outcome.is_there)
    assert "no cluster is connected" in str(outcome.error)


def test_no_callback_after_abort_or_for_a_gone_owner_or_another_server(api: Api, qtbot: QtBot) -> None:
    outcome = Outcome()
    with serving(lambda exchange: exchange.answer(body=b'{"value": 1}')) as server:
        api.set_endpoint(Endpoint(url=server.url))
        api.call(GET, outcome.values.append, outcome.errors.append).abort()
        owner = QObject()
        api.call(GET, outcome.values.append, outcome.errors.append, owner=owner)
        shiboken6.delete(owner)
        api.call(GET, outcome.values.append, outcome.errors.append)
        api.set_endpoint(Endpoint(url=server.url))
        last = Outcome()
        api.call(GET, last.values.append, last.errors.append)
        qtbot.waitUntil(lambda: last.is_there)
        qtbot.wait(50)
    assert not outcome.is_there
    assert last.values == [Thing(value=1)]


def test_many_calls_at_once_all_come_back(api: Api, qtbot: QtBot) -> None:
    outcome = Outcome()
    with serving(lambda exchange: exchange.answer(body=b'{"value": 1}')) as server:
        api.set_endpoint(Endpoint(url=server.url))
        for _ in range(40):
            api.call(GET, outcome.values.append, outcome.errors.append)
        qtbot.waitUntil(lambda: len(outcome.values) + len(outcome.errors) == 40, timeout=8_000)
    assert outcome.errors == []


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("https://dagdeck.example.com:8443/", "https://dagdeck.example.com:8443"),
        (" http://10.0.0.4:8080/base/ ", "http://10.0.0.4:8080/base"),
        ("dagdeck.example.com", "https://dagdeck.example.com"),
        ("dagdeck.example.com:8443", "https://dagdeck.example.com:8443"),
        ("localhost", "http://localhost:8080"),
        ("localhost:9000", "http://localhost:9000"),
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("https://[fe80::1]:8443", "https://[fe80::1]:8443"),
    ],
)
def test_an_address_as_people_type_it(typed: str, url: str) -> None:
    assert url_from_input(typed) == url


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "ftp://host",
        "https://",
        "https://host:port",
        "https://host:99999",
        "https://ada:secret@host",
        "https://host/?token=x",
        "two words",
        "htp:/x",
        "https://[::1",
        "http:///path",
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(typed: str) -> None:
    with pytest.raises(UserError) as caught:
        url_from_input(typed)
    assert caught.value.field == "url"
    assert caught.value.remedy


def test_the_origin_names_scheme_host_and_port() -> None:
    assert Endpoint(url="https://Host.example/base").origin == "https://host.example:443"
    assert Endpoint(url="http://[::1]:9/x").origin == "http://[::1]:9"
    assert Endpoint(url="http://[::1]:9/x").is_loopback
