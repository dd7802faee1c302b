"""Where the DAG files come from that DagDeck is held against.

Decides how Airflow's own example DAGs are obtained and laid out as a DAG folder, and what a folder given by a person
must hold. Nothing of Airflow is installed or kept in the repository: its wheels are downloaded by pip once, and only
example DAGs and what they import from their own folders is unpacked. Called by `__main__` and by the tests.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault, UserError
from tests.compat.expectations import Expectations, read

HERE = Path(__file__).parent
OWN_DAGS = HERE / "dags"
AIRFLOW_VERSION, STANDARD_VERSION = "3.3.2", "1.21.0"
WHEELS = (f"apache-airflow-core=={AIRFLOW_VERSION}", f"apache-airflow-providers-standard=={STANDARD_VERSION}")
EXAMPLE_FOLDERS = ("airflow/example_dags/", "airflow/providers/standard/example_dags/")
DOWNLOAD_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A folder of DAG files with what their DAGs should end like."""

    name: str
    folder: Path
    expectations: Expectations


def airflow_examples(build: Path) -> Corpus:
    """Airflow's example DAGs, unpacked below `build`. Raises EnvironmentFault when they cannot be downloaded."""
    folder = build / f"airflow-{AIRFLOW_VERSION}"
    if not (folder / ".complete").exists():
        for wheel in _wheels(build / "wheels"):
            _unpack(wheel, folder)
        (folder / ".complete").touch()
    starts = HERE / f"airflow_{AIRFLOW_VERSION}_starts.json"
    expected = HERE / f"airflow_{AIRFLOW_VERSION}_expected.json"
    return Corpus(name=f"Airflow {AIRFLOW_VERSION} examples", folder=folder, expectations=read(expected, starts))


def own_dags() -> Corpus:
    """The DAG files of this folder."""
    return from_folder(OWN_DAGS)


def from_folder(folder: Path) -> Corpus:
    """A folder with DAG files, an expected.json and perhaps a starts.json. Raises UserError."""
    expected, starts = folder / "expected.json", folder / "starts.json"
    if not expected.is_file():
        raise UserError(
            "the folder has no expectations",
            file=str(expected),
            remedy='Write {"dags": {dag_id: {"expectation": "success_on_manual_trigger", "expected": {…}}}}',
        )
    return Corpus(name=folder.name, folder=folder, expectations=read(expected, starts if starts.is_file() else None))


def _wheels(cache: Path) -> Sequence[Path]:
    """The downloaded wheels, from the cache if they are there."""
    found = sorted(cache.glob("*.whl"))
    if len(found) >= len(WHEELS):
        return found
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(cache), *WHEELS],
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise EnvironmentFault(f"pip did not download {' and '.join(WHEELS)} in {DOWNLOAD_SECONDS:g} s") from late
    if done.returncode != 0:
        raise EnvironmentFault(f"pip could not download {' and '.join(WHEELS)}: {done.stderr.strip()[-2000:]}")
    return sorted(cache.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(EXAMPLE_FOLDERS) and not name.endswith("/") and ".." not in name:
                archive.extract(name, folder)
