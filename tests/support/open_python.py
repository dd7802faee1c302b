"""A Python and a folder that other users of this machine may use, with everything that is installed for the tests.

Decides which Python that is: the tests' own, or the system's of the same version where the tests' own lies in a closed
home. Used by tests of run_as_user.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that everybody may enter. Those of pytest are closed, and closed again by every session."""
    with tempfile.TemporaryDirectory(prefix="dagdeck-open-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        if not is_open(folder):
            pytest.skip("no folder for temporary files that other users may enter")
        yield folder


def open_python() -> tuple[str, str]:
    """The interpreter, and the PYTHONPATH that it needs. Skips the test when there is none."""
    found = _found()
    if found is None:
        pytest.skip("no Python of this version that other users may run")
    return found


@cache
def _found() -> tuple[str, str] | None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path = os.pathsep.join(entry for entry in sys.path if entry and Path(entry).is_dir() and is_open(Path(entry)))
    for candidate in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        if Path(candidate).exists() and _library_is_open(candidate, path):
            return candidate, path
    return None


def _library_is_open(python: str, path: str) -> bool:
    program = "import msgspec, os; print(os.__file__)"
    told = subprocess.run(
        [python, "-P", "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=60
    )
    return told.returncode == 0 and is_open(Path(told.stdout.strip()).parent)


def is_open(folder: Path) -> bool:
    """Whether anybody may enter `folder`, through all that leads to it."""
    real = folder.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (real, *real.parents))
