"""The runner's entry: one message in, one outcome out.

Decides what a warm process keeps from task to task: loaded DAG files and the log handler. Called by the
worker's runner loop for each task; it never raises for what users' code does.
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime

from dagdeck_core.outcome import Result
from dagdeck_core.wire import Outcome, RunTask, TaskError
from dagdeck_task import execution, task_log
from dagdeck_task.channel import Channel
from dagdeck_task.definitions import Definitions
from dagdeck_task.masking import Masker

_definitions = Definitions()


def execute(task: RunTask, channel: Channel) -> Outcome:
    """Execute one dispatch.

    Everything that the task writes goes to this process's standard output. KeyboardInterrupt passes through.
    """
    if task.kind != "task":
        now = datetime.now(UTC)
        error = TaskError("FeatureNotAvailable", f"this worker cannot execute work of the kind {task.kind!r}")
        return Outcome(task.dispatch_no, Result.FAIL_WITHOUT_RETRY, now, now, error=error)
    masker = Masker()
    task_log.begin(masker)
    try:
        try:
            definition = _definitions.find(task)
        except Exception as error:  # noqa: BLE001 - the DAG file's own code may raise anything
            return execution.failed_before_start(task, error)
        return execution.run(task, definition, channel, masker)
    finally:
        masker.close()
        task_log.end()


def preload() -> None:
    """Import what most tasks need, so that processes forked from this one have it already."""
    for name in ("pendulum", "dagdeck.decorators", "dagdeck.jinja_environments", "dagdeck.operators.bash"):
        importlib.import_module(name)
