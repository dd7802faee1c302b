"""Whole pages under load: one task's change on the page of a DAG of 10,000 tasks, one run's in a list of 10,000 DAGs.

Decides sizes and limits. API and stream are stand-ins, so that only our own work counts. Called by `__main__`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import QEventLoop, QTimer

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme
from tests.benchmarks.desktop.areas import FRAME, TASKS, pipeline
from tests.benchmarks.desktop.measure import Timing, Timings, milliseconds
from tests.desktop.fakes import dag, page, run, structure, wire_task
from tests.desktop.test_views_pages import Desk, answer_dag_page

DAGS = 10_000
RUN = "run:churn/run_2"


def pages(theme: Theme, icons: Icons) -> Timings:
    """Changes while these pages are in front."""
    desk = Desk(theme, icons)
    results = _dag_page(desk) | _dag_list(desk)
    desk.window.close()
    desk.window.deleteLater()
    return results


def _dag_page(desk: Desk) -> Timings:
    names, edges = pipeline(TASKS)
    answer_dag_page(desk.api)
    desk.api.answers["GET /api/dagdeck/v1/dags/churn/structure"] = structure("churn", *names, edges=edges)
    shown: Any = desk.open("dag", dag_id="churn")
    while shown.graph.scene is None or shown.graph.is_busy:
        _wait(50)
    tasks = [wire_task(name, "success") for name in names]
    desk.feed.snapshot_received.emit(RUN, {"run": run("churn", 2, "running"), "tasks": tasks})
    told = [
        {"run": run("churn", 2, "running"), "tasks": [wire_task(names[number * 97], "running")]} for number in range(60)
    ]
    changes = milliseconds([partial(desk.feed.diff_received.emit, RUN, each) for each in told])
    ticks = milliseconds([shown._tick] * 30)
    return {
        "page_change_10000": Timing(unit="ms", runs=changes, limit=FRAME, note="one task's state, the whole page"),
        "page_tick_10000": Timing(unit="ms", runs=ticks, limit=FRAME, note="what counts on each second"),
    }


def _dag_list(desk: Desk) -> Timings:
    desk.api.answers |= {
        "GET /api/v2/dags": page("dags", *(dag(f"dag_{number:05}", "daily") for number in range(DAGS))),
        "GET /api/v2/dags/~/dagRuns": page("dag_runs"),
    }
    shown: Any = desk.open("dags")
    told = [{"runs": [run(f"dag_{number * 97:05}", 1, "failed")]} for number in range(60)]
    changes = milliseconds([partial(desk.feed.diff_received.emit, "dags", each) for each in told])
    words = milliseconds([partial(shown.search.setText, text) for text in ("dag", "dag_0", "77", "")])
    looks = milliseconds([shown.show_rows] * 20)
    return {
        "list_change_10000": Timing(unit="ms", runs=changes, limit=FRAME, note="one run in the list of DAGs"),
        "list_typing_10000": Timing(unit="ms", runs=words, limit=FRAME, note="a letter more in its filter"),
        "list_fill_10000": Timing(unit="ms", runs=looks, limit=100.0, note="all gone through, 4 times a second"),
    }


def _wait(wait_ms: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(wait_ms, loop.quit)
    loop.exec()
