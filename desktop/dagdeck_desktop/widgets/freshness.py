"""How old the data of a view is, said in every view.

Decides the words and when they become a warning. Does not measure the link (`live`). Used by the status bar and views.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QLabel, QWidget

from dagdeck_desktop.widgets.controls import set_variant

STALE_SECONDS = 10.0


class FreshnessLabel(QLabel):
    """ "Live", or when the data was last confirmed; it counts by itself."""

    def __init__(self, parent: QWidget | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self.setProperty("role", "tertiary")
        # The role "warning" has no size of its own: without this the text would grow with its age.
        font = self.font()
        font.setPixelSize(12)
        self.setFont(font)
        self._clock = clock
        self._confirmed_at: float | None = None
        self._is_live = False
        self._tick = QTimer(self, interval=1_000)
        self._tick.timeout.connect(self.refresh)
        self._tick.start()
        self.refresh()

    def confirm(self, *, is_live: bool, age_seconds: float = 0.0) -> None:
        """The data was right `age_seconds` ago; `is_live` when changes come by themselves."""
        self._confirmed_at = self._clock() - age_seconds
        self._is_live = is_live
        self.refresh()

    def lose(self) -> None:
        """Changes no longer come by themselves; what is shown grows old from its last confirmation."""
        self._is_live = False
        self.refresh()

    def refresh(self) -> None:
        """Say it as of now."""
        if self._confirmed_at is None:
            text, is_stale = "No data yet", False
        else:
            age = self._clock() - self._confirmed_at
            is_stale = not self._is_live and age >= STALE_SECONDS
            text = "Live" if self._is_live else f"Updated {age_text(age)} ago"
        if text != self.text():
            self.setText(text)
            self.setAccessibleName(f"Freshness of data: {text}")
        set_variant(self, "role", "warning" if is_stale else "tertiary")


def age_text(seconds: float) -> str:
    """A length of time in the unit that a person would use."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"
