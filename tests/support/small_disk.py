"""A real disk of a few megabytes that a test can fill and empty.

Decides how it is mounted: a tmpfs, where this process may mount one. Called by tests of full disks; where mounting is
not allowed they are skipped, and those that fake the errors remain.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted folder; `fill` leaves no room, `empty` gives it back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Write until nothing more fits."""
        with self._ballast.open("ab", buffering=0) as stream:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        stream.write(b"x" * size)
                except OSError:
                    continue

    def empty(self) -> None:
        """Remove what `fill` wrote."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(root: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A tmpfs at `root`. Skips the test where this process may not mount one."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(root)]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a disk of its own")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
