"""The worker's main loop: waits for runners and for what other threads post, and sees to an orderly end.

Decides the order of stopping: first nothing new is taken, then running tasks may end, then they are ended and handed
back. What happens to a dispatch is decided by `execution`. Run by the composition root's thread, which receives
the signals.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.process_port import (
    DeadlinePassed,
    EndCause,
    HostEvent,
    HostLost,
    ProcessHost,
    RunnerEnded,
    RunnerMessage,
    RunnerUnlimited,
)
from dagdeck_worker.committer import Committer
from dagdeck_worker.dispatches import Ending
from dagdeck_worker.execution import Execution
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.slots import SlotGate
from dagdeck_worker.trigger_host import TriggerHost

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
IDLE_TICK_SECONDS = 1.0
FLUSH_SECONDS = 10.0
"""How long an ending worker tries to store results that a failing database does not take."""


class ExitCode(IntEnum):
    """What `Worker.run` returns, and the process with it."""

    STOPPED = 0
    """Asked to stop, and every task's end is stored."""
    FAILED = 1
    """A thread died, or results could not be stored."""
    HOST_LOST = 75
    """The keeper was killed; a restart frees the tasks (sysexits.h: try again)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLimits:
    """Seconds that tasks get when the worker stops."""

    drain_timeout: float
    term_grace: float


class Inbox:
    """Calls that other threads ask the main loop to make, in order."""

    def __init__(self, host: ProcessHost) -> None:
        self._host = host
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have the main loop call `call(*arguments)` soon. Thread-safe."""
        self._calls.append((call, arguments))
        self._host.wake()

    def poster(self, call: Callable[..., None]) -> Callable[..., None]:
        """A function that posts `call` with its arguments."""
        return lambda *arguments: self.post(call, *arguments)

    def run_all(self) -> None:
        """Make the calls that wait now."""
        while self._calls:
            call, arguments = self._calls.popleft()
            call(*arguments)


class Worker:
    """See the module."""

    def __init__(
        self,
        host: ProcessHost,
        inbox: Inbox,
        execution: Execution,
        gate: SlotGate,
        incarnation: Incarnation,
        limits: StopLimits,
        triggers: TriggerHost | None = None,
    ) -> None:
        self._triggers = triggers
        self._host = host
        self._inbox = inbox
        self._execution = execution
        self._gate = gate
        self._incarnation = incarnation
        self._limits = limits
        self._committer: Committer
        self._stops = 0
        self._drain_until: float | None = None
        self._forced_at: float | None = None
        self._operator_drains = False
        self._failure: ExitCode | None = None
        self._failed_at = 0.0
        self._alive: Callable[[], None] | None = None
        self._lifeline = UNWATCHED

    def watched_by(self, alive: Callable[[], None], lifeline: Lifeline) -> None:
        """Have `alive` called each time the loop comes round, and `lifeline` told what is going on; before `run`."""
        self._alive, self._lifeline = alive, lifeline

    def connect(self, committer: Committer) -> None:
        """Name the committer; before `run`."""
        self._committer = committer

    # ------------------------------------------------------------ from signal handlers and other threads

    def request_stop(self) -> None:
        """First call: finish what runs, then end. Second: end now. Allowed in signal handlers, from any thread."""
        self._stops += 1
        self._host.wake()

    def crashed(self, what: str) -> None:
        """A thread died. Thread-safe."""
        self._inbox.post(self._fail, ExitCode.FAILED, what)

    # ------------------------------------------------------------ calls in the inbox

    def drain(self, wanted: bool) -> None:
        """An operator wants the worker to take nothing new, or wants that no longer."""
        if wanted != self._operator_drains:
            self._operator_drains = wanted
            told = "draining by an operator's wish" if wanted else "taking work again"
            _log.info(told)
            self._lifeline.status(told)
            self._open_gate()

    def lease_lost(self, worker_id: int) -> None:
        """The registration `worker_id` was declared lost: end its tasks, then let the lease thread register anew."""
        if worker_id != self._incarnation.worker_id:
            return
        self._incarnation.declare_lost()
        self._open_gate()
        self._committer.discard()
        self._execution.abandon()
        if self._triggers is not None:
            self._triggers.abandon()

    def registered(self) -> None:
        """A new registration holds."""
        self._open_gate()

    def _open_gate(self) -> None:
        stays = not (self._operator_drains or self._stops or self._failure)
        self._gate.set_open(stays and not self._incarnation.lost)
        if self._triggers is not None:
            self._triggers.accept(stays)

    # ------------------------------------------------------------ the loop

    def run(self) -> ExitCode:
        """Serve until stopped; why it ended. The caller stops the threads and closes the host."""
        next_tick = 0.0
        while (code := self._finished()) is None:
            busy = self._execution.has_runners() or self._stops or self._incarnation.lost or self._triggers_due()
            pause = TICK_SECONDS if busy else IDLE_TICK_SECONDS
            for event in self._host.poll(max(0.0, min(pause, next_tick - time.monotonic() if busy else pause))):
                self._handle(event)
            self._inbox.run_all()
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK_SECONDS
                self._tick(now)
            self._execution.settle()
            if self._alive is not None:
                self._alive()
        return code

    def _triggers_due(self) -> bool:
        return self._triggers is not None and self._triggers.needs_ticks()

    def _of_triggers(self, runner_id: int) -> TriggerHost | None:
        triggers = self._triggers
        return triggers if triggers is not None and triggers.is_process(runner_id) else None

    def _handle(self, event: HostEvent) -> None:
        if isinstance(event, RunnerMessage | RunnerEnded) and (triggers := self._of_triggers(event.runner_id)):
            if isinstance(event, RunnerMessage):
                triggers.message(event.frame)
            else:
                triggers.ended(event)
        elif isinstance(event, RunnerMessage):
            self._execution.message(event.runner_id, event.frame)
        elif isinstance(event, RunnerEnded):
            if event.cause is EndCause.REFUSED:
                _log.error("a process for tasks cannot be set up: %s", event.reason)
            self._execution.ended(event)
        elif isinstance(event, RunnerUnlimited):
            self._execution.unlimited(event)
        elif isinstance(event, DeadlinePassed):
            _log.error("the lease could not be renewed in time; all tasks were ended so that none can run twice")
        elif isinstance(event, HostLost):
            self._fail(ExitCode.HOST_LOST, event.reason)

    def _tick(self, now: float) -> None:
        self._execution.tick(now, may_return=not self._stops)
        if self._triggers is not None:
            self._triggers.tick(now)
        if self._incarnation.lost and not self._runs_user_code():
            self._incarnation.may_register.set()
        if self._stops:
            self._advance_stop(now)

    def _runs_user_code(self) -> bool:
        return self._execution.has_runners() or (self._triggers is not None and self._triggers.has_process())

    def _advance_stop(self, now: float) -> None:
        if self._drain_until is None:
            self._drain_until = now + self._limits.drain_timeout
            self._open_gate()
            _log.info("stopping: running tasks have %g s to end", self._limits.drain_timeout)
            self._lifeline.stopping(f"running tasks have {self._limits.drain_timeout:g} s to end")
        if self._stops > 1 and self._triggers is not None:
            self._triggers.end_now()
        if self._forced_at is None and (self._stops > 1 or now >= self._drain_until):
            self._forced_at = now
            self._execution.end_all(Ending.RETURNED, grace=0 if self._stops > 1 else self._limits.term_grace)
        elif self._forced_at is not None and self._stops > 1:
            self._execution.end_all(Ending.RETURNED, grace=0)

    def _triggers_over(self) -> bool:
        return self._triggers is None or self._triggers.is_over()

    def _fail(self, code: ExitCode, reason: str) -> None:
        if self._failure is None:
            _log.error("the worker ends: %s", reason)
            self._failure = code
            self._failed_at = time.monotonic()
            self._open_gate()

    def _finished(self) -> ExitCode | None:
        """The exit code once there is nothing left to wait for."""
        now = time.monotonic()
        if self._failure is not None:
            flushed = not self._committer.is_alive() or self._committer.is_idle()
            return self._failure if flushed or now - self._failed_at > FLUSH_SECONDS else None
        if not self._stops or self._drain_until is None:
            return None
        if self._execution.is_empty() and self._committer.is_idle() and self._triggers_over():
            return ExitCode.STOPPED
        if self._forced_at is not None and not self._execution.has_runners():
            waited = now - self._forced_at - self._limits.term_grace
            return ExitCode.FAILED if waited > FLUSH_SECONDS else None
        return None
