"""Which servers' certificates are trusted beside those of known authorities: the ones a person has accepted once.

Decides how an accepted certificate is kept, that a server must go on showing it, and that one which the server
announced before may take its place. Does not ask people (`cli.session`). Used by `transport` and the command line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dagdeck_client.errors import Unreachable
from dagdeck_core.errors import EnvironmentFault, UserError

NEXT_CERTIFICATE_HEADER = "dagdeck-next-certificate"
HANDSHAKE_SECONDS = 5.0
_DIGITS = 64


class UntrustedCertificate(Unreachable):
    """A server shows a certificate that nothing vouches for. Nothing was sent to it.

    `fingerprint` is what it shows, `is_change` whether another one was accepted before.
    """

    def __init__(self, origin: str, fingerprint: str, *, is_change: bool, reason: str) -> None:
        shown = shown_fingerprint(fingerprint)
        if is_change:
            message = (
                f"{origin} shows another certificate than the one that was accepted, and did not announce it: "
                f"somebody may be in between. Its SHA-256 is {shown}"
            )
        else:
            message = f"the certificate of {origin} is not trusted: {reason}. Its SHA-256 is {shown}"
        super().__init__(
            message,
            remedy="Give the certificate authority's file by --ca-file or DAGDECK_CA_FILE, or compare the SHA-256 with "
            "what `dagdeckd certs show` prints on the server and run `dagdeck auth trust`",
        )
        self.transient = False
        self.origin = origin
        self.fingerprint = fingerprint
        self.is_change = is_change


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCertificate:
    """What a server shows in a handshake."""

    pem: str
    fingerprint: str


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def fetch_certificate(url: str) -> ShownCertificate:
    """The certificate that a server shows, without trusting it and without sending anything. Raises Unreachable."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=HANDSHAKE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(f"{origin_of(url)} shows no certificate: {error}") from error
    if der is None:
        raise Unreachable(f"{origin_of(url)} shows no certificate")
    return ShownCertificate(pem=ssl.DER_cert_to_PEM_cert(der), fingerprint=hashlib.sha256(der).hexdigest())


def normal_fingerprint(text: str) -> str:
    """A SHA-256 as people and tools write it ("SHA256:AB:CD…") as 64 digits. Raises UserError for anything else."""
    digits = text.strip().lower().removeprefix("sha256").lstrip(":= ").replace(":", "")
    if len(digits) != _DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise UserError(
            "this is no SHA-256 of a certificate", value=text, remedy="Copy it from `dagdeckd certs show` on the server"
        )
    return digits


def shown_fingerprint(fingerprint: str) -> str:
    """A fingerprint for people to compare, in pairs."""
    return ":".join(fingerprint[at : at + 2].upper() for at in range(0, len(fingerprint), 2))


class KnownServers:
    """Accepted certificates by server, in a file that only its owner can write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def context_for(self, url: str) -> ssl.SSLContext | None:
        """A context that accepts exactly the certificate accepted for this server; None when none was."""
        entry = self._read().get(origin_of(url))
        if entry is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # The one certificate is the only anchor, so it says who the server is; a name in it says nothing more.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=str(entry.get("certificate", "")))
        except ssl.SSLError as error:
            raise UserError(
                f"the accepted certificate of {origin_of(url)} is damaged",
                file=str(self._path),
                remedy="Remove it there",
            ) from error
        return context

    def knows(self, url: str) -> bool:
        """Whether a certificate was accepted for this server."""
        return origin_of(url) in self._read()

    def accept(self, url: str, shown: ShownCertificate) -> None:
        """Bind a server to a certificate. Raises EnvironmentFault when it cannot be kept."""
        self._write(self._read() | {origin_of(url): {"certificate": shown.pem, "announced": []}})

    def announce(self, url: str, header: str) -> None:
        """Remember which certificate a server, which was just verified, will show next."""
        known = self._read()
        entry = known.get(origin_of(url))
        announced: list[str] = []
        for word in header.split(","):
            with contextlib.suppress(UserError):
                announced.append(normal_fingerprint(word))
        if entry is not None and entry.get("announced") != announced:
            # Losing it costs one question later; the request that brought it has succeeded.
            with contextlib.suppress(EnvironmentFault):
                self._write(known | {origin_of(url): {**entry, "announced": announced}})

    def take_announced(self, url: str, shown: ShownCertificate) -> bool:
        """Accept `shown` if this server announced it before; whether it did."""
        announced = self._read().get(origin_of(url), {}).get("announced", [])
        if shown.fingerprint not in announced:
            return False
        self.accept(url, shown)
        return True

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except OSError:
            return {}
        except ValueError as error:
            raise UserError(f"not a JSON file: {error}", file=str(self._path), remedy="Mend or remove it") from error
        entries = found.items() if isinstance(found, dict) else ()
        return {origin: entry for origin, entry in entries if isinstance(entry, dict)}

    def _write(self, known: dict[str, dict[str, Any]]) -> None:
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=2)
            os.replace(draft, self._path)
        except OSError as error:
            raise EnvironmentFault(
                f"{self._path} cannot be written: {error.strerror or error}", transient=False
            ) from error
