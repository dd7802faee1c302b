"""What `dagdeckd doctor` looks at around the control API: its port, its certificate, whether it answers.

Decides from which values on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from dagdeck_io.settings import Settings
from dagdeck_master.api.app import check_exposure, is_loopback
from dagdeck_master.api.tls import first_certificate
from dagdeckd.doctor.findings import Finding, failure, good, warning

AREA = "control API"
DAYS_LEFT = 30
"""Days before a certificate's end at which it is time for the next."""
WAIT = 3.0


def api(settings: Settings) -> Iterator[Finding]:
    """Exposure, certificate, port."""
    check_exposure(settings)
    own = settings.api
    if own.tls_certificate is not None:
        yield _certificate(settings)
    elif not is_loopback(own.host):
        yield warning(
            AREA, "plain HTTP on the network", "Only behind a proxy that ends TLS; else `dagdeckd certs init`"
        )
    yield _port(settings)


def _certificate(settings: Settings) -> Finding:
    path = settings.api.tls_certificate
    assert path is not None
    end = first_certificate(path, "api.tls_certificate").not_valid_after_utc
    left = (end - datetime.now(UTC)).days
    text = f"the certificate is good until {end:%Y-%m-%d}"
    if left < 0:
        return failure(AREA, f"the certificate has ended on {end:%Y-%m-%d}", "`dagdeckd certs renew`, or your CA's way")
    if left < DAYS_LEFT:
        return warning(AREA, text, "Renew it and announce it to clients first (docs/tls.md)")
    return good(AREA, text)


def _port(settings: Settings) -> Finding:
    """Free, ours, or somebody else's."""
    own = settings.api
    host = "127.0.0.1" if own.host in ("0.0.0.0", "") else "::1" if own.host == "::" else own.host
    if own.port == 0:
        return good(AREA, "takes a free port at each start")
    try:
        socket.create_connection((host, own.port), timeout=WAIT).close()
    except OSError:
        return good(AREA, f"nothing listens on port {own.port} of {host} (no master runs here, or it is elsewhere)")
    scheme = "http" if own.tls_certificate is None else "https"
    shown = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{shown}:{own.port}/api/v2/version"
    # Only whether it is a DagDeck is asked, of this very machine: nothing secret is sent.
    context = ssl._create_unverified_context() if scheme == "https" else None
    try:
        with urllib.request.urlopen(url, timeout=WAIT, context=context) as answer:
            found = msgspec.json.decode(answer.read(65_536)).get("version")
    except (OSError, urllib.error.URLError, ValueError, AttributeError) as error:
        remedy = "Stop that program, or set another api.port"
        return failure(AREA, f"another program listens on port {own.port} of {host} ({error})", remedy)
    return good(AREA, f"{url} answers (version {found})")
