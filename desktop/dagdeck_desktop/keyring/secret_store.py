"""Keeps tokens in the system's keyring (Secret Service, Keychain, Credential Manager).

Decides that the window never waits for it: each call runs in a thread, and after a time-out counts as "no keyring",
which means that people are asked each time. Never writes a secret to a file of ours. Called by `session`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PySide6.QtCore import QObject, QTimer, Signal

_logger = logging.getLogger(__name__)
SERVICE = "DagDeck"
TIMEOUT_SECONDS = 5.0
# Where a person must first unlock a keyring by a password, the time-out would cut that off.
FIRST_TIMEOUT_SECONDS = 30.0


class Backend(Protocol):
    """What the keyring library offers of which we make use. Every method may block and may raise anything."""

    def get_password(self, service: str, name: str) -> str | None:
        """The secret, or None."""

    def set_password(self, service: str, name: str, value: str) -> None:
        """Keep a secret."""

    def delete_password(self, service: str, name: str) -> None:
        """Forget a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """An answer of the keyring. `is_kept` is False where there is none that works: ask each time."""

    value: str | None
    is_kept: bool


OnSecret = Callable[[Secret], None]


def system_backend() -> Backend:
    """The system's keyring. Raises RuntimeError where there is none that keeps secrets safe."""
    import keyring
    import keyring.backends.fail
    import keyring.backends.null

    backend = keyring.get_keyring()
    if isinstance(backend, keyring.backends.fail.Keyring | keyring.backends.null.Keyring):
        raise RuntimeError("this system has no keyring")
    return backend


class SecretStore(QObject):
    """Asks the keyring. Secrets given in this session are also kept in memory, until the program ends."""

    _answered = Signal(object)

    def __init__(
        self,
        make_backend: Callable[[], Backend] = system_backend,
        parent: QObject | None = None,
        timeout_seconds: float = FIRST_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(parent)
        self._make_backend = make_backend
        self._backend: Backend | None = None
        self._timeout_seconds = timeout_seconds
        self._session: dict[str, str] = {}
        self._waiting: dict[int, OnSecret] = {}
        self._next = 0
        self._answered.connect(self._deliver)

    def get(self, name: str, on_done: OnSecret) -> None:
        """Ask for a secret; the callback comes in the GUI thread, at the latest after the time-out."""
        if name in self._session:
            value = self._session[name]
            QTimer.singleShot(0, self, lambda: on_done(Secret(value=value, is_kept=True)))
            return
        self._run(lambda backend: backend.get_password(SERVICE, name), on_done)

    def put(self, name: str, value: str, on_done: OnSecret) -> None:
        """Keep a secret; the answer's `is_kept` says whether the keyring took it."""
        self._session[name] = value
        self._run(lambda backend: backend.set_password(SERVICE, name, value), on_done)

    def forget(self, name: str, on_done: OnSecret) -> None:
        """Forget a secret, here and in the keyring."""
        self._session.pop(name, None)
        self._run(lambda backend: backend.delete_password(SERVICE, name), on_done)

    def _run(self, work: Callable[[Backend], str | None], on_done: OnSecret) -> None:
        self._next += 1
        number = self._next
        self._waiting[number] = on_done
        QTimer.singleShot(round(self._timeout_seconds * 1000), self, lambda: self._timed_out(number))
        # Not Qt's pool: a keyring that hangs for ever must not keep the program from ending.
        thread = threading.Thread(target=self._work, args=(number, work), name="keyring", daemon=True)
        thread.start()

    def _work(self, number: int, work: Callable[[Backend], str | None]) -> None:
        try:
            if self._backend is None:
                self._backend = self._make_backend()
            answer = Secret(value=work(self._backend), is_kept=True)
        except Exception as error:  # noqa: BLE001 - a keyring's backends raise whatever their system does
            _logger.warning("the keyring does not work: %s: %s", type(error).__name__, error)
            answer = Secret(value=None, is_kept=False)
        try:
            self._answered.emit((number, answer))
        except RuntimeError:
            _logger.debug("the keyring answered after the window had closed")

    def _deliver(self, answered: tuple[int, Secret]) -> None:
        number, answer = answered
        on_done = self._waiting.pop(number, None)
        if on_done is not None:
            self._timeout_seconds = min(self._timeout_seconds, TIMEOUT_SECONDS)
            on_done(answer)

    def _timed_out(self, number: int) -> None:
        on_done = self._waiting.pop(number, None)
        if on_done is not None:
            _logger.warning("the keyring did not answer in time")
            on_done(Secret(value=None, is_kept=False))
