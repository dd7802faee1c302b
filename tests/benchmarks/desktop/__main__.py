"""`python -m tests.benchmarks.desktop`: measures the desktop and writes build/bench-desktop.json.

Decides which cases run. Called by `./dev bench-desktop`. Exits with 1 when a median is beyond its limit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Appearance, Theme, load_fonts
from tests.benchmarks.desktop import areas, changes, pages, start
from tests.benchmarks.desktop.measure import Timings, table, write
from tests.benchmarks.report import make_console, surroundings

OUTPUT = Path(__file__).resolve().parents[3] / "build" / "bench-desktop.json"
Case = Callable[[Theme, Icons], Timings]
CASES: Mapping[str, Case] = {
    "layout": areas.layout,
    "graph": areas.graph,
    "log": areas.log,
    "charts": areas.charts,
    "pages": pages.pages,
    "start": lambda theme, icons: start.start(),
    "changes": changes.changes,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    load_fonts()
    theme = Theme(Appearance.LIGHT)
    theme.apply_to(application)
    icons = Icons(theme, theme)
    console = make_console()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    console.print(surroundings({}, load), highlight=False)
    results: Timings = {}
    for name in options.cases or CASES:
        print(f"desktop: {name}", file=sys.stderr)
        results |= CASES[name](theme, icons)
        write(options.output, results)
    console.print(table(results))
    console.print(f"written to {options.output}")
    return 0 if all(timing.is_met for timing in results.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.desktop", description="Benchmarks of the desktop")
    parser.add_argument("--cases", nargs="*", choices=list(CASES), help="which ones; default: all")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"default: {OUTPUT}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
