"""Sends requests to the control API without blocking the window, and brings answers to callbacks.

Decides time-outs, what is tried again (what changes nothing when repeated), and that answers of a server we have left
are dropped. Does not know any resource. Called by view models.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import shiboken6
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkReply, QNetworkRequest

from dagdeck_client.errors import NotAuthenticated, ServerFault, Unreachable, VersionMismatch
from dagdeck_client.requests.base import VERSION_HEADER, Request, Response
from dagdeck_client.versions import mismatch
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.transport import failures
from dagdeck_desktop.transport.decoding import Decoder
from dagdeck_desktop.transport.endpoint import Endpoint
from dagdeck_desktop.transport.network import make_manager, make_request, retire_manager
from dagdeck_desktop.transport.trust import NEXT_CERTIFICATE_HEADER, PinStore, TlsGuard

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 35.0
ATTEMPTS = 3
RETRY_MILLISECONDS = 200
MAX_ANSWER_BYTES = 256 * 1024 * 1024
LONGEST_PAUSE = 5_000
"""Milliseconds that a server may ask us to wait before a call is tried again; after longer ones people are told."""
_PASSING = frozenset({429, 502, 503, 504})

T = TypeVar("T")
OnError = Callable[[DagDeckError], None]


class Call:
    """One call under way. `abort` forgets it: no callback comes any more."""

    def __init__(self, request: Request[Any], on_done: Callable[[Any], None], on_error: OnError) -> None:
        self.request = request
        self.on_done = on_done
        self.on_error = on_error
        self.owner: QObject | None = None
        self.idempotency_key = secrets.token_hex(16)
        self.attempt = 1
        self.is_over = False
        self.reply: QNetworkReply | None = None
        self.guard: TlsGuard | None = None
        self.has_timed_out = False

    def abort(self) -> None:
        """Give the call up. What it asked the server to do may still happen."""
        self.is_over = True
        if self.reply is not None and shiboken6.isValid(self.reply):
            self.reply.abort()

    @property
    def is_wanted(self) -> bool:
        """False once nobody waits for the answer."""
        return not self.is_over and (self.owner is None or shiboken6.isValid(self.owner))


class Api(QObject):
    """Calls one control API at a time. GUI thread only.

    `answered` tells that the server spoke to us just now, `unreachable` why it did not, `sign_in_needed` that it no
    longer knows our token. `is_dagdeck` tells a DagDeck server from an Airflow once it has answered.
    """

    answered = Signal()
    unreachable = Signal(object)
    sign_in_needed = Signal()

    def __init__(self, pins: PinStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pins = pins
        self._endpoint: Endpoint | None = None
        self._manager: QNetworkAccessManager | None = None
        self._calls: set[Call] = set()
        self._decoder = Decoder(self)
        self.answer_seconds = ANSWER_SECONDS
        self.connect_seconds = CONNECT_SECONDS
        self.is_dagdeck: bool | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """The server that is called; None before the first connection."""
        return self._endpoint

    def set_endpoint(self, endpoint: Endpoint | None) -> None:
        """Call another server from now on; what is under way is given up without a callback."""
        self.abort_all()
        self.is_dagdeck = None
        if self._manager is not None:
            retire_manager(self._manager)
        self._endpoint = endpoint
        self._manager = make_manager(endpoint, self) if endpoint is not None else None

    def call(
        self,
        request: Request[T],
        on_done: Callable[[T], None],
        on_error: OnError,
        *,
        owner: QObject | None = None,
        idempotency_key: str | None = None,
    ) -> Call:
        """Send a request. One of the callbacks is called in the GUI thread, after this has returned.

        No callback comes after `abort`, after a change of the endpoint, or once `owner` is destroyed. Give an
        `idempotency_key` to send an action a second time without doing it twice.
        """
        call = Call(request, on_done, on_error)
        call.owner = owner
        if idempotency_key is not None:
            call.idempotency_key = idempotency_key
        self._calls.add(call)
        QTimer.singleShot(0, self, lambda: self._send(call))
        return call

    def abort_all(self) -> None:
        """Give up every call."""
        for call in self._snapshot():
            call.abort()
        self._calls.clear()

    def close(self) -> None:
        """Give up every call and wait for the decoding thread."""
        self.abort_all()
        self._decoder.close()

    def _snapshot(self) -> Iterable[Call]:
        return tuple(self._calls)

    def _send(self, call: Call) -> None:
        if not call.is_wanted:
            self._calls.discard(call)
            return
        endpoint, manager = self._endpoint, self._manager
        if endpoint is None or manager is None:
            self._fail(call, Unreachable("no cluster is connected", transient=False, remedy="Connect to one first"))
            return
        try:
            message = self._message(call, endpoint)
        except DagDeckError as error:
            self._fail(call, error)
            return
        body = call.request.encoded_body()
        reply = manager.sendCustomRequest(message, call.request.method.encode("ascii"), body or b"")
        call.reply = reply
        call.guard = TlsGuard(reply, endpoint.origin, self._pins)
        self._limit(call, reply)
        reply.finished.connect(lambda: self._finished(call, reply, endpoint))

    def _message(self, call: Call, endpoint: Endpoint) -> QNetworkRequest:
        request = call.request
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.is_action:
            headers["Idempotency-Key"] = call.idempotency_key
        message = make_request(endpoint, request.path, request.query, headers, with_token=request.needs_token)
        message.setTransferTimeout(round(self.answer_seconds * 1000))
        return message

    def _limit(self, call: Call, reply: QNetworkReply) -> None:
        """Give up early when nobody takes the connection, and when an answer grows out of all proportion."""
        timer = QTimer(reply)
        timer.setSingleShot(True)
        timer.setInterval(round(self.connect_seconds * 1000))

        def nobody_there() -> None:
            call.has_timed_out = True
            reply.abort()

        timer.timeout.connect(nobody_there)
        reply.socketStartedConnecting.connect(timer.start)
        reply.requestSent.connect(timer.stop)
        reply.downloadProgress.connect(lambda got, _total: reply.abort() if got > MAX_ANSWER_BYTES else None)

    def _finished(self, call: Call, reply: QNetworkReply, endpoint: Endpoint) -> None:
        reply.deleteLater()
        call.reply = None
        if not call.is_wanted or endpoint is not self._endpoint:
            self._calls.discard(call)
            return
        status = reply.attribute(QNetworkRequest.Attribute.HttpStatusCodeAttribute)
        problem = call.guard.problem if call.guard is not None else None
        if problem is not None:
            self._fail(call, failures.UntrustedCertificate(problem))
        elif status is None or reply.error() in _CUT_SHORT:
            self._no_answer(call, reply, endpoint)
        elif status in _PASSING and self._try_again(call, _wished_pause(reply)):
            return
        else:
            self._answer(call, reply, endpoint, int(status))

    def _no_answer(self, call: Call, reply: QNetworkReply, endpoint: Endpoint) -> None:
        if call.has_timed_out:
            self._fail(call, failures.timed_out(endpoint, self.connect_seconds))
        elif not self._try_again(call):
            self._fail(call, failures.unreachable(reply.error(), reply.errorString(), endpoint))

    def _try_again(self, call: Call, at_least: int = 0) -> bool:
        if not call.request.is_idempotent or call.attempt >= ATTEMPTS or at_least > LONGEST_PAUSE:
            return False
        pause = max(at_least, RETRY_MILLISECONDS * 2 ** (call.attempt - 1))
        call.attempt += 1
        QTimer.singleShot(pause, self, lambda: self._send(call))
        return True

    def _answer(self, call: Call, reply: QNetworkReply, endpoint: Endpoint, status: int) -> None:
        headers = {
            bytes(name.data()).decode("latin-1").lower(): bytes(value.data()).decode("latin-1")
            for name, value in reply.rawHeaderPairs()
        }
        if 300 <= status < 400:
            self._fail(call, failures.redirected(endpoint, headers.get("location", "")))
            return
        refusal = _not_ours(endpoint, headers)
        if refusal is not None:
            self._fail(call, refusal)
            return
        self.is_dagdeck = VERSION_HEADER in headers
        if self.is_dagdeck:
            self._pins.announce(endpoint.origin, headers.get(NEXT_CERTIFICATE_HEADER, ""))
        self.answered.emit()
        response = Response(status=status, content=bytes(reply.readAll().data()), headers=headers)

        def deliver(value: Any, error: DagDeckError | None) -> None:
            if endpoint is not self._endpoint:
                self._calls.discard(call)
            elif error is not None:
                self._fail(call, error)
            else:
                self._calls.discard(call)
                if call.is_wanted:
                    call.is_over = True
                    call.on_done(value)

        self._decoder.decode(call.request, response, deliver)

    def _fail(self, call: Call, error: DagDeckError) -> None:
        self._calls.discard(call)
        if isinstance(error, Unreachable):
            self.unreachable.emit(error)
        elif isinstance(error, NotAuthenticated) and call.request.needs_token:
            self.sign_in_needed.emit()
        if call.is_wanted:
            call.is_over = True
            call.on_error(error)


def _wished_pause(reply: QNetworkReply) -> int:
    """Milliseconds that the server asks us to wait; 0 when it says nothing."""
    text = bytes(reply.rawHeader("Retry-After").data()).decode("latin-1").strip()
    return int(text) * 1_000 if text.isdigit() and len(text) < 6 else 0


_N = QNetworkReply.NetworkError
_CUT_SHORT = frozenset({_N.RemoteHostClosedError, _N.OperationCanceledError, _N.TimeoutError, _N.UnknownNetworkError})
"""Errors after which the body is not whole, whatever the status line said."""


def _not_ours(endpoint: Endpoint, headers: dict[str, str]) -> VersionMismatch | ServerFault | None:
    """Why an answer does not come from an API that we can read; a server without our header is an Airflow."""
    problem = mismatch(endpoint.url, headers, "desktop")
    if problem is not None:
        return problem
    if VERSION_HEADER not in headers and headers.get("content-type", "").startswith("text/html"):
        return failures.not_our_api(endpoint)
    return None
