"""TLS trust: an unknown certificate gets nothing, an accepted one is bound to its server, changes are refused."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from dagdeck_client.requests.base import Request
from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_desktop.transport import Api, Endpoint, PinStore, UntrustedCertificate
from dagdeck_desktop.transport.trust import CertificateProblem, normal_fingerprint, shown_fingerprint
from tests.desktop.certificates import Issued, issue
from tests.desktop.http_server import ScriptedServer, serving

GET: Request[None] = Request(method="GET", path="/api/v2/version", answer=None)
Result = DagDeckError | None


@pytest.fixture
def pins(tmp_path: Path) -> PinStore:
    """No certificate has been accepted yet."""
    return PinStore(tmp_path / "config" / "pins.json")


@pytest.fixture
def api(qtbot: QtBot, pins: PinStore) -> Iterator[Api]:
    """An API client with these pins."""
    made = Api(pins)
    made.answer_seconds = 3.0
    yield made
    made.close()


@pytest.fixture
def call(api: Api, qtbot: QtBot) -> Callable[..., Result]:
    """Call a server with a token; the error, or None."""

    def send(server: ScriptedServer, ca_file: Path | None = None) -> Result:
        api.set_endpoint(Endpoint(url=server.url, token="secret", ca_file=str(ca_file) if ca_file else None))
        results: list[Result] = []
        api.call(GET, results.append, results.append)
        qtbot.waitUntil(lambda: bool(results), timeout=8_000)
        return results[0]

    return send


def problem_of(error: Result) -> CertificateProblem:
    """The certificate that an error is about."""
    assert isinstance(error, UntrustedCertificate), error
    return error.problem


@pytest.fixture
def one(tmp_path: Path) -> Issued:
    """A self-signed certificate."""
    return issue(tmp_path, "one")


@pytest.fixture
def two(tmp_path: Path) -> Issued:
    """Another one."""
    return issue(tmp_path, "two")


def served(certificate: Issued, port: int = 0, **headers: str) -> ScriptedServer:
    """A server that shows a certificate."""
    return ScriptedServer(
        lambda exchange: exchange.answer(200, b"{}", "application/json", **headers), certificate.context(), port
    )


def test_an_unknown_certificate_is_asked_about_and_gets_nothing(call: Callable[..., Result], one: Issued) -> None:
    with served(one) as server:
        error = call(server)
        problem = problem_of(error)
        assert problem.origin == server.url
    assert server.seen == []
    assert (problem.fingerprint, problem.subject, problem.is_change) == (one.fingerprint, "one", False)
    assert problem.can_be_pinned
    assert problem.not_after is not None
    assert "fingerprint" in str(error)
    assert shown_fingerprint(one.fingerprint) in getattr(error, "details", "")


def test_an_accepted_certificate_is_trusted_from_then_on(
    call: Callable[..., Result], pins: PinStore, one: Issued, tmp_path: Path
) -> None:
    with served(one) as server:
        pins.accept(server.url, problem_of(call(server)).fingerprint)
        assert call(server) is None
        assert server.seen[0].headers["authorization"] == "Bearer secret"
        assert PinStore(tmp_path / "config" / "pins.json").fingerprints(server.url) == (one.fingerprint,)
    mode = stat.S_IMODE((tmp_path / "config" / "pins.json").stat().st_mode)
    assert mode == 0o600


def test_another_certificate_in_its_place_gets_nothing(
    call: Callable[..., Result], pins: PinStore, one: Issued, two: Issued
) -> None:
    with served(two) as server:
        pins.accept(server.url, one.fingerprint)
        problem = problem_of(call(server))
    assert server.seen == []
    assert problem.is_change
    assert (problem.fingerprint, problem.pinned) == (two.fingerprint, (one.fingerprint,))


def test_a_pin_is_for_one_server_only(call: Callable[..., Result], pins: PinStore, one: Issued) -> None:
    with served(one) as first, served(one) as second:
        pins.accept(first.url, one.fingerprint)
        assert call(first) is None
        assert not problem_of(call(second)).is_change
    assert second.seen == []


def test_an_announced_certificate_takes_the_old_ones_place(
    call: Callable[..., Result], pins: PinStore, one: Issued, two: Issued
) -> None:
    announcement = "SHA256:" + shown_fingerprint(two.fingerprint)
    with served(one, dagdeck_next_certificate=announcement, dagdeck_api_version="1") as server:
        port = server.port
        pins.accept(server.url, one.fingerprint)
        assert call(server) is None
        assert pins.fingerprints(server.url) == (one.fingerprint, two.fingerprint)
    with served(two, port=port) as server:
        assert call(server) is None
        assert pins.fingerprints(server.url) == (two.fingerprint,)
    with served(one, port=port) as server:
        assert problem_of(call(server)).is_change
        assert server.seen == []


def test_an_announcement_can_be_withdrawn(
    call: Callable[..., Result], pins: PinStore, one: Issued, two: Issued
) -> None:
    with served(one, dagdeck_next_certificate=two.fingerprint, dagdeck_api_version="1") as server:
        port = server.port
        pins.accept(server.url, one.fingerprint)
        call(server)
        assert two.fingerprint in pins.fingerprints(server.url)
    with served(one, port=port, dagdeck_api_version="1") as server:
        call(server)
        assert pins.fingerprints(server.url) == (one.fingerprint,)


def test_a_stranger_cannot_announce_anything(call: Callable[..., Result], pins: PinStore, one: Issued) -> None:
    with served(one, dagdeck_next_certificate="ab" * 32, dagdeck_api_version="1") as server:
        call(server)
        assert pins.fingerprints(server.url) == ()


def test_a_certificate_of_a_known_authority_needs_no_question(
    call: Callable[..., Result], pins: PinStore, tmp_path: Path
) -> None:
    authority = issue(tmp_path, "authority", is_authority=True)
    certificate = issue(tmp_path, "server", issuer=authority)
    with served(certificate) as server:
        assert call(server, authority.certificate_file) is None
        assert pins.fingerprints(server.url) == ()
        assert problem_of(call(server)).issuer == "authority"


def test_an_authority_that_cannot_be_read_is_named(call: Callable[..., Result], one: Issued, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with served(one) as server:
        error = call(server, broken)
    assert isinstance(error, UserError)
    assert error.field == "ca_file"
    assert str(broken) in str(error)


def test_an_expired_certificate_cannot_be_accepted(call: Callable[..., Result], pins: PinStore, tmp_path: Path) -> None:
    expired = issue(tmp_path, "expired", days=5, age_days=10)
    with served(expired) as server:
        problem = problem_of(call(server))
        assert not problem.can_be_pinned
        pins.accept(server.url, expired.fingerprint)
        assert not problem_of(call(server)).can_be_pinned
    assert server.seen == []


def test_plain_http_where_https_was_asked_for(call: Callable[..., Result], api: Api, qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer()) as server:
        api.set_endpoint(Endpoint(url=server.url.replace("http:", "https:")))
        results: list[Result] = []
        api.call(Request(method="POST", path="/x", answer=None), results.append, results.append)
        qtbot.waitUntil(lambda: bool(results), timeout=8_000)
    assert "TLS" in str(results[0])
    assert server.seen == []


def test_lost_pins_ask_again_and_trust_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    path.write_text('["not", "pins"]')
    assert PinStore(path).fingerprints("https://host:443") == ()
    path.write_text("{")
    assert PinStore(path).fingerprints("https://host:443") == ()


def test_forgetting_asks_again(pins: PinStore) -> None:
    pins.accept("https://host:443", "ab" * 32)
    pins.forget("https://host:443")
    assert pins.fingerprints("https://host:443") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AB" * 32, "ab" * 32),
        ("SHA256:" + ":".join(["AB"] * 32), "ab" * 32),
        ("sha256 = " + "0f" * 32, "0f" * 32),
        ("ab", ""),
        ("zz" * 32, ""),
        ("", ""),
    ],
)
def test_fingerprints_as_tools_write_them(text: str, expected: str) -> None:
    assert normal_fingerprint(text) == expected
