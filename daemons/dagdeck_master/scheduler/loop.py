"""The scheduler's loop: waits for messages, wake-ups and times, and plays rounds while it leads.

Decides how to wait, when to renew the leadership, and what to do when the database or the queue is away.
Does not decide what is scheduled. Run by `app` in the main thread of the scheduler process; the other
threads are APScheduler's, which posts here, and housekeeping's, which has a connection of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ids import Ids
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.ports import REPORTS, Broker, LeadershipLost, SchedulerStore
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_core.wire import QueueMessage
from dagdeck_master.executor.dispatcher import Dispatcher
from dagdeck_master.scheduler.housekeeping import Housekeeping
from dagdeck_master.scheduler.meter import Meter, Publish
from dagdeck_master.scheduler.rounds import Outcome, Rounds, RoundSettings
from dagdeck_master.scheduler.wakeups import Wakeups

log = logging.getLogger(__name__)

MESSAGES_PER_ROUND = 2000
LONGEST_WAIT = 1.0
"""Seconds: the loop looks around at least so often."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts while something fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """Times of the loop, in seconds, and the settings of what it drives."""

    machine: MachineSettings
    rounds: RoundSettings
    takeover_timeout: float = 10.0
    queue_probe_interval: float = 1.0
    publish_interval: float = 10.0


class SchedulerLoop:
    """One scheduler process: a standby until it leads, and again after it lost the lead."""

    def __init__(
        self,
        *,
        store: SchedulerStore,
        reader: Broker,
        sender: Broker,
        owner: str,
        ids: Callable[[], Ids],
        zones: Callable[[str], tzinfo],
        settings: LoopSettings,
        housekeeping: Housekeeping | None = None,
        sealing: Housekeeping | None = None,
        publish: Publish | None = None,
        lifeline: Lifeline = UNWATCHED,
        has_queue: bool = True,
    ) -> None:
        """`housekeeping` deletes what is old, `sealing` chains the audit log, `publish` takes figures of how it goes,
        `lifeline` hears each turn.

        Without a queue work is offered in the database from the first round on.
        """
        self._store = store
        self._reader = reader
        self._dispatcher = Dispatcher(sender)
        self._owner = owner
        self._ids = ids
        self._zones = zones
        self._settings = settings
        self._housekeeping = housekeeping
        self._chores = [each for each in (housekeeping, sealing) if each is not None]
        """What runs beside the loop while it leads."""
        self._lifeline = lifeline
        self._has_queue = has_queue
        self._meter = Meter(publish, settings.publish_interval)
        self._stop = threading.Event()
        self._posted: deque[str] = deque()
        self._wakeups = Wakeups(self._post)
        self._position = ""
        self._queue_is_up = False
        self._next_probe = 0.0

    # ------------------------------------------------------------ other threads

    def stop(self) -> None:
        """End the loop soon; safe from signal handlers and other threads."""
        self._stop.set()
        self._reader.interrupt()

    def _post(self, dag_id: str) -> None:
        self._posted.append(dag_id)
        self._reader.interrupt()

    # ------------------------------------------------------------ leading

    def run(self, on_leading: Callable[[], None] | None = None) -> None:
        """Stand by and lead in turn until `stop`. `on_leading` is called each time the lead is taken."""
        self._wakeups.start()
        try:
            while not self._stop.is_set():
                epoch = self._stand_by()
                if epoch is None:
                    break
                try:
                    self._lead(epoch, on_leading)
                except LeadershipLost as lost:
                    log.warning("another scheduler leads now; this one stands by (%s)", lost)
                else:
                    self._give_up(epoch)
                finally:
                    for chore in self._chores:
                        chore.end()
        finally:
            self._wakeups.stop()

    def _stand_by(self) -> int | None:
        """Wait until the lease is ours; None when the process is to stop.

        Raises EnvironmentFault for what no waiting mends, such as tables of another release.
        """
        pause = FIRST_PAUSE
        told = False
        while not self._stop.is_set():
            self._lifeline.alive()
            try:
                epoch = self._store.acquire_leadership(self._owner)
            except EnvironmentFault as fault:
                if not fault.transient:
                    raise
                log.warning("the database cannot be reached, trying again in %.1f s: %s", pause, fault)
                self._stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            if epoch is not None:
                log.info("this scheduler leads with epoch %d", epoch)
                return epoch
            if not told:
                log.info("another scheduler leads; standing by")
                told = True
            self._stop.wait(min(self._settings.takeover_timeout / 10, 1.0))
        return None

    def _give_up(self, epoch: int) -> None:
        try:
            self._store.release_leadership(epoch)
        except EnvironmentFault as fault:
            log.warning("the lead could not be given up; a standby takes it after its timeout (%s)", fault)

    def _lead(self, epoch: int, on_leading: Callable[[], None] | None) -> None:
        rounds, machine = self._begin(epoch)
        for chore in self._chores:
            chore.begin()
        if on_leading is not None:
            on_leading()
        pause = FIRST_PAUSE
        guard_failures = 0
        again = True
        next_renewal = 0.0
        while not self._stop.is_set():
            self._lifeline.alive()
            mono = time.monotonic()
            try:
                if mono >= next_renewal:
                    self._store.renew_leadership(epoch)
                    next_renewal = mono + self._settings.takeover_timeout / 5
                timeout = 0.0 if again else self._time_to_wait(rounds, machine, next_renewal)
                messages = self._messages(rounds, timeout)
                begun = time.monotonic()
                outcome = rounds.round(datetime.now(UTC), begun, messages, self._take_posted())
                self._after(outcome)
                ended = time.monotonic()
                self._meter.round_done(ended - begun, guard_failed=outcome.guard_failed)
                self._meter.publish(ended, machine, queue_is_up=self._queue_is_up)
                pause = FIRST_PAUSE
            except LeadershipLost:
                raise
            except EnvironmentFault as fault:
                self._meter.database_failed()
                log.warning("the database does not answer, trying again in %.2f s: %s", pause, fault)
                self._stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                again = True
                continue
            again = outcome.again
            guard_failures = guard_failures + 1 if outcome.guard_failed else 0
            if guard_failures > 3:
                # The rows keep changing under us, or memory is wrong in a way that reading does not mend.
                self._stop.wait(min(0.01 * 2 ** min(guard_failures, 8), LONGEST_PAUSE))

    def _begin(self, epoch: int) -> tuple[Rounds, Machine]:
        """Note where the reports end, then load, then read on from there: nothing falls between."""
        machine = Machine(self._settings.machine, self._ids(), self._zones)
        rounds = Rounds(self._store, machine, self._dispatcher.send, self._settings.rounds)
        try:
            if not self._has_queue:
                raise EnvironmentFault("none is set (queue.url)", transient=False)
            self._position = self._reader.last_position(REPORTS)
            self._queue_is_up = True
        except EnvironmentFault as fault:
            log.warning("the queue cannot be reached, so work is offered in the database: %s", fault)
            self._queue_is_up = False
            rounds.queue_is_down()
        pause = FIRST_PAUSE
        while True:
            self._lifeline.alive()
            try:
                outcome = rounds.start(epoch, datetime.now(UTC), time.monotonic())
                break
            except LeadershipLost:
                raise
            except EnvironmentFault as fault:
                log.warning("loading failed, trying again in %.2f s: %s", pause, fault)
                if self._stop.wait(pause):
                    raise LeadershipLost("the process is stopping", transient=True) from fault
                pause = min(pause * 2, LONGEST_PAUSE)
                machine = Machine(self._settings.machine, self._ids(), self._zones)
                rounds = Rounds(self._store, machine, self._dispatcher.send, self._settings.rounds)
                if not self._queue_is_up:
                    rounds.queue_is_down()
        for dag_id, at in machine.next_runs():
            self._wakeups.set(dag_id, at)
        self._after(outcome)
        return rounds, machine

    def _after(self, outcome: Outcome) -> None:
        for schedule in outcome.schedules:
            self._wakeups.set(schedule.dag_id, schedule.run_after)
        if outcome.committed and self._queue_is_up:
            self._dispatcher.tell_changes(outcome.committed)
        if outcome.removed and self._housekeeping is not None:
            self._housekeeping.wake()

    # ------------------------------------------------------------ waiting

    def _time_to_wait(self, rounds: Rounds, machine: Machine, next_renewal: float) -> float:
        if self._posted:
            return 0.0
        mono = time.monotonic()
        wait = min(LONGEST_WAIT, rounds.next_read - mono, next_renewal - mono)
        if machine.next_wakeup is not None:
            wait = min(wait, (machine.next_wakeup - datetime.now(UTC)).total_seconds())
        return max(wait, 0.0)

    def _messages(self, rounds: Rounds, timeout: float) -> list[QueueMessage]:
        """Messages that have arrived, waiting up to `timeout` seconds for the first."""
        if not self._queue_is_up and not self._probe(rounds):
            self._stop.wait(min(timeout, 0.2))
            return []
        try:
            messages, positions = self._reader.read(
                {REPORTS: self._position}, limit=MESSAGES_PER_ROUND, timeout=timeout
            )
        except EnvironmentFault as fault:
            log.warning("the queue cannot be reached, so work is offered in the database: %s", fault)
            self._meter.queue_failed()
            self._queue_is_up = False
            rounds.queue_is_down()
            return []
        self._position = positions[REPORTS]
        return messages

    def _probe(self, rounds: Rounds) -> bool:
        """Try a queue that is down; True when it answers again."""
        if not self._has_queue or time.monotonic() < self._next_probe:
            return False
        self._next_probe = time.monotonic() + self._settings.queue_probe_interval
        try:
            self._position = self._reader.last_position(REPORTS)
        except EnvironmentFault:
            return False
        log.info("the queue answers again")
        self._queue_is_up = True
        rounds.queue_is_back()
        return True

    def _take_posted(self) -> list[str]:
        taken: dict[str, None] = {}
        while self._posted:
            taken[self._posted.popleft()] = None
        return list(taken)
