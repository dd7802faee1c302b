"""From the command to a window that can be used: painted, and answering events.

Decides when that is: the first paint is done and the event loop has come round. Each start is a process of its own
with a configuration of its own. Called by `__main__`; run as a program it is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from tests.benchmarks.desktop.measure import Timing, Timings

STARTS = 7
_READY = "ready"


def start() -> Timings:
    """Measure several starts."""
    runs = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="dagdeck-bench-") as folder:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGDECK")}
            environment |= {
                "HOME": folder,
                "XDG_CONFIG_HOME": folder,
                "XDG_STATE_HOME": folder,
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            }
            began = time.perf_counter()
            with subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.desktop.start"],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout is not None
                line = process.stdout.readline()
                taken = time.perf_counter() - began
                process.wait(30)
            if line.strip() != _READY:
                raise RuntimeError(f"the window did not come up: exit code {process.returncode}")
            runs.append(taken)
    return {"start": Timing(unit="s", runs=runs, limit=1.5, note="process start to a painted window that answers")}


def _open() -> None:
    """Open the window as the program does, say so, and end."""
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from dagdeck_desktop.app import Desktop, StartOptions
    from dagdeck_desktop.settings import standard_places
    from dagdeck_desktop.views import register_pages

    application = QApplication(sys.argv[:1])
    desktop = Desktop(application, standard_places(), register_pages)
    desktop.start(StartOptions())
    # Painting comes before timers of no time that are set later.
    QApplication.processEvents()

    def tell() -> None:
        print(_READY, flush=True)
        desktop.window.close()
        application.quit()

    QTimer.singleShot(0, application, tell)
    application.exec()


if __name__ == "__main__":
    _open()
