"""Runner environments: virtual environments in which users' code runs, made offline from this program's own wheels.

Decides how one is made and brought up to date, and that a packaged standalone cluster makes its own. Does not decide
which Python a cluster uses (`dagdeck_io.user_python`). Called by `runner_env_command` and `standalone`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError
from dagdeck_io.settings import Settings
from dagdeck_io.user_python import (
    FIELD,
    OLDEST,
    RUNNER_ENVIRONMENT,
    NoUsablePython,
    ask,
    bundle_folder,
    complaint_about,
    outside_environment,
    python_for_user_code,
    python_in,
    pythons_on_path,
)

BUNDLED_WHEELS = "runner_wheels.tar.xz"
"""Archive within a packaged program: the wheels for several Pythons have much in common, and take less space in one."""
_STEP_SECONDS = 600.0


def bundled_wheels() -> Path | None:
    """The archive of wheels that this program brings along; None when it is not a packaged one."""
    folder = bundle_folder()
    return None if folder is None else Path(folder) / BUNDLED_WHEELS


def create_runner_environment(folder: Path, *, wheels: Path, python: str | None = None) -> Path:
    """Make the environment `folder`, or bring one that is there up to date; its interpreter.

    `wheels` is a folder or an archive with the runner's wheels, `python` the Python to make it from (default: the first
    suitable one on the command search path). Packages that users installed into it stay. Raises UserError and
    EnvironmentFault.
    """
    with _folder_of(wheels.absolute()) as unpacked:
        return _create(folder.absolute(), unpacked, python)


@contextlib.contextmanager
def _folder_of(wheels: Path) -> Iterator[Path]:
    """The folder with the wheels: that of an archive is there within the block only."""
    if wheels.is_dir():
        yield wheels
        return
    # Only now: daemons import this module and need none of these.
    import lzma
    import tarfile
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dagdeck-wheels-") as folder:
        try:
            with tarfile.open(wheels) as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    if content is not None:
                        Path(folder, Path(member.name).name).write_bytes(content.read())
        except (OSError, tarfile.TarError, lzma.LZMAError) as error:
            raise EnvironmentFault(
                f"the runner's wheels in {wheels} cannot be unpacked: {error}",
                transient=False,
                remedy="See whether the disk is full; else install DagDeck again",
            ) from error
        yield Path(folder)


def _create(folder: Path, wheels: Path, python: str | None) -> Path:
    (runner,) = _wheels(wheels, f"dagdeck_runner-{version('dagdeck')}-*.whl")
    (pip,) = _wheels(wheels, "pip-*.whl")
    interpreter = python_in(folder)
    if not (folder / "pyvenv.cfg").is_file():
        if folder.exists() and any(folder.iterdir()):
            raise UserError("this folder holds something else", value=str(folder), remedy="Name a new or empty folder")
        # Without pip: that needs a package of its own on some systems, and the wheels have one.
        _step([_chosen(python), "-m", "venv", "--without-pip", str(folder)], "the environment cannot be made")
    install = [
        "install",
        "--no-index",
        "--find-links",
        str(wheels),
        "--upgrade",
        "--upgrade-strategy",
        "only-if-needed",
    ]
    _step(
        [str(interpreter), str(pip / "pip"), *install, "--no-cache-dir", "--quiet", f"{runner}[airflow]", str(pip)],
        "the runner package cannot be installed",
    )
    # A wheel of a version that is there already would be passed over, though it may be built from other code.
    again = ["install", "--no-index", "--no-deps", "--force-reinstall", "--quiet", str(runner)]
    _step([str(interpreter), str(pip / "pip"), *again], "the runner package cannot be installed")
    complaint = complaint_about(str(interpreter))
    if complaint:
        raise EnvironmentFault(f"the environment {folder} cannot be used: {complaint}", transient=False)
    return interpreter


def ensure_runner_environment(settings: Settings, tell: Callable[[str], None]) -> None:
    """For a packaged program without a Python for users' code: make the environment that it then uses.

    Raises UserError for a setting that names an unusable Python, EnvironmentFault when there is none to start from.
    """
    wheels = bundled_wheels()
    if wheels is None or settings.core.runner_python:
        return
    try:
        python_for_user_code(settings)
    except NoUsablePython:
        folder = settings.paths.home / RUNNER_ENVIRONMENT
        tell(f"Making the Python environment for DAG files in {folder} …")
        create_runner_environment(folder, wheels=wheels)


def suitable_python(environ: Mapping[str, str]) -> str | None:
    """The first Python on the command search path that an environment can be made from."""
    for candidate in pythons_on_path(environ):
        try:
            if ask(candidate).version >= OLDEST:
                return candidate
        except DagDeckError:
            continue
    return None


def pythons_of_this_machine() -> list[dict[str, object]]:
    """Path, version and `is_usable` of every Python on the command search path that can be run; the usable first."""
    found: list[dict[str, object]] = []
    for path in pythons_on_path(os.environ):
        try:
            number = ask(path).version
        except DagDeckError:
            continue
        found.append({"path": path, "version": f"{number[0]}.{number[1]}", "is_usable": number >= OLDEST})
    return sorted(found, key=lambda each: not each["is_usable"])


def _chosen(python: str | None) -> str:
    if python is None:
        found = suitable_python(os.environ)
        if found is None:
            raise NoUsablePython(
                "no Python 3.11 or newer is installed on this computer; DAG files need one",
                remedy=f"Install python3 from your system's packages or python.org, or set {FIELD}",
            )
        return found
    if (number := ask(python).version) < OLDEST:
        raise UserError(f"this is Python {number[0]}.{number[1]}", value=python, remedy="Name Python 3.11 or newer")
    return python


def _wheels(folder: Path, pattern: str) -> tuple[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UserError(
            f"there is no {pattern} in the folder of wheels",
            value=str(folder),
            remedy="Name the folder with DagDeck's runner wheels by --wheels",
        )
    return (found[-1].absolute(),)


def _step(command: list[str], complaint: str) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_STEP_SECONDS,
            cwd=os.path.abspath(os.sep),
            env={
                name: value for name, value in outside_environment().items() if not name.startswith(("PIP_", "PYTHON"))
            },
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"{complaint}: {error}", transient=False) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-1500:]
        raise EnvironmentFault(f"{complaint}: {said}", transient=False)
