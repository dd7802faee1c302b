"""The private MariaDB and Redis servers keep what their docstrings promise: durability, faults, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymysql
import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.support.services import MariaDb, RedisServer, Server

SCRIPT = Path(__file__).parents[1] / "support" / "services.py"


def _ended(pid: int, within: float = 10.0) -> bool:
    """Whether the process is gone, or is a zombie: who collects orphans here is not our business."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in {"Z", "X"}:
            return True
        time.sleep(0.02)
    return False


def test_a_database_is_usable_and_survives_a_crash(mariadb: MariaDb, mariadb_url: str) -> None:
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (word VARCHAR(20))"))
        connection.execute(text("INSERT INTO kept VALUES ('Grüße 🌍')"))
    engine.dispose()
    mariadb.restart(crash=True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT word FROM kept")).scalar_one() == "Grüße 🌍"
    engine.dispose()


def test_a_database_is_refused_with_a_wrong_password(mariadb: MariaDb, mariadb_url: str) -> None:
    name = make_url(mariadb_url).database
    assert name is not None
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user="dagdeck", password="wrong", database=name)


def test_commits_are_durable(mariadb: MariaDb) -> None:
    at_commit, doublewrite = mariadb.execute("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite").split()
    assert at_commit == "1"
    assert doublewrite in {"1", "ON"}


def test_a_frozen_server_is_silent_until_it_is_thawed(redis_server: RedisServer, redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, socket_timeout=0.2)
    assert client.ping()
    redis_server.freeze()
    with pytest.raises(redis.exceptions.TimeoutError):
        client.ping()
    redis_server.thaw()
    assert client.ping()
    client.close()


def test_a_server_started_by_a_thread_outlives_the_thread(redis_server: RedisServer) -> None:
    port = redis_server.port
    thread = threading.Thread(target=redis_server.restart)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert redis_server.answers()
    assert redis_server.port == port


def test_redis_with_a_password_and_an_append_only_file_keeps_its_data() -> None:
    with RedisServer(password="a b/c", append_only=True) as server:
        with redis.Redis.from_url(server.url()) as client:
            client.set("kept", "yes")
        server.restart()
        with redis.Redis.from_url(server.url()) as client:
            assert client.get("kept") == b"yes"


def test_closing_leaves_neither_process_nor_data() -> None:
    with RedisServer() as server:
        pid, directory = server.pid, server.directory
    assert _ended(pid)
    assert not directory.exists()


@pytest.mark.usefixtures("mariadb", "redis_server")
def test_servers_die_with_a_killed_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from tests.support.services import *\n"
            "servers = MariaDb().start(), RedisServer().start()\n"
            "print(*(server.pid for server in servers), flush=True)\n"
            "threading.Event().wait()",
        ],
        cwd=SCRIPT.parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    assert all(_ended(pid) for pid in pids)


@pytest.mark.usefixtures("mariadb", "redis_server")
@pytest.mark.parametrize("ending", ["input", "SIGTERM"])
def test_the_script_serves_until_it_is_told_to_end(ending: str, tmp_path: Path) -> None:
    # Run from elsewhere and by its path, as the demo does.
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "run", "--json"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdout is not None
        assert script.stdin is not None
        addresses = json.loads(script.stdout.readline())
        engine = create_engine(addresses["db_url"])
        with engine.connect() as connection:
            assert connection.execute(text("SELECT DATABASE()")).scalar_one() == "dagdeck"
        engine.dispose()
        with redis.Redis.from_url(addresses["redis_url"]) as client:
            assert client.ping()
        if ending == "input":
            script.stdin.close()
        else:
            script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=20) == 0
    assert not _is_listened_on(addresses["redis_url"])


def _is_listened_on(url: str) -> bool:
    client = redis.Redis.from_url(url)
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False
    finally:
        client.close()


def test_what_killed_runs_left_behind_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with RedisServer() as alive:
        abandoned = tmp_path / "dagdeck-server-abandoned"
        abandoned.mkdir()
        (abandoned / "lock").touch()
        an_hour_ago = time.time() - 3600
        os.utime(abandoned / "lock", (an_hour_ago, an_hour_ago))
        os.utime(alive.directory / "lock", (an_hour_ago, an_hour_ago))
        with RedisServer() as newcomer:
            assert not abandoned.exists()
            assert alive.directory.exists()
            assert isinstance(newcomer, Server)


def test_no_setting_of_the_caller_reaches_the_tests() -> None:
    assert [name for name in os.environ if name.startswith("DAGDECK__")] == []
