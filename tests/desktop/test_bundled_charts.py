"""Charts are drawn in a bundle too, which leaves out parts of Qt and of numpy that pyqtgraph would take if it could."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BUNDLES = Path(__file__).resolve().parents[2] / "packaging" / "pyinstaller"
PROGRAM = """
import runpy, sys
runpy.run_path(sys.argv[1])
for name in ("numpy.random", "numpy.fft", "PySide6.QtDBus"):
    sys.modules[name] = None
from PySide6.QtWidgets import QApplication
application = QApplication([])
import dagdeck_desktop.charts.live_chart
import pyqtgraph
plot = pyqtgraph.PlotWidget()
plot.plot([1, 3, 2])
plot.resize(300, 200)
image = plot.grab().toImage()
print(len({image.pixel(x, y) for x in range(image.width()) for y in range(image.height())}))
"""


def test_charts_need_neither_opengl_nor_what_else_is_left_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(BUNDLES / "without_opengl.py")],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
