"""One desktop per person: a second start brings the first window to the front.

Decides the name of the meeting point (per user and configuration folder). Does not open windows (`app`).
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import weakref
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

_logger = logging.getLogger(__name__)
_WAIT_MILLISECONDS = 500


class SingleInstance(QObject):
    """The meeting point. `called(argument)` follows each later start, with the address it was given or ""."""

    called = Signal(str)

    def __init__(self, config: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        who = f"{getpass.getuser()}\n{config}".encode()
        self._name = f"dagdeck-desktop-{hashlib.sha256(who).hexdigest()[:16]}"
        self._server: QLocalServer | None = None

    def call_first(self, argument: str) -> bool:
        """Hand the argument to a desktop that runs already; False when there is none."""
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if not socket.waitForConnected(_WAIT_MILLISECONDS):
            return False
        socket.write(argument.encode("utf-8") + b"\n")
        has_sent = socket.waitForBytesWritten(_WAIT_MILLISECONDS)
        # One that hangs must not keep a person from working: then a second window opens.
        has_answer = has_sent and socket.waitForReadyRead(_WAIT_MILLISECONDS)
        socket.disconnectFromServer()
        return has_answer

    def listen(self) -> bool:
        """Be the first; False when the meeting point cannot be had (then later starts open windows of their own)."""
        server = QLocalServer(self)
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        if not server.listen(self._name):
            # Left behind by one that crashed: `call_first` has just found nobody there.
            QLocalServer.removeServer(self._name)
            if not server.listen(self._name):
                _logger.warning("other starts will open windows of their own: %s", server.errorString())
                return False
        server.newConnection.connect(self._answer)
        self._server = server
        return True

    def close(self) -> None:
        """Be the first no longer."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _answer(self) -> None:
        socket = self._server.nextPendingConnection() if self._server is not None else None
        if socket is None:
            return

        # A connection must not keep its owner alive: then the owner could be the last to go, in the midst of the
        # socket's own end, and would delete the socket, its child's child, a second time.
        owner = weakref.ref(self)

        def read() -> None:
            if socket.canReadLine():
                text = bytes(socket.readLine().data()).decode("utf-8", "replace").strip()
                socket.write(b"ok\n")
                socket.flush()
                this = owner()
                if this is not None:
                    this.called.emit(text)

        socket.readyRead.connect(read)
        socket.disconnected.connect(socket.deleteLater)
        read()
