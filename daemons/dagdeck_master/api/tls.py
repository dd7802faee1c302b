"""The server's side of TLS: the certificate it shows, the one it announces, and taking a renewed one without a restart.

Decides protocol versions, which mistakes in certificate files end a start and which only warn, and when the files are
read again. Does not make certificates (`dagdeckd.certs`). Called by `app`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dagdeck_core.errors import UserError
from dagdeck_io.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509

_logger = logging.getLogger(__name__)
EXPIRES_SOON = timedelta(days=21)
LOOK_SECONDS = 30.0
"""How often the files are looked at for a renewed certificate."""


def first_certificate(path: Path, field: str) -> x509.Certificate:
    """The first certificate of a PEM file: the server's own. Raises UserError naming the setting `field`."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        problem = error.strerror or str(error)
    except ValueError as error:
        problem = f"it holds no certificate ({error})"
    raise UserError(
        f"the certificate cannot be read: {problem}",
        field=field,
        value=str(path),
        remedy="Name a PEM file; `dagdeckd certs init` makes one",
    )


def fingerprint_of(certificate: x509.Certificate) -> str:
    """A certificate's SHA-256, as 64 hexadecimal digits."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex()


class ServerCertificate:
    """What the control API shows in a handshake. Event loop only, after it was made."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        following: Path | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Reads the files. Raises UserError when they are not what they should be."""
        self._certificate = certificate
        self._key = key
        self._following = following
        self._clock = clock
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamps()
        self.fingerprint = ""
        self.announced: str | None = None
        """The fingerprint of the certificate that will be shown next."""
        self._load()

    def look(self) -> None:
        """Take what changed in the files; a mistake in them is logged, and what was there stays."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        before = self.fingerprint
        try:
            self._load()
        except UserError as error:
            _logger.error("the changed TLS files are not taken: %s", error)
        else:
            if self.fingerprint != before:
                _logger.info("new connections are shown the certificate with SHA-256 %s", self.fingerprint)

    def _stamps(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._certificate, self._key, self._following) if path is not None)

    def _load(self) -> None:
        shown = first_certificate(self._certificate, "api.tls_certificate")
        announced = None
        if self._following is not None and self._following.exists():
            announced = fingerprint_of(first_certificate(self._following, "api.tls_next_certificate"))
        # First into a context of its own: a key that does not fit must not spoil the one that is in use.
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
            self._load_into(context)
        self.fingerprint = fingerprint_of(shown)
        self.announced = None if announced == self.fingerprint else announced
        self._warn_of_dates(shown)

    def _load_into(self, context: ssl.SSLContext) -> None:
        def refuse() -> str:
            # Without it OpenSSL would ask on the terminal, of which a daemon has none.
            raise UserError(
                "the key is encrypted", field="api.tls_key", value=str(self._key), remedy="Store it without a password"
            )

        try:
            context.load_cert_chain(self._certificate, self._key, password=refuse)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            does_not_fit = "KEY_VALUES_MISMATCH" in str(reason)
            raise UserError(
                "the key does not belong to the certificate" if does_not_fit else f"the key cannot be used: {reason}",
                field="api.tls_key",
                value=str(self._key),
                remedy="Name the PEM file of the key that the certificate in api.tls_certificate was made for",
            ) from error

    def _warn_of_dates(self, shown: x509.Certificate) -> None:
        now = self._clock()
        end = shown.not_valid_after_utc
        if now >= end:
            _logger.error("the certificate in %s has expired on %s: clients will refuse it", self._certificate, end)
        elif end - now < EXPIRES_SOON:
            _logger.warning("the certificate in %s expires on %s: renew it", self._certificate, end)
        if now < shown.not_valid_before_utc:
            _logger.error("the certificate in %s begins on %s only", self._certificate, shown.not_valid_before_utc)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def server_certificate(settings: Settings) -> ServerCertificate | None:
    """The certificate that the settings name; None for plain HTTP. Raises UserError."""
    api = settings.api
    if api.tls_certificate is None or api.tls_key is None:
        return None
    return ServerCertificate(api.tls_certificate, api.tls_key, api.tls_next_certificate)
