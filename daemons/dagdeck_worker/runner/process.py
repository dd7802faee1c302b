"""The loop inside a runner: take a task, execute it, clear up, hand over the outcome.

Decides what surrounds a task in its process. Does not execute it (`dagdeck_task.runner_main.execute`, handed
in as `execute`) and does not decide when a runner is replaced (its parent does, from the outcome). Called by the
keeper in a forked child and by `runner.__main__`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from dagdeck_core.outcome import Result
from dagdeck_core.wire import BeTriggerer, Outcome, RunTask, TaskError
from dagdeck_worker.runner.channel import PipeChannel
from dagdeck_worker.runner.residue import Baseline, Resident, open_streams

SHORT_OUTPUT = 2048
"""So much output travels with the outcome; one message must fit into a pipe at once (`channel.ATOMIC_WRITE`)."""
Execute = Callable[[RunTask, PipeChannel], Outcome]


def serve(command: int, result: int, output: int, execute: Execute) -> int:
    """Serve tasks from the pipe `command` until it closes or one leaves something behind; the process's exit code."""
    open_streams(output)
    channel = PipeChannel(command, result)
    resident = Resident()
    baseline = Baseline(output)
    owner = os.getpid()
    while (task := channel.next_task()) is not None:
        if isinstance(task, BeTriggerer):
            from dagdeck_worker.triggerer import process as triggerer  # runners of tasks do without

            return triggerer.serve(command, result, *channel.hand_over(), task)
        output_start = os.fstat(output).st_size
        outcome = _execute(execute, task, channel, owner)
        leftover = baseline.restore()
        if leftover:
            print(f"The task left behind {'; '.join(leftover)}. DagDeck ends what is left.", flush=True)
        size = os.fstat(output).st_size - output_start
        channel.finish(
            msgspec.structs.replace(
                outcome,
                log_size=size,
                leftover=leftover,
                resident=resident.bytes(),
                output=_short_output(output, output_start, size),
            )
        )
        if leftover:
            break  # what is left dies with this process, and a task sent ahead is for another one
    return 0


def _short_output(output: int, start: int, size: int) -> bytes:
    """What the task has written if that is little and can be read here, else nothing."""
    if not 0 < size <= SHORT_OUTPUT:
        return b""
    try:
        data = os.pread(output, size, start)
    except (OSError, AttributeError):  # opened for writing only, or no such call on this system
        return b""
    return data if len(data) == size else b""


def _execute(execute: Execute, task: RunTask, channel: PipeChannel, owner: int) -> Outcome:
    begun = datetime.now(UTC)
    try:
        return execute(task, channel)
    except BaseException as error:  # noqa: BLE001 - whatever escapes must end this task, not its runner
        if os.getpid() == owner:
            traceback.print_exc()
        kind = type(error).__name__
        return Outcome(
            task.dispatch_no, Result.FAILED, begun, datetime.now(UTC), error=TaskError(kind, str(error)[:2000])
        )
    finally:
        if os.getpid() != owner:
            # A process that the task forked came back from the task's code: it is not the runner.
            sys.stdout.flush()
            os._exit(0)
