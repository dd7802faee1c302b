"""The scripts that newcomers and continuous integration run are portable, and installs are repeatable."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

LOCKS = ("requirements/daemons.lock", "requirements/dev.lock")
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", flags=re.MULTILINE)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {_normal(name): version for name, version in REQUIREMENT.findall(text)}


def _declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    # An extra may name another one of the project's own: "dagdeck[airflow]".
    own = re.compile(rf"{project['name']}\[(\w+)\]")
    lines = [line for extra in extras for line in optional[extra]]
    named = [line for each in map(own.fullmatch, lines) if each is not None for line in optional[each[1]]]
    wanted = [*project["dependencies"], *(line for line in lines if own.fullmatch(line) is None), *named]
    return {_normal(re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0]) for line in wanted}


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_dev_parses_in_every_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(ROOT / "dev")], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_dev_explains_itself_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "dev"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0
    assert "./dev COMMAND" in done.stdout


def test_dev_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "dev", "tets"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "there is no command 'tets'" in done.stderr


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], ("daemons",)), (LOCKS[1], ("daemons", "desktop", "dev"))])
def test_the_lock_holds_all_that_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    assert _declared(*extras) - _locked(lock).keys() == set(), "run ./dev lock"
    assert "hatchling" in _locked(lock)


def test_the_locks_agree() -> None:
    daemons, dev = _locked(LOCKS[0]), _locked(LOCKS[1])
    assert {name: (version, dev.get(name)) for name, version in daemons.items() if dev.get(name) != version} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_hashes_and_no_lock_names_a_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    unhashed = [
        entry.splitlines()[0] for entry in entries if REQUIREMENT.match(entry) and "--hash=sha256:" not in entry
    ]
    assert unhashed == []
    assert re.findall(r"https?://|file://|--(?:extra-)?index-url|--find-links", text) == []
