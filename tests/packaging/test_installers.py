"""The definitions for Windows, macOS and the builds of all systems: as far as they can be checked on any of these."""

from __future__ import annotations

import importlib
import os
import plistlib
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from click.testing import CliRunner

from dagdeckd import windows_service
from dagdeckd.cli import dagdeckd

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
WORKFLOW = ROOT / ".github" / "workflows" / "packages.yml"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The builder."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    return importlib.import_module("build")


@pytest.fixture
def icon_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What writes icons."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    return importlib.import_module("icon_files")


# ---------------------------------------------------------------- icons


def test_icons_are_containers_of_their_images(icon_files: Any, tmp_path: Path) -> None:
    ico, icns = icon_files.write_icons(tmp_path)
    data = ico.read_bytes()
    assert struct.unpack_from("<HHH", data) == (0, 1, len(icon_files.ICO_SIZES))
    for index, side in enumerate(icon_files.ICO_SIZES):
        width, _, _, _, _, bits, size, offset = struct.unpack_from("<BBBBHHII", data, 6 + 16 * index)
        png = data[offset : offset + size]
        assert png.startswith(b"\x89PNG")
        assert struct.unpack(">I", png[16:20]) == (side,)
        assert (width or 256, bits) == (side, 32)
    data = icns.read_bytes()
    assert data[:4] == b"icns"
    assert struct.unpack(">I", data[4:8]) == (len(data),)
    place, found = 8, {}
    while place < len(data):
        (length,) = struct.unpack(">I", data[place + 4 : place + 8])
        found[data[place : place + 4]] = struct.unpack(">I", data[place + 24 : place + 28])[0]
        place += length
    assert found == {name: side for side, name in icon_files.ICNS_TYPES.items()}


# ---------------------------------------------------------------- Windows


@pytest.mark.skipif(shutil.which("makensis") is None, reason="makensis (apt: nsis) is not installed here")
def test_the_installer_compiles(build: Any, icon_files: Any, tmp_path: Path) -> None:
    icon_files.write_icons(tmp_path / "icons")
    for bundle, program in (("dagdeck-desktop", "dagdeck-desktop.exe"), ("dagdeck-daemons", "dagdeckd.exe")):
        (tmp_path / bundle).mkdir()
        (tmp_path / bundle / program).write_bytes(b"MZ")
    target = tmp_path / "DagDeck-1.2.3-setup.exe"
    build.build_installer("1.2.3", bundles=tmp_path, icons=tmp_path / "icons", target=target)
    assert target.read_bytes()[:2] == b"MZ"


def test_the_installers_services_are_the_wrappers() -> None:
    text = (PACKAGING / "windows" / "dagdeck.nsi").read_text(encoding="utf-8")
    assert re.search(r'sc\.exe create \$\{NAME\} binPath= .*dagdeckd\.exe\\" dagdeck-service \$\{DAEMON\} ', text)
    made = re.findall(r'make_service (\w+) (\w+) "([^"]*)" "([^"]*)"', text)
    assert {daemon: (name, shown, purpose) for name, daemon, shown, purpose in made} == windows_service.SERVICES
    assert "dagdeck-service" in (PACKAGING / "pyinstaller" / "programs.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("daemon", windows_service.SERVICES)
def test_the_services_command_exists(daemon: str, tmp_path: Path) -> None:
    folder = tmp_path / "DagDeck"
    folder.mkdir()
    shutil.copy(PACKAGING / "windows" / "dagdeck.toml", folder)
    program, *arguments = windows_service.command_for(daemon, folder, ["dagdeckd"])
    assert program == "dagdeckd"
    assert CliRunner().invoke(dagdeckd, [*arguments, "--help"], catch_exceptions=False).exit_code == 0
    listed = CliRunner().invoke(dagdeckd, [*arguments[: arguments.index(daemon)], "config", "list"])
    assert listed.exit_code == 0, listed.output
    assert "runner-env" in listed.output


DAEMON = """
import os, signal, subprocess, sys, time
from dagdeckd.processes import stop_when_input_ends
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.DEVNULL)
def stop(number, frame):
    print("told to stop", flush=True)
    if "stubborn" not in sys.argv:
        below.kill()
        sys.exit(0)
signal.signal(signal.SIGTERM, stop)
stop_when_input_ends()
print("up", below.pid, flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the daemon's output goes; its folder is not there yet."""
    return tmp_path / "logs" / "worker.log"


@pytest.fixture
def daemons(log: Path) -> Iterator[list[windows_service.ServiceProcess]]:
    """Those that a test has started; they are ended after it."""
    started: list[windows_service.ServiceProcess] = []
    yield started
    for service in started:
        service.stop(0)


def _started(log: Path, daemons: list[windows_service.ServiceProcess], *more: str) -> int:
    daemons.append(windows_service.ServiceProcess([sys.executable, "-c", DAEMON, *more], log, os.environ))
    until = time.monotonic() + 20
    while not (log.exists() and log.read_text().startswith("up ") and log.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.02)
    return int(log.read_text().split()[1])


def test_a_service_ends_its_daemon_in_good_order(log: Path, daemons: list[windows_service.ServiceProcess]) -> None:
    _started(log, daemons)
    assert daemons[0].stop(20) == 0
    assert "told to stop" in log.read_text()


def test_a_service_kills_a_daemon_that_does_not_end(log: Path, daemons: list[windows_service.ServiceProcess]) -> None:
    below = _started(log, daemons, "stubborn")
    assert daemons[0].stop(0.5) != 0
    assert "told to stop" in log.read_text()
    until = time.monotonic() + 10
    while psutil.pid_exists(below) and psutil.Process(below).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "what the daemon had started lives on"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="there it is a service")
@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["scheduler", "x"], 2), (["worker", "/etc/dagdeck"], 3)])
def test_the_service_program_says_what_it_is(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert windows_service.main(arguments) == code
    assert capsys.readouterr().err.startswith("dagdeck-service: ")


# ---------------------------------------------------------------- macOS


@pytest.mark.parametrize("name", ["worker", "master"])
def test_launchd_starts_commands_that_exist(name: str, tmp_path: Path) -> None:
    with open(PACKAGING / "macos" / f"org.dagdeck.{name}.plist", "rb") as stream:
        job = plistlib.load(stream)
    program, part, *arguments = job["ProgramArguments"]
    assert (job["Label"], part) == (f"org.dagdeck.{name}", "dagdeckd")
    assert program == "/Applications/DagDeck.app/Contents/MacOS/dagdeck-desktop"
    config = tmp_path / "dagdeck.toml"
    config.write_text("")
    arguments = [str(config) if each.endswith("dagdeck.toml") else each for each in arguments]
    assert CliRunner().invoke(dagdeckd, [*arguments, "--help"], catch_exceptions=False).exit_code == 0
    assert job["ExitTimeOut"] > 600
    assert job["Umask"] == 0o027


def test_entitlements_are_a_property_list() -> None:
    with open(PACKAGING / "macos" / "entitlements.plist", "rb") as stream:
        assert set(plistlib.load(stream).values()) == {True}


@pytest.mark.parametrize("script", [PACKAGING / "macos" / "make_dmg.sh", PACKAGING / "smoke_test.sh"])
def test_scripts_are_shell(script: Path) -> None:
    if shutil.which("sh") is None:
        pytest.skip("there is no shell here")
    subprocess.run(["sh", "-n", str(script)], check=True)


# ---------------------------------------------------------------- the builds of all systems


def test_the_workflow_builds_and_tries_every_system() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    assert set(jobs) == {"linux", "linux-installed", "windows", "macos"}
    assert jobs["linux"]["container"] == "almalinux:8"
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    for named in re.findall(r"(?<![\w./$-])(?:packaging|requirements)/[\w./-]+", "\n".join(steps)):
        assert (ROOT / named).exists(), named
    uploaded = {
        step["with"]["name"] for job in jobs.values() for step in job["steps"] if "upload" in step.get("uses", "")
    }
    assert uploaded == {"linux", "windows", "macos"}
    assert all(needed in jobs for job in jobs.values() for needed in [job.get("needs")] if needed)
