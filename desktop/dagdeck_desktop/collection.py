"""Python's cycle collection, done by the GUI thread alone.

Decides when it runs. Python collects in whichever thread happens to allocate, and a Qt object that dies in another
thread than its own can take the process with it; our workers (layout, large answers, keyring) allocate a lot. So
automatic collection is off, and a timer of the GUI thread does what it would have done. Made by `__main__`, once.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

LOOK_EVERY_MS = 1_000


class GuiThreadCollector(QObject):
    """Collects when automatic collection would have. Lives as long as the application."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(collect_what_is_due)
        self._timer.start(LOOK_EVERY_MS)


def collect_what_is_due() -> None:
    """Collect the oldest generation whose threshold is passed; nothing when none is."""
    counts, thresholds = gc.get_count(), gc.get_threshold()
    for generation in (2, 1, 0):
        if counts[generation] > thresholds[generation]:
            gc.collect(generation)
            return
