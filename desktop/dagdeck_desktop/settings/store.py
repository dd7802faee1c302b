"""The desktop's settings as one value, and the file they are kept in.

Decides defaults, and that a file that cannot be read never keeps the window from opening. Read by `app` and the
settings dialog.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from dagdeck_core.errors import EnvironmentFault
from dagdeck_desktop.theme.appearance import Appearance
from dagdeck_desktop.transport.trust import write_private

_logger = logging.getLogger(__name__)
_WRITE_DELAY = 400


class DesktopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set. Fields that a newer desktop added are passed over."""

    appearance: Appearance = Appearance.SYSTEM
    connect_at_start: bool = True
    """Connect to the last cluster when the window opens."""
    last_profile: str = ""
    local_python: str = ""
    """The Python that runs DAG files of the local cluster; empty: that of its own environment."""
    times_in_utc: bool = False
    """Show times in UTC instead of this computer's zone."""
    window: bytes = b""
    """Where the window was, as Qt packs it."""


class SettingsStore(QObject):
    """The settings now, written to their file a moment after each change. GUI thread only."""

    changed = Signal()

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._now = _read(path)
        self._delay = QTimer(self, singleShot=True, interval=_WRITE_DELAY)
        self._delay.timeout.connect(self.flush)

    @property
    def now(self) -> DesktopSettings:
        """The settings as they are."""
        return self._now

    def change(self, **values: object) -> None:
        """Set some of them. Raises TypeError for a name that does not exist."""
        wanted = msgspec.structs.replace(self._now, **values)
        if wanted != self._now:
            self._now = wanted
            self._delay.start()
            self.changed.emit()

    def flush(self) -> None:
        """Write them now. A disk that refuses is logged: settings are not worth a dialog."""
        self._delay.stop()
        try:
            write_private(self._path, msgspec.json.format(msgspec.json.encode(self._now), indent=2).decode("utf-8"))
        except EnvironmentFault as error:
            _logger.warning("settings are not kept: %s", error)


def _read(path: Path) -> DesktopSettings:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DesktopSettings)
    except FileNotFoundError:
        return DesktopSettings()
    except (OSError, msgspec.DecodeError) as error:
        _logger.warning("%s cannot be read, the defaults are used: %s", path, error)
        return DesktopSettings()
