"""The way into a cluster: the connect page, sign-in, certificates, what is kept, and the whole window around it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from dagdeck_desktop.app import CONNECT_PAGE, Desktop, StartOptions
from dagdeck_desktop.connect import ConnectPage
from dagdeck_desktop.connect.form import BY_TOKEN
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.keyring import SecretStore
from dagdeck_desktop.live import LinkState
from dagdeck_desktop.profiles import ClusterKind, Profile
from dagdeck_desktop.session import SessionState
from dagdeck_desktop.settings import Places
from dagdeck_desktop.shell import Route
from tests.desktop.certificates import issue
from tests.desktop.http_server import Exchange, ScriptedServer, serving
from tests.desktop.test_keyring import MemoryKeyring

DAGS = b'{"dags": [], "total_entries": 0}'


def register_pages(context: DesktopContext) -> None:
    """One page, so that a connection has somewhere to lead."""
    context.window.add_page("home", "Home", "layout-dashboard", QWidget)


class Cluster:
    """A control API in a few lines: one user, one token, one stream."""

    def __init__(self) -> None:
        self.good_token = "good"

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        path, headers = exchange.seen.path, exchange.seen.headers
        version: dict[str, Any] = {"dagdeck_api_version": "1"}
        if path == "/api/v2/version":
            exchange.answer(body=b'{"version": "0.1.0"}', **version)
        elif path == "/auth/token/cli":
            entered = json.loads(exchange.seen.body)
            is_right = entered == {"username": "ada", "password": "lovelace"}
            body = json.dumps({"access_token": self.good_token} if is_right else {"detail": "wrong user or password"})
            exchange.answer(201 if is_right else 401, body.encode(), **version)
        elif headers.get("authorization") != f"Bearer {self.good_token}":
            exchange.answer(401, b'{"detail": "the token is not known"}', **version)
        elif path.startswith("/api/dagdeck/v1/events"):
            exchange.begin_stream()
            exchange.event("hello", '{"boot": "b", "sequence": 1}')
            while exchange.event("heartbeat", '{"source": "queue"}') and exchange.wait(0.1):
                pass
        else:
            exchange.answer(body=DAGS, **version)


@pytest.fixture
def keyring() -> MemoryKeyring:
    """The person's keyring."""
    return MemoryKeyring()


@pytest.fixture
def make(qtbot: QtBot, qapp: QApplication, tmp_path: Path, keyring: MemoryKeyring) -> Iterator[Callable[[], Desktop]]:
    """Start the desktop of the same person, as often as wanted."""
    made: list[Desktop] = []

    def start(options: StartOptions | None = None) -> Desktop:
        desktop = Desktop(
            qapp,
            Places(config=tmp_path / "config", state=tmp_path / "state"),
            register_pages,
            environ={"DAGDECK__PATHS__HOME": str(tmp_path / "cluster"), "PATH": ""},
            secrets=SecretStore(lambda: keyring),
        )
        desktop.api.answer_seconds = 2.0
        qtbot.addWidget(desktop.window)
        desktop.start(options or StartOptions())
        made.append(desktop)
        return desktop

    yield start
    for desktop in made:
        desktop.window.close()


def page_of(desktop: Desktop) -> ConnectPage:
    """The connect page in front."""
    page = desktop.window.pages.currentWidget()
    assert isinstance(page, ConnectPage)
    return page


def fill(desktop: Desktop, server: ScriptedServer, user: str = "ada", password: str = "lovelace") -> ConnectPage:
    """Fill in the form and press "Connect"."""
    page = page_of(desktop)
    page.form.address.setText(server.url)
    page.form.name.setText("Production")
    page.form.username.setText(user)
    page.form.password.setText(password)
    page.form.submit()
    return page


def is_connected(desktop: Desktop) -> bool:
    """True once the session is in and the stream stands."""
    return desktop.session.state is SessionState.CONNECTED and desktop.feed.state is LinkState.LIVE


def test_a_first_visit_signs_in_and_the_next_start_connects_by_itself(
    make: Callable[[], Desktop], qtbot: QtBot, keyring: MemoryKeyring
) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        assert page_of(desktop).headline.text() == "Welcome to DagDeck"
        fill(desktop, server)
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        assert desktop.window.windowTitle() == "Production – DagDeck"
        assert desktop.window.pages.route is not None
        assert desktop.window.pages.route.key == "home"
        (profile,) = desktop.profiles.all()
        assert (profile.name, profile.kind, profile.username) == ("Production", ClusterKind.DAGDECK, "ada")
        qtbot.waitUntil(lambda: list(keyring.kept.values()) == ["good"])
        desktop.window.close()
        again = make()
        qtbot.waitUntil(lambda: is_connected(again), timeout=6_000)
    assert sum(seen.path == "/auth/token/cli" for seen in server.seen) == 1


def test_a_wrong_password_is_said_beside_the_form_and_nothing_is_kept(
    make: Callable[[], Desktop], qtbot: QtBot, keyring: MemoryKeyring
) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        page = fill(desktop, server, password="byron")
        qtbot.waitUntil(page.form.failure.isVisible, timeout=6_000)
    assert page.form.failure.text == "Wrong user or password."
    assert desktop.session.state is SessionState.DISCONNECTED
    assert desktop.profiles.all() == ()
    assert keyring.kept == {}
    assert page.form.connect_button.isEnabled()


def test_a_token_can_be_given_instead(make: Callable[[], Desktop], qtbot: QtBot, keyring: MemoryKeyring) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        page = page_of(desktop)
        page.form.method.setCurrentIndex(BY_TOKEN)
        page.form.address.setText(server.url)
        page.form.token.setText("bad")
        page.form.submit()
        qtbot.waitUntil(page.form.failure.isVisible, timeout=6_000)
        assert "token" in page.form.failure.text
        page.form.token.setText("good")
        page.form.submit()
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        qtbot.waitUntil(lambda: list(keyring.kept.values()) == ["good"])


def test_an_unknown_certificate_is_asked_about_before_anything_is_sent(
    make: Callable[[], Desktop], qtbot: QtBot, tmp_path: Path
) -> None:
    certificate = issue(tmp_path, "server")
    with ScriptedServer(Cluster(), certificate.context()) as server:
        desktop = make()
        page = fill(desktop, server)
        qtbot.waitUntil(page.form.certificate.isVisible, timeout=6_000)
        assert server.seen == []
        page.form.certificate._accepted()
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)


def test_a_certificate_that_changes_meanwhile_is_asked_about(
    make: Callable[[], Desktop], qtbot: QtBot, tmp_path: Path
) -> None:
    first, second = issue(tmp_path, "first"), issue(tmp_path, "second")
    desktop = make()
    with ScriptedServer(Cluster(), first.context()) as server:
        port = server.port
        desktop.pins.accept(server.url, first.fingerprint)
        desktop.open_url(server.url, "good")
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
    with ScriptedServer(Cluster(), second.context(), port) as server:
        qtbot.waitUntil(lambda: desktop.window.pages.route == Route(key=CONNECT_PAGE), timeout=8_000)
        page = page_of(desktop)
        qtbot.waitUntil(page.form.certificate.isVisible, timeout=2_000)
        assert server.seen == []
        page.form.certificate._accepted()
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)


def test_an_expired_sign_in_is_said_over_the_data(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    cluster = Cluster()
    with serving(cluster) as server:
        desktop = make()
        fill(desktop, server)
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        cluster.good_token = "another"
        desktop.feed.retry_now()
        qtbot.waitUntil(lambda: "sign-in" in desktop.window.banner.text, timeout=6_000)
        assert desktop.window.pages.route is not None
        assert desktop.window.pages.route.key == "home"
        desktop.window.retry_chosen.emit()
        assert page_of(desktop).form.address.text() == server.url


def test_disconnecting_leads_back_to_the_clusters(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        fill(desktop, server)
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        desktop.actions.trigger("cluster.disconnect")
        assert desktop.feed.state is LinkState.OFFLINE
        assert desktop.window.windowTitle() == "DagDeck"
        page = page_of(desktop)
        qtbot.wait(50)
        page.known.connect_chosen.emit(desktop.profiles.all()[0])
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        desktop.actions.trigger("cluster.sign_out")
        assert not desktop.actions.trigger("cluster.sign_out")


@pytest.mark.parametrize("address", ["", "ftp://host", "https://host:port"])
def test_an_address_that_is_none_is_marked(make: Callable[[], Desktop], address: str) -> None:
    page = page_of(make())
    page.form.address.setText(address)
    page.form.submit()
    assert page.form.failure.isVisible()
    assert page.form.address.property("invalid") == "true"


def test_a_wrong_address_is_said_with_a_remedy(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    with serving(lambda exchange: exchange.answer(200, b"<html>", "text/html")) as server:
        desktop = make()
        page = fill(desktop, server)
        qtbot.waitUntil(page.form.failure.isVisible, timeout=6_000)
    assert "web page" in page.form.failure.text


def test_a_server_of_another_version_is_said_with_a_remedy(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    def newer(exchange: Exchange) -> None:
        exchange.answer(
            body=b'{"version": "9.0.0", "shape": ["unknown"]}', dagdeck_api_version="9", dagdeck_version="9.0.0"
        )

    with serving(newer) as server:
        desktop = make()
        page = fill(desktop, server)
        server_url = server.url
        qtbot.waitUntil(page.form.failure.isVisible, timeout=6_000)
    assert page.form.failure.text.startswith(f"{server_url} is DagDeck 9.0.0 and speaks version 9")
    assert "Upgrade this desktop to DagDeck 9.0.0" in page.form.failure.accessibleName()
    assert desktop.session.state is SessionState.DISCONNECTED
    assert not any("authorization" in seen.headers for seen in server.seen)


def test_without_a_cluster_its_pages_are_off(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        entry = desktop.window.rail.button("home")
        assert not entry.isEnabled()
        assert not desktop.actions.trigger("page.home")
        assert desktop.window.rail.button("connect").isChecked()
        fill(desktop, server)
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        assert entry.isEnabled()
        assert entry.isChecked()
        desktop.session.disconnect_from()
        assert not entry.isEnabled()


def test_plain_http_to_another_machine_needs_a_yes(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    desktop = make()
    page = page_of(desktop)
    page.form.address.setText("http://127.0.0.1:8080")
    assert page.form.plain_http.isHidden()
    page.form.address.setText("http://192.0.2.1:8080")
    assert not page.form.plain_http.isHidden()
    page.form.username.setText("ada")
    page.form.password.setText("lovelace")
    page.form.submit()
    qtbot.waitUntil(page.form.failure.isVisible, timeout=2_000)
    assert "could be read on the way" in page.form.failure.text
    assert desktop.api.endpoint is None
    page.form.plain_http.setChecked(True)
    assert page.form.entered().profile.allows_plain_http
    page.form.address.setText("https://192.0.2.1:8080")
    assert not page.form.entered().profile.allows_plain_http


def test_an_airflow_server_is_recognised(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    def airflow(exchange: Exchange) -> None:
        if "dagdeck" in exchange.seen.path:
            exchange.answer(404)
        elif exchange.seen.path.startswith("/auth/token"):
            exchange.answer(201, b'{"access_token": "jwt"}')
        elif exchange.seen.path == "/api/v2/version":
            exchange.answer(body=b'{"version": "3.3.2"}')
        else:
            exchange.answer(body=DAGS)

    with serving(airflow) as server:
        desktop = make()
        fill(desktop, server)
        qtbot.waitUntil(lambda: desktop.feed.state is LinkState.POLLING, timeout=6_000)
        assert not desktop.session.is_dagdeck
        assert desktop.profiles.all()[0].kind is ClusterKind.AIRFLOW


def test_a_local_cluster_that_cannot_start_is_said_on_its_card(
    make: Callable[[], Desktop], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    desktop = make()
    page = page_of(desktop)
    page.local.start_button.click()
    qtbot.waitUntil(page.local.failure.isVisible, timeout=4_000)
    assert "dagdeckd is not installed" in page.local.failure.text


def test_an_address_from_outside_opens_the_known_cluster(make: Callable[[], Desktop], qtbot: QtBot) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        known = Profile(name="Known", url=server.url, color="#157A43")
        desktop.profiles.save(known)
        desktop.open_url(f"{server.url}/", "good")
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        assert desktop.window.windowTitle() == "Known – DagDeck"
        desktop.open_url("no such thing")
        assert "cannot be opened" in desktop.window.notices.texts[-1]


def test_incidents_are_shown_with_details_and_logged(
    make: Callable[[], Desktop], qtbot: QtBot, caplog: pytest.LogCaptureFixture
) -> None:
    desktop = make()
    try:
        raise ZeroDivisionError("an invariant does not hold")
    except ZeroDivisionError as error:
        desktop.incidents._caught(type(error), error, error.__traceback__)
        report = desktop.incidents.report(error)
    assert "ZeroDivisionError: an invariant does not hold" in desktop.window.notices.texts[-1]
    assert "test_incidents_are_shown" in report
    assert "desktop.log" in report
    assert "nobody caught this" in caplog.text


def test_the_page_to_connect_on_is_there_without_any_cluster(make: Callable[[], Desktop]) -> None:
    desktop = make()
    assert desktop.window.pages.route is not None
    assert desktop.window.pages.route.key == CONNECT_PAGE
    assert desktop.window.status.link is LinkState.OFFLINE
