"""A local cluster without a Python for DAG files: a person chooses or makes one, and the cluster starts."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from dagdeck_desktop.app import Desktop, StartOptions
from dagdeck_desktop.connect import ConnectPage
from dagdeck_desktop.connect.python_dialog import PythonDialog
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.keyring import SecretStore
from dagdeck_desktop.local_cluster import FoundPython, LocalPython
from dagdeck_desktop.local_cluster import daemon as daemon_module
from dagdeck_desktop.settings import Places
from dagdeck_desktop.theme import Theme
from dagdeckd.exit_codes import ExitCode
from tests.desktop.test_connecting import register_pages
from tests.desktop.test_keyring import MemoryKeyring
from tests.desktop.test_local_cluster import DAEMON

# The daemons' program in a few lines: a cluster that needs an environment, and the commands that find and make one.
PROGRAM = """
    import json, os, pathlib, sys
    home = pathlib.Path(os.environ["DAGDECK__PATHS__HOME"])
    said = home.parent / "said"
    with said.open("a") as log:
        print(json.dumps([sys.argv[1:], os.environ.get("DAGDECK__CORE__RUNNER_PYTHON", "")]), file=log)
    if sys.argv[1:] == ["runner-env", "pythons"]:
        print((home.parent / "pythons.json").read_text())
        sys.exit()
    if sys.argv[1:3] == ["runner-env", "create"]:
        if "broken" in sys.argv[-1]:
            sys.exit("dagdeckd: this is Python 3.9 (found 'broken'). Name Python 3.11 or newer")
        environment = pathlib.Path(sys.argv[3])
        environment.mkdir(parents=True, exist_ok=True)
        (environment / "made").touch()
        print("a warning\\n" + str(environment / "bin" / "python"))
        sys.exit()
    chosen = os.environ.get("DAGDECK__CORE__RUNNER_PYTHON")
    if not (chosen or (home / "runner-env" / "made").exists()):
        print("no Python 3.11 or newer is installed on this computer")
        sys.exit(4)
"""
NEW = {"path": "/usr/bin/python3", "version": "3.12", "is_usable": True}
OLD = {"path": "/usr/bin/python3.9", "version": "3.9", "is_usable": False}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A person's environment, with the daemons' program in it."""
    program = tmp_path / "dagdeckd"
    program.write_text(f"#!{sys.executable}\n" + textwrap.dedent(PROGRAM) + textwrap.dedent(DAEMON))
    program.chmod(0o755)
    (tmp_path / "pythons.json").write_text(json.dumps([NEW, OLD]))
    return {
        **os.environ,
        "DAGDECK__PATHS__HOME": str(tmp_path / "home"),
        "DAGDECK_DAEMON": str(program),
        "QT_QPA_PLATFORM": "offscreen",
    }


@pytest.fixture
def desktop(qtbot: QtBot, qapp: QApplication, tmp_path: Path, environ: dict[str, str]) -> Iterator[Desktop]:
    """A desktop that has just been opened."""
    made = Desktop(
        qapp,
        Places(config=tmp_path / "config", state=tmp_path / "state"),
        register_pages,
        environ=environ,
        secrets=SecretStore(lambda: MemoryKeyring()),
    )
    qtbot.addWidget(made.window)
    made.start(StartOptions())
    yield made
    # The window is closed by now, and its local cluster goes on.
    pid = daemon_module.running_pid(environ)
    if pid is not None:
        daemon_module.stop(pid)
        qtbot.waitUntil(lambda: daemon_module.running_pid(environ) is None, timeout=10_000)


@pytest.fixture
def local_python(qtbot: QtBot, environ: dict[str, str]) -> Iterator[Callable[[str], LocalPython]]:
    """Make what looks for Pythons, with this program."""
    made: list[LocalPython] = []

    def build(program: str = "") -> LocalPython:
        given = {**environ, "DAGDECK_DAEMON": program or environ["DAGDECK_DAEMON"]}
        made.append(LocalPython(given))
        return made[-1]

    yield build
    for each in made:
        each.close()


def page_of(desktop: Desktop) -> ConnectPage:
    """The connect page in front."""
    page = desktop.window.pages.currentWidget()
    assert isinstance(page, ConnectPage)
    return page


def dialog_of(desktop: Desktop) -> PythonDialog:
    """The dialog over the connect page."""
    (dialog,) = page_of(desktop).findChildren(PythonDialog)
    assert isinstance(dialog, PythonDialog)
    return dialog


def commands(tmp_path: Path) -> list[tuple[list[str], str]]:
    """What was started, and with which Python."""
    return [tuple(json.loads(line)) for line in (tmp_path / "said").read_text().splitlines()]


def start_and_be_asked(desktop: Desktop, qtbot: QtBot) -> PythonDialog:
    """Press "Start a local cluster" where there is no Python."""
    page_of(desktop).local.start_button.click()
    qtbot.waitUntil(lambda: bool(page_of(desktop).findChildren(PythonDialog)), timeout=10_000)
    dialog = dialog_of(desktop)
    qtbot.waitUntil(lambda: dialog.isVisible() and dialog.found.count() == 1, timeout=10_000)
    return dialog


def test_the_exit_code_is_the_daemons() -> None:
    assert ExitCode.NO_PYTHON == daemon_module.NO_PYTHON_EXIT_CODE


def test_an_environment_is_made_and_the_cluster_starts(desktop: Desktop, qtbot: QtBot, tmp_path: Path) -> None:
    dialog = start_and_be_asked(desktop, qtbot)
    assert "no Python on this computer" in page_of(desktop).local.failure.text
    with qtbot.waitSignal(desktop.local.ready, timeout=20_000):
        dialog.make_button.click()
    environment = str(tmp_path / "home" / "runner-env")
    assert commands(tmp_path) == [
        (["standalone", "--samples"], ""),
        (["runner-env", "pythons"], ""),
        (["runner-env", "create", environment, "--python", NEW["path"]], ""),
        (["standalone", "--samples"], ""),
    ]
    assert desktop.settings.now.local_python == ""
    assert not dialog.isVisible()


def test_an_environment_of_ones_own_is_taken_now_and_next_time(
    desktop: Desktop, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_arguments: str(own))
    dialog = start_and_be_asked(desktop, qtbot)
    with qtbot.waitSignal(desktop.local.ready, timeout=20_000):
        dialog.own_button.click()
    interpreter = str(own / "bin" / "python")
    assert commands(tmp_path)[-2:] == [
        (["runner-env", "create", str(own)], ""),
        (["standalone", "--samples"], interpreter),
    ]
    assert desktop.settings.now.local_python == interpreter
    with qtbot.waitSignal(desktop.local.stopped, timeout=10_000):
        desktop.local.stop()
    with qtbot.waitSignal(desktop.local.ready, timeout=20_000):
        desktop.flow.start_local()
    assert commands(tmp_path)[-1] == (["standalone", "--samples"], interpreter)


def test_a_choice_that_does_not_work_is_said_and_asked_again(
    desktop: Desktop, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_arguments: ("/opt/broken", ""))
    dialog = start_and_be_asked(desktop, qtbot)
    dialog.browse_button.click()
    assert not dialog.isVisible()
    qtbot.waitUntil(dialog.failure.isVisible, timeout=10_000)
    assert "This is Python 3.9" in dialog.failure.text
    assert page_of(desktop).local.start_button.isEnabled()
    assert commands(tmp_path)[-1][0][-1] == "/opt/broken"


def test_without_any_python_it_is_said_how_to_get_one(theme: Theme, icons: Icons, qtbot: QtBot) -> None:
    dialog = PythonDialog(theme, icons)
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.show_found([])
    assert dialog.none_found.text().startswith("No Python was found on this computer. Install it")
    assert not dialog.make_button.isEnabled()
    dialog.show_found([FoundPython(path="/usr/bin/python3.9", version="3.9", is_usable=False)])
    assert dialog.none_found.text().startswith("Only older ones were found: 3.9 (/usr/bin/python3.9).")
    dialog.show_found([FoundPython(path="/usr/bin/python3", version="3.13", is_usable=True)])
    assert dialog.make_button.isEnabled()
    assert dialog.none_found.isHidden()
    with qtbot.waitSignal(dialog.look_chosen, timeout=1_000):
        dialog.look_button.click()


def test_the_program_that_answers_nonsense(
    local_python: Callable[[str], LocalPython], qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "pythons.json").write_text("nonsense")
    for program, complaint in (("", "does not answer as it should"), ("/nowhere/dagdeckd", "could not be started")):
        looks = local_python(program)
        with qtbot.waitSignal(looks.failed, timeout=10_000) as failed:
            looks.look()
            assert looks.is_busy or program
        assert failed.args is not None
        assert complaint in str(failed.args[0])
        assert not looks.is_busy


def test_closing_ends_what_is_going_on(local_python: Callable[[str], LocalPython], tmp_path: Path) -> None:
    program = tmp_path / "slow"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    looks = local_python(str(program))
    looks.make(tmp_path / "environment")
    looks.close()
    assert not looks.is_busy
