"""Where the desktop keeps its files.

Decides folders, by the system's conventions. Creates nothing. Used by `app` and handed on by constructor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QStandardPaths

_FOLDER = "dagdeck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Files and folders. None of them need exist."""

    config: Path
    state: Path

    @property
    def settings(self) -> Path:
        """What was set."""
        return self.config / "desktop.json"

    @property
    def profiles(self) -> Path:
        """The clusters."""
        return self.config / "desktop-profiles.json"

    @property
    def pins(self) -> Path:
        """Accepted certificates."""
        return self.config / "desktop-certificates.json"

    @property
    def log(self) -> Path:
        """What the desktop did and what went wrong."""
        return self.state / "desktop.log"

    @property
    def local_cluster_log(self) -> Path:
        """What a local cluster printed while it started."""
        return self.state / "local-cluster.log"


def standard_places() -> Places:
    """The places that this system provides."""
    location = QStandardPaths.StandardLocation
    config = QStandardPaths.writableLocation(location.GenericConfigLocation)
    state = QStandardPaths.writableLocation(location.GenericStateLocation)
    return Places(config=Path(config) / _FOLDER, state=Path(state or config) / _FOLDER)
