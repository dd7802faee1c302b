"""`dagdeckd doctor`: what it finds on good and on bad machines, and that it changes nothing."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.bundles.signing import PUBLIC_FILE, SigningKey, fingerprint
from dagdeck_io.bundles.trust import TRUSTED_FILE
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import lease, worker
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import load_settings
from dagdeckd import grants
from dagdeckd.cli import dagdeckd
from dagdeckd.doctor import of_machine, of_queue
from tests.support.services import MariaDb, RedisServer

NOBODY = 1  # a port that nobody listens on


class Doctor:
    """Runs the command on one state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        (self.home / "dags").mkdir()
        (folder / "empty.toml").touch()
        self.settings = {"paths.home": str(self.home), "api.port": "0", "security.secret_key": generate_key()}

    def examine(self, **settings: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and the findings."""
        values = self.settings | {name.replace("__", "."): value for name, value in settings.items()}
        options = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
        config = str(self.folder / "empty.toml")
        result = CliRunner().invoke(
            dagdeckd, ["--config", config, *options, "doctor", "-o", "json"], standalone_mode=False
        )
        assert result.exception is None, result.output
        return int(result.return_value), json.loads(result.output)


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """On a fresh state folder."""
    return Doctor(tmp_path)


def about(findings: list[dict[str, Any]], area: str, level: str | None = None) -> list[str]:
    """Texts of an area's findings."""
    return [each["text"] for each in findings if each["area"] == area and level in (None, each["level"])]


def test_a_fresh_machine_has_no_failure_and_nothing_is_made(doctor: Doctor) -> None:
    code, findings = doctor.examine(database__url=f"sqlite:///{doctor.home}/d.db", queue__url="embedded")
    assert code == 0, findings
    assert "does not exist yet" in about(findings, "database", "warning")[0]
    assert sorted(os.listdir(doctor.home)) == ["dags"]
    assert all(each["remedy"] for each in findings if each["level"] != "good")


def test_a_wrong_key_and_an_open_key_file_are_told(doctor: Doctor) -> None:
    _, findings = doctor.examine(security__secret_key="short")
    assert about(findings, "secret key", "error")
    key = doctor.home / "secret.key"
    key.write_text(generate_key())
    key.chmod(0o644)
    code, findings = doctor.examine(security__secret_key="")
    assert code == 3
    assert "read by other users" in about(findings, "secret key", "error")[0]


def test_whose_code_a_worker_runs_is_told(doctor: Doctor) -> None:
    master = SigningKey.make().public_key
    name = fingerprint(master)
    server = {"database__url": "mysql+pymysql://u:p@127.0.0.1:1/d", "queue__url": "off"}
    assert about(doctor.examine(**server)[1], "code", "warning") == [
        "a worker here will trust the key of the first bundle that it meets"
    ]
    (doctor.home / TRUSTED_FILE).write_text(f"# at first use\n{master}\n")
    assert name in about(doctor.examine(**server)[1], "code", "warning")[0]
    (doctor.home / PUBLIC_FILE).write_text(master + "\n")
    assert PUBLIC_FILE in about(doctor.examine(**server)[1], "code", "good")[0]
    assert "bundle_keys" in about(doctor.examine(**server, security__bundle_keys=master)[1], "code", "good")[0]
    off = doctor.examine(**server, security__bundle_signatures="off")[1]
    assert about(off, "code", "warning") == ["workers here run any code that the database holds"]


def test_the_rows_of_a_cluster_are_judged(doctor: Doctor) -> None:
    url = f"sqlite:///{doctor.home}/d.db"
    migrations.upgrade(url)
    _, findings = doctor.examine(database__url=url)
    assert "no scheduler leads" in about(findings, "cluster")
    database = open_database(url)
    now = datetime.now(UTC)
    with database.writing() as connection:
        values = {"name": "scheduler", "shard": 0, "owner": "host:1", "epoch": 1, "counter": 1}
        connection.execute(lease.insert().values(**values, renewed_at=now))
        for number, (seen, version) in enumerate([(now, "9.9.9"), (now - timedelta(hours=1), "0.1.0")]):
            connection.execute(
                worker.insert().values(
                    worker_id=number + 1,
                    name=f"w{number}",
                    hostname="h",
                    state="active",
                    slots=2,
                    queues=["default"],
                    version=version,
                    started_at=now,
                    last_seen_at=seen,
                )
            )
    database.close()
    code, findings = doctor.examine(database__url=url)
    assert code == 3
    assert "the scheduler of host:1 leads" in about(findings, "cluster", "good")
    assert about(findings, "cluster", "warning")[0].startswith("worker w0 is version 9.9.9")
    assert about(findings, "cluster", "error")[0].startswith("worker w1 has been silent for 3")


def test_servers_that_answer(doctor: Doctor, mariadb: MariaDb, redis_server: RedisServer) -> None:
    url = mariadb.create_database("doctor")
    migrations.upgrade(url)
    code, findings = doctor.examine(database__url=url, queue__url=redis_server.url())
    assert code == 0, findings
    assert any(text.startswith("mariadb ") for text in about(findings, "database", "good"))
    assert any(text.startswith("Redis ") for text in about(findings, "queue", "good"))
    assert about(findings, "clock", "good")


def test_servers_that_do_not_answer(doctor: Doctor) -> None:
    code, findings = doctor.examine(
        database__url=f"mysql+pymysql://u:hidden@127.0.0.1:{NOBODY}/d", queue__url=f"redis://127.0.0.1:{NOBODY}/0"
    )
    assert code == 3
    assert about(findings, "database", "error")
    assert about(findings, "queue", "error")
    assert "hidden" not in json.dumps(findings)


def test_another_program_on_the_port_is_told(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code, findings = doctor.examine(api__port=str(listener.getsockname()[1]))
    assert code == 3
    assert "another program listens" in about(findings, "control API", "error")[0]


@pytest.mark.parametrize(
    ("version", "level", "told"),
    [("7.0.15", "good", "Redis 7.0.15"), ("6.2.14", "warning", "admin grants"), ("6.0.16", "error", "Redis 6.0.16")],
)
def test_which_redis_serves(version: str, level: str, told: str) -> None:
    (finding, *_) = of_queue._server({"redis_version": version, "aof_enabled": "0"})
    assert finding.level == level
    assert told in finding.text


def test_grants_on_an_old_redis_change_nothing() -> None:
    for version in ("6.2.14", "5.0.1"):
        with pytest.raises(EnvironmentFault, match=f"Redis {version}"):
            grants._check_redis(f"# Server\r\nredis_version:{version}\r\n")
    grants._check_redis("# Server\r\nredis_version:7.2.4\r\n")
    grants._check_redis("# Server\r\nserver_name:another\r\n")


# ---------------------------------------------------------------- what this machine's own programs say


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of the search path, for stand-ins of system programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_every_unit_of_the_service_manager_is_judged(
    doctor: Doctor, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = (
        "dagdeck-master.service loaded active running DagDeck master\n"
        "dagdeck-worker@1.service loaded failed failed DagDeck worker 1\n"
        "dagdeck-worker@2.service loaded activating start DagDeck worker 2\n"
        "dagdeck-worker@gpu.service loaded inactive dead DagDeck worker gpu"
    )
    stand_in(
        programs, "systemctl", f"case $1 in list-units) echo '{listing}';; show) echo 'waits for the database';; esac"
    )
    monkeypatch.setattr("dagdeckd.doctor.of_machine.Path", lambda _path: doctor.home)
    findings = list(of_machine.services(load_settings(environ={}, config_files=[], overrides={})))
    assert [(each.level.value, each.text) for each in findings] == [
        ("good", "dagdeck-master.service runs"),
        ("error", "dagdeck-worker@1.service has failed"),
        ("warning", "dagdeck-worker@2.service is starting: waits for the database"),
        ("warning", "dagdeck-worker@gpu.service is inactive (dead)"),
    ]
    assert findings[1].remedy == "journalctl -u dagdeck-worker@1.service -n 50"


@pytest.mark.parametrize(
    ("told", "found"),
    [("yes", [("good", "synchronised by a time service")]), ("no", [("warning", "is not synchronised")]), ("", [])],
)
def test_a_clock_that_nobody_keeps_right_is_told(
    doctor: Doctor, programs: Path, told: str, found: list[tuple[str, str]]
) -> None:
    stand_in(programs, "timedatectl", f"echo {told}")
    _, findings = doctor.examine()
    clock = [(each["level"], each["text"]) for each in findings if each["area"] == "clock"]
    assert [level for level, _ in clock] == [level for level, _ in found]
    assert all(text in shown for (_, text), (_, shown) in zip(found, clock, strict=True))


def test_scripts_without_a_font_are_named(doctor: Doctor, programs: Path) -> None:
    stand_in(programs, "fc-list", 'case $1 in :lang=ja|:lang=ko) ;; *) echo "Some Font";; esac')
    _, findings = doctor.examine()
    assert about(findings, "fonts", "warning") == ["no font for Japanese, Korean: such names show as boxes"]
    stand_in(programs, "fc-list", 'echo "Some Font"')
    _, findings = doctor.examine()
    assert about(findings, "fonts") == ["for all scripts that DagDeck looks for"]
