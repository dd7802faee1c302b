"""The dispatches that this worker holds, from claim to commit: placed, watched, ended.

Decides what happens to each on every event: a message of its runner, the runner's end, a revocation, a timeout. Does
not wait for events (`worker` does) and touches neither database nor queue: finishes go to the committer. What all
events of a round need is done once, by `settle`. Owned by the main loop; nothing here is thread-safe except
`running`, `is_live` and `bundles_in_use`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError
from dagdeck_core.limits import TaskLimits
from dagdeck_core.outcome import Result
from dagdeck_core.ports import ClaimedTask, FinishWrite, LogChunk
from dagdeck_core.process_port import ProcessHost, RunnerEnded, RunnerUnlimited
from dagdeck_core.spec import TaskSpec
from dagdeck_core.wire import (
    Mask,
    Outcome,
    Reply,
    Request,
    Returned,
    RunTask,
    Started,
    WireError,
    from_runner_codec,
    to_runner_codec,
)
from dagdeck_core.work import RunCallback, facts_of, kind_of
from dagdeck_worker.ahead import SentAhead
from dagdeck_worker.committer import Committer
from dagdeck_worker.confinement import Confinement
from dagdeck_worker.deaths import FAULT_PAUSE, verdict_on
from dagdeck_worker.dispatches import (
    Code,
    Dispatch,
    Ending,
    RunnerKey,
    finish_of_failure,
    finish_of_outcome,
    finish_returned,
)
from dagdeck_worker.frames import FrameError
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.limit_watch import Excess
from dagdeck_worker.log_capture import LogCapture, log_line
from dagdeck_worker.preparation import Prepared, Preparer
from dagdeck_worker.runner_requests import RequestDesk
from dagdeck_worker.runners import Runner, RunnerPool
from dagdeck_worker.slots import Durations, SlotGate
from dagdeck_worker.waiting import WaitingLine

_log = logging.getLogger(__name__)

WAIT_LIMIT = 2.0
"""Seconds that a claimed task may wait for a runner; then others get the chance to run it."""
_MakeFinish = Callable[[LogChunk | None], FinishWrite]
_COMPLETE = frozenset(
    {Result.SUCCESS, Result.SKIPPED, Result.UP_FOR_RESCHEDULE, Result.DEFERRED, Result.AWAITING_INPUT}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLimits:
    """Bounds of a dispatch. Seconds and bytes."""

    term_grace: float
    start_timeout: float
    log_ship_interval: float
    log_ship_bytes: int
    log_bytes: int
    xcom_bytes: int
    map_length: int
    hostname: str
    confinement: Confinement = field(default_factory=Confinement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The threads that execution hands work to."""

    committer: Committer
    preparer: Preparer
    desk: RequestDesk
    deferred: Callable[[], None] = lambda: None
    """Called when a task that waits for a trigger is committed."""
    limited: Callable[[], None] = lambda: None
    """Called when a task that has a limit is begun."""


class Execution:
    """See the module. `connect` completes it before first use."""

    def __init__(
        self,
        host: ProcessHost,
        pool: RunnerPool,
        gate: SlotGate,
        durations: Durations,
        incarnation: Incarnation,
        limits: ExecutionLimits,
    ) -> None:
        self._host = host
        self._pool = pool
        self._gate = gate
        self._durations = durations
        self._incarnation = incarnation
        self._limits = limits
        self._live: dict[int, Dispatch] = {}
        self._by_runner: dict[int, Dispatch] = {}
        self._ahead = SentAhead(host, durations)
        self._waiting = WaitingLine()
        self._finishes: list[FinishWrite] = []
        self._last_logs: list[LogChunk] = []
        self._freed = 0
        self._held = 0
        self._not_short = 0
        self._deferred: set[int] = set()
        """Dispatches that have ended as deferred, until that is committed."""
        self._services: Services

    def connect(self, services: Services) -> None:
        """Name the threads that work is handed to."""
        self._services = services

    # ------------------------------------------------------------ questions

    def is_empty(self) -> bool:
        """Whether every dispatch has ended and its end is committed."""
        return not self._live

    def has_runners(self) -> bool:
        """Whether a task runs."""
        return bool(self._by_runner)

    def is_live(self, dispatch_no: int) -> bool:
        """Whether the dispatch may still ask and answer. Thread-safe."""
        dispatch = self._live.get(dispatch_no)
        return dispatch is not None and not dispatch.ended

    def running(self) -> dict[int, int]:
        """runner_id → ti_id of what runs. Thread-safe."""
        return {runner_id: dispatch.claimed.ti_id for runner_id, dispatch in list(self._by_runner.items())}

    def limited(self) -> dict[int, tuple[int, TaskLimits]]:
        """runner_id → (dispatch_no, limits) of what runs and has a limit. Thread-safe."""
        return {
            runner_id: (dispatch.claimed.dispatch_no, dispatch.limits)
            for runner_id, dispatch in list(self._by_runner.items())
            if dispatch.limits is not None
        }

    def bundles_in_use(self) -> set[str]:
        """Versions of bundles that running or warm code may still read from disk. Thread-safe."""
        waiting = {dispatch.code.key for dispatch in list(self._live.values()) if dispatch.code is not None}
        return {key.bundle_version for key in self._pool.keys() | waiting}

    # ------------------------------------------------------------ from claim to start

    def claimed(self, worker_id: int, tasks: Sequence[ClaimedTask]) -> None:
        """This worker has won `tasks`; room for them is held."""
        if worker_id != self._incarnation.worker_id or self._incarnation.lost:
            self._gate.free(len(tasks))
            return
        now = time.monotonic()
        for task in tasks:
            if task.dispatch_no in self._live:  # a repeated hint: the claim is the one we have
                self._gate.free()
                continue
            dispatch = Dispatch(claimed=task, claimed_at=now, log=self._capture(task))
            self._live[task.dispatch_no] = dispatch
            self._held += 1
            self._not_short += 1
            prepared = self._services.preparer.ready(task)
            if prepared is None:
                self._services.preparer.submit(task)
            else:
                self._enqueue(dispatch, prepared)

    def prepared(self, task: ClaimedTask, prepared: Prepared) -> None:
        """What the dispatch needs is here."""
        dispatch = self._live.get(task.dispatch_no)
        if dispatch is not None and not dispatch.ended:
            dispatch.claimed_at = time.monotonic()
            self._enqueue(dispatch, prepared)

    def not_prepared(self, task: ClaimedTask, error: DagDeckError) -> None:
        """What the dispatch needs cannot be had."""
        dispatch = self._live.get(task.dispatch_no)
        if dispatch is None or dispatch.ended:
            return
        if isinstance(error, EnvironmentFault):
            _log.error("a task goes back because this worker cannot run it: %s", error.message)
            self._return(dispatch, error.message, pause=FAULT_PAUSE)
        else:
            self._fail(dispatch, str(error), kind=type(error).__name__)

    def settle(self) -> None:
        """After a round of events: place what waits, hand over what has ended, and say how much room there is now."""
        if self._waiting:
            self._place(time.monotonic())
        if self._finishes:
            finishes, self._finishes = self._finishes, []
            logs, self._last_logs = self._last_logs, []
            self._services.committer.finish(finishes, logs)
        if self._freed:
            freed, self._freed = self._freed, 0
            self._gate.free(freed)
        self._gate.allow(self._durations.allowance(self._held, self._not_short))

    def _place(self, now: float) -> None:
        """Give waiting dispatches to runners."""
        for code, group in self._waiting.groups():
            while group:
                runner = self._pool.take(code, waited=now - group[0].claimed_at)
                if runner is None:
                    break
                self._start(group.popleft(), runner, now)
            if group and group[0].counted_short:
                for runner in self._pool.busy_with(code):
                    self._ahead.fill(runner, self._by_runner[runner.runner_id], group, self._frame_ahead)
        self._waiting.tidy()

    def _frame_ahead(self, dispatch: Dispatch) -> bytes:
        return to_runner_codec.encode(self._run_task(dispatch, announce=False))

    def _go_on(self, runner_id: int, written: int) -> bool:
        """The runner has ended one task and goes on with the next that it was sent; False when there is none."""
        dispatch = self._ahead.next(runner_id)
        if dispatch is None:
            return False
        self._host.reset_output(runner_id, written, goes_on=True)
        dispatch.sent_at = dispatch.started_at = time.monotonic()
        dispatch.started = datetime.now(UTC)
        self._by_runner[runner_id] = dispatch
        if dispatch.limits is not None:
            self._services.limited()
        if dispatch.ending is not None:
            self._host.terminate(runner_id, grace=self._limits.term_grace)
        return True

    def _wait_again(self, dispatches: Sequence[Dispatch]) -> None:
        """These were sent ahead and have not begun: others may run them."""
        for dispatch in dispatches:
            if dispatch.ended:
                continue
            if dispatch.ending is None:
                self._waiting.put_back(dispatch)
            else:
                self._end(dispatch, dispatch.ending, grace=0)

    def _start(self, dispatch: Dispatch, runner: Runner, now: float) -> None:
        runner_id = runner.runner_id
        if runner.tasks:
            self._host.reset_output(runner_id, runner.written)
        dispatch.runner_id = runner_id
        dispatch.sent_at = now
        # What is short and warm has ended before its start could be told: it counts as started when it was sent.
        announce = not (dispatch.counted_short and runner.tasks and runner.pid and runner.has_loaded)
        dispatch.loads = not runner.has_loaded
        if not announce:
            dispatch.started, dispatch.started_at, dispatch.pid = datetime.now(UTC), now, runner.pid
        self._by_runner[runner_id] = dispatch
        if dispatch.limits is not None:
            self._services.limited()
        try:
            self._host.send(runner_id, to_runner_codec.encode(self._run_task(dispatch, announce=announce)))
        except (WireError, FrameError) as error:
            dispatch.ending = Ending.NOT_STARTED
            _log.error("a task cannot be handed to its runner: %s", error.message)
            self._host.terminate(runner_id, grace=0)

    def _enqueue(self, dispatch: Dispatch, prepared: Prepared) -> None:
        task, version = dispatch.claimed, prepared.version
        spec = version.tasks.get(task.task_id)
        record = version.record
        dispatch.dag_id = record.dag_id
        if task.order is not None:
            dispatch.prepared = prepared
            self._await_runner(dispatch, spec, own_process=False)
            return
        if spec is None:
            self._fail(dispatch, f"version {record.version_number} of {record.dag_id} has no task {task.task_id!r}")
            return
        dispatch.spec = spec
        dispatch.prepared = prepared
        if self._durations.is_short(record.dag_id, task.task_id):
            dispatch.counted_short = True
            self._not_short -= 1
        self._await_runner(dispatch, spec, own_process=spec.own_process)

    def _await_runner(self, dispatch: Dispatch, spec: TaskSpec | None, *, own_process: bool) -> None:
        assert dispatch.prepared is not None
        record = dispatch.prepared.version.record
        confinement = self._limits.confinement
        try:
            setup = confinement.setup_of(spec)
        except UserError as error:
            self._fail(dispatch, str(error), kind="RunAsUserError")
            return
        dispatch.limits = confinement.limits_of(dispatch.spec)
        key = RunnerKey(record.bundle_name, record.bundle_version, setup)
        dispatch.code = Code(key, record.spec.fileloc, own_process)
        self._waiting.add(dispatch)

    def _run_task(self, dispatch: Dispatch, *, announce: bool) -> RunTask:
        task, prepared = dispatch.claimed, dispatch.prepared
        assert prepared is not None
        record = prepared.version.record
        return RunTask(
            ti_id=task.ti_id,
            dispatch_no=task.dispatch_no,
            task_id=task.task_id,
            map_index=task.map_index,
            try_number=task.try_number,
            max_tries=task.max_tries,
            bundle_root=prepared.version.root_path,
            bundle_name=record.bundle_name,
            bundle_version=record.bundle_version,
            fileloc=record.spec.fileloc,
            dag_run=prepared.run,
            execution_timeout=dispatch.time_limit,
            log_limit=self._limits.log_bytes,
            xcom_limit=self._limits.xcom_bytes,
            map_limit=self._limits.map_length,
            next_method=task.next_method,
            next_kwargs=task.next_kwargs,
            first_start_date=task.first_start_date,
            hostname=self._limits.hostname,
            kind="task" if task.order is None else kind_of(task.order).value,
            announce=announce,
            order=task.order,
        )

    def _capture(self, task: ClaimedTask) -> LogCapture:
        # What a callback of a task instance writes is shown with that one's log.
        about = None if task.order is None else facts_of(task.order)
        return LogCapture(
            ti_id=task.ti_id if about is None or isinstance(task.order, RunCallback) else about.ti_id,
            dispatch_no=task.dispatch_no,
            try_number=task.try_number,
            max_bytes=self._limits.log_bytes,
        )

    # ------------------------------------------------------------ while it runs

    def message(self, runner_id: int, frame: bytes) -> None:
        """A runner said something."""
        dispatch = self._by_runner.get(runner_id)
        if dispatch is None:
            return
        try:
            message = from_runner_codec.decode(frame)
        except WireError as error:
            _log.error("a runner is ended because it sent what cannot be read: %s", error.message)
            dispatch.ending = dispatch.ending or Ending.BROKEN
            self._host.terminate(runner_id, grace=0)
            return
        if isinstance(message, Outcome):
            if message.dispatch_no == dispatch.claimed.dispatch_no:
                self._outcome(dispatch, runner_id, message)
        elif isinstance(message, Started):
            self._has_started(dispatch, runner_id, message)
        elif isinstance(message, Request):
            if not dispatch.asked:
                dispatch.asked = True
                self._durations.asks(dispatch.dag_id)
            reply = self._services.desk.ask(dispatch, message)
            if reply is not None:
                self._reply(runner_id, reply)
        elif isinstance(message, Returned):
            self._wait_again(self._ahead.given_back(runner_id, message.dispatch_no))
        elif isinstance(message, Mask):
            dispatch.log.mask(message.value)

    def exceeded(self, excess: Excess) -> None:
        """A task uses more than it may: end it, if it is still the one that was looked at."""
        dispatch = self._by_runner.get(excess.runner_id)
        if dispatch is None or dispatch.claimed.dispatch_no != excess.dispatch_no or dispatch.limits is None:
            return
        if dispatch.ending is not None or dispatch.outcome is not None:
            return
        dispatch.excess = excess.sentence(dispatch.spec, dispatch.limits)
        self._end(dispatch, Ending.OVER_LIMIT, grace=0)

    def unlimited(self, event: RunnerUnlimited) -> None:
        """The kernel keeps no limits for a runner: memory is watched all the same, cores are not."""
        dispatch = self._by_runner.get(event.runner_id)
        if dispatch is None:
            _log.warning("the kernel keeps no memory and CPU limits for tasks: %s", event.reason)
        elif dispatch.limits is not None and dispatch.limits.cores:
            text = f"The limit of {dispatch.limits.cores:g} CPU cores is not kept: {event.reason}"
            self._services.committer.log([dispatch.log.line(log_line("WARNING", text))])

    def _has_started(self, dispatch: Dispatch, runner_id: int, message: Started) -> None:
        dispatch.started, dispatch.started_at, dispatch.pid = message.at, time.monotonic(), message.pid
        runner = self._pool.get(runner_id)
        if runner is not None and dispatch.code is not None:
            runner.pid = message.pid
            if dispatch.loads:
                seconds = dispatch.started_at - dispatch.sent_at
                self._pool.loaded(runner, dispatch.code, seconds, dispatch.started_at)

    def reply(self, dispatch_no: int, reply: Reply) -> None:
        """The answer to an earlier request."""
        dispatch = self._live.get(dispatch_no)
        if dispatch is not None and dispatch.runner_id is not None and not dispatch.ended:
            self._reply(dispatch.runner_id, reply)

    def _reply(self, runner_id: int, reply: Reply) -> None:
        try:
            frame = to_runner_codec.encode(reply)
            self._host.send(runner_id, frame)
        except (WireError, FrameError) as error:
            self._host.send(runner_id, to_runner_codec.encode(Reply(reply.number, error=("refused", error.message))))

    def revoke(self, pairs: Sequence[tuple[int, int]]) -> None:
        """End these dispatches as far as they are here and have not ended by themselves. Harmless when repeated."""
        for _, dispatch_no in pairs:
            dispatch = self._live.get(dispatch_no)
            if dispatch is None or dispatch.ended or dispatch.outcome is not None:
                continue
            if dispatch.ending not in (None, Ending.RETURNED):
                continue
            self._end(dispatch, Ending.REVOKED, grace=self._limits.term_grace)

    def end_all(self, ending: Ending, *, grace: float) -> None:
        """End everything that is here."""
        for dispatch in list(self._live.values()):
            if not dispatch.ended and dispatch.outcome is None:
                self._end(dispatch, dispatch.ending or ending, grace=grace)

    def tick(self, now: float, *, may_return: bool) -> None:
        """Ship output, enforce timeouts, hand back what waits too long (if `may_return`). `now` is monotonic."""
        for runner_id, dispatch in list(self._by_runner.items()):
            self._ship(dispatch, runner_id, now)
            self._check_timeouts(dispatch, now)
            if dispatch.counted_short and now - dispatch.sent_at > self._durations.short_below and not dispatch.ended:
                self._wait_again(self._ahead.take_back(runner_id, self._by_runner))
                self._is_long_after_all(dispatch, now)
        if may_return:
            for dispatch in self._waiting.overdue(now - WAIT_LIMIT):
                self._return(dispatch, "no slot became free in time; others may run it", pause=0)
        self._pool.keep_spare()

    def _is_long_after_all(self, dispatch: Dispatch, now: float) -> None:
        """It was taken to be short: nothing more is claimed ahead while it runs."""
        if dispatch.started is not None and now - dispatch.started_at > self._durations.short_below:
            dispatch.counted_short = False
            self._not_short += 1
            self._durations.seen(dispatch.dag_id, dispatch.claimed.task_id, now - dispatch.started_at)

    def _ship(self, dispatch: Dispatch, runner_id: int, now: float) -> None:
        # With something behind it, it may have ended already, and what is written now be the next one's.
        is_its_own = dispatch.outcome is None and not self._ahead.is_behind(runner_id)
        if is_its_own and self._services.committer.has_log_room():
            limits = self._limits
            chunks = list(
                dispatch.log.due(
                    self._host, runner_id, now, interval=limits.log_ship_interval, ship_bytes=limits.log_ship_bytes
                )
            )
            if chunks:
                self._services.committer.log(chunks)

    def _check_timeouts(self, dispatch: Dispatch, now: float) -> None:
        if dispatch.ending is not None or dispatch.outcome is not None:
            return
        if dispatch.started is None:
            if now - dispatch.sent_at > self._limits.start_timeout:
                self._end(dispatch, Ending.NOT_STARTED, grace=self._limits.term_grace)
            return
        timeout = dispatch.time_limit
        # The task ends itself at its timeout; this is for one that does not.
        if timeout is not None and now - dispatch.started_at > timeout + self._limits.term_grace:
            self._end(dispatch, Ending.TIMED_OUT, grace=self._limits.term_grace)

    def _end(self, dispatch: Dispatch, ending: Ending, *, grace: float) -> None:
        dispatch.ending = ending
        runner_id = dispatch.runner_id
        if runner_id is not None:
            if self._by_runner[runner_id] is dispatch:
                self._host.terminate(runner_id, grace=grace)
            # One that was sent ahead and cannot be taken back ends when its turn comes.
            self._wait_again(self._ahead.take_back(runner_id, self._by_runner))
            return
        self._waiting.discard(dispatch)
        if ending is Ending.REVOKED:
            self._fail(dispatch, "it was cancelled before it began")
        else:
            self._return(dispatch, "the worker stops", pause=0)

    # ------------------------------------------------------------ its end

    def _outcome(self, dispatch: Dispatch, runner_id: int, outcome: Outcome) -> None:
        dispatch.outcome = outcome
        if dispatch.ending is not None or outcome.leftover or dispatch.own_process:
            # Only when nothing of it is alive any more may the end be told.
            self._host.terminate(runner_id, grace=0)
            return
        del self._by_runner[runner_id]
        self._finish_outcome(dispatch, runner_id, outcome, outcome.log_size)
        self._pool.served(runner_id, outcome, goes_on=self._go_on(runner_id, outcome.log_size))

    def ended(self, event: RunnerEnded) -> None:
        """A runner and all below it are dead."""
        self._pool.forget(event.runner_id)
        dispatch = self._by_runner.pop(event.runner_id, None)
        if dispatch is not None and not dispatch.ended:
            self._finish_dead(dispatch, event)
        self._wait_again(self._ahead.left_by(event.runner_id))
        self._host.release(event.runner_id)

    def _finish_dead(self, dispatch: Dispatch, event: RunnerEnded) -> None:
        outcome = dispatch.outcome
        returning = dispatch.ending is Ending.RETURNED
        if outcome is not None and not (returning and outcome.result not in _COMPLETE):
            self._finish_outcome(dispatch, event.runner_id, outcome, self._host.output_size(event.runner_id))
            return
        verdict = verdict_on(dispatch, event, start_timeout=self._limits.start_timeout)
        if verdict is None:
            # With the keeper this whole worker ends, and its restart counts the task as lost with its worker.
            self._drop(dispatch)
        elif verdict.goes_back:
            self._return(dispatch, verdict.message, pause=verdict.pause)
        else:
            self._fail(dispatch, verdict.message, result=verdict.result, kind=verdict.kind)

    def _finish_outcome(self, dispatch: Dispatch, runner_id: int, outcome: Outcome, output_size: int) -> None:
        chunks = dispatch.log.rest(self._host, runner_id, output_size, known=outcome.output)
        if dispatch.spec is not None and outcome.result in (Result.SUCCESS, Result.FAILED):
            seconds = (outcome.ended_at - outcome.started_at).total_seconds()
            self._durations.seen(dispatch.dag_id, dispatch.claimed.task_id, seconds)
        if outcome.deferral is not None:
            self._deferred.add(outcome.dispatch_no)
        self._commit(dispatch, chunks, lambda log: finish_of_outcome(dispatch, outcome, log))

    def _fail(
        self, dispatch: Dispatch, message: str, *, result: Result = Result.FAILED, kind: str = "TaskEnded"
    ) -> None:
        chunks = self._closing(dispatch, log_line("ERROR", f"{_what(dispatch)} failed: {message}"))
        self._commit(dispatch, chunks, lambda log: finish_of_failure(dispatch, message, log, result=result, kind=kind))

    def _return(self, dispatch: Dispatch, reason: str, *, pause: float) -> None:
        chunks = self._closing(dispatch, log_line("WARNING", f"Handed back, no try is used up: {reason}"))
        at = datetime.now(UTC) + timedelta(seconds=pause)
        self._commit(dispatch, chunks, lambda log: finish_returned(dispatch, reason, at, log))

    def _closing(self, dispatch: Dispatch, line: bytes) -> list[LogChunk]:
        if dispatch.runner_id is None:
            return [dispatch.log.line(line)]
        size = self._host.output_size(dispatch.runner_id)
        return dispatch.log.rest(self._host, dispatch.runner_id, size, closing=line)

    def _commit(self, dispatch: Dispatch, chunks: list[LogChunk], make: _MakeFinish) -> None:
        self._release(dispatch)
        log = chunks.pop() if chunks else None
        self._finishes.append(make(log))
        self._last_logs += chunks

    def committed(self, dispatch_numbers: Sequence[int]) -> None:
        """The ends of these dispatches are in the database."""
        for number in dispatch_numbers:
            self._live.pop(number, None)
        if self._deferred and not self._deferred.isdisjoint(dispatch_numbers):
            self._deferred.difference_update(dispatch_numbers)
            self._services.deferred()

    def abandon(self) -> None:
        """The lease is lost: end everything at once and tell nobody; the tasks belong to others now."""
        self._waiting.clear()
        self._finishes.clear()
        self._last_logs.clear()
        for dispatch in list(self._live.values()):
            self._drop(dispatch)
        for runner_id in self._by_runner:
            self._host.terminate(runner_id, grace=0)

    def _drop(self, dispatch: Dispatch) -> None:
        self._release(dispatch)
        self._live.pop(dispatch.claimed.dispatch_no, None)

    def _release(self, dispatch: Dispatch) -> None:
        """Give the dispatch's room back, once."""
        if dispatch.ended:
            return
        dispatch.ended = True
        self._held -= 1
        self._not_short -= 0 if dispatch.counted_short else 1
        self._freed += 1


def _what(dispatch: Dispatch) -> str:
    return "The task" if dispatch.order is None else f"The {kind_of(dispatch.order)}"
