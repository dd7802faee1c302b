"""Makes Qt network managers and requests for one endpoint.

Decides proxies, redirects, headers and certificates of every request. Does not decide what is asked. Called by `api`
and by the live feed, each with a manager of its own: an open stream must not take a connection from calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from PySide6.QtCore import QObject, QTimer, QUrl, QUrlQuery
from PySide6.QtNetwork import (
    QNetworkAccessManager,
    QNetworkProxy,
    QNetworkProxyFactory,
    QNetworkProxyQuery,
    QNetworkRequest,
    QSslCertificate,
    QSslConfiguration,
)

from dagdeck_client.versions import own_headers
from dagdeck_core.errors import UserError
from dagdeck_desktop.transport.endpoint import Endpoint

_Attribute = QNetworkRequest.Attribute
RETIRE_AFTER_MS = 10_000


def product_version() -> str:
    """The installed distribution's version."""
    with contextlib.suppress(PackageNotFoundError):
        return version("dagdeck")
    return "0+unknown"


def make_manager(endpoint: Endpoint, parent: QObject) -> QNetworkAccessManager:
    """A manager for one server: it follows no redirect, keeps no cookies on disk, and uses no proxy for loopback."""
    manager = QNetworkAccessManager(parent)
    manager.setAutoDeleteReplies(False)
    manager.setRedirectPolicy(QNetworkRequest.RedirectPolicy.ManualRedirectPolicy)
    manager.setProxy(proxy_for(endpoint))
    return manager


def retire_manager(manager: QNetworkAccessManager) -> None:
    """Delete a manager that nobody asks any more, once the thread behind it has surely ended what was aborted."""
    QTimer.singleShot(RETIRE_AFTER_MS, manager, manager.deleteLater)


def make_request(
    endpoint: Endpoint, path: str, query: tuple[tuple[str, str], ...], headers: Mapping[str, str], *, with_token: bool
) -> QNetworkRequest:
    """A request with our headers. Raises UserError when the endpoint's own authorities cannot be read."""
    request = QNetworkRequest(url_of(endpoint, path, query))
    request.setAttribute(_Attribute.Http2AllowedAttribute, False)
    request.setAttribute(_Attribute.CookieLoadControlAttribute, QNetworkRequest.LoadControl.Manual)
    request.setAttribute(_Attribute.CookieSaveControlAttribute, QNetworkRequest.LoadControl.Manual)
    request.setAttribute(_Attribute.AuthenticationReuseAttribute, QNetworkRequest.LoadControl.Manual)
    request.setRawHeader(b"User-Agent", f"dagdeck-desktop/{product_version()}".encode())
    request.setRawHeader(b"DagDeck-Source", b"ui")
    for name, value in own_headers().items():
        request.setRawHeader(name.encode("ascii"), value.encode("ascii", "replace"))
    if with_token and endpoint.token:
        request.setRawHeader(b"Authorization", f"Bearer {endpoint.token}".encode("ascii", "replace"))
    for name, value in headers.items():
        request.setRawHeader(name.encode("ascii"), value.encode("latin-1", "replace"))
    if endpoint.url.startswith("https:"):
        request.setSslConfiguration(_ssl_configuration(endpoint))
    return request


def url_of(endpoint: Endpoint, path: str, query: tuple[tuple[str, str], ...]) -> QUrl:
    """The URL of a path that is quoted already, with query values that are not."""
    url = QUrl.fromEncoded((endpoint.url + path).encode("ascii", "replace"), QUrl.ParsingMode.StrictMode)
    if query:
        encoded = QUrlQuery()
        for name, value in query:
            # QUrlQuery leaves "+" alone, which servers read as a blank.
            encoded.addQueryItem(name, bytes(QUrl.toPercentEncoding(value).data()).decode("ascii"))
        url.setQuery(encoded)
    return url


def _ssl_configuration(endpoint: Endpoint) -> QSslConfiguration:
    configuration = QSslConfiguration.defaultConfiguration()
    if endpoint.ca_file:
        certificates = QSslCertificate.fromPath(endpoint.ca_file)
        if not certificates:
            raise UserError(
                "no certificate can be read from this file",
                field="ca_file",
                value=endpoint.ca_file,
                remedy="Name a file in PEM format",
            )
        # That authority and no other: whoever names it does not mean the system's hundreds as well.
        configuration.setCaCertificates(certificates)
    return configuration


def proxy_for(endpoint: Endpoint) -> QNetworkProxy:
    """The system's proxy for a server; none for this machine."""
    none = QNetworkProxy(QNetworkProxy.ProxyType.NoProxy)
    if endpoint.is_loopback:
        return none
    found = QNetworkProxyFactory.systemProxyForQuery(QNetworkProxyQuery(QUrl(endpoint.url)))
    return found[0] if found else none
