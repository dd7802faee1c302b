"""Starting the local cluster: found, started apart from the window, watched until it answers, stopped."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from dagdeck_core.errors import EnvironmentFault
from dagdeck_desktop.local_cluster import LocalAccess, LocalCluster, StartFailed, daemon_command
from dagdeck_desktop.local_cluster import daemon as daemon_module
from dagdeck_desktop.transport import PinStore

# A daemon in a few lines: the lock, the token file, an API that knows the token; ended by SIGTERM.
DAEMON = """
    import fcntl, http.server, json, os, pathlib, sys
    home = pathlib.Path(os.environ["DAGDECK__PATHS__HOME"])
    home.mkdir(parents=True, exist_ok=True)
    lock = open(home / "standalone.lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.write(str(os.getpid()))
    lock.flush()
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            is_known = self.headers["Authorization"] == "Bearer fresh"
            body = b'{"dags": [], "total_entries": 0}' if is_known else b'{}'
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    (home / "token").write_text(json.dumps({"url": url, "token": "fresh"}))
    print("session", os.getsid(0), os.getpid(), sys.argv[1:], sorted(n for n in os.environ if n.startswith("QT_")))
    sys.stdout.flush()
    server.serve_forever()
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a person without a cluster."""
    return {**os.environ, "DAGDECK__PATHS__HOME": str(tmp_path / "home"), "QT_QPA_PLATFORM": "offscreen"}


@pytest.fixture
def make(qtbot: QtBot, tmp_path: Path, environ: Mapping[str, str]) -> Iterator[Callable[[str], LocalCluster]]:
    """Make a local cluster whose daemon is this program."""
    made: list[LocalCluster] = []

    def build(program: str) -> LocalCluster:
        script = tmp_path / "daemon.py"
        script.write_text(textwrap.dedent(program))
        cluster = LocalCluster(
            PinStore(tmp_path / "pins.json"),
            tmp_path / "state" / "log",
            environ,
            command=lambda _environ: [sys.executable, str(script)],
        )
        made.append(cluster)
        return cluster

    yield build
    for cluster in made:
        pid = daemon_module.running_pid(environ)
        if pid is not None:
            daemon_module.stop(pid)
        cluster.close()


def test_it_starts_answers_survives_the_window_and_stops(
    make: Callable[[str], LocalCluster], qtbot: QtBot, tmp_path: Path
) -> None:
    cluster = make(DAEMON)
    # What an earlier cluster left behind leads nowhere and must not be taken for the new one.
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text('{"url": "http://127.0.0.1:9", "token": "stale"}')
    with qtbot.waitSignal(cluster.ready, timeout=10_000) as ready:
        cluster.start()
        assert cluster.is_starting
    assert ready.args is not None
    access = ready.args[0]
    assert isinstance(access, LocalAccess)
    assert access.token == "fresh"
    assert cluster.is_running
    said = (tmp_path / "state" / "log").read_text().split()
    assert said[1] == said[2], "it must lead a session of its own, or the window's end would end it"
    assert "['standalone'," in " ".join(said)
    assert said[-1] == "[]", "tasks must not inherit the window's Qt settings"

    process = cluster._process
    assert process is not None
    cluster.close()
    other = make(DAEMON)
    assert other.is_running
    with qtbot.waitSignal(other.ready, timeout=10_000):
        other.start()
    with qtbot.waitSignal(other.stopped, timeout=10_000):
        other.stop()
    assert not other.is_running
    process.wait(timeout=5)


def test_what_it_said_before_it_ended_is_kept(make: Callable[[str], LocalCluster], qtbot: QtBot) -> None:
    cluster = make("import sys\nprint('port 8080 is taken by another process')\nsys.exit(3)")
    with qtbot.waitSignal(cluster.failed, timeout=10_000) as failed:
        cluster.start()
    assert failed.args is not None
    error = failed.args[0]
    assert isinstance(error, StartFailed)
    assert "exit code 3" in str(error)
    assert error.details == "port 8080 is taken by another process"
    assert not cluster.is_starting


def test_one_that_never_gets_ready_is_given_up(
    make: Callable[[str], LocalCluster], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagdeck_desktop.local_cluster.cluster.START_SECONDS", 0.5)
    cluster = make("import time\ntime.sleep(5)")
    with qtbot.waitSignal(cluster.failed, timeout=10_000) as failed:
        cluster.start()
    assert failed.args is not None
    assert "not ready" in str(failed.args[0])
    process = cluster._process
    assert process is not None
    process.kill()
    process.wait()


def test_a_program_that_is_not_there_is_named_with_a_remedy(
    qtbot: QtBot, tmp_path: Path, environ: dict[str, str]
) -> None:
    cluster = LocalCluster(
        PinStore(tmp_path / "pins.json"), tmp_path / "log", environ, command=lambda _environ: [str(tmp_path / "absent")]
    )
    with qtbot.waitSignal(cluster.failed, timeout=4_000) as failed:
        cluster.start()
    assert failed.args is not None
    assert "absent could not be started" in str(failed.args[0])
    cluster.close()


def test_the_command_beside_this_program_or_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert daemon_command({"DAGDECK_DAEMON": "/opt/dagdeckd"}) == ["/opt/dagdeckd"]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(EnvironmentFault, match="not installed"):
        daemon_command({"PATH": str(tmp_path)})
    (tmp_path / "dagdeckd").write_text("#!/bin/sh\n")
    (tmp_path / "dagdeckd").chmod(0o755)
    assert daemon_command({"PATH": str(tmp_path)}) == [str(tmp_path / "dagdeckd")]


def test_a_number_in_a_file_is_no_running_cluster(tmp_path: Path) -> None:
    environ = {"DAGDECK__PATHS__HOME": str(tmp_path)}
    assert daemon_module.running_pid(environ) is None
    (tmp_path / "standalone.lock").write_text(str(os.getpid()))
    assert daemon_module.running_pid(environ) is None
    (tmp_path / "token").write_text('{"url": 5')
    assert daemon_module.read_access(environ) is None
