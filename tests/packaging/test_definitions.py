"""The packages' definitions fit the program: their settings load, their commands exist, their files are there."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from dagdeck_io.settings import load_settings
from dagdeckd.cli import dagdeckd

ROOT = Path(__file__).resolve().parents[2]
LINUX = ROOT / "packaging" / "linux"
DESKTOP = LINUX / "desktop"
UNITS = sorted(LINUX.glob("*.service"))
SCRIPTS = sorted([*(LINUX / "deb").iterdir(), *(LINUX / "rpm").iterdir()])


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


def definition(name: str) -> dict[str, Any]:
    """What nfpm is told of a package."""
    found = yaml.safe_load((LINUX / f"dagdeck-{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["daemons", "desktop"])
def test_all_files_of_a_package_are_there(name: str) -> None:
    whole = definition(name)
    sources = [each["src"] for each in whole["contents"] if each.get("type") != "symlink"]
    sources += [
        script for kind in ("deb", "rpm") for script in whole["overrides"][kind].get("scripts", {}).values()
    ]  # fmt: skip
    assert len(sources) == {"daemons": 13, "desktop": 6}[name]
    assert [each for each in sources if not each.startswith("${") and not (ROOT / each).is_file()] == []


def test_where_the_files_go() -> None:
    placed = {each["dst"] for name in ("daemons", "desktop") for each in definition(name)["contents"]}
    assert placed == {
        "/etc/dagdeck/dagdeck.toml",
        "/etc/logrotate.d/dagdeck",
        "/opt/dagdeck/daemons",
        "/opt/dagdeck/desktop",
        "/usr/bin/dagdeck",
        "/usr/bin/dagdeck-desktop",
        "/usr/bin/dagdeckd",
        "/usr/lib/systemd/system/dagdeck-master.service",
        "/usr/lib/systemd/system/dagdeck-worker@.service",
        "/usr/share/applications/org.dagdeck.Desktop.desktop",
        "/usr/share/doc/dagdeck-daemons/copyright",
        "/usr/share/doc/dagdeck-desktop/copyright",
        "/usr/share/icons/hicolor",
        "/usr/share/metainfo/org.dagdeck.Desktop.metainfo.xml",
        "/usr/share/mime/packages/org.dagdeck.Desktop.xml",
    }


def test_settings_survive_an_upgrade() -> None:
    kept = [each["dst"] for each in definition("daemons")["contents"] if each.get("type") == "config|noreplace"]
    assert kept == ["/etc/dagdeck/dagdeck.toml", "/etc/logrotate.d/dagdeck"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: f"{script.parent.name}-{script.name}")
def test_maintainer_scripts_are_shell(script: Path) -> None:
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this system has no systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    # In a root of its own, so that the program that a unit starts is there.
    program = tmp_path / "usr" / "bin" / "dagdeckd"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit.read_text(encoding="utf-8")
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text.replace("/usr/bin/dagdeckd", str(program)).replace("file:///usr/share", "file:///tmp"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if "dagdeck" in line]
    assert complaints == []


def test_the_desktop_entry_opens_connection_files() -> None:
    entry = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    entry.optionxform = str  # type: ignore[assignment, method-assign]
    entry.read(DESKTOP / "org.dagdeck.Desktop.desktop", encoding="utf-8")
    main = entry["Desktop Entry"]
    assert main["Exec"] == "dagdeck-desktop %f"
    assert main["Icon"] == "org.dagdeck.Desktop"
    mime = ElementTree.parse(DESKTOP / "org.dagdeck.Desktop.mime.xml").getroot()
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    (kind,) = mime.findall(f"{space}mime-type")
    assert f"{kind.get('type')};" == main["MimeType"]
    assert [glob.get("pattern") for glob in kind.findall(f"{space}glob")] == ["*.dagdeck"]
    component = ElementTree.parse(DESKTOP / "org.dagdeck.Desktop.metainfo.xml").getroot()
    assert component.findtext("id") == "org.dagdeck.Desktop"
    assert component.findtext("launchable") == "org.dagdeck.Desktop.desktop"
    assert component.findtext("provides/mediatype") == kind.get("type")


@pytest.mark.parametrize(
    ("tool", "file"),
    [
        (["desktop-file-validate"], "org.dagdeck.Desktop.desktop"),
        (["appstreamcli", "validate", "--no-net"], "org.dagdeck.Desktop.metainfo.xml"),
    ],
)
def test_the_system_accepts_the_desktop_entry_and_its_description(tool: list[str], file: str) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"this system has no {tool[0]}")
    done = subprocess.run([*tool, str(DESKTOP / file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
