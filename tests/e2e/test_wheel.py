"""The wheel is complete: installed outside the checkout, it migrates a database and runs the demo.

What the wheel needs from others is taken from this environment, so that nothing is downloaded; DagDeck itself comes
from the wheel alone.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "dagdeck",
    "dagdeck_assets",
    "dagdeck_client",
    "dagdeck_core",
    "dagdeck_desktop",
    "dagdeck_io",
    "dagdeck_master",
    "dagdeck_task",
    "dagdeck_worker",
    "dagdeckd",
)

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """An environment into which the wheel was installed, and a home folder for what runs there."""

    environment: Path
    home: Path

    def run(
        self, program: str, *arguments: str, settings: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs in the home folder."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
        done = subprocess.run(
            [str(self.environment / "bin" / program), *arguments],
            cwd=self.home,
            env={**inherited, "HOME": str(self.home), **(settings or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout without a download."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A fresh environment with the wheel; the blank in its path is on purpose."""
    environment = tmp_path_factory.mktemp("wheel") / "an environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    python = environment / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, timeout=120)
    # A folder named in a .pth file joins the path, but its own .pth files, the checkout's among them, are not read.
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.strip()
    (Path(site) / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return Installation(environment=environment, home=tmp_path_factory.mktemp("home"))


def test_the_wheel_holds_all_data_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    present = {
        path.relative_to(ROOT / folder).as_posix()
        for folder in ("common", "daemons", "desktop", "assets")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "dagdeck_core/states.py" in present
    assert present - names == set()
    assert "dagdeck_assets/sample_dags/data/atlantic_storms_1975_2020.csv.gz" in names
    roots = {name.split("/", 1)[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == set(PACKAGES)


def test_everything_is_imported_from_the_wheel(installation: Installation) -> None:
    program = f"import {', '.join(PACKAGES)}\nfor module in ({', '.join(PACKAGES)}): print(module.__file__)"
    files = installation.run("python", "-c", program).stdout.splitlines()
    assert len(files) == len(PACKAGES)
    assert [file for file in files if not file.startswith(str(installation.environment))] == []


def test_the_version_is_the_projects(installation: Installation) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert version in installation.run("dagdeckd", "--version").stdout


def test_migrations_run_from_the_wheel(installation: Installation, tmp_path: Path) -> None:
    database = tmp_path / "dagdeck.db"
    settings = {"DAGDECK__DATABASE__URL": f"sqlite:///{database}"}
    for _again in range(2):
        installation.run("dagdeckd", "db", "upgrade", settings=settings)
    connection = sqlite3.connect(database)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()
    assert {"dag_run", "task_instance", "transition", "alembic_version"} <= tables


def test_the_demo_runs_from_the_wheel(installation: Installation) -> None:
    done = installation.run("dagdeckd", "demo", timeout=120)
    reports = re.findall(r"^Report: (/.*\.html)$", done.stdout, re.MULTILINE)
    assert reports, done.stdout
    page = Path(reports[0]).read_text(encoding="utf-8")
    assert "Atlantic hurricanes 1975-2020" in page
    assert page.count("<polyline") > 400
