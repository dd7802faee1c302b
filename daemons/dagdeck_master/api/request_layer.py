"""The outermost layer of every request: its id, its size, its version header, and the last net for errors.

Decides that each request has an id which its log lines and its answer repeat, and an address that it came from, that a
body is no larger than a setting, and that no exception reaches the server below. Wrapped around the app by
`app.create_app`.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable

import msgspec
from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dagdeck_core.measures import SHORT, Histogram
from dagdeck_master.api.client_address import ClientAddresses
from dagdeck_master.api.errors import answer_unexpected

_logger = logging.getLogger(__name__)
VERSION_HEADER, RELEASE_HEADER = b"dagdeck-api-version", b"dagdeck-version"
"""Headers of requests and answers: the version of the API and the sender's release."""
NEXT_CERTIFICATE = b"dagdeck-next-certificate"
"""Header that announces, by SHA-256, the certificate that the server will show next."""
API_VERSION = "1"
"""Raised when clients of the former version of DagDeck's API would misread an answer."""
_REQUEST_ID = re.compile(rb"[\w.-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SLOW = 2.0
"""Seconds after which an answered request is worth a line in the log."""


class RequestFigures:
    """What was answered, for metrics. Raised on the event loop."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        """By method and status."""
        self.durations = Histogram.over(SHORT)
        """Seconds from a request to the beginning of its answer."""

    def answered(self, method: str, status: int, seconds: float) -> None:
        """An answer has begun."""
        self.counts[method if method in _METHODS else "other", status] += 1
        self.durations.observe(seconds)


class RequestLayer:
    """ASGI middleware without buffering: streams pass through."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        addresses: ClientAddresses,
        next_certificate: Callable[[], str | None] = lambda: None,
        figures: RequestFigures | None = None,
        release: str = "",
    ) -> None:
        """`next_certificate` gives the fingerprint of the certificate that the server will show next."""
        self._app = app
        self._addresses = addresses
        self._figures = figures or RequestFigures()
        self._release = release.encode("ascii", "replace")
        self._next_certificate = next_certificate
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["address"] = self._addresses.of(scope)
        started = time.monotonic()
        has_begun = False

        async def send_marked(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode("ascii")),
                    (VERSION_HEADER, API_VERSION.encode("ascii")),
                    (RELEASE_HEADER, self._release),
                ]
                following = self._next_certificate()
                if following is not None:
                    message["headers"].append((NEXT_CERTIFICATE, following.encode("ascii")))
                seconds = time.monotonic() - started
                self._figures.answered(scope["method"], message["status"], seconds)
                _log(scope, message["status"], seconds, request_id)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_marked)
            return
        try:
            await self._app(scope, _bounded(scope, receive, self._max_bytes), send_marked)
        except Exception as error:  # noqa: BLE001 - the last net: logged with its traceback, answered without
            response = await answer_unexpected(Request(scope), error)
            if not has_begun:
                await response(scope, receive, send_marked)

    def _refusal(self, scope: Scope) -> Response | None:
        """What a client gets that says it speaks another version of the API: it would misread everything else."""
        headers = dict(scope["headers"])
        theirs = headers.get(VERSION_HEADER, b"").decode("ascii", "replace")
        if theirs in ("", API_VERSION):
            return None
        release = headers.get(RELEASE_HEADER, b"of another release").decode("ascii", "replace")
        detail = (
            f"This client is DagDeck {release} and speaks version {theirs} of the API; this server is "
            f"{self._release.decode('ascii')} and speaks version {API_VERSION}. Use the same release on both sides"
        )
        return Response(msgspec.json.encode({"detail": detail}), 426, media_type="application/json")


def _request_id(scope: Scope) -> str:
    """The client's own id when it is a decent one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii", "replace"))
    return secrets.token_hex(8)


def _log(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    level = logging.INFO if seconds >= SLOW else logging.DEBUG
    _logger.log(
        level,
        "%s %s -> %s in %.0f ms",
        scope["method"],
        scope["path"],
        status,
        seconds * 1000,
        extra={"request_id": request_id},
    )


def _bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """`receive`, refusing with 413 when more than `limit` bytes come or are announced."""
    too_large = HTTPException(413, f"The request's body is larger than {limit} bytes (setting api.max_request_bytes)")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:

            async def refuse() -> Message:
                raise too_large

            return refuse
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise too_large
        return message

    return counted
