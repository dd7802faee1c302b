"""Whether packages have to be tried again: what they are made from, as a number, against that of the last trial.

Decides what counts: definitions and scripts of packages, locked requirements, the guide. The product's own code does
not: its tests try that. Uses the standard library only. Called by `package_test`, and as a script by .ci/run: exit
code 0 when a trial is due and this machine has what it needs, else 1.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path(__file__).with_name("tried.txt")
_FILES = (
    "packaging/build.py",
    "packaging/trimming.py",
    "packaging/linux/**/*",
    "packaging/pyinstaller/*",
    "packaging/runner/*.py",
    "packaging/trial/*.py",
    "requirements/*.lock",
    "docs/administration.md",
)


def fingerprint() -> str:
    """A number for everything that packages are made from and tried by."""
    digest = hashlib.sha256()
    for pattern in _FILES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    digest.update(repr((project["dependencies"], project["optional-dependencies"])).encode())
    return digest.hexdigest()


def is_tried() -> bool:
    """Whether the last trial was of just this."""
    return RECORD.is_file() and RECORD.read_text(encoding="ascii").strip() == fingerprint()


def record() -> None:
    """Write down that a trial of this has succeeded."""
    RECORD.write_text(fingerprint() + "\n", encoding="ascii")


if __name__ == "__main__":
    from clean_system import missing_tools

    sys.exit(1 if is_tried() or missing_tools() else 0)
