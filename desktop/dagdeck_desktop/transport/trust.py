"""Which TLS certificates are trusted: those of a known authority, and those that a person has accepted once.

Decides that an unknown certificate ends the handshake, so that a token is never sent to it, and that an accepted one is
bound to its server: another one in its place is refused until a person says otherwise or the server has announced it.
Does not ask people (`shell`). Called by `network` and by the connect dialog.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCryptographicHash, QObject
from PySide6.QtNetwork import QNetworkReply, QSslCertificate, QSslError

from dagdeck_core.errors import EnvironmentFault

_E = QSslError.SslError
# What a pin may stand in for: it says who the server is, so neither the issuer nor the name matter any more. A broken
# signature or a revoked certificate stays an error.
_COVERED_BY_PIN = frozenset(
    {
        _E.SelfSignedCertificate,
        _E.SelfSignedCertificateInChain,
        _E.UnableToGetLocalIssuerCertificate,
        _E.UnableToGetIssuerCertificate,
        _E.UnableToVerifyFirstCertificate,
        _E.CertificateUntrusted,
        _E.HostNameMismatch,
    }
)


NEXT_CERTIFICATE_HEADER = "dagdeck-next-certificate"
"""By this header a server announces the fingerprints of certificates that it will show next, with commas between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProblem:
    """A certificate that was not accepted. `pinned` holds what was expected instead, if anything was."""

    origin: str
    fingerprint: str
    subject: str
    issuer: str
    not_before: datetime | None
    not_after: datetime | None
    reasons: tuple[str, ...]
    pinned: tuple[str, ...] = ()
    can_be_pinned: bool = True

    @property
    def is_change(self) -> bool:
        """True when this server showed another certificate before."""
        return bool(self.pinned)


class PinStore:
    """Accepted certificates by server, in a file of this user's. GUI thread only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pins: dict[str, dict[str, Any]] = self._read()

    def fingerprints(self, origin: str) -> tuple[str, ...]:
        """What a server may show: its accepted certificate, and those it has announced."""
        entry = self._pins.get(origin, {})
        return (*entry.get("accepted", ()), *entry.get("announced", ()))

    def accept(self, origin: str, fingerprint: str) -> None:
        """Bind a server to one certificate. Raises EnvironmentFault when the file cannot be written."""
        self._pins[origin] = {"accepted": [fingerprint], "announced": [], "since": datetime.now(UTC).isoformat()}
        self._write()

    def announce(self, origin: str, header: str) -> None:
        """Remember which certificates a server will show next, from `NEXT_CERTIFICATE_HEADER` of its answer; without
        one ("") an earlier announcement is withdrawn. Call it only for a server that was just verified."""
        entry = self._pins.get(origin)
        wanted = [each for each in map(normal_fingerprint, header.split(",")) if each]
        if entry is not None and entry.get("announced") != wanted:
            entry["announced"] = wanted
            self._write()

    def seen(self, origin: str, fingerprint: str) -> None:
        """A certificate that is trusted was shown; an announced one thereby takes the old one's place."""
        entry = self._pins.get(origin)
        if entry is not None and fingerprint in entry.get("announced", ()):
            self.accept(origin, fingerprint)

    def forget(self, origin: str) -> None:
        """Ask about a server's certificate again."""
        if self._pins.pop(origin, None) is not None:
            self._write()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Losing the pins asks people again; it never trusts anything.
            return {}
        if not isinstance(found, dict):
            return {}
        return {origin: entry for origin, entry in found.items() if isinstance(entry, dict)}

    def _write(self) -> None:
        write_private(self._path, json.dumps(self._pins, indent=2))


class TlsGuard(QObject):
    """Watches one request's handshake and decides about the certificate. `problem` is set when it was refused."""

    def __init__(self, reply: QNetworkReply, origin: str, pins: PinStore) -> None:
        super().__init__(reply)
        self._reply = reply
        self._origin = origin
        self._pins = pins
        self._is_pinned = False
        self.problem: CertificateProblem | None = None
        reply.sslErrors.connect(self._errors_found)
        reply.encrypted.connect(self._encrypted)

    def _errors_found(self, errors: list[QSslError]) -> None:
        certificate = self._reply.sslConfiguration().peerCertificate()
        if certificate.isNull() and errors:
            certificate = errors[0].certificate()
        pinned = self._pins.fingerprints(self._origin)
        uncovered = [error for error in errors if error.error() not in _COVERED_BY_PIN]
        if fingerprint_of(certificate) in pinned and not uncovered:
            self._is_pinned = True
            self._reply.ignoreSslErrors(errors)
            return
        self.problem = _problem_of(certificate, self._origin, errors, pinned, can_be_pinned=not uncovered)

    def _encrypted(self) -> None:
        """The handshake is done and nothing has been sent: the last moment at which a token can be kept back."""
        certificate = self._reply.sslConfiguration().peerCertificate()
        fingerprint = fingerprint_of(certificate)
        pinned = self._pins.fingerprints(self._origin)
        if self._is_pinned and fingerprint not in pinned:
            self.problem = _problem_of(certificate, self._origin, [], pinned, can_be_pinned=True)
            self._reply.abort()
            return
        self._pins.seen(self._origin, fingerprint)


def fingerprint_of(certificate: QSslCertificate) -> str:
    """The SHA-256 of a certificate in lower-case hex; "" for none."""
    if certificate.isNull():
        return ""
    return bytes(certificate.digest(QCryptographicHash.Algorithm.Sha256).toHex().data()).decode("ascii")


def normal_fingerprint(text: str) -> str:
    """A fingerprint as tools and people write it ("SHA256:AB:CD…") in our form; "" when it is none."""
    digits = text.strip().lower().removeprefix("sha256").lstrip(":= ").replace(":", "")
    is_one = len(digits) == 64 and all(digit in "0123456789abcdef" for digit in digits)
    return digits if is_one else ""


def shown_fingerprint(fingerprint: str) -> str:
    """A fingerprint for people to compare, in pairs."""
    return ":".join(fingerprint[at : at + 2].upper() for at in range(0, len(fingerprint), 2))


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read. Raises EnvironmentFault when that fails."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror or error}", transient=False) from error


def _problem_of(
    certificate: QSslCertificate,
    origin: str,
    errors: Sequence[QSslError],
    pinned: tuple[str, ...],
    *,
    can_be_pinned: bool,
) -> CertificateProblem:
    name = QSslCertificate.SubjectInfo.CommonName
    return CertificateProblem(
        origin=origin,
        fingerprint=fingerprint_of(certificate),
        subject=", ".join(certificate.subjectInfo(name)),
        issuer=", ".join(certificate.issuerInfo(name)),
        not_before=_utc(certificate.effectiveDate().toSecsSinceEpoch()),
        not_after=_utc(certificate.expiryDate().toSecsSinceEpoch()),
        reasons=tuple(dict.fromkeys(error.errorString() for error in errors)),
        pinned=pinned,
        can_be_pinned=can_be_pinned and not certificate.isNull(),
    )


def _utc(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
