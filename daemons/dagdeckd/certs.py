"""`dagdeckd certs`: TLS certificates for the control API, from a private authority or from yours.

Decides what such certificates say, how long they last, and that a file is never overwritten without being asked. Does
not serve them (`dagdeck_master.api.tls`). Called by `certs_command`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dagdeck_core.errors import EnvironmentFault, UserError

AUTHORITY_DAYS = 3650
CLOCK_SKEW = timedelta(hours=1)
"""How far a certificate begins in the past, for clients whose clock is behind."""


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Where the files are."""

    path: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate: what clients may be given to trust."""
        return self.path / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """The authority's key. Whoever has it can pretend to be the server."""
        return self.path / "ca.key"

    @property
    def server(self) -> Path:
        """The server's certificate, with its authority's behind it."""
        return self.path / "server.pem"

    @property
    def server_key(self) -> Path:
        """The server's key."""
        return self.path / "server.key"

    @property
    def following(self) -> Path:
        """The certificate that is announced."""
        return self.path / "next.pem"

    @property
    def following_key(self) -> Path:
        """Its key."""
        return self.path / "next.key"


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes


def init(
    folder: CertificateFolder,
    hosts: Sequence[str],
    *,
    days: int,
    now: datetime,
    authority: tuple[Path, Path] | None = None,
) -> x509.Certificate:
    """Make a server certificate for `hosts`, signed by an authority that is made as well, or by a given one.

    `authority` is (certificate, key) of yours; it is read, not copied. An authority that the folder has is
    used again. Raises UserError when the folder has a server certificate already, EnvironmentFault when it cannot be
    written.
    """
    _refuse_to_replace(folder.server, "See `dagdeckd certs next` for a change that clients are told of beforehand")
    signer = _authority(folder, authority, now)
    return _make_server(folder.server, folder.server_key, signer, hosts, days=days, now=now)


def make_next(
    folder: CertificateFolder, *, days: int, now: datetime, authority: tuple[Path, Path] | None = None
) -> x509.Certificate:
    """Make the certificate that will follow, for the same hosts. Raises as `init` does."""
    _refuse_to_replace(folder.following, "Take it with `dagdeckd certs switch`, or remove the file")
    hosts = hosts_of(read_certificate(folder.server))
    signer = _authority(folder, authority, now)
    return _make_server(folder.following, folder.following_key, signer, hosts, days=days, now=now)


def switch(folder: CertificateFolder) -> x509.Certificate:
    """Put the announced certificate in the present one's place. Raises UserError when there is none."""
    following = read_certificate(folder.following)
    # The server looks at both files and takes them only when they fit, so the moment between does no harm.
    _rename(folder.following_key, folder.server_key)
    _rename(folder.following, folder.server)
    return following


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file. Raises UserError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise UserError(
            f"there is no certificate: {error.strerror}", file=str(path), remedy="Make one with `dagdeckd certs init`"
        ) from error
    except ValueError as error:
        raise UserError(f"this is no PEM certificate: {error}", file=str(path)) from error


def fingerprint(certificate: x509.Certificate) -> str:
    """A certificate's SHA-256 as people compare it, in pairs with colons between."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def own_hosts() -> list[str]:
    """How this machine is called: its names and loopback."""
    names = [socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(name for name in names if name))


# ---------------------------------------------------------------- the parts


def _authority(folder: CertificateFolder, given: tuple[Path, Path] | None, now: datetime) -> _Authority:
    if given is not None:
        return _read_authority(*given)
    if folder.authority.exists() or folder.authority_key.exists():
        return _read_authority(folder.authority, folder.authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"DagDeck private CA of {socket.gethostname()}"[:64])])
    certificate = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_pair(folder.authority, certificate.public_bytes(Encoding.PEM), folder.authority_key, key)
    return _Authority(certificate, key)


def _read_authority(certificate: Path, key: Path) -> _Authority:
    found = read_certificate(certificate)
    try:
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        raise UserError(
            "this certificate may not sign others",
            file=str(certificate),
            remedy="Give a certificate authority's; a server's certificate of yours goes into api.tls_certificate",
        )
    try:
        loaded = load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        raise UserError(f"the authority's key cannot be read: {error.strerror}", file=str(key)) from error
    except (ValueError, TypeError) as error:
        raise UserError(
            f"the authority's key cannot be used: {error}", file=str(key), remedy="Give a PEM key without a password"
        ) from error
    if loaded.public_key() != found.public_key():
        raise UserError("the key does not belong to the authority's certificate", file=str(key))
    return _Authority(found, loaded)  # type: ignore[arg-type]


def _make_server(
    path: Path, key_path: Path, signer: _Authority, hosts: Sequence[str], *, days: int, now: datetime
) -> x509.Certificate:
    if not hosts:
        raise UserError("a certificate needs the names under which clients reach the server", field="--host")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    issuer = signer.certificate
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), days, now, latest=issuer.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in dict.fromkeys(hosts)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
            critical=False,
        )
        .sign(signer.key, hashes.SHA256())
    )
    chain = certificate.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
    _write_pair(path, chain, key_path, key)
    return certificate


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    days: int,
    now: datetime,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end if latest is None else min(end, latest))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode("ascii"))
    except (UnicodeError, ValueError):
        raise UserError("this is neither a host name nor an address", field="--host", value=host) from None


def _refuse_to_replace(path: Path, remedy: str) -> None:
    if path.exists():
        raise UserError("there is a certificate already", file=str(path), remedy=remedy)


def _write_pair(path: Path, chain: bytes, key_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(key_path, content, 0o600)
    _write(path, chain, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror or error}", transient=False) from error


def _rename(old: Path, new: Path) -> None:
    try:
        os.replace(old, new)
    except OSError as error:
        raise EnvironmentFault(f"{old} cannot become {new}: {error.strerror or error}", transient=False) from error


def utc_now() -> datetime:
    """The time that the commands use."""
    return datetime.now(UTC).replace(microsecond=0)
