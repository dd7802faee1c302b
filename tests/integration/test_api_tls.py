"""The control API over TLS: trusted, untrusted, and plain HTTP by mistake."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dagdeck_client.errors import Unreachable
from dagdeck_client.requests.admin import get_version
from dagdeck_client.transport import Endpoint, HttpTransport
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import load_settings
from dagdeck_master.api.app import create_app
from tests.integration.api_cluster import serving


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture
def url(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[str]:
    """An API that speaks TLS."""
    database_url = f"sqlite:///{tmp_path / 'dagdeck.db'}"
    migrations.upgrade(database_url)
    database = open_database(database_url, key=generate_key())
    overrides = {
        "database.url": database_url,
        "api.tls_certificate": str(certificate[0]),
        "api.tls_key": str(certificate[1]),
    }
    settings = load_settings(environ={}, config_files=[], overrides=overrides)
    with serving(create_app(database, None, settings), settings) as found:
        yield found
    database.close()


def test_a_trusted_certificate(url: str, certificate: tuple[Path, Path]) -> None:
    assert url.startswith("https://")
    with HttpTransport(Endpoint(url=url, ca_file=str(certificate[0]))) as server:
        assert server.send(get_version()).version


def test_an_untrusted_one_is_named_with_its_remedy(url: str) -> None:
    with HttpTransport(Endpoint(url=url), sleep=lambda seconds: None) as server:
        with pytest.raises(Unreachable, match=r"certificate of https://.* is not trusted.*--ca-file"):
            server.send(get_version())


def test_plain_http_by_mistake(url: str) -> None:
    with HttpTransport(Endpoint(url=url.replace("https", "http")), sleep=lambda seconds: None) as server:
        with pytest.raises(Unreachable, match="cannot be reached"):
            server.send(get_version())
