"""Builds the folder of wheels from which runner environments are made offline: the runner package and what it needs.

Decides what the runner package holds: everything that the processes running users' code import, found from their entry
points, so no database, queue or server code. Downloads the locked wheels for every supported Python and this system.
Called by `./dev package` and by tests, which take what is needed from their own environment instead.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHOLE = ("common/dagdeck", "common/dagdeck_core", "common/dagdeck_task")
ENTRIES = (
    "dagdeck_worker.keeper",
    "dagdeck_worker.hosts.watchdog",
    "dagdeck_worker.runner.__main__",
    "dagdeck_worker.runner.process",
    "dagdeck_worker.triggerer.process",
    "dagdeck_master.dag_processor.child",
)
"""What daemons start in the users' Python, by `-m` or by name."""
FORBIDDEN = ("dagdeck_io", "dagdeckd", "dagdeck_client", "sqlalchemy", "redis", "pymysql")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORM = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def module_file(name: str) -> Path | None:
    """The source file of one of our daemon modules."""
    path = ROOT / "daemons" / name.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(path: Path) -> Iterator[str]:
    """Names that a source file imports, within functions too, but not those for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def daemon_modules() -> dict[str, Path]:
    """Every daemon module that users' Python needs, with its file. Exits when one needs what it may not have."""
    found: dict[str, Path] = {}
    waiting = list(ENTRIES)
    while waiting:
        name = waiting.pop()
        path = module_file(name)
        if path is None or name in found:
            continue
        found[name] = path
        parts = name.split(".")
        waiting += [".".join(parts[:length]) for length in range(1, len(parts))]
        for other in imported(path):
            if other.split(".")[0] in FORBIDDEN:
                sys.exit(f"{name} imports {other}, which runner environments do not have")
            waiting.append(other)
    return found


def build_runner(target: Path) -> Path:
    """Build the runner package's wheel into `target`; its path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    project["version"] = os.environ.get("DAGDECK_BUILD_VERSION") or project["version"]
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        for package in WHOLE:
            source = ROOT / package
            shutil.copytree(source, stage / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in daemon_modules().values():
            copy = stage / path.relative_to(ROOT / "daemons")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        shutil.copyfile(ROOT / "LICENSE", stage / "LICENSE")
        (stage / "pyproject.toml").write_text(_project_file(project), encoding="utf-8")
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(stage)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    (wheel,) = target.glob(f"dagdeck_runner-{project['version']}-*.whl")
    return wheel


def _project_file(project: dict[str, object]) -> str:
    # click and rich belong to the command line, which runner environments do not have.
    needs = [name for name in _strings(project["dependencies"]) if not name.startswith(("click", "rich"))]
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    packages = ["dagdeck", "dagdeck_core", "dagdeck_task", "dagdeck_worker", "dagdeck_master"]
    return f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "dagdeck-runner"
version = "{project["version"]}"
description = "What runs DAG files and tasks for DagDeck's daemons"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = "{project["requires-python"]}"
dependencies = {[*needs, "psutil>=6"]!r}

[project.optional-dependencies]
airflow = {_strings(extras["airflow"])!r}

[tool.hatch.build.targets.wheel]
packages = {packages!r}
"""


def _strings(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]


def download(target: Path) -> None:
    """Download the locked wheels for every supported Python into `target`."""
    platforms = [word for name in PLATFORM for word in ("--platform", name)]
    for python in PYTHONS:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "-r", str(ROOT / "requirements" / "runner.lock")]
        command += ["--python-version", python, "--implementation", "cp", *platforms, "--dest", str(target)]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"the wheels for Python {python} cannot be downloaded")


def main() -> None:
    """Make the folder anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    for stale in options.target.glob("dagdeck_runner-*.whl"):
        stale.unlink()
    print(build_runner(options.target))
    download(options.target)


if __name__ == "__main__":
    main()
