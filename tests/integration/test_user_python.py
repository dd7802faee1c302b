"""Which Python runs users' code, and how environments for it are made."""

from __future__ import annotations

import ensurepip
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.settings import Settings, load_settings
from dagdeck_io.user_python import ask, complaint_about, python_for_user_code
from dagdeckd.cli import dagdeckd, run
from dagdeckd.exit_codes import ExitCode
from dagdeckd.runner_env import create_runner_environment, ensure_runner_environment
from tests.support.runner_wheel import ROOT, build_runner_wheel, site_packages


def settings_with(home: Path, python: str = "") -> Settings:
    """Defaults, apart from these two."""
    overrides = {"paths.home": str(home), "core.runner_python": python}
    return load_settings(environ={"HOME": str(home)}, overrides=overrides, config_files=())


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A Python without the runner package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True, timeout=60)
    return tmp_path / "bare" / "bin" / "python"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a runner package that needs nothing, and with pip as a wheel."""
    found = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    found += sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if not found:
        pytest.skip("this Python does not bring pip as a wheel")
    folder = tmp_path / "wheels"
    folder.mkdir()
    shutil.copy(found[-1], folder)
    name = f"dagdeck_runner-{version('dagdeck')}"
    info = f"{name}.dist-info"
    files = {
        "dagdeck_marker.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: dagdeck-runner\n"
        f"Version: {version('dagdeck')}\nProvides-Extra: airflow\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return folder


def test_unset_it_is_the_python_that_runs_this(tmp_path: Path) -> None:
    assert python_for_user_code(settings_with(tmp_path)) == sys.executable


def test_one_with_the_package_is_taken(tmp_path: Path) -> None:
    assert complaint_about(sys.executable) == ""
    assert ask(sys.executable).runner == version("dagdeck")
    assert python_for_user_code(settings_with(tmp_path, sys.executable)) == sys.executable


@pytest.mark.parametrize(
    ("named", "complaint"), [("/no/such/python", "no such program"), ("/bin/true", "no usable Python")]
)
def test_what_is_no_python_is_refused(tmp_path: Path, named: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        python_for_user_code(settings_with(tmp_path, named))
    assert "core.runner_python" in str(caught.value)


def test_one_without_the_package_is_refused(tmp_path: Path, bare: Path) -> None:
    with pytest.raises(UserError, match="runner package is not installed"):
        python_for_user_code(settings_with(tmp_path, str(bare)))


def test_one_of_another_version_is_refused(tmp_path: Path, bare: Path) -> None:
    metadata = site_packages(bare) / "dagdeck_runner-0.0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dagdeck-runner\nVersion: 0.0.1\n")
    with pytest.raises(UserError, match=r"of version 0\.0\.1"):
        python_for_user_code(settings_with(tmp_path, str(bare)))


def test_a_packaged_program_never_takes_its_own(tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr("sys._MEIPASS", str(tmp_path), raising=False)
    monkeypatch.setenv("PATH", str(bare.parent))
    with pytest.raises(EnvironmentFault, match="no Python that can run DAG files"):
        python_for_user_code(settings_with(tmp_path / "home"))


def test_pythons_of_this_machine_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3").symlink_to(Path(sys.executable).resolve())
    (tmp_path / "python").write_text("#!/bin/sh\necho '[[3, 8], null]'\n")
    (tmp_path / "python3.12").write_text("#!/bin/sh\nexit 1\n")
    for name in ("python", "python3.12"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(dagdeckd, ["runner-env", "pythons"], catch_exceptions=False)
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert json.loads(done.output) == [
        {"path": str(tmp_path / "python3"), "version": own, "is_usable": True},
        {"path": str(tmp_path / "python"), "version": "3.8", "is_usable": False},
    ]


def test_a_missing_python_has_an_exit_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr("sys._MEIPASS", str(tmp_path), raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DAGDECK__PATHS__HOME", str(tmp_path / "home"))
    assert run(["runner-env", "show", "--standalone"]) == ExitCode.NO_PYTHON
    assert run(["--set", "core.runner_python=/no/such", "runner-env", "show"]) == ExitCode.NO_PYTHON
    assert run(["--set", "core.no_such_setting=1", "runner-env", "show"]) == ExitCode.USER_ERROR


def test_an_environment_is_made_and_kept_up_to_date(wheels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "an environment"
    arguments = ["runner-env", "create", str(folder), "--wheels", str(wheels), "--python", sys.executable]
    for _again in range(2):
        done = CliRunner().invoke(dagdeckd, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        python = Path(done.output.strip())
        assert complaint_about(str(python)) == ""
        users = site_packages(python) / "users_own.py"
        assert users.exists() is bool(_again)
        users.touch()
    assert (folder / "bin" / "pip").exists()


def test_a_folder_with_something_else_is_left_alone(wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(UserError, match="something else"):
        create_runner_environment(tmp_path / "mine", wheels=wheels)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_without_wheels_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--wheels"):
        create_runner_environment(tmp_path / "new", wheels=tmp_path)
    assert not (tmp_path / "new").exists()


def test_a_packaged_standalone_makes_its_own(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    with tarfile.open(bundle / "runner_wheels.tar.xz", "w:xz") as archive:
        for wheel in wheels.iterdir():
            archive.add(wheel, arcname=wheel.name)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr("sys._MEIPASS", str(bundle), raising=False)
    monkeypatch.setenv("PATH", str(tools))
    settings = settings_with(tmp_path / "home")
    told: list[str] = []
    for _again in range(2):
        ensure_runner_environment(settings, told.append)
    assert len(told) == 1
    assert python_for_user_code(settings) == str(tmp_path / "home" / "runner-env" / "bin" / "python")


def test_an_archive_that_is_damaged_is_said(tmp_path: Path) -> None:
    damaged = tmp_path / "runner_wheels.tar.xz"
    damaged.write_bytes(b"\xfd7zXZ\x00 and no more")
    with pytest.raises(EnvironmentFault, match="cannot be unpacked"):
        create_runner_environment(tmp_path / "new", wheels=damaged)
    assert not (tmp_path / "new").exists()


def test_the_runner_package_holds_no_database_and_no_server_code(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_runner_wheel(tmp_path)) as archive:
        names = archive.namelist()
    assert "dagdeck_worker/runner/process.py" in names
    assert "dagdeck_master/dag_processor/child.py" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        *("dagdeck", "dagdeck_core", "dagdeck_task", "dagdeck_worker", "dagdeck_master")
    }
    assert [name for name in names if "/api/" in name or "scheduler/loop" in name or "committer" in name] == []
    assert (ROOT / "requirements" / "runner.lock").is_file()
