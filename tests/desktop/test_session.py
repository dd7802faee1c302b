"""A person's session with mouse and keyboard, on a screen of its own: from the first start to a cleared failure.

Needs Xvfb and xdotool; without them it is skipped. Every step goes through the X server; the program only tells where
its buttons are and what it shows (`session_program`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.local_cluster import daemon
from dagdeck_desktop.theme.states import LIGHT_STATES

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
STEP_SECONDS = 45.0


class Session:
    """The screen, the program on it, and a hand at its mouse."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        read, write = os.pipe()
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1500x960x24", "-nolisten", "tcp"],
            pass_fds=(write,),
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as told:
            display = f":{told.readline().strip()}"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("DAGDECK")}
        self.environ.pop("WAYLAND_DISPLAY", None)
        self.environ |= {
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "SESSION_FOLDER": str(folder),
            "DAGDECK__PATHS__HOME": str(folder / "cluster"),
            "DAGDECK__PATHS__DAGS_FOLDER": str(folder / "dags"),
            "DAGDECK__API__PORT": "0",
        }
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.desktop.session_program"],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> Any:
        """What the program says."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(question + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, "the program ended"
        return json.loads(answer)

    def wait(self, question: str, is_so: Callable[[Any], bool] = bool) -> Any:
        """Ask until it is so."""
        deadline = time.monotonic() + STEP_SECONDS
        while not is_so(answer := self.ask(question)):
            assert time.monotonic() < deadline, f"{question}: {answer}"
            time.sleep(0.1)
        return answer

    def click(self, question: str) -> None:
        """Wait for a place and click there."""
        x, y = self.wait(question)
        subprocess.run(
            ["xdotool", "mousemove", "--sync", str(x), str(y), "sleep", "0.05", "click", "1"],
            env=self.environ,
            check=True,
            timeout=20,
        )

    def close(self) -> None:
        """Close the program, its cluster and the screen."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        try:
            self._program.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait(timeout=10)
        self._program.stdout.close()
        pid = daemon.running_pid(self.environ)
        if pid is not None:
            daemon.stop(pid)
        deadline = time.monotonic() + 20
        while daemon.running_pid(self.environ) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        self._screen.terminate()
        self._screen.wait(timeout=10)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs Xvfb and xdotool, which ./dev test installs")
        pytest.skip("needs Xvfb and xdotool")
    folder = tmp_path / "dags"
    folder.mkdir()
    sample = resources.files("dagdeck_assets") / "sample_dags" / "retry_on_purpose.py"
    (folder / "retry_on_purpose.py").write_text(sample.read_text(encoding="utf-8"), encoding="utf-8")
    made = Session(tmp_path)
    yield made
    made.close()


def test_from_the_first_start_to_a_cleared_failure(session: Session) -> None:
    session.click("where Start a local cluster")
    session.wait("page", lambda page: page == "home")
    session.click("where DAGs")
    session.wait("paused", lambda paused: paused == {"retry_on_purpose": True})
    session.click("cell retry_on_purpose 0")
    session.wait("paused", lambda paused: paused == {"retry_on_purpose": False})
    session.click("cell retry_on_purpose 1")
    session.wait("page", lambda page: page == "dag")

    # The graph turns green.
    session.wait("node finish")
    session.click("where Trigger run")
    session.wait("where Fail for good")
    session.click("where Trigger run")
    session.wait("states", lambda states: bool(states) and all(each[0] == "success" for each in states.values()))
    green = LIGHT_STATES[TaskInstanceState.SUCCESS].lower()
    session.wait("stripe finish", lambda color: color == green)

    # A run with a param fails; its log says why.
    session.click("where Trigger run")
    session.click("where Fail for good")
    session.click("where Trigger run")
    session.wait("states", lambda states: states.get("fail_if_asked", [None])[0] == "failed")
    red = LIGHT_STATES[TaskInstanceState.FAILED].lower()
    session.wait("stripe fail_if_asked", lambda color: color == red)
    session.click("node fail_if_asked")
    session.wait("log", lambda log: log is not None and "on purpose: this run was started with fail_finally" in log)

    # Cleared, it is tried once more.
    session.click("where Clear task")
    session.click("where Clear")
    session.wait("states", lambda states: states["fail_if_asked"] == ["failed", 2])

    session.click("where Workers")
    before = session.wait("samples")
    session.wait("samples", lambda samples: samples >= before + 3)
