"""The desktop's benchmarks: their statistics, their file, and a short form of the cases that need no daemon."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme
from tests.benchmarks.desktop import areas
from tests.benchmarks.desktop.measure import Timing, milliseconds, table, write


def test_percentiles_and_limits() -> None:
    timing = Timing(unit="ms", runs=[float(n) for n in range(100, 0, -1)], limit=50.0)
    assert (timing.percentile(0.5), timing.percentile(0.99), timing.percentile(0.0)) == (50.0, 99.0, 1.0)
    assert timing.is_met
    assert not Timing(unit="ms", runs=[51.0], limit=50.0).is_met


def test_the_file_keeps_cases_that_were_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench-desktop.json"
    write(path, {"one": Timing(unit="ms", runs=[1.0, 2.0], limit=5.0)})
    write(path, {"two": Timing(unit="s", runs=[0.25], limit=1.0)})
    assert json.loads(path.read_text()) == {
        "one": {"p50": 1.0, "p99": 2.0, "unit": "ms", "limit": 5.0},
        "two": {"p50": 0.25, "p99": 0.25, "unit": "s", "limit": 1.0},
    }


def test_the_table_marks_what_is_beyond_its_limit() -> None:
    shown = table({"one": Timing(unit="ms", runs=[6.0], limit=5.0)})
    assert list(shown.columns[5].cells) == ["≤ 5 ✘"]


def test_steps_are_timed_one_by_one(theme: Theme) -> None:
    done: list[int] = []
    taken = milliseconds([partial(done.append, n) for n in range(3)])
    assert done == [0, 1, 2]
    assert len(taken) == 3
    assert all(value >= 0 for value in taken)


def test_the_cases_measure_what_they_name(theme: Theme, icons: Icons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(areas, "TASKS", 300)
    monkeypatch.setattr(areas, "LINES", 5_000)
    found = areas.layout(theme, icons) | areas.graph(theme, icons) | areas.log(theme, icons)
    assert {"graph_layout_10000", "graph_pan_10000", "graph_zoom_10000", "log_open_1000000", "log_tail_500"} <= set(
        found
    )
    assert all(timing.runs and timing.percentile(0.5) >= 0 for timing in found.values())
