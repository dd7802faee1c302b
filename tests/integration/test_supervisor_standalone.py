"""`dagdeckd standalone` as its users meet it: starting, being there, dying and ending, with all its real processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.dag_folders import dag_file, write_files

pytestmark = pytest.mark.e2e

STARTS_WITHIN = 40.0
"""Seconds; a quiet machine takes two."""


class Standalone:
    """One standalone cluster in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home.parent / f"{home.name}.out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dagdeckd", "standalone", "--home", str(self.home), "--port", "0", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def until_ready(self) -> None:
        self.wait_for(lambda: "DagDeck is ready" in self.text())

    def wait_for(self, holds: Callable[[], object], timeout: float = STARTS_WITHIN) -> None:
        until = time.monotonic() + timeout
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < until, self.text()
            time.sleep(0.05)

    def token(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.home / "token").read_text())
        return found

    def get(self, path: str) -> httpx.Response:
        token = self.token()
        return httpx.get(token["url"] + path, headers={"Authorization": f"Bearer {token['token']}"}, timeout=10)

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def pid_of(self, name: str) -> int:
        """The newest process that logged under this name."""
        lines = [line for line in self.text().splitlines() if f" {name}[" in line]
        return int(lines[-1].split(f" {name}[")[1].split("]")[0])

    def stop(self, number: int = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[Standalone]:
    made = Standalone(tmp_path / "home")
    yield made
    if made.process is not None and made.process.poll() is None:
        left = made.processes()
        made.process.kill()
        made.process.wait(10)
        psutil.wait_procs(left, timeout=10)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_first_start_prepares_everything_and_a_stop_leaves_nothing_running(standalone: Standalone) -> None:
    standalone.start("--samples")
    standalone.until_ready()
    for name in ("token", "secret.key", "dagdeck.db"):
        assert stat.S_IMODE((standalone.home / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(standalone.home.stat().st_mode) == 0o700
    assert standalone.token()["url"].startswith("http://127.0.0.1:")
    assert standalone.get("/api/v2/version").status_code == 200
    standalone.wait_for(lambda: standalone.get("/api/v2/dags").json()["total_entries"] == 3)
    assert str(standalone.home / "dags") in standalone.text()
    processes = standalone.processes()
    assert len(processes) >= 5
    assert standalone.stop() == 0
    assert gone(processes)
    assert "Traceback" not in standalone.text()


def test_a_second_start_keeps_key_token_and_dags_and_finds_new_files(standalone: Standalone) -> None:
    write_files(standalone.home / "dags", {"a.py": dag_file("a")})
    standalone.start()
    standalone.until_ready()
    key, token = (standalone.home / "secret.key").read_bytes(), standalone.token()["token"]
    assert standalone.stop(signal.SIGTERM) == 0
    write_files(standalone.home / "dags", {"b.py": dag_file("b")})
    standalone.start()
    standalone.until_ready()
    assert (standalone.home / "secret.key").read_bytes() == key
    assert standalone.token()["token"] == token
    standalone.wait_for(lambda: standalone.get("/api/v2/dags").json()["total_entries"] == 2)
    assert standalone.stop() == 0


def test_killed_daemons_come_back_and_a_killed_supervisor_takes_all_with_it(standalone: Standalone) -> None:
    standalone.start()
    standalone.until_ready()
    for name in ("scheduler", "dag-processor", "api", "worker"):
        before = standalone.pid_of(name)
        os.kill(before, signal.SIGKILL)
        standalone.wait_for(lambda name=name, before=before: standalone.pid_of(name) != before)  # type: ignore[misc]
    standalone.wait_for(lambda: _answers(standalone))
    assert standalone.text().count("was killed by SIGKILL") == 4
    processes = standalone.processes()
    assert standalone.process is not None
    standalone.process.kill()
    standalone.process.wait(10)
    until = time.monotonic() + 10
    while not gone(processes):
        assert time.monotonic() < until, [process.cmdline() for process in processes if process.is_running()]
        time.sleep(0.05)
    # Nothing of the dead cluster keeps the next one from starting.
    standalone.start()
    standalone.until_ready()
    assert standalone.stop() == 0


def _answers(standalone: Standalone) -> bool:
    try:
        return standalone.get("/api/v2/version").status_code == 200
    except httpx.TransportError:
        return False


def test_one_cluster_per_home_and_per_port(standalone: Standalone, tmp_path: Path) -> None:
    standalone.start()
    standalone.until_ready()
    assert standalone.process is not None
    second = _run("standalone", "--home", str(standalone.home), "--port", "0")
    assert second.returncode == 3
    assert f"already running from {standalone.home}, as process {standalone.process.pid}" in second.stderr
    port = standalone.token()["url"].rpartition(":")[2]
    third = _run("standalone", "--home", str(tmp_path / "other"), "--port", port)
    assert third.returncode == 3
    assert f"port {port} on 127.0.0.1 is in use" in third.stderr
    assert "api.port" in third.stderr
    assert standalone.stop() == 0


def test_what_keeps_a_cluster_from_starting_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = str(tmp_path / "home")
    cases = [
        (["standalone", "--home", str(tmp_path / "file" / "home")], 3, "paths.home"),
        (["standalone", "--home", home, "--host", "192.0.2.1", "--port", "0"], 2, "api.host"),
        (["standalone", "--home", home, "--slots", "0"], 2, "worker.slots"),
        (["--set", "worker.slotz=4", "standalone", "--home", home], 2, "worker.slots"),
        (["--set", f"paths.home={home}", "master"], 2, "queue.url"),
        (["--config", str(tmp_path / "none.toml"), "master"], 2, "none.toml"),
    ]
    for arguments, code, named in cases:
        done = _run(*arguments)
        assert done.returncode == code, done
        assert named in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_database_stops_the_start_with_its_reason(standalone: Standalone) -> None:
    standalone.home.mkdir(mode=0o700)
    (standalone.home / "dagdeck.db").write_bytes(b"this is no database" * 1000)
    standalone.start()
    assert standalone.process is not None
    assert standalone.process.wait(30) != 0
    assert "not a database" in standalone.text()
    assert "Traceback" not in standalone.text()
    assert "stopping everything" in standalone.text()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dagdeckd", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
