"""Measured values, their limits, and how they are written.

Decides percentiles and the form of build/bench-desktop.json. Called by `__main__`; the cases make `Timing`s.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import QApplication
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All values of a case, and what its median may be at most."""

    unit: str
    runs: Sequence[float]
    limit: float
    note: str = ""

    def percentile(self, share: float) -> float:
        """The value that this share of the runs does not exceed."""
        ordered = sorted(self.runs)
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]

    @property
    def is_met(self) -> bool:
        """True when the median is within the limit."""
        return self.percentile(0.5) <= self.limit

    def as_json(self) -> dict[str, object]:
        """The form in the file."""
        return {
            "p50": round(self.percentile(0.5), 4),
            "p99": round(self.percentile(0.99), 4),
            "unit": self.unit,
            "limit": self.limit,
        }


Timings = dict[str, Timing]


def milliseconds(steps: Iterable[Callable[[], object]]) -> list[float]:
    """How long each step takes with everything that it makes Qt do: layout, painting, events."""
    taken = []
    for step in steps:
        began = time.perf_counter()
        step()
        QApplication.sendPostedEvents()
        QApplication.processEvents()
        taken.append((time.perf_counter() - began) * 1000.0)
    return taken


def write(path: Path, results: Mapping[str, Timing]) -> None:
    """Write all results; cases of an earlier run that were not measured now stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    known |= {name: timing.as_json() for name, timing in results.items()}
    path.write_text(json.dumps(known, indent=2) + "\n")


def table(results: Mapping[str, Timing]) -> Table:
    """The results for people."""
    shown = Table()
    for heading in ("case", "p50", "p99", "n", "unit", "limit", "what it is"):
        shown.add_column(heading, justify="left" if heading in ("case", "unit", "what it is") else "right")
    for name, timing in results.items():
        shown.add_row(
            name,
            f"{timing.percentile(0.5):.3g}",
            f"{timing.percentile(0.99):.3g}",
            str(len(timing.runs)),
            timing.unit,
            f"≤ {timing.limit:g} {'✔' if timing.is_met else '✘'}",
            timing.note,
        )
    return shown
