"""Connection files: read and checked, opened by the window, saved for others; never a way to bring secrets along."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_desktop.app import Desktop, StartOptions
from dagdeck_desktop.profiles import (
    ClusterKind,
    ConnectionFile,
    Profile,
    ProfileStore,
    connection_text,
    read_connection_file,
)
from dagdeck_desktop.session import SessionState
from dagdeck_desktop.single_instance import SingleInstance
from tests.desktop import test_connecting
from tests.desktop.certificates import issue
from tests.desktop.http_server import ScriptedServer, serving
from tests.desktop.test_connecting import Cluster, is_connected, page_of

keyring, make = test_connecting.keyring, test_connecting.make

WHOLE = """
[connection]
name = "Production"
url = "https://deck.example:8443/"
kind = "dagdeck"
color = "#C0392B"
username = "ada"
"""


def written(folder: Path, text: str) -> Path:
    """A connection file with this text."""
    path = folder / "cluster.dagdeck"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    assert read_connection_file(written(tmp_path, WHOLE)) == ConnectionFile(
        name="Production", url="https://deck.example:8443", color="#C0392B", username="ada"
    )
    short = read_connection_file(written(tmp_path, '[connection]\nurl = "deck.example"'))
    assert (short.name, short.url, short.kind) == ("deck.example", "https://deck.example", ClusterKind.DAGDECK)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "no connection file"),
        ("[other]\n", r"\[connection\] is missing"),
        ("connection = 3", r"\[connection\] is missing"),
        ('[connection]\nname = "x"', "missing required field `url`"),
        ('[connection]\nurl = "ftp://x"', "url: this is no server's address"),
        ('[connection]\nurl = "https://ada:lovelace@x"', "must not hold a password"),
        ('[connection]\nurl = "https://x"\npassword = "p"', "password: a connection file must not hold secrets"),
        ('[connection]\nurl = "https://x"\ntoken = "t"', "token: a connection file must not hold secrets"),
        ('[connection]\nurl = "https://x"\nallows_plain_http = true', "unknown field `allows_plain_http`"),
        ('[connection]\nurl = "https://x"\nkind = "local"', "needs no file"),
        ('[connection]\nurl = "https://x"\ncolor = "red"', "no colour"),
        ('[connection]\nurl = "https://x"\nca_certificate = "x"', "no certificate"),
        ('[connection]\nurl = "https://x"\nname = "a\\nb"', "on one line"),
        ("#" * 70_000, "too large"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=complaint) as raised:
        read_connection_file(path)
    assert str(path) in str(raised.value)
    assert "lovelace" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read_connection_file(tmp_path / "absent.dagdeck")


@given(name=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=80))
def test_what_is_saved_is_read_again(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    profile = Profile(name=name, url="https://deck.example:8443", color="#C0392B", username="ada")
    text = connection_text(profile)
    assert "ada" not in text.replace(name, ""), "whose account it is says the person who opens it"
    found = read_connection_file(written(tmp_path_factory.mktemp("saved"), text))
    assert (found.name, found.url, found.color) == (name, profile.url, profile.color)


def test_an_authority_is_trusted_for_this_cluster_alone_and_goes_with_it(tmp_path: Path) -> None:
    authority = issue(tmp_path, "authority", is_authority=True)
    both = authority.certificate_file.read_text() + authority.key_file.read_text()
    mixed = tmp_path / "mixed.pem"
    mixed.write_text(both)
    text = connection_text(Profile(name="P", url="https://deck.example", ca_file=str(mixed)))
    assert "PRIVATE" not in text
    store = ProfileStore(tmp_path / "config" / "profiles.json")
    profile = store.add(read_connection_file(written(tmp_path, text)))
    assert Path(profile.ca_file).read_text() == authority.certificate_file.read_text()
    assert store.add(ConnectionFile(url="https://deck.example", name="Other")) == profile, "a known one is not changed"
    store.delete(profile.profile_id)
    assert not Path(profile.ca_file).exists()


def test_a_new_cluster_is_added_and_asked_about_before_anything_is_sent(
    make: Callable[..., Desktop], qtbot: QtBot, tmp_path: Path
) -> None:
    certificate = issue(tmp_path, "server")
    with ScriptedServer(Cluster(), certificate.context()) as server:
        authority = certificate.certificate_file.read_text()
        text = f"[connection]\nname='Plant'\nurl='{server.url}'\nusername='ada'\nca_certificate='''{authority}'''"
        desktop = make(StartOptions(file=written(tmp_path, text)))
        qtbot.waitUntil(lambda: page_of(desktop).form.title.text() == "Sign in to Plant", timeout=4_000)
        form = page_of(desktop).form
        assert (form.address.text(), form.username.text()) == (server.url, "ada")
        assert [each.name for each in desktop.profiles.all()] == ["Plant"]
        qtbot.wait(100)
        assert server.seen == []
        form.password.setText("lovelace")
        form.submit()
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        assert desktop.window.windowTitle() == "Plant – DagDeck"
        assert len(desktop.profiles.all()) == 1


def test_a_known_cluster_is_selected_with_what_is_known_of_it(
    make: Callable[..., Desktop], qtbot: QtBot, tmp_path: Path
) -> None:
    with serving(Cluster()) as server:
        desktop = make()
        test_connecting.fill(desktop, server)
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        desktop.session.disconnect_from()
        desktop.open_file(written(tmp_path, f"[connection]\nname='Plant'\nurl='{server.url}'"))
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        assert desktop.window.windowTitle() == "Production – DagDeck"


def test_a_file_that_cannot_be_used_is_said(make: Callable[..., Desktop], tmp_path: Path) -> None:
    desktop = make()
    desktop.open_file(written(tmp_path, '[connection]\nurl = "https://x"\ntoken = "t"'))
    assert "must not hold secrets" in desktop.window.notices.texts[-1]
    assert desktop.profiles.all() == ()
    assert desktop.session.state is SessionState.DISCONNECTED


def test_a_connection_is_saved_for_others(
    make: Callable[..., Desktop], qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def choose(_parent: object, _title: str, proposed: str, _kinds: str) -> tuple[str, str]:
        asked.append(proposed)
        return str(tmp_path / "shared"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    desktop = make()
    assert not desktop.actions.trigger("cluster.save_connection_file")
    with serving(Cluster()) as server:
        test_connecting.fill(desktop, server)
        qtbot.waitUntil(lambda: is_connected(desktop), timeout=6_000)
        desktop.actions.trigger("cluster.save_connection_file")
        assert asked == ["Production.dagdeck"]
        found = read_connection_file(tmp_path / "shared.dagdeck")
        assert (found.name, found.url, found.username) == ("Production", server.url, "")
        assert "good" not in (tmp_path / "shared.dagdeck").read_text()


def test_a_double_click_while_a_desktop_runs_hands_it_the_file(qtbot: QtBot, tmp_path: Path, own_folders: Path) -> None:
    path = written(tmp_path, WHOLE).rename(tmp_path / "Werk Süd #1.dagdeck")
    first = SingleInstance(own_folders / "xdg_config_home" / "dagdeck")
    assert first.listen()
    second = subprocess.Popen(
        [sys.executable, "-m", "dagdeck_desktop", path.name],
        cwd=tmp_path,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)},
    )
    with qtbot.waitSignal(first.called, timeout=30_000) as called:
        pass
    assert called.args == [path.as_uri()]
    qtbot.waitUntil(lambda: second.poll() is not None, timeout=10_000)
    assert second.returncode == 0
    first.close()
