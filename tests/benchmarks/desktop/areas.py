"""The painted areas under load: a graph of 10,000 tasks, a log of 1,000,000 lines, curves at 10 Hz, a long list.

Decides sizes, movements and limits. Called by `__main__`.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PySide6.QtCore import QEventLoop, QPointF, QTimer
from PySide6.QtWidgets import QApplication

from dagdeck_core.layout import LayoutNode, lay_out
from dagdeck_desktop.charts.live_chart import LiveChart, Series
from dagdeck_desktop.graph import GraphArea, GraphNode, NodeState
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.log import LogArea
from dagdeck_desktop.theme import Theme
from tests.benchmarks.desktop.measure import Timing, Timings, milliseconds

TASKS = 10_000
LINES = 1_000_000
WIDTH, HEIGHT = 1600, 1000
FRAME = 16.7
"""Milliseconds of a frame at 60 Hz."""
_STATES = ("success",) * 6 + ("running", "failed", "queued", "scheduled", "none", "skipped", "up_for_retry")
Edges = list[tuple[str, str]]


def pipeline(count: int) -> tuple[list[str], Edges]:
    """Names and edges of a large DAG: layers, near neighbours, some long edges; the same every time."""
    chance = random.Random(11)
    ranks = max(2, int(count**0.5 * 0.6))
    of_rank: list[list[str]] = [[] for _ in range(ranks)]
    names: list[str] = []
    edges: dict[tuple[str, str], None] = {}
    for number in range(count):
        rank = number * ranks // count
        name = f"process_partition_{number}"
        names.append(name)
        of_rank[rank].append(name)
        for _ in range(chance.choice((1, 1, 2, 2, 3)) if rank else 0):
            before = of_rank[rank - 1 if chance.random() < 0.9 else chance.randrange(max(0, rank - 5), rank)]
            share = (number * ranks / count) % 1.0
            edges[before[min(len(before) - 1, max(0, int(share * len(before) + chance.gauss(0, 2))))], name] = None
    return names, list(edges)


def layout(theme: Theme, icons: Icons) -> Timings:
    """The layout alone, in the calling thread."""
    names, edges = pipeline(TASKS)
    nodes = [LayoutNode(node_id=name, width=200, height=46) for name in names]
    runs = []
    for _ in range(5):
        began = time.perf_counter()
        lay_out(nodes, edges)
        runs.append(time.perf_counter() - began)
    return {"graph_layout_10000": Timing(unit="s", runs=runs, limit=3.0, note=f"{len(edges)} edges, pure Python")}


def graph(theme: Theme, icons: Icons) -> Timings:
    """Moving about in a graph, and states that change in it."""
    names, edges = pipeline(TASKS)
    area = GraphArea(theme, icons)
    area.resize(WIDTH, HEIGHT)
    area.show()
    area.set_graph([GraphNode(task_id=name, kind="PythonOperator") for name in names], edges)
    _wait(lambda: not area.is_busy)
    chance = random.Random(5)
    area.set_states({name: NodeState(state=chance.choice(_STATES)) for name in names})
    QApplication.processEvents()
    results: Timings = {}
    area.fit()
    results["graph_fit_10000"] = Timing(
        unit="ms", runs=milliseconds([area.viewport().update] * 30), limit=FRAME, note="all of it painted anew"
    )
    centre = QPointF(WIDTH / 2, HEIGHT / 2)
    zooms = [lambda: area.zoom_by(1.15, centre)] * 26 + [lambda: area.zoom_by(1 / 1.15, centre)] * 26
    results["graph_zoom_10000"] = Timing(unit="ms", runs=milliseconds(zooms), limit=FRAME, note="each step anew")
    pans = []
    for zoom in (area.zoom, 0.2, 0.5, 1.0):
        area.zoom_by(zoom / area.zoom, centre)
        QApplication.processEvents()
        moves = itertools.islice(itertools.cycle([(9, 4), (-7, 6), (5, -9), (-8, -3)]), 40)
        pans += milliseconds([partial(area.pan_by, *move) for move in moves])
    results["graph_pan_10000"] = Timing(unit="ms", runs=pans, limit=FRAME, note="at four zooms")
    some = [chance.sample(names, 50) for _ in range(30)]
    changes = [
        lambda chosen=chosen, n=n: area.set_states({each: NodeState(state=_STATES[n % 13]) for each in chosen})
        for n, chosen in enumerate(some)
    ]
    results["graph_states_50"] = Timing(unit="ms", runs=milliseconds(changes), limit=FRAME, note="50 tasks at a time")
    hits = []
    for n in range(300):
        began = time.perf_counter()
        area.item_at(QPointF(5.0 * n, 3.0 * n).toPoint())
        hits.append((time.perf_counter() - began) * 1000.0)
    results["graph_hit"] = Timing(unit="ms", runs=hits, limit=0.5, note="what is under the mouse")
    area.deleteLater()
    return results


def log(theme: Theme, icons: Icons) -> Timings:
    """Opening a long log, following it, scrolling and searching in it."""
    content = b"".join(
        b"2026-11-23T06:%02d:%02d.123456Z INFO  some.logger  Processing the partition %d of the table customers, "
        b"which takes its time; some more words follow\n" % (n // 60 % 60, n % 60, n)
        for n in range(LINES)
    )
    results: Timings = {}
    opened = []
    for _ in range(3):
        area = LogArea(theme, icons)
        area.resize(1200, 800)
        area.show()
        QApplication.processEvents()
        pieces = range(0, len(content), 1 << 22)
        began = time.perf_counter()
        for begin in pieces:
            area.append(content[begin : begin + (1 << 22)])
        QApplication.processEvents()
        opened.append(time.perf_counter() - began)
        if len(opened) < 3:
            area.deleteLater()
    results["log_open_1000000"] = Timing(
        unit="s", runs=opened, limit=1.0, note=f"{len(content) / 1e6:.0f} MB, to the last line painted"
    )
    piece = content[: content.index(b"\n", 500 * 130) + 1]
    results["log_tail_500"] = Timing(
        unit="ms",
        runs=milliseconds([lambda: area.append(piece)] * 60),
        limit=FRAME,
        note="500 more lines, painted",
    )
    bar = area.verticalScrollBar()
    scrolls = [lambda n=n: bar.setValue(1_000 + n * 977) for n in range(100)]
    results["log_scroll"] = Timing(unit="ms", runs=milliseconds(scrolls), limit=FRAME, note="another page each time")
    gaps: list[float] = []
    began = time.perf_counter()
    area.set_filter("partition 99.*9 of")
    while not area.is_searched:
        gaps += milliseconds([lambda: None])
    found = time.perf_counter() - began
    results["log_search"] = Timing(unit="s", runs=[found], limit=2.0, note=f"{area.hits} lines of all found")
    results["log_search_gap"] = Timing(unit="ms", runs=gaps, limit=2 * FRAME, note="the window answers meanwhile")
    area.deleteLater()
    return results


def charts(theme: Theme, icons: Icons) -> Timings:
    """One paint of a page of live charts."""
    series = [Series(name=name) for name in ("cpu", "memory", "load")]
    pages = [LiveChart(theme, series, name=f"chart {n}") for n in range(6)]
    clock = itertools.count(1_000_000.0)
    values = np.random.default_rng(3)
    for chart in pages:
        chart.resize(500, 180)
        chart.show()
    for _ in range(3_600):
        moment = next(clock)
        for chart in pages:
            chart.append(moment, values.uniform(0, 100, 3).tolist())

    def step() -> None:
        moment = next(clock)
        for chart in pages:
            chart.append(moment, values.uniform(0, 100, 3).tolist())
            chart.paint_now()

    runs = milliseconds([step] * 40)
    for chart in pages:
        chart.deleteLater()
    return {"charts_6x3": Timing(unit="ms", runs=runs, limit=150.0, note="one second more, painted")}


def _wait(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds:g} s")
        loop = QEventLoop()
        QTimer.singleShot(10, loop.quit)
        loop.exec()
