"""Tries the built packages in a clean system and writes down what happened: docs/packaging_transcript.md.

Decides the order: build (the daemons twice, for an upgrade), the cluster's trial, the desktop's trial, the record by
which .ci/run sees that nothing has changed since. Called by `./dev package-test`. Exit codes: 0 tried and well, 1
something is wrong, 75 this machine cannot try it (a tool, a right or the network is missing).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import fingerprint
from clean_system import SUITE, CannotTry, CleanSystem, kept_root, missing_tools
from cluster_trial import ClusterTrial, Servers, logs_on_failure
from desktop_trial import DesktopTrial
from guide import blocks_of
from transcript import Transcript, TrialFailed

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "packages"
NEWER = ROOT / "build" / "newer_packages"
GUIDE = ROOT / "docs" / "administration.md"
PAGE = ROOT / "docs" / "packaging_transcript.md"
CANNOT_TRY = 75
USERS_PACKAGE = "pandas"
PYTHON = "3.11"
"""That of the clean system."""
_DEPENDS = re.compile(r"^ (?:Depends|Recommends): (.*)$", re.MULTILINE)


def main() -> int:
    """Try them; the exit code."""
    parser = argparse.ArgumentParser(prog="./dev package-test", description=__doc__.partition("\n")[0])
    parser.add_argument("--reuse", action="store_true", help="try the packages that were built last")
    parser.add_argument("--only", choices=("daemons", "desktop"), help="try this one only, and record nothing")
    options = parser.parse_args()
    transcript = Transcript("What the packages' trial did")
    try:
        if missing := missing_tools():
            raise CannotTry(f"this needs {', '.join(missing)}")
        newer = _next_version(_project_version())
        if not options.reuse:
            _build(newer)
        _try(transcript, newer, options.only)
    except CannotTry as error:
        print(f"package-test: not tried: {error}", file=sys.stderr)
        return CANNOT_TRY
    except TrialFailed as error:
        print(f"package-test: {error}", file=sys.stderr)
        return 1
    if options.only is None:
        transcript.write(PAGE)
        fingerprint.record()
    return 0


def _try(transcript: Transcript, newer: str, only: str | None) -> None:
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    daemons = BUILD / f"dagdeck-daemons_{_project_version()}_{arch}.deb"
    desktop = BUILD / f"dagdeck-desktop_{_project_version()}_{arch}.deb"
    root = kept_root(ROOT / "build" / "clean_systems", _wanted_by(daemons, desktop))
    transcript.say(
        "Written by `./dev package-test`. The commands are those of [the administrator's guide](administration.md); "
        f"what is ticked was checked by the trial. The system: Debian {SUITE}, minimal, with systemd, as made by "
        "debootstrap; started in namespaces of its own, without a network. MariaDB and Redis run beside it, with TLS."
    )
    blocks = blocks_of(GUIDE)
    if only != "desktop":
        upgrade = NEWER / f"dagdeck-daemons_{newer}_{arch}.deb"
        with CleanSystem(root) as system, Servers(system) as servers, logs_on_failure(system):
            ClusterTrial(system, servers, transcript, (daemons, upgrade), newer, _users_wheels()).follow(blocks)
    if only != "daemons":
        with CleanSystem(root) as system, logs_on_failure(system):
            DesktopTrial(system, transcript, desktop).follow([block for block in blocks if block.actor == "desktop"])


def _build(newer: str) -> None:
    """The daemons' newer package first: its bundle makes room for the present one's."""
    build = [sys.executable, str(ROOT / "packaging" / "build.py")]
    wheels = [str(ROOT / "packaging" / "runner" / "build_wheels.py"), str(ROOT / "build" / "runner_wheels")]
    done = subprocess.run([sys.executable, *wheels], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotTry(f"the runner's wheels cannot be had: {(done.stdout + done.stderr).strip()[-500:]}")
    for arguments in (["--only", "daemons", "--version", newer, "--formats", "deb", "--into", str(NEWER)], []):
        if subprocess.run([*build, *arguments], check=False).returncode:
            raise TrialFailed("the packages cannot be built: see above")


def _users_wheels() -> Path:
    """A folder with what the guide's administrator installs for DAG files, for the clean system's Python."""
    folder = ROOT / "build" / "clean_systems" / f"wheels-{USERS_PACKAGE}-{PYTHON}"
    if not folder.exists():
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--python-version", PYTHON]
        done = subprocess.run([*pip, "--dest", str(draft), USERS_PACKAGE], capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            raise CannotTry(f"{USERS_PACKAGE} cannot be had: {done.stderr.strip()[-500:]}")
        draft.rename(folder)
    return folder


def _wanted_by(*packages: Path) -> tuple[str, ...]:
    """The names of the Debian packages that ours depend on or recommend."""
    names: set[str] = set()
    for package in packages:
        if not package.is_file():
            raise TrialFailed(f"{package} is not built: run without --reuse")
        told = subprocess.run(["dpkg-deb", "--info", str(package)], capture_output=True, text=True, check=True).stdout
        for line in _DEPENDS.findall(told):
            names |= {each.split()[0] for each in line.split(",")}
    return tuple(sorted(names))


def _project_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _next_version(version: str) -> str:
    head, _dot, last = version.rpartition(".")
    return f"{head}.{int(last) + 1}"


if __name__ == "__main__":
    sys.exit(main())
