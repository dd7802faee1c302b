"""Sends requests to a control API by HTTP and brings the answers back.

Decides time-outs, which calls are tried again after a failure (those that change nothing when repeated), and how
a failed connection becomes a sentence for people. Does not know any resource (`requests`). Used by the command line
and scripts; the desktop may bring a transport of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from dagdeck_client.errors import ServerFault, Unreachable
from dagdeck_client.requests.base import API_VERSION, VERSION_HEADER, Request, Response
from dagdeck_client.trust import (
    NEXT_CERTIFICATE_HEADER,
    KnownServers,
    UntrustedCertificate,
    fetch_certificate,
    origin_of,
)
from dagdeck_client.versions import RELEASE_HEADER, mismatch, own_headers
from dagdeck_core.errors import UserError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 35.0
ATTEMPTS = 3
_PASSING = frozenset({502, 503, 504})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a control API is and how to get in. `ca_file` replaces the system's certificates."""

    url: str
    token: str | None = None
    ca_file: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                "the server's URL is not complete",
                field="url",
                value=self.url,
                remedy="Write it as http://host:port or https://host:port",
            )


class HttpTransport:
    """A connection to one control API. Not for use by two threads at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        source: str = "rest_api",
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
        known: KnownServers | None = None,
    ) -> None:
        """`source` says what kind of program this is: "cli", "ui" or "rest_api". `transport` is for tests.

        `known` holds certificates that were accepted by hand; it does not count when the endpoint has a `ca_file`.
        """
        self.server_release = ""
        """The release of the server, once it has answered; an Airflow tells none."""
        self._endpoint = endpoint
        self._sleep = sleep
        self._transport = transport
        self._known = known if endpoint.ca_file is None and endpoint.url.startswith("https:") else None
        self._headers = {
            **own_headers(),
            "User-Agent": f"dagdeck-client/{API_VERSION}",
            "DagDeck-Source": source,
        }
        if endpoint.token:
            self._headers["Authorization"] = f"Bearer {endpoint.token}"
        pinned = None if self._known is None else self._known.context_for(endpoint.url)
        self._is_pinned = pinned is not None
        self._has_left_pin = False
        self._client = self._connect(_trust(endpoint) if pinned is None else pinned)

    def _connect(self, verify: ssl.SSLContext | bool) -> httpx.Client:
        return httpx.Client(
            base_url=self._endpoint.url.rstrip("/"),
            headers=self._headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            verify=verify,
            transport=self._transport,
            follow_redirects=False,
        )

    def __enter__(self) -> HttpTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def send(self, request: Request[T], *, idempotency_key: str | None = None) -> T:
        """Send `request` and return its answer.

        Raises Unreachable, VersionMismatch, ServerFault, or an ApiRefusal. A call that changes something is sent
        once; give an `idempotency_key` to send it again yourself.
        """
        headers = {"Accept": request.accept}
        if request.is_action:
            headers["Idempotency-Key"] = idempotency_key or secrets.token_hex(16)
        attempts = ATTEMPTS if request.is_idempotent else 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._once(request, headers)
            except UntrustedCertificate:
                raise
            except Unreachable:
                if attempt == attempts:
                    raise
            else:
                if response.status not in _PASSING or attempt == attempts:
                    return request.parse(response)
            self._sleep(0.2 * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _once(self, request: Request[T], headers: dict[str, str]) -> Response:
        content = request.encoded_body()
        if content is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            answer = self._ask(request, content, headers)
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self._endpoint.url} did not answer in time ({type(error).__name__})") from error
        except httpx.TransportError as error:
            raise Unreachable(_why_unreachable(self._endpoint.url, error), remedy=_remedy_for(error)) from error
        except httpx.InvalidURL as error:
            raise UserError(f"{self._endpoint.url} is not a usable URL: {error}", field="url") from error
        if self._is_pinned and self._known is not None:
            self._known.announce(self._endpoint.url, answer.headers.get(NEXT_CERTIFICATE_HEADER, ""))
        self.server_release = answer.headers.get(RELEASE_HEADER, self.server_release)
        _check_version(answer, self._endpoint.url)
        return Response(
            status=answer.status_code,
            content=answer.content,
            headers={name.lower(): value for name, value in answer.headers.items()},
        )

    def _ask(self, request: Request[T], content: bytes | None, headers: dict[str, str]) -> httpx.Response:
        """The answer. A certificate that is not trusted ends the handshake, so that it may be asked again with another
        trust: nothing was sent."""
        while True:
            try:
                return self._client.request(
                    request.method, request.path, params=list(request.query), content=content, headers=headers
                )
            except httpx.ConnectError as error:
                cause = _root_cause(error)
                if self._known is None or not isinstance(cause, ssl.SSLCertVerificationError):
                    raise
                verify = self._other_trust(self._known, cause.verify_message)
                self._client.close()
                self._client = self._connect(verify)

    def _other_trust(self, known: KnownServers, reason: str) -> ssl.SSLContext | bool:
        """What else to trust, after the present trust failed. Raises UntrustedCertificate when there is nothing."""
        url = self._endpoint.url
        shown = fetch_certificate(url)
        if self._is_pinned and known.take_announced(url, shown):
            return known.context_for(url) or True
        if self._is_pinned and not self._has_left_pin:
            # It may have got a certificate of a known authority meanwhile.
            self._is_pinned = False
            self._has_left_pin = True
            return _trust(self._endpoint)
        raise UntrustedCertificate(origin_of(url), shown.fingerprint, is_change=known.knows(url), reason=reason)


def _trust(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """Which certificates to trust. The system's need not be read for plain HTTP, which saves a start 30 ms."""
    if not endpoint.url.startswith("https:"):
        return False
    if endpoint.ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"the certificates cannot be read: {error}", field="ca_file", value=endpoint.ca_file) from error


def _why_unreachable(url: str, error: httpx.TransportError) -> str:
    """A sentence for people about a connection that failed."""
    cause = _root_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {url} is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS connection to {url}: {cause.reason or cause}"
    if isinstance(cause, ConnectionRefusedError):
        return f"nothing listens at {url} (connection refused)"
    return f"{url} cannot be reached: {cause or error}"


def _remedy_for(error: httpx.TransportError) -> str:
    cause = _root_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "Give the certificate authority's file by --ca-file or DAGDECK_CA_FILE"
    if isinstance(cause, ssl.SSLError):
        return "Does the server speak https at this port?"
    if isinstance(cause, ConnectionRefusedError):
        return "Is the server running there? Start one with `dagdeckd standalone`, or name another by --url"
    return "Check the URL and the network"


def _root_cause(error: BaseException) -> BaseException:
    """The first error in the chain that led to `error`."""
    seen = 0
    while seen < 10 and (error.__cause__ or error.__context__) is not None:
        error = error.__cause__ or error.__context__ or error
        seen += 1
    return error


def _check_version(answer: httpx.Response, url: str) -> None:
    """Raise VersionMismatch for a DagDeck of another API version; a server without the header is an Airflow."""
    problem = mismatch(url, answer.headers, "client")
    if problem is not None:
        raise problem
    if VERSION_HEADER not in answer.headers and answer.headers.get("content-type", "").startswith("text/html"):
        with contextlib.suppress(httpx.HTTPError):
            answer.close()
        raise ServerFault(f"{url} answers with a web page, not with the control API", transient=False)
