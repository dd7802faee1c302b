"""Secrets: the window never waits for the keyring, and does without one that is absent, broken or slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot

from dagdeck_desktop.keyring import Secret, SecretStore


class MemoryKeyring:
    """A keyring in memory; it remembers which threads asked."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.threads: set[threading.Thread] = set()

    def get_password(self, service: str, name: str) -> str | None:
        """A secret."""
        self.threads.add(threading.current_thread())
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        """Keep one."""
        self.kept[service, name] = value

    def delete_password(self, service: str, name: str) -> None:
        """Forget one; the real ones raise for what is not there."""
        del self.kept[service, name]


class BlockedKeyring(MemoryKeyring):
    """A keyring whose dialog nobody answers."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def get_password(self, service: str, name: str) -> str | None:
        """Wait for the dialog."""
        self.released.wait(10)
        return "too late"


Ask = Callable[[Callable[[Callable[[Secret], None]], None]], Secret]


@pytest.fixture
def ask(qtbot: QtBot) -> Ask:
    """Run a call and wait for its answer."""

    def run(call: Callable[[Callable[[Secret], None]], None]) -> Secret:
        answers: list[Secret] = []
        call(answers.append)
        assert answers == [], "an answer came before the call had returned"
        qtbot.waitUntil(lambda: bool(answers), timeout=4_000)
        return answers[0]

    return run


def test_a_secret_goes_round(ask: Ask) -> None:
    backend = MemoryKeyring()
    assert ask(lambda done: SecretStore(lambda: backend).put("p1", "token", done)) == Secret(value=None, is_kept=True)
    store = SecretStore(lambda: backend)
    assert ask(lambda done: store.get("p1", done)) == Secret(value="token", is_kept=True)
    assert ask(lambda done: store.get("p2", done)) == Secret(value=None, is_kept=True)
    assert threading.main_thread() not in backend.threads
    ask(lambda done: store.forget("p1", done))
    assert backend.kept == {}
    assert ask(lambda done: store.forget("p1", done)).is_kept is False


def test_without_a_keyring_secrets_last_for_the_session(ask: Ask) -> None:
    def absent() -> MemoryKeyring:
        raise RuntimeError("this system has no keyring")

    store = SecretStore(absent)
    assert ask(lambda done: store.get("p1", done)) == Secret(value=None, is_kept=False)
    assert ask(lambda done: store.put("p1", "token", done)) == Secret(value=None, is_kept=False)
    assert ask(lambda done: store.get("p1", done)).value == "token"


def test_a_keyring_that_hangs_is_given_up(ask: Ask, qtbot: QtBot) -> None:
    backend = BlockedKeyring()
    store = SecretStore(lambda: backend, timeout_seconds=0.2)
    began = time.monotonic()
    assert ask(lambda done: store.get("p1", done)) == Secret(value=None, is_kept=False)
    assert time.monotonic() - began < 2
    backend.released.set()
    qtbot.wait(50)
