"""`dagdeckd demo`: the sample pipeline through every daemon, with live progress, and what came of it.

Decides what a newcomer sees: the start, each task as it runs, the timeline, where the report is. Does not start
processes (`demo_cluster`) and talks to the cluster through the control API only, like any client. Called by `cli`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dagdeck_client.models import DagRun, TaskInstance
from dagdeck_client.requests import dags, runs
from dagdeck_client.requests.admin import log_in
from dagdeck_client.requests.xcoms import get_xcom
from dagdeck_client.transport import Endpoint, HttpTransport
from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeckd.demo_cluster import ADMIN, RunningCluster, server_cluster, standalone_cluster
from dagdeckd.own_command import command_of

DAG_ID = "atlantic_hurricanes"
REPORT_TASK = "write_report"
LOAD_TIMEOUT = 30.0
RUN_TIMEOUT = 120.0
POLL = 0.1
BAR_WIDTH = 34
PLAIN_WIDTH = 110
"""Columns of output that goes to a file or a pipe."""
_MARKS = {
    "success": ("✔", "green"),
    "failed": ("✘", "red"),
    "upstream_failed": ("!", "red"),
    "skipped": ("/", "magenta"),
    "running": ("▶", "blue"),
    "queued": ("…", "bright_black"),
    "up_for_retry": ("↻", "yellow"),
}


def run_demo(home: Path, *, servers_command: str | None, window: bool = False, console: Console | None = None) -> int:
    """Run the demo in the folder `home`; 0 when the pipeline succeeded, 1 when it did not.

    With `servers_command` on a master and two workers (see `demo_cluster.server_cluster`), else standalone.
    With `window` the control center opens on the cluster, which then lives until the window is closed.
    """
    out = console or Console()
    if console is None and not out.is_terminal:
        out = Console(width=PLAIN_WIDTH)
    started = time.monotonic()
    # Told to end, it ends the cluster too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    cluster = standalone_cluster(home) if servers_command is None else server_cluster(home, servers_command)
    out.print(f"Starting a cluster in {home} …")
    with cluster as running:
        out.print(f"Ready after {time.monotonic() - started:.1f} s ({running.what}); control API at {running.url}")
        token = _token(running)
        opened = _open_window(running.url, token) if window else None
        with HttpTransport(Endpoint(url=running.url, token=token), source="cli") as session:
            run = _run_pipeline(session, out)
            tasks = _tasks(session, run)
            report = _report(session, run) if run.state == "success" else ""
        took = time.monotonic() - started
        out.print()
        out.print(timeline(run, tasks))
        if run.state == "success":
            out.print(f"\nReport: {report}", soft_wrap=True)
            out.print(f"{len(tasks)} tasks, {_seconds(run):.2f} s from start to end; the whole demo {took:.1f} s")
        else:
            out.print(f"The run ended as {run.state}; logs are in {home}", style="red")
        if opened is not None:
            out.print("The control center is open on this cluster; close it, or press Ctrl+C, to end.")
            _wait_for(opened)
    return 0 if run.state == "success" else 1


def wants_window() -> bool:
    """Whether the control center can be opened: there is a display, and it is installed."""
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return has_display and all(find_spec(name) is not None for name in ("PySide6", "dagdeck_desktop"))


def _open_window(url: str, token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command_of("dagdeck-desktop"), "--url", url, "--new-window"],
        env=os.environ | {"DAGDECK_TOKEN": token},
        stdin=subprocess.DEVNULL,
    )


def _wait_for(window: subprocess.Popen[bytes]) -> None:
    try:
        window.wait()
    except KeyboardInterrupt:
        window.terminate()
        window.wait()


def _token(cluster: RunningCluster) -> str:
    if cluster.token_file is not None:
        return str(json.loads(cluster.token_file.read_text())["token"])
    assert cluster.password is not None
    with HttpTransport(Endpoint(url=cluster.url)) as anonymous:
        return anonymous.send(log_in(ADMIN, cluster.password)).access_token


def _run_pipeline(session: HttpTransport, out: Console) -> DagRun:
    """Trigger the pipeline as soon as it is loaded, and show its tasks until it has ended."""
    deadline = time.monotonic() + LOAD_TIMEOUT
    while True:
        try:
            session.send(dags.get_dag(DAG_ID))
            break
        except DagDeckError as error:
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"the DAG {DAG_ID} was not loaded within {LOAD_TIMEOUT:g} s: {error}", transient=False
                ) from error
            time.sleep(POLL)
    session.send(dags.set_paused(DAG_ID, is_paused=False))
    run = session.send(runs.trigger_run(DAG_ID))
    out.print(f"Triggered {DAG_ID} as {run.dag_run_id}")
    deadline = time.monotonic() + RUN_TIMEOUT
    seen: dict[str, str] = {}
    with Live(console=out, refresh_per_second=10, transient=True) as live:
        while run.state not in ("success", "failed"):
            if time.monotonic() > deadline:
                raise EnvironmentFault(f"the run did not end within {RUN_TIMEOUT:g} s", transient=False)
            time.sleep(POLL)
            run = session.send(runs.get_run(DAG_ID, run.dag_run_id))
            tasks = _tasks(session, run)
            if out.is_terminal:
                live.update(_progress(tasks))
            else:
                _print_ends(out, tasks, seen)
        if not out.is_terminal:
            _print_ends(out, _tasks(session, run), seen)
    return run


def _tasks(session: HttpTransport, run: DagRun) -> list[TaskInstance]:
    page = session.send(runs.list_task_instances(run.dag_id, run.dag_run_id, limit=1000))
    return sorted(page.task_instances, key=lambda task: (task.start_date is None, task.start_date or run.run_after))


def _report(session: HttpTransport, run: DagRun) -> str:
    value = session.send(get_xcom(run.dag_id, run.dag_run_id, REPORT_TASK)).value
    return str(value)


# ---------------------------------------------------------------- what is shown


def _progress(tasks: Sequence[TaskInstance]) -> Table:
    """A bar over all tasks, and the tasks that run now."""
    done = sum(task.state in ("success", "failed", "skipped", "upstream_failed") for task in tasks)
    filled = int(BAR_WIDTH * done / max(len(tasks), 1))
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text("━" * filled, "green") + Text("━" * (BAR_WIDTH - filled), "bright_black"), f"{done}/{len(tasks)}")
    for task in tasks:
        if task.state == "running":
            grid.add_row(_mark(task.state) + Text(f" {task.task_id}"), "")
    return grid


def _print_ends(out: Console, tasks: Sequence[TaskInstance], seen: dict[str, str]) -> None:
    """One line per task that ended since the last look, for output that is no terminal."""
    for task in tasks:
        if task.end_date is not None and task.state is not None and task.task_id not in seen:
            seen[task.task_id] = task.state
            out.print(f"  {len(seen):>3}/{len(tasks)}  {task.state:<9} {task.task_id}", highlight=False)


def timeline(run: DagRun, tasks: Sequence[TaskInstance]) -> Table:
    """The run's tasks in order of start, each as a bar over the run's time."""
    table = Table(title=f"{run.dag_id} · {run.dag_run_id}", title_justify="left", box=None, padding=(0, 1))
    table.add_column("")
    table.add_column("task", overflow="ellipsis", no_wrap=True, min_width=16)
    table.add_column("start", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("worker", overflow="ellipsis", no_wrap=True, max_width=14)
    table.add_column("0 s" + f"{_seconds(run):>{BAR_WIDTH - 5}.2f} s", no_wrap=True)
    begin = run.start_date or run.run_after
    for task in tasks:
        offset = _between(begin, task.start_date)
        table.add_row(
            _mark(task.state),
            task.task_id,
            "" if task.start_date is None else f"{offset * 1000:.0f} ms",
            "" if not task.duration else f"{task.duration * 1000:.0f} ms",
            (task.hostname or "") if task.state != "skipped" else "",
            _bar(offset, task.duration or 0.0, _seconds(run), task.state),
        )
    return table


def _bar(offset: float, duration: float, whole: float, state: str | None) -> Text:
    scale = BAR_WIDTH / max(whole, 1e-9)
    left = min(int(offset * scale), BAR_WIDTH - 1)
    width = max(1, min(round(duration * scale), BAR_WIDTH - left))
    if state in (None, "skipped", "upstream_failed"):
        return Text("")
    return Text(" " * left) + Text("█" * width, _MARKS.get(state, ("", "white"))[1])


def _mark(state: str | None) -> Text:
    mark, colour = _MARKS.get(state or "", ("·", "bright_black"))
    return Text(mark, colour)


def _seconds(run: DagRun) -> float:
    return _between(run.start_date, run.end_date)


def _between(start: datetime | None, end: datetime | None) -> float:
    return 0.0 if start is None or end is None else max((end - start).total_seconds(), 0.0)
