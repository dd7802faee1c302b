"""The runner's entry: one message in, one outcome out.

Decides what a warm process keeps from task to task: loaded DAG files and the log handler. Called by the
worker's runner loop for each task; it never raises for what users' code does.
"""

from __future__ import annotations

import importlib

from dagdeck_core.wire import Outcome, RunTask
from dagdeck_task import execution, task_log
from dagdeck_task.channel import Channel
from dagdeck_task.definitions import Definitions
from dagdeck_task.masking import Masker

_definitions = Definitions()


def execute(task: RunTask, channel: Channel) -> Outcome:
    """Execute one dispatch.

    Everything that the task writes goes to this process's standard output. KeyboardInterrupt passes through.
    """
    masker = Masker()
    task_log.begin(masker)
    try:
        try:
            if task.kind != "task":
                return _other_work(task, channel, masker)
            definition = _definitions.find(task)
        except Exception as error:  # noqa: BLE001 - the DAG file's own code may raise anything
            return execution.failed_before_start(task, error)
        return execution.run(task, definition, channel, masker)
    finally:
        masker.close()
        task_log.end()


def _other_work(task: RunTask, channel: Channel, masker: Masker) -> Outcome:
    """Carry out a callback or a question to user code."""
    # Most runners never see one.
    from dagdeck_task import side_work

    return side_work.run(task, _definitions.dag(task), channel, masker)


def preload() -> None:
    """Import what most tasks need, so that processes forked from this one have it already."""
    for name in ("pendulum", "dagdeck.decorators", "dagdeck.jinja_environments", "dagdeck.operators.bash"):
        importlib.import_module(name)
