"""The triggers that this worker runs, and the process that runs them: begun when there is one, and again when it dies.

Decides what of a trigger is sent when, and what becomes of what the process says. Does not touch database or queue
(`trigger_desk` does, in a thread of its own). Owned by the main loop; nothing here is thread-safe except `count`,
`is_live` and `bundles_in_use`.

A trigger's claim outlives the process: when that is killed, the same triggers run in the next one. What it had yielded
counts, because frames of a dead process come before the notice of its death; the rest is waited for anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dagdeck_core.deferral import TriggerFailure, TriggerOutcome, failure_kwargs
from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ports import ClaimedTrigger, TriggerFiring, TriggerLog, XComWrite
from dagdeck_core.process_port import EndCause, ProcessHost, RunnerEnded
from dagdeck_core.wire import (
    BeTriggerer,
    Reply,
    Request,
    RunTrigger,
    Shutdown,
    StopTrigger,
    ToRunner,
    TriggerBroke,
    TriggerOutput,
    TriggerYielded,
    WireError,
    from_runner_codec,
    to_runner_codec,
)
from dagdeck_worker.frames import FrameError
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.log_capture import log_line
from dagdeck_worker.preparation import PreparedVersion, Preparer
from dagdeck_worker.runner_requests import RequestDesk
from dagdeck_worker.trigger_desk import TriggerDesk
from dagdeck_worker.trigger_trials import DEATHS, STEADY_SECONDS, Trials

_log = logging.getLogger(__name__)

TASK = "task"
FIRST_RESTART_PAUSE = 0.5
LONGEST_RESTART_PAUSE = 30.0
IDLE_SECONDS = 60.0
"""A process without triggers ends after this."""
FAULT_PAUSE = 30.0
"""Seconds before a trigger whose code cannot be had on this machine now is tried again."""
OUTPUT_LIMIT = 16 * 1024
"""Bytes of the process's own output that are looked at in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerLimits:
    """Bounds: triggers at the same time, bytes of lines per trigger, seconds."""

    capacity: int
    log_bytes: int
    log_ship_interval: float
    block_limit: float
    cleanup_limit: float


class _Held:
    """A trigger that this worker has claimed."""

    __slots__ = ("claimed", "has_fired", "log_left", "log_offset", "message", "retry_at")

    def __init__(self, claimed: ClaimedTrigger, log_bytes: int) -> None:
        self.claimed = claimed
        self.message: RunTrigger | None = None
        """What the process is sent; None until its code is here."""
        self.has_fired = False
        """It is over; only its commit is awaited."""
        self.log_offset = claimed.log_offset
        self.log_left = log_bytes
        self.retry_at = 0.0


class TriggerHost:
    """See the module. `connect` completes it before first use."""

    def __init__(self, host: ProcessHost, incarnation: Incarnation, limits: TriggerLimits) -> None:
        self._host = host
        self._incarnation = incarnation
        self._limits = limits
        self._held: dict[int, _Held] = {}
        self._runner_id: int | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._restart_pause = FIRST_RESTART_PAUSE
        self._trials = Trials()
        self._idle_since: float | None = None
        self._is_ending = False
        """The process was asked to end because nothing waits."""
        self._output_seen = 0
        self._accepts = True
        self._handing_over = False
        self._kill_at: float | None = None
        """When a process that was asked to end is killed."""
        self._desk: TriggerDesk
        self._preparer: Preparer
        self._requests: RequestDesk

    def connect(self, desk: TriggerDesk, preparer: Preparer, requests: RequestDesk) -> None:
        """Name the threads that work is handed to."""
        self._desk = desk
        self._preparer = preparer
        self._requests = requests
        self._tell_room()

    # ------------------------------------------------------------ questions

    def count(self) -> int:
        """How many triggers this worker holds. Thread-safe."""
        return len(self._held)

    def is_process(self, runner_id: int) -> bool:
        """Whether this is the process that runs triggers."""
        return runner_id == self._runner_id

    def is_live(self, asker: int) -> bool:
        """Whether the process that asked (see `ask`) is still there. Thread-safe."""
        return self._runner_id is not None and asker == -self._runner_id

    def has_process(self) -> bool:
        """Whether users' code may be running."""
        return self._runner_id is not None

    def needs_ticks(self) -> bool:
        """Whether something is due within the next second."""
        return self._restart_at is not None or self._handing_over

    def is_over(self) -> bool:
        """Whether everything that was to be handed over is."""
        return not (self._held or self._runner_id is not None or self._handing_over)

    def bundles_in_use(self) -> set[str]:
        """Versions of bundles whose files triggers may still read. Thread-safe."""
        messages = [held.message for held in list(self._held.values())]
        return {message.bundle_version for message in messages if message is not None}

    # ------------------------------------------------------------ from claim to start

    def claimed(self, worker_id: int, triggers: Sequence[ClaimedTrigger]) -> None:
        """This worker has claimed `triggers`."""
        if worker_id != self._incarnation.worker_id or self._incarnation.lost:
            return
        for trigger in triggers:
            held = self._held[trigger.trigger_id] = _Held(trigger, self._limits.log_bytes)
            if trigger.kwargs is None:
                self._fail(held, "its arguments were encrypted with a key that this worker does not have")
            else:
                self._prepare(held)
        self._tell_room()

    def _prepare(self, held: _Held) -> None:
        trigger = held.claimed
        held.retry_at = 0.0
        if not trigger.version_id:
            self._ready(held, None)
            return
        version = self._preparer.ready_version(trigger.version_id)
        if version is not None:
            self._ready(held, version)
        else:
            self._preparer.submit_version(trigger)

    def prepared(self, trigger: ClaimedTrigger, version: PreparedVersion) -> None:
        """The code of a trigger is here."""
        held = self._holds(trigger.trigger_id, trigger.claim_no)
        if held is not None and held.message is None:
            self._ready(held, version)

    def not_prepared(self, trigger: ClaimedTrigger, error: DagDeckError) -> None:
        """The code of a trigger cannot be had."""
        held = self._holds(trigger.trigger_id, trigger.claim_no)
        if held is None:
            return
        if isinstance(error, EnvironmentFault):
            _log.error("a trigger waits because this machine cannot run it now: %s", error.message)
            held.retry_at = time.monotonic() + FAULT_PAUSE
        else:
            self._fail(held, str(error))

    def _ready(self, held: _Held, version: PreparedVersion | None) -> None:
        trigger = held.claimed
        record = version.record if version is not None else None
        held.message = RunTrigger(
            trigger.trigger_id,
            trigger.claim_no,
            trigger.classpath,
            trigger.kwargs or "{}",
            bundle_root=version.root_path if version is not None else "",
            bundle_version=record.bundle_version if record is not None else "",
            fileloc=record.spec.fileloc if record is not None else "",
            dag_id=record.dag_id if record is not None else "",
            run_id=trigger.run_id,
            task_id=trigger.task_id,
            map_index=trigger.map_index,
            try_number=trigger.try_number,
            goes_on=trigger.owner != TASK,
        )
        if self._runner_id is not None:
            self._run(held)
        elif self._restart_at is None and not self._handing_over:
            self._start(time.monotonic())

    # ------------------------------------------------------------ the process

    def _start(self, now: float) -> None:
        """Begin the process and send it all that it shall run."""
        self._restart_at = None
        self._output_seen = 0
        self._idle_since, self._is_ending = None, False
        try:
            self._runner_id = self._host.spawn()
        except EnvironmentFault:
            return  # the host is lost, of which the main loop hears by an event
        self._started_at = now
        self._trials.began(now)
        limits = self._limits
        self._send(BeTriggerer(limits.block_limit, limits.log_ship_interval, limits.cleanup_limit))
        for held in list(self._held.values()):
            self._run(held)

    def _run(self, held: _Held) -> None:
        if held.message is not None and not held.has_fired and self._trials.may_run(held.claimed.trigger_id):
            try:
                self._send(held.message)
            except (WireError, FrameError) as error:
                self._fail(held, f"it cannot be sent to the triggerer: {error.message}")

    def _send(self, message: ToRunner) -> None:
        if self._runner_id is not None:
            self._host.send(self._runner_id, to_runner_codec.encode(message))

    def ended(self, event: RunnerEnded) -> None:
        """The process is dead."""
        runner_id, self._runner_id = self._runner_id, None
        if runner_id is not None:
            self._take_output(runner_id)
        self._kill_at = None
        self._host.release(event.runner_id)
        if self._handing_over:
            self._let_go()
            self._desk.release()
            return
        if not any(held.message is not None and not held.has_fired for held in self._held.values()):
            return
        now = time.monotonic()
        if self._is_ending:
            self._restart_at = now  # it was asked to end for want of triggers, and there are some again
            return
        if now - self._started_at > STEADY_SECONDS:
            self._restart_pause = FIRST_RESTART_PAUSE
        if event.cause is not EndCause.DEADLINE:
            _log.error(
                "the triggerer's process ended (%s, exit code %s, signal %s); its triggers run again in %.1f s",
                event.cause,
                event.exit_code,
                event.signal,
                self._restart_pause,
            )
        if event.cause is EndCause.ITSELF:
            self._judge(now)
        self._restart_at = now + self._restart_pause
        self._restart_pause = min(self._restart_pause * 2, LONGEST_RESTART_PAUSE)

    def _judge(self, now: float) -> None:
        """The process died by itself: fail the trigger that killed it, if it is clear which one that was."""
        running = [
            trigger_id
            for trigger_id, held in self._held.items()
            if held.message is not None and not held.has_fired and self._trials.may_run(trigger_id)
        ]
        culprit = self._trials.died(running, now)
        if culprit is not None:
            self._fail(self._held[culprit], f"the triggerer's process died more than {DEATHS} times while this ran")

    def tick(self, now: float) -> None:
        """Begin again what is due, and end a process that has nothing to do. `now` is monotonic."""
        if self._restart_at is not None and now >= self._restart_at and not self._handing_over:
            self._start(now)
        for held in list(self._held.values()):
            if held.retry_at and now >= held.retry_at:
                self._prepare(held)
        if self._runner_id is None:
            return
        for trigger_id in self._trials.tick(now):
            self._run(self._held[trigger_id])
        if self._kill_at is not None and now >= self._kill_at:
            self.end_now()
        self._take_output(self._runner_id)
        if self._held:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > IDLE_SECONDS and not self._is_ending:
            self._is_ending = True
            self._send(Shutdown())

    def _take_output(self, runner_id: int) -> None:
        """What the process wrote outside any trigger, for the worker's log."""
        size = self._host.output_size(runner_id)
        if size <= self._output_seen:
            return
        data = self._host.read_output(runner_id, self._output_seen, min(size - self._output_seen, OUTPUT_LIMIT))
        _log.info("from the triggerer: %s", data.decode(errors="replace").rstrip())
        self._output_seen = size
        self._host.discard_output(runner_id, size)

    # ------------------------------------------------------------ what the process says

    def message(self, frame: bytes) -> None:
        """A frame of the process."""
        try:
            message = from_runner_codec.decode(frame)
        except WireError as error:
            _log.error("the triggerer is ended because it sent what cannot be read: %s", error.message)
            if self._runner_id is not None:
                self._host.terminate(self._runner_id, grace=0)
            return
        if isinstance(message, TriggerYielded):
            self._yielded(message)
        elif isinstance(message, TriggerBroke):
            held = self._holds(message.trigger_id, message.claim_no)
            if held is not None:
                self._fail(held, message.trace)
        elif isinstance(message, TriggerOutput):
            self._output(message)
        elif isinstance(message, Request):
            self._request(message)

    def _yielded(self, message: TriggerYielded) -> None:
        held = self._holds(message.trigger_id, message.claim_no)
        if held is None:
            return
        ends = held.claimed.owner == TASK
        held.has_fired = ends
        self._desk.fire(
            TriggerFiring(
                trigger=held.claimed,
                outcome=TriggerOutcome(message.outcome),
                payload=message.payload,
                xcoms=tuple([XComWrite(key=key, value=value) for key, value in message.xcoms]),
                ends=ends,
            )
        )

    def _fail(self, held: _Held, trace: str) -> None:
        """The task goes on to find that its trigger failed; another owner's trigger is only told of."""
        _log.warning("trigger %s failed: %s", held.claimed.classpath, trace.rstrip().rpartition("\n")[2])
        if held.claimed.owner != TASK:
            return
        held.has_fired = True
        self._desk.fire(
            TriggerFiring(
                trigger=held.claimed,
                outcome=TriggerOutcome.RESUME,
                failed=failure_kwargs(TriggerFailure.FAILURE, trace),
            )
        )

    def _output(self, message: TriggerOutput) -> None:
        held = self._held.get(message.trigger_id)
        if held is None or held.claimed.owner != TASK:
            whose = f"trigger {held.claimed.classpath}" if held is not None else "the triggerer"
            _log.info("%s: %s", whose, message.data.decode(errors="replace").rstrip())
            return
        data = message.data
        if held.log_left <= 0:
            return
        if len(data) > held.log_left:
            data = data[: held.log_left] + log_line("WARNING", "what the trigger writes from here on is left out")
        held.log_left -= len(data)
        if self._desk.log(TriggerLog(trigger=held.claimed, offset=held.log_offset, data=data)):
            held.log_offset += len(data)

    def _request(self, message: Request) -> None:
        assert self._runner_id is not None
        held = self._held.get(message.trigger_id)
        reply = self._requests.ask_for_trigger(-self._runner_id, held.claimed.ti_id if held else 0, message)
        if reply is not None:
            self.reply(-self._runner_id, reply)

    def reply(self, asker: int, reply: Reply) -> None:
        """The answer to an earlier request of the process `asker`."""
        if not self.is_live(asker):
            return
        try:
            self._send(reply)
        except (WireError, FrameError) as error:
            self._send(Reply(reply.number, error=("refused", error.message)))

    def _holds(self, trigger_id: int, claim_no: int) -> _Held | None:
        """The trigger of this claim, unless it has fired."""
        held = self._held.get(trigger_id)
        return held if held is not None and held.claimed.claim_no == claim_no and not held.has_fired else None

    # ------------------------------------------------------------ from the desk

    def committed(self, trigger_ids: Collection[int]) -> None:
        """These have fired, and it is stored, or they were not this worker's any more."""
        for trigger_id in trigger_ids:
            self._held.pop(trigger_id, None)
            self._trials.forget(trigger_id)
        self._tell_room()

    def gone(self, trigger_ids: Collection[int]) -> None:
        """Somebody ended what these were waited for by."""
        for trigger_id in trigger_ids:
            self._trials.forget(trigger_id)
            if self._held.pop(trigger_id, None) is not None:
                self._send(StopTrigger(trigger_id, killed=True))
        self._tell_room()

    def released(self) -> None:
        """Everything is free for others."""
        self._handing_over = False
        if self._accepts:
            self._tell_room()

    def _tell_room(self) -> None:
        open_ = self._accepts and not self._handing_over
        self._desk.set_room(self._limits.capacity - len(self._held) if open_ else 0)

    # ------------------------------------------------------------ ending

    def accept(self, wanted: bool) -> None:
        """Take triggers, or hand over those that are here and take no more. Harmless when repeated."""
        if wanted == self._accepts:
            return
        self._accepts = wanted
        self._tell_room()
        if wanted or self._handing_over:
            return
        self._handing_over = True
        self._restart_at = None
        if self._runner_id is not None:
            # Its triggers clean up and it ends; killed when that takes too long.
            self._send(Shutdown())
            self._kill_at = time.monotonic() + self._limits.cleanup_limit * 2
        else:
            self._let_go()
            self._desk.release()

    def _let_go(self) -> None:
        self._held.clear()
        self._trials = Trials()

    def end_now(self) -> None:
        """Kill the process; its triggers are handed over all the same."""
        if self._runner_id is not None:
            self._host.terminate(self._runner_id, grace=0)

    def abandon(self) -> None:
        """The lease is lost: end everything at once; the triggers belong to others now."""
        self._let_go()
        self._restart_at = None
        self.end_now()
