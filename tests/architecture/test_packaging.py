"""The packages' definitions fit the program: their settings load, their commands exist, their files are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagdeck_io.settings import load_settings
from dagdeckd.cli import dagdeckd

ROOT = Path(__file__).resolve().parents[2]
LINUX = ROOT / "packaging" / "linux"
UNITS = sorted(LINUX.glob("*.service"))


def test_the_shipped_settings_load(tmp_path: Path) -> None:
    settings = load_settings(config=LINUX / "dagdeck.toml", environ={"HOME": str(tmp_path)})
    assert settings.paths.home == Path("/var/lib/dagdeck")
    assert settings.core.runner_python == "/var/lib/dagdeck/runner-env/bin/python"


def test_the_settings_to_fill_in_exist(tmp_path: Path) -> None:
    text = (LINUX / "dagdeck.toml").read_text(encoding="utf-8")
    examples = re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)
    path = tmp_path / "dagdeck.toml"
    path.write_text(examples, encoding="utf-8")
    settings = load_settings(config=path, environ={"HOME": str(tmp_path)})
    assert settings.database.url.startswith("mysql+pymysql://")
    assert settings.queue.url.startswith("rediss://")
    assert settings.security.secret_key


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_that_exist(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    program, *arguments = shlex.split(line.replace("/etc/dagdeck/dagdeck.toml", str(LINUX / "dagdeck.toml")))
    assert program == "/usr/bin/dagdeckd"
    assert CliRunner().invoke(dagdeckd, [*arguments, "--help"], catch_exceptions=False).exit_code == 0
    name = next(word for word in ("master", "worker") if word in arguments)
    listed = CliRunner().invoke(dagdeckd, [*arguments[: arguments.index(name)], "config", "list"])
    assert listed.exit_code == 0, listed.output
    assert "/var/lib/dagdeck/runner-env/bin/python" in listed.output


def test_all_files_of_the_package_are_there() -> None:
    text = (LINUX / "nfpm-daemons.yaml").read_text(encoding="utf-8")
    named = re.findall(r"(?:src|postinstall|preremove|postremove): ((?:packaging|LICENSE)\S*)", text)
    assert len(named) == 8
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_shell(script: str) -> None:
    subprocess.run(["sh", "-n", str(LINUX / script)], check=True, timeout=10)


@pytest.mark.parametrize(
    ("called", "arguments", "runs"),
    [
        ("dagdeck-desktop", [], "dagdeck-desktop"),
        ("dagdeck-desktop", ["dagdeckd", "standalone"], "dagdeckd"),
        ("dagdeck-desktop", ["--url", "http://h"], "dagdeck-desktop"),
        ("/usr/bin/dagdeck", ["dags", "list"], "dagdeck"),
        ("dagdeckd.exe", ["dagdeck", "dags"], "dagdeck"),
        ("renamed", [], "dagdeckd"),
    ],
)
def test_one_executable_is_every_program(
    monkeypatch: pytest.MonkeyPatch, called: str, arguments: list[str], runs: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "packaging" / "pyinstaller"))
    monkeypatch.delitem(sys.modules, "programs", raising=False)
    import programs  # type: ignore[import-not-found]

    started: list[tuple[str, list[str]]] = []

    def start(name: str) -> int:
        started.append((name, sys.argv[1:]))
        return 0

    for name in programs.PROGRAMS:
        monkeypatch.setitem(programs.PROGRAMS, name, partial(start, name))
    monkeypatch.setattr("sys.argv", [called, *arguments])
    assert programs.main() == 0
    rest = arguments[1:] if arguments[:1] == [runs] else arguments
    assert started == [(runs, rest)]
