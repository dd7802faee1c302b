"""Programs of different releases: what can work together does, what cannot says by name who is to be upgraded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from dagdeck_client.cli.root import run
from dagdeck_client.errors import VersionMismatch
from dagdeck_client.requests.admin import get_version
from dagdeck_client.requests.base import API_VERSION
from dagdeck_client.transport import Endpoint, HttpTransport
from dagdeck_client.versions import differ, own_release
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.wire import WIRE_VERSION
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import worker
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import load_settings
from dagdeck_master.scheduler.app import wait_for
from dagdeckd.doctor import of_cluster
from dagdeckd.doctor.findings import Level
from tests.integration.api_cluster import ApiCluster, api_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


def transport_to(api: str, release: str) -> HttpTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"DagDeck-Api-Version": api, "DagDeck-Version": release}
        return httpx.Response(200, json={"version": release, "git_version": None}, headers=headers)

    return HttpTransport(Endpoint(url="http://there:1"), transport=httpx.MockTransport(answer))


# ---------------------------------------------------------------- client and server


@pytest.mark.parametrize(
    ("api", "release", "remedy"),
    [
        ("2", "3.1.0", "Upgrade this client to DagDeck 3.1.0"),
        ("0", "0.0.9", f"Upgrade the server to DagDeck {own_release()}, or use a client of its release"),
        ("x", "", f"Upgrade the server to DagDeck {own_release()}, or use a client of its release"),
    ],
)
def test_a_client_names_both_sides_and_the_older_one(api: str, release: str, remedy: str) -> None:
    with transport_to(api, release) as server, pytest.raises(VersionMismatch) as told:
        server.send(get_version())
    assert f"http://there:1 is DagDeck {release} and speaks version {api} of the API" in str(told.value)
    assert f"this client is {own_release()} and speaks version {API_VERSION}" in str(told.value)
    assert told.value.remedy == remedy


def test_a_server_of_another_release_and_the_same_api_is_used(cluster: ApiCluster) -> None:
    with transport_to(API_VERSION, "7.0.0") as server:
        assert server.send(get_version()).version == "7.0.0"
        assert server.server_release == "7.0.0"
    with HttpTransport(Endpoint(url=cluster.url)) as own:
        own.send(get_version())
        assert own.server_release == own_release()


@pytest.mark.parametrize("version", ["2", "0", "nonsense"])
def test_a_server_refuses_a_client_of_another_api_by_name(cluster: ApiCluster, version: str) -> None:
    headers = {"DagDeck-Api-Version": version, "DagDeck-Version": "8.0.1"}
    for method, path in (
        ("GET", "/api/v2/dags"),
        ("POST", "/api/v2/dags/pipeline/dagRuns"),
        ("GET", "/api/v2/version"),
    ):
        answer = cluster.call(method, path, headers=headers)
        assert answer.status_code == 426
        told = answer.json()["detail"]
        assert f"This client is DagDeck 8.0.1 and speaks version {version} of the API" in told
        assert f"this server is {own_release()} and speaks version {API_VERSION}" in told
        assert answer.headers["dagdeck-api-version"] == API_VERSION


def test_clients_that_say_nothing_are_served(cluster: ApiCluster) -> None:
    """Airflow's client, curl and monitoring systems."""
    assert cluster.call("GET", "/api/v2/dags").status_code == 200
    assert cluster.call("GET", "/api/v2/dags", headers={"DagDeck-Api-Version": API_VERSION}).status_code == 200


def test_the_command_line_warns_once_of_another_release(
    cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGDECK_URL", cluster.url)
    monkeypatch.setenv("DAGDECK_TOKEN", cluster.tokens["alice"])

    def said() -> tuple[str, str]:
        assert run(["-o", "json", "dags", "list"]) == 0
        return capsys.readouterr()

    data, told = said()
    assert told == ""
    monkeypatch.setattr("dagdeck_client.versions.own_release", lambda: "0.0.1")
    again, told = said()
    assert again == data
    assert told == (
        f"dagdeck: the server is DagDeck {own_release()}, this command 0.0.1: they work together, "
        "new things of one do not\n"
    )


def test_fixes_of_one_release_are_no_other_release() -> None:
    assert not differ("0.2.1", "0.2.7")
    assert differ("0.2.1", "0.3.0")
    assert differ("1.0.0", "unknown")


# ---------------------------------------------------------------- daemons and the database


@pytest.mark.parametrize(
    ("wire", "release", "level", "text", "remedy"),
    [
        (
            WIRE_VERSION + 1,
            "9.0.0",
            Level.ERROR,
            "it gets no work",
            "Upgrade this machine: the same release everywhere",
        ),
        (WIRE_VERSION - 1, "0.0.1", Level.ERROR, "it gets no work", "Upgrade worker w: the same release everywhere"),
        (WIRE_VERSION, "0.0.1", Level.WARNING, "worker w is version 0.0.1", "Finish the upgrade"),
    ],
)
def test_doctor_names_workers_of_other_releases(
    tmp_path: Path, wire: int, release: str, level: Level, text: str, remedy: str
) -> None:
    url = f"sqlite:///{tmp_path}/dagdeck.db"
    migrations.upgrade(url)
    with contextlib.closing(open_database(url)) as database:
        store = database.lease_store()
        worker_id = store.register(name="w", hostname="h", slots=1, queues=["default"], version=release, pid=1)
        with database.writing() as connection:
            connection.execute(
                sa.update(worker).where(worker.c.worker_id == worker_id).values(wire_version=wire, version=release)
            )
    overrides = {"paths.home": str(tmp_path), "database.url": url}
    settings = load_settings(environ={}, config_files=[], overrides=overrides)
    (found,) = [each for each in of_cluster.cluster(settings) if "worker w" in each.text]
    assert found.level is level
    assert text in found.text
    assert found.remedy == remedy


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    return f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else str(request.getfixturevalue("mariadb_url"))


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        (None, "is empty.*Run `dagdeckd db upgrade` once"),
        ("0003", f"has the schema of revision 0003, not {migrations.HEAD}.*Run `dagdeckd db upgrade` once"),
        ("9999", "revision 9999, which this program does not know.*Upgrade this program"),
    ],
)
def test_a_scheduler_refuses_a_schema_of_another_release_by_name(
    url: str, tmp_path: Path, revision: str | None, told: str
) -> None:
    if revision is not None:
        migrations.upgrade(url)
        with contextlib.closing(open_database(url)) as database, database.writing() as connection:
            assert database.schema_revision() == migrations.HEAD
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    overrides = {
        "paths.home": str(tmp_path),
        "database.url": url,
        "queue.url": "off",
        "security.secret_key": generate_key(),
    }
    settings = load_settings(environ={}, config_files=[], overrides=overrides)
    with contextlib.closing(open_database(url)) as database:
        assert database.schema_revision() == revision
        with pytest.raises(EnvironmentFault, match=told) as fault:
            wait_for(database, settings, threading.Event())
    assert not fault.value.transient
