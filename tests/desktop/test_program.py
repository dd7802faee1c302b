"""The program as a process: it starts, is usable soon, is one per person, and ends well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from PySide6.QtNetwork import QLocalSocket
from pytestqt.qtbot import QtBot

from dagdeck_desktop.single_instance import SingleInstance

PROGRAM = [sys.executable, "-m", "dagdeck_desktop"]


def environment(tmp_path: Path) -> dict[str, str]:
    """A person's environment, without a display."""
    return {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}


def test_it_starts_and_ends(tmp_path: Path, own_folders: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--exit-after", "0.2"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    settings = json.loads((own_folders / "xdg_config_home" / "dagdeck" / "desktop.json").read_text())
    assert settings["window"]


def test_help_needs_no_qt(tmp_path: Path) -> None:
    program = "import sys; sys.modules['PySide6'] = None; from dagdeck_desktop.__main__ import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(tmp_path),
    )
    assert done.returncode == 0
    assert "--local" in done.stdout


def test_a_second_start_calls_the_first(qtbot: QtBot, tmp_path: Path) -> None:
    first = SingleInstance(tmp_path)
    assert not first.call_first("")
    assert first.listen()
    program = (
        "import sys, pathlib; from PySide6.QtCore import QCoreApplication; app = QCoreApplication([]);"
        "from dagdeck_desktop.single_instance import SingleInstance;"
        "sys.exit(0 if SingleInstance(pathlib.Path(sys.argv[1])).call_first('https://host') else 1)"
    )
    second = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    with qtbot.waitSignal(first.called, timeout=20_000) as called:
        pass
    assert called.args == ["https://host"]
    qtbot.waitUntil(lambda: second.poll() is not None, timeout=10_000)
    assert second.returncode == 0
    first.close()


def test_the_first_may_go_before_its_callers(qtbot: QtBot, tmp_path: Path) -> None:
    """What a caller left must not end the process when nobody else holds the meeting point any more."""
    first = SingleInstance(tmp_path)
    assert first.listen()
    gone = weakref.ref(first)
    caller = QLocalSocket()
    caller.connectToServer(first._name)
    with qtbot.waitSignal(first.called, timeout=10_000):
        caller.write(b"https://host\n")
        caller.flush()
    caller.disconnectFromServer()
    # The socket at the other end dies in the event loop, after its owner was let go.
    del first
    assert gone() is None
    qtbot.wait(50)


def test_what_a_crash_left_behind_does_not_block(qtbot: QtBot, tmp_path: Path) -> None:
    crashed = SingleInstance(tmp_path)
    assert crashed.listen()
    successor = SingleInstance(tmp_path)
    # Its socket is still there, and nobody answers on it: this thread, which would, is the one that asks.
    assert not successor.call_first("")
    assert successor.listen()
    successor.close()
    crashed.close()


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    program = (
        "import sys, pathlib, logging; from dagdeck_desktop.incidents import log_to;"
        "log_to(pathlib.Path(sys.argv[1])); logging.getLogger('x').warning('said')"
    )
    for path in (blocked / "desktop.log", tmp_path / "state" / "desktop.log"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0
        said = path.read_text() if path.parent.is_dir() else done.stderr
        assert "said" in said
