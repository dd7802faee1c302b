"""TLS of the control API: certificates made by `dagdeckd certs`, what the server takes, and what clients trust."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dagdeck_client.cli.root import run as dagdeck
from dagdeck_client.profiles import known_servers_file
from dagdeck_client.requests.admin import get_version
from dagdeck_client.transport import Endpoint, HttpTransport
from dagdeck_client.trust import (
    KnownServers,
    UntrustedCertificate,
    fetch_certificate,
    normal_fingerprint,
    shown_fingerprint,
)
from dagdeck_core.errors import UserError
from dagdeck_master.api.rate_limit import Allowance
from dagdeck_master.api.tls import ServerCertificate
from dagdeckd import certs
from dagdeckd.certs import CertificateFolder
from dagdeckd.cli import run as dagdeckd
from tests.integration.api_cluster import ApiCluster, api_cluster
from tests.integration.push_client import PushClient

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTS = ("localhost", "127.0.0.1")


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    made = CertificateFolder(tmp_path / "certs")
    certs.init(made, HOSTS, days=90, now=NOW)
    return made


def settings_of(folder: CertificateFolder) -> dict[str, Any]:
    return {
        "api.tls_certificate": str(folder.server),
        "api.tls_key": str(folder.server_key),
        "api.tls_next_certificate": str(folder.following),
    }


class TestCertificates:
    def test_keys_are_private(self, folder: CertificateFolder) -> None:
        for key in (folder.authority_key, folder.server_key):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600

    def test_a_certificate_is_never_overwritten(self, folder: CertificateFolder) -> None:
        before = folder.server.read_bytes()
        with pytest.raises(UserError, match=r"certificate already.*certs next"):
            certs.init(folder, HOSTS, days=90, now=NOW)
        assert folder.server.read_bytes() == before

    def test_an_authority_is_used_again(self, folder: CertificateFolder) -> None:
        authority = folder.authority.read_bytes()
        folder.server.unlink()
        made = certs.init(folder, ["other.example", "10.0.0.7", "bücher.example"], days=10, now=NOW)
        assert folder.authority.read_bytes() == authority
        assert certs.hosts_of(made) == ["other.example", "xn--bcher-kva.example", "10.0.0.7"]
        assert made.not_valid_after_utc == NOW + timedelta(days=10)

    def test_an_authority_of_yours(self, folder: CertificateFolder, tmp_path: Path) -> None:
        mine = CertificateFolder(tmp_path / "mine")
        made = certs.init(mine, HOSTS, days=5000, now=NOW, authority=(folder.authority, folder.authority_key))
        issuer = certs.read_certificate(folder.authority)
        made.verify_directly_issued_by(issuer)
        assert made.not_valid_after_utc == issuer.not_valid_after_utc
        assert not mine.authority_key.exists()

    def test_what_is_no_authority_is_refused(self, folder: CertificateFolder, tmp_path: Path) -> None:
        mine = CertificateFolder(tmp_path / "mine")
        with pytest.raises(UserError, match=r"may not sign others.*api\.tls_certificate"):
            certs.init(mine, HOSTS, days=9, now=NOW, authority=(folder.server, folder.server_key))
        with pytest.raises(UserError, match="does not belong"):
            certs.init(mine, HOSTS, days=9, now=NOW, authority=(folder.authority, folder.server_key))
        with pytest.raises(UserError, match="neither a host name nor an address"):
            certs.init(mine, ["a" * 70 + ".example"], days=9, now=NOW)
        assert not mine.server.exists()

    def test_the_commands(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        place = tmp_path / "made"
        assert dagdeckd(["certs", "init", "--dir", str(place), "--host", "deck.example", "--days", "30"]) == 0
        printed = capsys.readouterr().out
        assert "for       deck.example" in printed
        assert f"tls_certificate = '{place / 'server.pem'}'" in printed
        first = certs.fingerprint(certs.read_certificate(place / "server.pem"))
        assert first in printed
        assert dagdeckd(["certs", "init", "--dir", str(place)]) == 2
        assert "certificate already" in capsys.readouterr().err
        assert dagdeckd(["certs", "next", "--dir", str(place)]) == 0
        second = certs.fingerprint(certs.read_certificate(place / "next.pem"))
        capsys.readouterr()
        assert dagdeckd(["certs", "show", "--dir", str(place)]) == 0
        printed = capsys.readouterr().out
        assert printed.index(first) < printed.index("next:") < printed.index(second)
        assert dagdeckd(["certs", "switch", "--dir", str(place)]) == 0
        assert certs.fingerprint(certs.read_certificate(place / "server.pem")) == second
        capsys.readouterr()
        assert dagdeckd(["certs", "switch", "--dir", str(place)]) == 2
        assert "there is no certificate" in capsys.readouterr().err


class TestServer:
    def served(self, folder: CertificateFolder, **more: Any) -> ServerCertificate:
        return ServerCertificate(folder.server, folder.server_key, folder.following, **more)

    def test_files_that_do_not_fit_are_named(self, folder: CertificateFolder, tmp_path: Path) -> None:
        other = CertificateFolder(tmp_path / "other")
        certs.init(other, HOSTS, days=9, now=NOW)
        with pytest.raises(UserError, match=r"api\.tls_key: the key does not belong to the certificate"):
            ServerCertificate(folder.server, other.server_key, None)
        with pytest.raises(UserError, match=r"api\.tls_certificate: the certificate cannot be read: No such file"):
            ServerCertificate(tmp_path / "none.pem", folder.server_key, None)
        with pytest.raises(UserError, match="it holds no certificate"):
            ServerCertificate(folder.server_key, folder.server_key, None)
        with pytest.raises(UserError, match=r"api\.tls_key: the key cannot be used"):
            ServerCertificate(folder.server, tmp_path / "none.key", None)
        key = load_pem_private_key(folder.server_key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        folder.server_key.write_bytes(locked)
        with pytest.raises(UserError, match="the key is encrypted"):
            self.served(folder)

    @pytest.mark.parametrize(("days", "said"), [(80, "expires on"), (100, "has expired"), (-5, "begins on")])
    def test_dates_are_looked_at(
        self, folder: CertificateFolder, days: int, said: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.served(folder, clock=lambda: NOW + timedelta(days=days))
        assert said in caplog.text

    def test_a_change_that_does_not_fit_leaves_what_was_there(
        self, folder: CertificateFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        certificate = self.served(folder)
        before = certificate.fingerprint
        other = CertificateFolder(tmp_path / "other")
        certs.init(other, HOSTS, days=9, now=NOW)
        other.server.replace(folder.server)
        certificate.look()
        assert certificate.fingerprint == before
        assert "not taken" in caplog.text
        other.server_key.replace(folder.server_key)
        certificate.look()
        assert certificate.fingerprint != before
        assert f"SHA-256 {certificate.fingerprint}" in caplog.text


@pytest.fixture
def cluster(folder: CertificateFolder, tmp_path: Path) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path / "home", **settings_of(folder)) as running:
        yield running


class TestConnections:
    def test_a_client_that_knows_the_authority(self, cluster: ApiCluster, folder: CertificateFolder) -> None:
        assert cluster.url.startswith("https://")
        with HttpTransport(Endpoint(url=cluster.url, ca_file=str(folder.authority))) as client:
            assert client.send(get_version()).version == cluster.app.version

    def test_the_event_stream(self, cluster: ApiCluster) -> None:
        with PushClient(cluster.http, cluster.tokens["victor"], "home") as client:
            client.first("snapshot", "home")
            client.first("heartbeat")

    def test_plain_text_is_not_answered(self, cluster: ApiCluster) -> None:
        with httpx.Client(verify=False) as client, pytest.raises(httpx.TransportError):
            client.get(cluster.url.replace("https", "http") + "/api/v2/version")

    def test_old_protocols_are_refused(self, cluster: ApiCluster) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        port = int(cluster.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain)


class TestPins:
    @pytest.fixture
    def known(self, tmp_path: Path) -> KnownServers:
        return KnownServers(tmp_path / "config" / "known_servers.json")

    def ask(self, cluster: ApiCluster, known: KnownServers) -> str:
        with HttpTransport(Endpoint(url=cluster.url, token="secret"), known=known, sleep=lambda _: None) as client:
            return client.send(get_version()).version

    def test_at_first_use(self, cluster: ApiCluster, known: KnownServers) -> None:
        shown = fetch_certificate(cluster.url)
        assert shown.fingerprint == cluster.app.state.certificate.fingerprint
        with pytest.raises(UntrustedCertificate, match=r"is not trusted.*auth trust") as caught:
            self.ask(cluster, known)
        assert caught.value.fingerprint == shown.fingerprint
        assert not caught.value.is_change
        known.accept(cluster.url, shown)
        assert self.ask(cluster, known) == cluster.app.version

    def test_an_announced_certificate_takes_its_place(
        self, cluster: ApiCluster, known: KnownServers, folder: CertificateFolder
    ) -> None:
        known.accept(cluster.url, fetch_certificate(cluster.url))
        following = certs.fingerprint(certs.make_next(folder, days=90, now=NOW))
        cluster.app.state.certificate.look()
        answer = cluster.call("GET", "/api/v2/version", None)
        assert answer.headers["dagdeck-next-certificate"] == normal_fingerprint(following)
        self.ask(cluster, known)
        certs.switch(folder)
        cluster.app.state.certificate.look()
        assert shown_fingerprint(fetch_certificate(cluster.url).fingerprint) == following
        assert self.ask(cluster, known) == cluster.app.version
        assert "dagdeck-next-certificate" not in cluster.call("GET", "/api/v2/version", None).headers
        assert self.ask(cluster, known) == cluster.app.version

    def test_another_certificate_is_refused(
        self, cluster: ApiCluster, known: KnownServers, folder: CertificateFolder
    ) -> None:
        known.accept(cluster.url, fetch_certificate(cluster.url))
        folder.server.unlink()
        certs.init(folder, HOSTS, days=90, now=NOW)  # by the same authority, and not announced
        cluster.app.state.certificate.look()
        with pytest.raises(UntrustedCertificate, match="somebody may be in between") as caught:
            self.ask(cluster, known)
        assert caught.value.is_change

    def test_nothing_is_sent_to_a_server_that_is_not_trusted(
        self, folder: CertificateFolder, known: KnownServers
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder.server, folder.server_key)
        heard: list[bytes] = []

        def listen(listener: socket.socket) -> None:
            for _ in range(2):
                plain, _ = listener.accept()
                with plain:
                    try:
                        with context.wrap_socket(plain, server_side=True) as secured:
                            heard.append(secured.recv(1000))
                    except OSError:
                        heard.append(b"")

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=listen, args=(listener,), daemon=True)
            thread.start()
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            endpoint = Endpoint(url=url, token="secret")
            with HttpTransport(endpoint, known=known) as client, pytest.raises(UntrustedCertificate):
                client.send(get_version())
            thread.join(5.0)
        assert heard == [b"", b""]

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "known.json"
        path.write_text("{")
        with pytest.raises(UserError, match=r"known\.json: not a JSON file"):
            KnownServers(path).knows("https://x")
        path.write_text('{"https://x:443": {"certificate": "nothing"}}')
        with pytest.raises(UserError, match="damaged"):
            KnownServers(path).context_for("https://x")

    @pytest.mark.parametrize("text", ["", "AB:CD", "g" * 64, "0" * 63])
    def test_what_is_no_fingerprint(self, text: str) -> None:
        with pytest.raises(UserError, match="no SHA-256"):
            normal_fingerprint(text)


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def own_config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(self, cluster: ApiCluster, *words: str) -> int:
        return dagdeck(["--url", cluster.url, "--token", cluster.tokens["victor"], *words])

    def test_trust_by_fingerprint(self, cluster: ApiCluster, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run(cluster, "dags", "list") != 0
        assert "auth trust" in capsys.readouterr().err
        assert self.run(cluster, "auth", "trust", "--fingerprint", "0" * 64) != 0
        assert "another certificate" in capsys.readouterr().err
        shown = shown_fingerprint(cluster.app.state.certificate.fingerprint)
        assert self.run(cluster, "auth", "trust", "--fingerprint", f"SHA256:{shown}") == 0
        assert self.run(cluster, "dags", "list") == 0
        assert "pipeline" in capsys.readouterr().out

    def test_a_terminal_is_asked_once(
        self, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answers = [False, True]
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("click.confirm", lambda *_, **__: answers.pop(0))
        assert self.run(cluster, "dags", "list") != 0
        assert not known_servers_file(os.environ).exists()
        assert self.run(cluster, "dags", "list") == 0
        assert self.run(cluster, "dags", "list") == 0
        assert answers == []
        assert shown_fingerprint(cluster.app.state.certificate.fingerprint) in capsys.readouterr().err


class TestRateLimit:
    def test_a_pause_earns_a_burst_and_no_more(self) -> None:
        now = 0.0
        allowance = Allowance(2.0, 4.0, clock=lambda: now)
        assert [allowance.take("a") for _ in range(4)] == [0.0] * 4
        assert allowance.take("a") == pytest.approx(0.5)
        assert allowance.take("b") == 0.0
        now = 0.5
        assert allowance.take("a") == 0.0
        assert allowance.take("a") > 0.0
        now = 1000.0
        assert [bool(allowance.take("a")) for _ in range(5)] == [False] * 4 + [True]

    def test_over_http(self, tmp_path: Path) -> None:
        overrides: dict[str, Any] = {"api.sign_ins_per_minute": 2, "api.requests_per_second": 10}
        with api_cluster(tmp_path, **overrides) as own:
            body = {"username": "nobody", "password": "wrong"}
            codes = [own.http.post("/auth/token", json=body).status_code for _ in range(3)]
            assert codes == [401, 401, 429]
            answers = [own.call("GET", "/api/v2/version", "victor") for _ in range(40)]
            refused = [each for each in answers if each.status_code == 429]
            assert 1 <= len(refused) <= 10
            assert refused[0].headers["retry-after"] == "1"
            assert "Too many requests" in refused[0].json()["detail"]
            assert refused[0].headers["x-request-id"]
            assert own.call("GET", "/api/v2/version", "alice").status_code == 200
