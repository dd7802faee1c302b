"""The desktop with real daemons: it starts the local cluster, shows it live, and may crash without harming it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from dagdeck_desktop.app import Desktop, StartOptions
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.keyring import SecretStore
from dagdeck_desktop.live import HOME, WORKERS, LinkState
from dagdeck_desktop.local_cluster import daemon
from dagdeck_desktop.settings import Places
from tests.desktop.test_keyring import MemoryKeyring

pytestmark = pytest.mark.e2e


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a person whose cluster, if one is left, is stopped at the end."""
    made = {name: value for name, value in os.environ.items() if not name.startswith("DAGDECK_")}
    made |= {
        "HOME": str(tmp_path),
        "QT_QPA_PLATFORM": "offscreen",
        "DAGDECK__PATHS__HOME": str(tmp_path / "cluster"),
        "DAGDECK__PATHS__DAGS_FOLDER": str(tmp_path / "dags"),
        "DAGDECK__API__PORT": "0",
    }
    yield made
    _stop(made)


def _stop(environ: dict[str, str]) -> None:
    pid = daemon.running_pid(environ)
    if pid is not None:
        daemon.stop(pid)
    deadline = time.monotonic() + 20
    while daemon.running_pid(environ) is not None:
        assert time.monotonic() < deadline, "the local cluster did not end"
        time.sleep(0.1)


def answer_of(environ: dict[str, str]) -> dict[str, Any]:
    """What the local cluster's API says of its health."""
    access = daemon.read_access(environ)
    assert access is not None
    request = urllib.request.Request(f"{access.url}/api/v2/monitor/health")
    with urllib.request.urlopen(request, timeout=10) as response:
        found: dict[str, Any] = json.load(response)
    return found


def test_the_local_cluster_is_started_and_shown_live(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, environ: dict[str, str]
) -> None:
    def register(context: DesktopContext) -> None:
        context.window.add_page("home", "Home", "layout-dashboard", QWidget)

    desktop = Desktop(
        qapp,
        Places(config=tmp_path / "config", state=tmp_path / "state"),
        register,
        environ=environ,
        secrets=SecretStore(MemoryKeyring),
    )
    qtbot.addWidget(desktop.window)
    snapshots: dict[str, Any] = {}
    desktop.feed.snapshot_received.connect(snapshots.__setitem__)
    samples: list[dict[str, Any]] = []
    desktop.feed.worker_sample.connect(samples.append)
    desktop.feed.subscribe(HOME)
    desktop.feed.subscribe(WORKERS)
    desktop.start(StartOptions(starts_local=True))
    qtbot.waitUntil(lambda: desktop.feed.state is LinkState.LIVE and bool(samples), timeout=40_000)
    assert snapshots[HOME]["workers"]["active"] >= 1
    assert snapshots[WORKERS]["workers"][0]["worker_id"] == samples[0]["worker_id"]
    assert desktop.window.windowTitle() == "This computer – DagDeck"
    process = desktop.local._process
    with qtbot.waitSignal(desktop.local.stopped, timeout=30_000):
        desktop.local.stop()
    assert desktop.feed.state is LinkState.OFFLINE
    desktop.window.close()
    assert process is not None
    process.wait(timeout=10)


def test_the_cluster_outlives_a_killed_window(tmp_path: Path, environ: dict[str, str]) -> None:
    window = subprocess.Popen([sys.executable, "-m", "dagdeck_desktop", "--local"], env=environ)
    try:
        deadline = time.monotonic() + 40
        while True:
            assert time.monotonic() < deadline, "the local cluster did not start"
            assert window.poll() is None
            try:
                answer_of(environ)
                break
            except (AssertionError, OSError):
                time.sleep(0.1)
        window.send_signal(signal.SIGKILL)
        window.wait(timeout=10)
        time.sleep(1.0)
        assert daemon.running_pid(environ) is not None
        assert answer_of(environ)["metadatabase"]["status"] == "healthy"
    finally:
        window.kill()
        window.wait(timeout=10)
