"""The cluster that `dagdeckd demo` runs on: its processes, started like a user would and stopped at the end.

Decides commands, folders and settings of the two kinds: standalone, and master with two workers on given
servers. Does not decide what is run on it (`demo`). Every process is a child that dies with this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dagdeck_core.errors import EnvironmentFault
from dagdeck_master.dag_processor.process_tree import kill_tree
from dagdeckd.home import ensure_secret_key, prepare_home
from dagdeckd.own_command import command_of
from dagdeckd.sample_dags import copy_sample_dags

ADMIN = "admin"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
WORKERS = 2
SLOTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """Where a started cluster is reached. `password` is None where a token file was written instead."""

    url: str
    token_file: Path | None
    password: str | None
    what: str
    """One line for people: what it consists of."""


@contextlib.contextmanager
def standalone_cluster(home: Path) -> Iterator[RunningCluster]:
    """A standalone cluster in `home` on a free port."""
    prepare_home(home)
    _fresh_samples(home / "dags")
    port = _free_port()
    token = home / "token"
    token.unlink(missing_ok=True)
    command = ["standalone", "--home", str(home), "--dags-folder", str(home / "dags"), "--port", str(port)]
    with _processes(home) as start:
        daemon = start("standalone", command, {})
        _wait_until(token.exists, daemon, home, "the standalone cluster")
        yield RunningCluster(
            url=f"http://127.0.0.1:{port}",
            token_file=token,
            password=None,
            what="standalone: SQLite and the embedded queue, one worker",
        )


@contextlib.contextmanager
def server_cluster(home: Path, servers_command: str) -> Iterator[RunningCluster]:
    """A master and two workers on the MySQL-like and Redis servers that `servers_command` starts.

    The command prints one line of JSON with "db_url" and "redis_url", and stops its servers when its
    standard input closes.
    """
    prepare_home(home)
    _fresh_samples(home / "dags")
    ensure_secret_key(home / "secret.key")
    port = _free_port()
    password = secrets.token_urlsafe(18)
    with _processes(home) as start, _servers(servers_command, home) as (database_url, queue_url):
        common = {
            "DAGDECK__DATABASE__URL": database_url,
            "DAGDECK__QUEUE__URL": queue_url,
            "DAGDECK__PATHS__HOME": str(home),
            "DAGDECK__PATHS__DAGS_FOLDER": str(home / "dags"),
            "DAGDECK__SECURITY__SECRET_KEY_FILE": str(home / "secret.key"),
            "DAGDECK__API__PORT": str(port),
        }
        _call(home, ["db", "upgrade"], common)
        _call(home, ["users", "add", ADMIN, "--role", "admin", "--password-stdin"], common, password + "\n")
        master = start("master", ["master"], common)
        for number in range(1, WORKERS + 1):
            own = common | {"DAGDECK__PATHS__HOME": str(home / f"worker{number}")}
            start(f"worker{number}", ["worker", "--name", f"worker{number}", "--slots", str(SLOTS)], own)
        _wait_until(lambda: _listens(port), master, home, "the master")
        yield RunningCluster(
            url=f"http://127.0.0.1:{port}",
            token_file=None,
            password=password,
            what=f"master, MariaDB, Redis and {WORKERS} workers of {SLOTS} slots",
        )


# ---------------------------------------------------------------- processes


class _Starter:
    def __init__(self, home: Path) -> None:
        self._home = home
        self.children: list[subprocess.Popen[bytes]] = []
        self._logs: list[IO[bytes]] = []

    def __call__(self, name: str, arguments: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        log = (self._home / f"{name}.log").open("wb")
        self._logs.append(log)
        child = subprocess.Popen(
            [*command_of("dagdeckd"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(self._home, environ),
            start_new_session=True,
        )
        self.children.append(child)
        return child

    def stop(self) -> None:
        """Ask all to end, workers before the master, and kill what does not."""
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        for child in self.children:
            try:
                child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                kill_tree(child)
        for log in self._logs:
            log.close()


@contextlib.contextmanager
def _processes(home: Path) -> Iterator[_Starter]:
    starter = _Starter(home)
    try:
        yield starter
    finally:
        starter.stop()


@contextlib.contextmanager
def _servers(command: str, home: Path) -> Iterator[tuple[str, str]]:
    log_path = home / "servers.log"
    with log_path.open("wb") as log:
        servers = subprocess.Popen(
            shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    assert servers.stdin is not None
    assert servers.stdout is not None
    try:
        line = servers.stdout.readline()
        try:
            urls = json.loads(line)
            database_url, queue_url = str(urls["db_url"]), str(urls["redis_url"])
        except (ValueError, KeyError, TypeError) as error:
            raise EnvironmentFault(
                "the private MariaDB and Redis servers did not start", transient=False, remedy=f"See {log_path}"
            ) from error
        yield database_url, queue_url
    finally:
        servers.stdin.close()
        try:
            servers.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            kill_tree(servers)
        servers.stdout.close()


def _call(home: Path, arguments: list[str], environ: dict[str, str], given: str = "") -> None:
    done = subprocess.run(
        [*command_of("dagdeckd"), *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=_environment(home, environ),
        check=False,
    )
    if done.returncode:
        raise EnvironmentFault(
            f"`dagdeckd {' '.join(arguments[:2])}` failed: {done.stderr.strip()[-500:]}", transient=False
        )


def _environment(home: Path, own: dict[str, str]) -> dict[str, str]:
    """This process's environment without settings of DagDeck's, so that the demo is the same everywhere."""
    empty = home / "demo.toml"
    empty.touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DAGDECK_")}
    return kept | {"DAGDECK_CONFIG": str(empty)} | own


def _wait_until(condition: Callable[[], bool], daemon: subprocess.Popen[bytes], home: Path, what: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        if daemon.poll() is not None or time.monotonic() > deadline:
            name = "standalone" if "standalone" in what else "master"
            tail = (home / f"{name}.log").read_text(errors="replace").strip().splitlines()[-8:]
            raise EnvironmentFault(
                f"{what} did not start:\n" + "\n".join(tail),
                transient=False,
                remedy=f"All of it is in {home}/{name}.log",
            )
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fresh_samples(folder: Path) -> None:
    """The sample DAGs of this version, whatever an earlier one left there."""
    shutil.rmtree(folder, ignore_errors=True)
    copy_sample_dags(folder)
