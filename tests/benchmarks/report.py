"""Measurements as JSON and as tables, with what they were measured on.

Decides the statistics and their form. Called by `__main__`.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

TARGETS: Mapping[str, tuple[str, float]] = {
    "chain40": ("≤", 0.2),
    "chain40_hop": ("≤", 4.0),
    "deferred2000_memory": ("≤", 150.0),
    "expand100000": ("≤", 10.0),
    "expand100000_delay": ("≤", 50.0),
    "fanout10000": ("≥", 3000.0),
    "trigger_to_start": ("≤", 10.0),
    "cold_start": ("≤", 3.0),
    "idle_memory": ("≤", 250.0),
    "idle_cpu": ("≤", 1.0),
}
"""What the medians should reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """All values of one case on one backend. `note` says what they consist of."""

    unit: str
    runs: Sequence[float]
    note: str = ""

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.runs)

    @property
    def p95(self) -> float:
        """The value that 95 % of the runs are not worse than; for rates, where more is better, not below."""
        ordered = sorted(self.runs, reverse=self.unit.endswith("/s"))
        return ordered[max(math.ceil(0.95 * len(ordered)) - 1, 0)]

    def as_json(self) -> dict[str, object]:
        """The form in bench.json."""
        return {"median": self.median, "p95": self.p95, "unit": self.unit, "runs": list(self.runs)}


def write_json(path: Path, results: Mapping[str, Measurement]) -> None:
    """Write all results under "backend/case"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: each.as_json() for name, each in results.items()}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n")


def table(backend: str, results: Mapping[str, Measurement]) -> Table:
    """The results of one backend."""
    shown = Table(title=backend, title_justify="left")
    for heading in ("case", "median", "p95", "min", "max", "n", "unit", "target", "consists of"):
        shown.add_column(heading, justify="left" if heading in ("case", "unit", "consists of") else "right")
    for name, each in results.items():
        case = name.partition("/")[2]
        numbers = (each.median, each.p95, min(each.runs), max(each.runs))
        shown.add_row(
            case, *map(_number, numbers), str(len(each.runs)), each.unit, _verdict(case, each.median), each.note
        )
    return shown


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _verdict(case: str, median: float) -> str:
    if case not in TARGETS:
        return ""
    sign, wanted = TARGETS[case]
    reached = median <= wanted if sign == "≤" else median >= wanted
    return f"{sign} {wanted:g} {'✔' if reached else '✘'}"


def surroundings(settings: Mapping[str, str], load: str) -> str:
    """What the numbers were measured on."""
    parts = [
        f"DagDeck {version('dagdeck')}, Python {platform.python_version()}",
        f"{os.cpu_count()} × {_cpu_model()}, {platform.system()} {platform.release()}",
        f"load before: {load}",
        "settings other than the defaults: " + ", ".join(f"{name}={value}" for name, value in settings.items()),
    ]
    return "\n".join(parts)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def make_console() -> Console:
    """Where tables go; wide when it is no terminal, so that nothing is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=200)
