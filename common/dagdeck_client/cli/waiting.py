"""Waiting for a run, with a progress bar of its tasks where a person looks on.

Decides how often the server is asked and what is shown meanwhile. Does not decide how a run ends. Called by
`dags trigger --wait` and `runs wait`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dagdeck_client.cli.exit_codes import ExitCode
from dagdeck_client.cli.output import say
from dagdeck_client.cli.session import Session
from dagdeck_client.errors import Unreachable
from dagdeck_client.models import DagRun
from dagdeck_client.requests.runs import get_run, list_task_instances

FIRST_PAUSE = 0.1
LAST_PAUSE = 1.0
PATIENCE = 60.0
"""Seconds for which a server that was reached before may be gone."""
_ENDED = ("success", "failed")
_DONE = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def wait_for_run(
    session: Session,
    dag_id: str,
    run_id: str,
    *,
    timeout: float | None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[DagRun, ExitCode]:
    """The run as it stands at the end of waiting, and the exit code that says how it ended.

    Raises Unreachable when the server stays away for a minute.
    """
    started = last_heard = monotonic()
    pause = FIRST_PAUSE
    run: DagRun | None = None
    with _progress(f"{dag_id} {run_id}") as show:
        while True:
            try:
                run = session.send(get_run(dag_id, run_id))
                show(run.state, _task_counts(session, dag_id, run_id))
                last_heard = monotonic()
            except Unreachable:
                if monotonic() - last_heard > PATIENCE or run is None:
                    raise
            if run is not None and run.state in _ENDED:
                break
            if run is not None and timeout is not None and monotonic() - started >= timeout:
                say(f"run {run_id} of {dag_id} is still {run.state} after {timeout:g} s; it goes on")
                return run, ExitCode.TIMED_OUT
            sleep(pause)
            pause = min(pause * 1.3, LAST_PAUSE)
    took = "" if run.duration is None else f" after {run.duration:.1f} s"
    say(f"run {run_id} of {dag_id}: {run.state}{took}")
    return run, ExitCode.SUCCESS if run.state == "success" else ExitCode.FAILED


def _task_counts(session: Session, dag_id: str, run_id: str) -> Counter[str]:
    """How many of a run's task instances stand in each state."""
    counts: Counter[str] = Counter()
    for task in session.every(
        lambda size, offset: list_task_instances(dag_id, run_id, limit=size, offset=offset), "task_instances"
    ):
        counts[task.state or "none"] += 1
    return counts


def _progress(title: str) -> AbstractContextManager[Callable[[str, Counter[str]], None]]:
    """A function that shows state and counts: as a bar on a terminal, as a line per change elsewhere."""
    if sys.stderr.isatty():
        return _Bar(title)
    return nullcontext(_Lines(title))


class _Lines:
    """One line for each change, for logs."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = ""

    def __call__(self, state: str, counts: Counter[str]) -> None:
        """Show how things stand."""
        line = f"{self._title}: {state}, {describe(counts)}"
        if line != self._last:
            say(line)
            self._last = line


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[states]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(title, total=None, states="")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *details: Any) -> None:
        self._progress.stop()

    def __call__(self, state: str, counts: Counter[str]) -> None:
        """Show how things stand."""
        done = sum(count for each, count in counts.items() if each in _DONE)
        self._progress.update(
            self._task, completed=done, total=sum(counts.values()) or None, states=f"{state}: {describe(counts)}"
        )


def describe(counts: Counter[str]) -> str:
    """Counts as text, the most telling states first."""
    order = ("failed", "upstream_failed", "running", "up_for_retry", "queued", "scheduled", "success")
    names = sorted(counts, key=lambda name: (order.index(name) if name in order else len(order), name))
    return ", ".join(f"{counts[name]} {name}" for name in names) or "no tasks yet"
