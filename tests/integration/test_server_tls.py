"""TLS to the database's and the queue's servers: what is encrypted, whom it trusts, and how failures are told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.composition import broker_of, database_of
from dagdeck_io.db import migrations
from dagdeck_io.db.copying import copy_database
from dagdeck_io.db.url import parse_url
from dagdeck_io.secrets import generate_key
from dagdeck_io.server_tls import is_remote
from dagdeck_io.settings import Settings, load_settings
from dagdeckd.cli import run as dagdeckd
from tests.support.private_authority import PrivateAuthority
from tests.support.services import MariaDb, RedisServer, Server

KEY = generate_key()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> PrivateAuthority:
    """Signs the servers' certificates and this client's."""
    return PrivateAuthority(tmp_path_factory.mktemp("authority"))


def _mariadb(authority: PrivateAuthority, certificate: str = "server", **issued: Any) -> MariaDb:
    pair = authority.issue(certificate, **issued)
    server = MariaDb(
        options=(f"--ssl-ca={authority.file}", f"--ssl-cert={pair.certificate}", f"--ssl-key={pair.key}"),
    )
    return server


def _redis(authority: PrivateAuthority, certificate: str = "server", asks: str = "no", **issued: Any) -> RedisServer:
    pair = authority.issue(certificate, **issued)
    files = ("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key))
    return RedisServer(
        password="guarded", tls=(*files, "--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", asks)
    )


@pytest.fixture(scope="module")
def mariadb_tls(authority: PrivateAuthority) -> Iterator[MariaDb]:
    """A server with a good certificate, and accounts that ask for TLS and for a client's certificate."""
    with _mariadb(authority) as server:
        server.create_database("deck")
        for name, asked in (("on_tls", "SSL"), ("known", "X509")):
            server.execute(
                f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE {asked}; "
                f"GRANT ALL PRIVILEGES ON *.* TO '{name}'@'127.0.0.1' WITH GRANT OPTION"
            )
        yield server


@pytest.fixture(scope="module")
def redis_tls(authority: PrivateAuthority) -> Iterator[RedisServer]:
    """A server with a good certificate that asks for no client's."""
    with _redis(authority) as server:
        yield server


def _settings(**values: str) -> Settings:
    overrides = {name.replace("__", "."): value for name, value in values.items()}
    return load_settings(environ={}, config_files=[], overrides={"security.secret_key": KEY, **overrides})


def _everything_connects(settings: Settings) -> str:
    """Use the pool, a hot connection and the migrations; the cipher of the last."""
    migrations.upgrade(settings.database.address)
    with closing(database_of(settings)) as database:
        assert database.new_id() > 0
        store = database._connection()
        script = store.script()
        script.read("SHOW STATUS LIKE 'Ssl_cipher'")
        ((_, hot),) = store.run(script, begin=False, commit=False)[0]
        with database.reading() as connection:
            (_, pooled) = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()
    assert bool(hot) == bool(pooled)
    return str(hot)


def _ping(settings: Settings) -> None:
    with closing(broker_of(settings)) as broker:
        broker.ping()


def _fault(call: Callable[[], Any]) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as caught:
        call()
    assert caught.value.remedy
    return caught.value


def test_the_database_over_tls(mariadb_tls: MariaDb, authority: PrivateAuthority) -> None:
    url = mariadb_tls.url("deck", user="on_tls", password="pw")
    assert _everything_connects(_settings(database__url=url, database__tls_ca=str(authority.file)))


def test_the_url_alone_may_say_it_too(mariadb_tls: MariaDb, authority: PrivateAuthority, tmp_path: Path) -> None:
    mariadb_tls.create_database("copied")
    source = f"sqlite:///{tmp_path / 'a.db'}"
    migrations.upgrade(source)
    target = mariadb_tls.url("copied", user="on_tls", password="pw") + f"&ssl_ca={authority.file}"
    assert copy_database(source, target, lambda table, copied, total: None) == 1
    assert migrations.current(target) == migrations.HEAD


def test_a_clients_certificate_for_the_database(mariadb_tls: MariaDb, authority: PrivateAuthority) -> None:
    url = mariadb_tls.url("deck", user="known", password="pw")
    without = _settings(database__url=url, database__tls_ca=str(authority.file))
    fault = _fault(lambda: migrations.current(without.database.address))
    assert "refused the user" in fault.message
    assert "database.tls_certificate" in fault.remedy
    mine = authority.issue("client")
    given = _settings(
        database__url=url,
        database__tls_ca=str(authority.file),
        database__tls_certificate=str(mine.certificate),
        database__tls_key=str(mine.key),
    )
    assert _everything_connects(given)


def test_grants_go_over_tls(
    mariadb_tls: MariaDb, redis_tls: RedisServer, authority: PrivateAuthority, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "database.url": mariadb_tls.url("deck", user="on_tls", password="pw"),
        "database.tls_ca": str(authority.file),
        "queue.url": redis_tls.url(),
        "queue.tls_ca": str(authority.file),
        "security.secret_key": KEY,
    }
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    assert dagdeckd([*given, "db", "upgrade"]) == 0
    assert dagdeckd([*given, "admin", "grants", "--apply", "--host", "127.0.0.1"]) == 0
    printed = capsys.readouterr().out
    assert "DAGDECK__QUEUE__URL=rediss://dagdeck_worker:" in printed
    assert "have their rights" in printed


def test_another_authority(mariadb_tls: MariaDb, redis_tls: RedisServer, tmp_path: Path) -> None:
    stranger = PrivateAuthority(tmp_path, "stranger")
    given = _settings(
        database__url=mariadb_tls.url("deck"),
        database__tls_ca=str(stranger.file),
        queue__url=redis_tls.url(),
        queue__tls_ca=str(stranger.file),
    )
    fault = _fault(lambda: migrations.current(given.database.address))
    assert "a certificate that is not trusted" in fault.message
    assert "database.tls_ca" in fault.remedy
    fault = _fault(lambda: _ping(given))
    assert "a certificate that is not trusted" in fault.message
    assert "queue.tls_ca" in fault.remedy


def test_without_an_authority_the_systems_decide(mariadb_tls: MariaDb, redis_tls: RedisServer) -> None:
    given = _settings(database__url=mariadb_tls.url("deck"), database__tls="required", queue__url=redis_tls.url())
    assert "not trusted" in _fault(lambda: migrations.current(given.database.address)).message
    assert "not trusted" in _fault(lambda: _ping(given)).message


BAD: dict[str, dict[str, Any]] = {
    "for another name": {"hosts": ("elsewhere.example",)},
    "has expired": {"lasts": timedelta(hours=-1)},
    "not valid yet": {"starts": 0.5},
}


@pytest.mark.parametrize("words", BAD)
def test_bad_certificates(authority: PrivateAuthority, words: str) -> None:
    with _mariadb(authority, "bad", **BAD[words]) as database, _redis(authority, "bad", **BAD[words]) as queue:
        url = database.create_database("deck")
        given = {
            "database__url": url,
            "database__tls_ca": str(authority.file),
            "queue__url": queue.url(),
            "queue__tls_ca": str(authority.file),
        }
        settings = _settings(**given)
        assert words in _fault(lambda: migrations.current(settings.database.address)).message
        assert words in _fault(lambda: _ping(settings)).message
        if words == "for another name":
            lenient = _settings(**given, database__tls_verify_identity="false", queue__tls_verify_identity="false")
            assert migrations.current(lenient.database.address) is None
            _ping(lenient)


def test_servers_without_tls(
    mariadb: MariaDb, mariadb_url: str, redis_server: RedisServer, authority: PrivateAuthority
) -> None:
    given = _settings(
        database__url=mariadb_url,
        database__tls_ca=str(authority.file),
        queue__url=redis_server.url().replace("redis:", "rediss:"),
        queue__tls_ca=str(authority.file),
        queue__answer_timeout="1",
    )
    fault = _fault(lambda: migrations.current(given.database.address))
    assert "does not speak TLS" in fault.message
    assert "database.tls" in fault.remedy
    fault = _fault(lambda: _ping(given))
    assert "does not speak TLS" in fault.message
    assert "queue.tls" in fault.remedy


class Tap:
    """Passes a server's connections on and keeps what clients say."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server.port))
            for source, target, is_heard in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pass_on, args=(source, target, is_heard), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_heard: bool) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_heard:
                    self.heard += data
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_a_server_that_does_not_speak_tls_learns_nothing(mariadb: MariaDb, mariadb_url: str) -> None:
    """As when somebody on the way hides that the server does."""
    with RedisServer(password="of-the-queue") as queue, closing(Tap(mariadb)) as sql, closing(Tap(queue)) as redis:
        given = _settings(
            database__url=mariadb_url.replace(f":{mariadb.port}/", f":{sql.port}/"),
            queue__url=queue.url().replace("redis:", "rediss:").replace(f":{queue.port}/", f":{redis.port}/"),
            queue__answer_timeout="1",
            database__tls="required",
        )
        for call in (lambda: migrations.current(given.database.address), lambda: _ping(given)):
            assert "does not speak TLS" in _fault(call).message
        assert b"dagdeck" not in sql.heard
        assert b"of-the-queue" not in redis.heard
        assert redis.heard.startswith(b"\x16\x03")
        # The tap hears well.
        assert migrations.current(given.database.url.replace("?", "?tls=off&")) is None
        assert b"dagdeck" in sql.heard


def test_the_queue_over_tls_with_a_clients_certificate(authority: PrivateAuthority) -> None:
    mine = authority.issue("worker")
    with _redis(authority, asks="yes") as server:
        given = {"queue__url": server.url(), "queue__tls_ca": str(authority.file)}
        fault = _fault(lambda: _ping(_settings(**given)))
        assert "refuses this client's certificate" in fault.message
        assert "queue.tls_certificate" in fault.remedy
        together = mine.certificate.with_name("both.pem")
        together.write_bytes(mine.certificate.read_bytes() + mine.key.read_bytes())
        for files in (
            {"queue__tls_certificate": str(mine.certificate), "queue__tls_key": str(mine.key)},
            {"queue__tls_certificate": str(together)},
        ):
            _ping(_settings(**given, **files))


@pytest.mark.parametrize("host", ["db.example", "10.0.0.7", "localhost.example"])
def test_beyond_this_machine_plain_connections_are_refused(host: str) -> None:
    assert parse_url(f"mysql://u:p@{host}/d").is_encrypted
    assert not parse_url(
        _settings(database__url=f"mysql+pymysql://u:p@{host}/d", database__tls="off").database.address
    ).is_encrypted
    plain = f"redis://:geheim@{host}:6379/0"
    with pytest.raises(UserError) as caught:
        broker_of(_settings(queue__url=plain))
    assert caught.value.field == "queue.url"
    assert "geheim" not in str(caught.value)
    broker_of(_settings(queue__url=plain, queue__tls="off")).close()
    broker_of(_settings(queue__url=plain.replace("redis:", "rediss:"))).close()


def test_on_this_machine_they_are_not() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert not parse_url(f"mysql://u:p@{host}/d").is_encrypted
    assert not parse_url("mysql://u:p@db.example/d?unix_socket=/run/mysqld/mysqld.sock").is_encrypted
    assert parse_url("mysql://u:p@localhost/d?tls=required").is_encrypted
    with pytest.raises(UserError):
        broker_of(_settings(queue__url="redis://localhost", queue__tls="required"))
    with pytest.raises(UserError):
        broker_of(_settings(queue__url="rediss://localhost", queue__tls="off"))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"tls_ca": "/no/such.pem"}, "tls_ca"),
        ({"tls_ca": __file__}, "tls_ca"),
        ({"tls_certificate": "/no/such.pem"}, "tls_certificate"),
        ({"tls_certificate": __file__}, "tls_certificate"),
        ({"tls_certificate": "SERVER", "tls_key": __file__}, "tls_key"),
        ({"tls_key": __file__}, "tls_certificate"),
    ],
)
def test_files_that_cannot_be_used(
    mariadb_tls: MariaDb, redis_tls: RedisServer, authority: PrivateAuthority, values: dict[str, str], named: str
) -> None:
    values = {name: str(authority.folder / "server.pem") if at == "SERVER" else at for name, at in values.items()}
    url = mariadb_tls.url("deck")
    calls: list[Callable[[], Any]] = [
        lambda: migrations.current(_settings(database__url=url, **_of("database", values)).database.address),
        lambda: _ping(_settings(queue__url=redis_tls.url(), **_of("queue", values))),
    ]
    for section, call in zip(("database", "queue"), calls, strict=True):
        with pytest.raises((UserError, EnvironmentFault)) as caught:
            call()
        assert f"{section}.{named}" in str(caught.value)


def _of(section: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{section}__{name}": value for name, value in values.items()}


def test_doctor_names_plain_connections(
    mariadb_tls: MariaDb,
    redis_tls: RedisServer,
    redis_server: RedisServer,
    authority: PrivateAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def found(*words: str) -> str:
        given = [
            word
            for setting in (f"paths.home={tmp_path}", f"security.secret_key={KEY}", *words)
            for word in ("--set", setting)
        ]
        dagdeckd([*given, "doctor", "-o", "json"])
        findings = json.loads(capsys.readouterr().out)
        return "\n".join(each["text"] for each in findings if each["area"] in ("database", "queue"))

    plain = found(f"database.url={mariadb_tls.url('deck')}", "database.tls=off", f"queue.url={redis_server.url()}")
    assert plain.count("plain connection, which does not leave this machine") == 2
    encrypted = found(
        f"database.url={mariadb_tls.url('deck')}",
        f"database.tls_ca={authority.file}",
        f"queue.url={redis_tls.url()}",
        f"queue.tls_ca={authority.file}",
    )
    assert encrypted.count("encrypted connection") == 2
    assert "plain" not in encrypted


@given(st.sampled_from(["127.0.0.1", "127.9.9.9", "::1", "localhost", "", None]) | st.text(max_size=30))
def test_only_loopback_is_this_machine(host: str | None) -> None:
    assert is_remote(host) == (host not in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "", None))
