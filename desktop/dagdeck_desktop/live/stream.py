"""One connection of the event stream.

Decides whether an answer is an event stream. Does not connect again and does not measure silence (`feed`). Made anew
for each connection; the network manager is the feed's and outlives it, because a manager that is deleted while the
thread behind it still ends an aborted answer can take the process with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkReply, QNetworkRequest

from dagdeck_client.errors import error_of
from dagdeck_client.requests.base import OWN_API, VERSION_HEADER
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live.sse import MalformedStream, SseParser
from dagdeck_desktop.transport import failures
from dagdeck_desktop.transport.endpoint import Endpoint
from dagdeck_desktop.transport.network import make_request
from dagdeck_desktop.transport.trust import NEXT_CERTIFICATE_HEADER, PinStore, TlsGuard

EVENTS_PATH = f"{OWN_API}/events"
LONGEST_WAIT = 300.0


class StreamEnd(StrEnum):
    """Why a stream ended."""

    CUT = "cut"
    """The connection broke or could not be made."""
    REFUSED = "refused"
    """The server said no: sign-in, rights."""
    ABSENT = "absent"
    """The server has no such stream (an Airflow), or something between answers in its place."""


class EventStream(QObject):
    """A stream. `received` brings a list of events, `ended` its end with the reason, once."""

    opened = Signal()
    received = Signal(object)
    ended = Signal(object, object)

    def __init__(
        self,
        manager: QNetworkAccessManager,
        endpoint: Endpoint,
        pins: PinStore,
        topics: Sequence[str],
        last_id: str,
        parent: QObject | None = None,
        *,
        fresh: Sequence[str] = (),
    ) -> None:
        super().__init__(parent)
        self._endpoint = endpoint
        self._pins = pins
        self._parser = SseParser(last_id)
        self._is_over = False
        self._is_open = False
        self.retry_after: float | None = None
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        query = tuple(("subscribe", topic) for topic in topics)
        if last_id:
            query += tuple(("fresh", topic) for topic in fresh)
        request = make_request(endpoint, EVENTS_PATH, query, headers, with_token=True)
        request.setTransferTimeout(0)
        request.setAttribute(
            QNetworkRequest.Attribute.CacheLoadControlAttribute, QNetworkRequest.CacheLoadControl.AlwaysNetwork
        )
        self._reply = manager.get(request)
        self._guard = TlsGuard(self._reply, endpoint.origin, pins)
        self._reply.metaDataChanged.connect(self._headers_came)
        self._reply.readyRead.connect(self._bytes_came)
        self._reply.finished.connect(self._finished)

    def close(self) -> None:
        """End it without a signal."""
        self._is_over = True
        self._reply.abort()
        self._go()

    def _go(self) -> None:
        """Delete this and its answer once nothing of them is being told any more."""
        self._reply.deleteLater()
        self.deleteLater()

    def _status(self) -> int | None:
        status = self._reply.attribute(QNetworkRequest.Attribute.HttpStatusCodeAttribute)
        return None if status is None else int(status)

    def _is_event_stream(self) -> bool:
        kind = str(self._reply.header(QNetworkRequest.KnownHeaders.ContentTypeHeader) or "")
        return self._status() == 200 and kind.split(";", 1)[0].strip().lower() == "text/event-stream"

    def _retry_after(self) -> float | None:
        """Seconds that the server asks us to wait; None when it does not say."""
        text = self._header("Retry-After")
        return min(float(text), LONGEST_WAIT) if text.isdigit() else None

    def _header(self, name: str) -> str:
        return bytes(self._reply.rawHeader(name).data()).decode("latin-1").strip()

    def _headers_came(self) -> None:
        if self._is_event_stream() and not self._is_open and not self._is_over:
            self._is_open = True
            if self._reply.hasRawHeader(VERSION_HEADER):
                self._pins.announce(self._endpoint.origin, self._header(NEXT_CERTIFICATE_HEADER))
            self.opened.emit()

    def _bytes_came(self) -> None:
        if self._is_over or not self._is_open:
            return
        try:
            events = self._parser.feed(bytes(self._reply.readAll().data()))
        except MalformedStream as error:
            self._end(StreamEnd.CUT, error)
            return
        # Also without a whole event: bytes alone show that the server is there.
        self.received.emit(events)

    def _finished(self) -> None:
        if self._is_over:
            return
        self._bytes_came()
        status = self._status()
        if self._guard.problem is not None:
            self._end(StreamEnd.REFUSED, failures.UntrustedCertificate(self._guard.problem))
        elif status is None or self._is_open:
            error = failures.unreachable(self._reply.error(), self._reply.errorString(), self._endpoint)
            self._end(StreamEnd.CUT, error)
        elif status in (400, 401, 403, 422):
            self._end(StreamEnd.REFUSED, error_of(status, bytes(self._reply.readAll().data())))
        elif status >= 500 or status == 429:
            self.retry_after = self._retry_after()
            self._end(StreamEnd.CUT, error_of(status, bytes(self._reply.readAll().data())))
        else:
            self._end(StreamEnd.ABSENT, failures.not_our_api(self._endpoint))

    def _end(self, why: StreamEnd, error: DagDeckError | None) -> None:
        if not self._is_over:
            self._is_over = True
            if self._reply.error() is QNetworkReply.NetworkError.NoError and not self._reply.isFinished():
                self._reply.abort()
            self.ended.emit(why, error)
            self._go()
