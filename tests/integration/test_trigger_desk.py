"""The worker's side of the triggerer: what it claims, sends, stores and gives back, with faults of the database."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from dagdeck_core.deferral import TriggerOutcome
from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import REPORTS, ClaimedTrigger, TriggerCounts, TriggerFiring, TriggerLog
from dagdeck_core.process_port import EndCause, RunnerEnded
from dagdeck_core.wire import (
    BeTriggerer,
    FiredTrigger,
    Nudge,
    Reply,
    Report,
    Request,
    RunTrigger,
    Shutdown,
    StopTrigger,
    TriggerBroke,
    TriggerOutput,
    TriggerYielded,
    from_runner_codec,
    to_runner_codec,
)
from dagdeck_worker.incarnation import Identity, Incarnation
from dagdeck_worker.trigger_desk import TriggerDesk
from dagdeck_worker.trigger_host import TriggerHost, TriggerLimits
from dagdeck_worker.trigger_trials import Trials

WAIT = 10.0


def claimed(number: int = 1, **options: Any) -> ClaimedTrigger:
    """A claimed trigger of a task, or of what `options` say."""
    values: dict[str, Any] = {
        "trigger_id": number,
        "claim_no": 1,
        "owner": "task",
        "classpath": "x.T",
        "kwargs": "{}",
        "ti_id": 100 + number,
        "dispatch_no": 200 + number,
        "run_key": 7,
        "task_id": "t",
        "try_number": 1,
        "log_offset": 10,
    }
    return ClaimedTrigger(**(values | options))


class MemoryTriggers:
    """A TriggerStore in memory, which may be down or refuse."""

    def __init__(self) -> None:
        self.free: dict[int, ClaimedTrigger] = {}
        self.mine: dict[int, int] = {}
        self.stored: list[TriggerFiring] = []
        self.lines: list[TriggerLog] = []
        self.down = False
        self.refuse: Callable[[TriggerFiring], bool] = lambda firing: False
        self.looks = 0
        self.ids = 0

    def _reach(self) -> None:
        if self.down:
            raise EnvironmentFault("the database is down")

    def new_id(self) -> int:
        """See TriggerStore."""
        self.ids += 1
        return self.ids

    def look(self, worker_id: int) -> TriggerCounts:
        """See TriggerStore."""
        self._reach()
        self.looks += 1
        return TriggerCounts(are_free=bool(self.free), held=len(self.mine))

    def claim(self, worker_id: int, limit: int) -> list[ClaimedTrigger]:
        """See TriggerStore."""
        self._reach()
        found = [self.free.pop(key) for key in sorted(self.free)[:limit]]
        self.mine.update((trigger.trigger_id, trigger.claim_no) for trigger in found)
        return found

    def held(self, worker_id: int) -> dict[int, int]:
        """See TriggerStore."""
        self._reach()
        return dict(self.mine)

    def commit(
        self, worker_id: int, firings: Sequence[TriggerFiring], logs: Sequence[TriggerLog] = ()
    ) -> list[FiredTrigger]:
        """See TriggerStore."""
        self._reach()
        if any(self.refuse(firing) for firing in firings):
            raise UserError("refused")
        self.lines += logs
        told = []
        for firing in firings:
            t = firing.trigger
            if self.mine.get(t.trigger_id) == t.claim_no:
                self.stored.append(firing)
                if firing.ends:
                    del self.mine[t.trigger_id]
                if t.owner == "task":
                    told.append(FiredTrigger(firing.event_id, t.run_key, t.ti_id, t.dispatch_no, firing.outcome.value))
        return told

    def release(self, worker_id: int) -> None:
        """See TriggerStore."""
        self._reach()
        self.mine.clear()


class Published:
    """What was sent to the queue."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []

    def append(self, topic: str, messages: Sequence[Any]) -> None:
        """See Publisher."""
        self.messages += [(topic, message) for message in messages]


class Bench:
    """A desk with its thread, and what it called back."""

    def __init__(self) -> None:
        identity = Identity(name="w", hostname="h", slots=1, queues=("q",), version="1", pid=1)
        self.incarnation = Incarnation(identity, 5)
        self.store = MemoryTriggers()
        self.published = Published()
        self.claims: list[ClaimedTrigger] = []
        self.gone: list[int] = []
        self.committed: list[int] = []
        self.released = threading.Event()
        self.crashes: list[str] = []
        self.desk = TriggerDesk(
            self.store,
            self.incarnation,
            self.published,  # type: ignore[arg-type]
            poll_interval=0.05,
            on_claimed=lambda worker_id, triggers: self.claims.extend(triggers),
            on_gone=self.gone.extend,
            on_committed=self.committed.extend,
            on_released=self.released.set,
            on_crash=self.crashes.append,
        )
        self.desk.start()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for `condition`."""
        deadline = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def hold(self, *triggers: ClaimedTrigger) -> None:
        """Have the desk claim these."""
        self.store.free.update((trigger.trigger_id, trigger) for trigger in triggers)
        self.desk.set_room(100)
        self.until(lambda: len(self.claims) >= len(triggers))

    def firing(self, trigger: ClaimedTrigger, **options: Any) -> TriggerFiring:
        """An event."""
        values: dict[str, Any] = {"outcome": TriggerOutcome.RESUME, "payload": "1"}
        return TriggerFiring(trigger=trigger, **(values | options))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.store.down = False
    made.desk.stop()
    assert made.desk.join(WAIT)
    assert made.crashes == []


def test_no_more_is_claimed_than_there_is_room_for(bench: Bench) -> None:
    bench.store.free = {number: claimed(number) for number in range(1, 6)}
    bench.until(lambda: bench.store.looks >= 2)
    assert bench.claims == []
    bench.desk.set_room(2)
    bench.until(lambda: len(bench.claims) == 2)
    before = bench.store.looks
    bench.until(lambda: bench.store.looks >= before + 2)
    assert [trigger.trigger_id for trigger in bench.claims] == [1, 2]


def test_an_event_is_stored_and_told(bench: Bench) -> None:
    trigger = claimed()
    bench.hold(trigger)
    bench.desk.fire(bench.firing(trigger))
    bench.until(lambda: bench.committed == [1])
    assert [firing.event_id for firing in bench.store.stored] == [1]
    reports = [message for topic, message in bench.published.messages if topic == REPORTS]
    assert reports == [Report(5, fired=(FiredTrigger(1, 7, 101, 201, "resume"),))]
    assert bench.desk.is_idle()
    assert bench.gone == []


def test_an_event_outlives_an_outage_with_its_number(bench: Bench) -> None:
    trigger = claimed()
    bench.hold(trigger)
    bench.store.down = True
    bench.desk.fire(bench.firing(trigger))
    bench.desk.log(TriggerLog(trigger=trigger, offset=10, data=b"x"))
    time.sleep(0.3)
    assert bench.store.stored == []
    bench.store.down = False
    bench.until(lambda: bench.committed == [1])
    assert [firing.event_id for firing in bench.store.stored] == [1]
    assert [log.data for log in bench.store.lines] == [b"x"]


def test_what_is_not_this_worker_s_any_more_is_told_of(bench: Bench) -> None:
    first, second = claimed(1), claimed(2)
    bench.hold(first, second)
    del bench.store.mine[1]
    bench.until(lambda: bench.gone == [1])
    bench.desk.fire(bench.firing(first))
    bench.until(lambda: bench.committed == [1])
    assert bench.store.stored == []
    assert (REPORTS, Nudge("trigger")) in bench.published.messages


def test_a_claim_that_nobody_knows_of_is_given_back(bench: Bench) -> None:
    bench.hold(claimed(1))
    bench.store.mine[9] = 1
    bench.until(lambda: bench.gone == [1])
    bench.until(lambda: bench.store.mine == {})


def test_an_event_that_is_refused_takes_no_other_along(bench: Bench) -> None:
    bad, good = claimed(1), claimed(2)
    bench.hold(bad, good)
    bench.store.refuse = lambda firing: firing.payload == "bad"
    bench.store.down = True
    bench.desk.fire(bench.firing(bad, payload="bad"))
    bench.desk.fire(bench.firing(good))
    bench.store.down = False
    bench.until(lambda: sorted(bench.committed) == [1, 2])
    by_id = {firing.trigger.trigger_id: firing for firing in bench.store.stored}
    assert by_id[2].payload == "1"
    assert by_id[1].payload is None
    assert "could not be stored: refused" in (by_id[1].failed or {})["error"]


def test_everything_is_given_back(bench: Bench) -> None:
    trigger = claimed()
    bench.hold(trigger)
    bench.desk.set_room(0)
    bench.desk.log(TriggerLog(trigger=trigger, offset=10, data=b"last words"))
    bench.desk.release()
    assert bench.released.wait(WAIT)
    assert bench.store.mine == {}
    assert [log.data for log in bench.store.lines] == [b"last words"]


def test_a_new_registration_forgets_what_the_old_one_held(bench: Bench) -> None:
    trigger = claimed()
    bench.hold(trigger)
    bench.store.down = True
    bench.desk.fire(bench.firing(trigger))
    bench.incarnation.declare_lost()
    bench.store.down = False
    bench.until(bench.desk.is_idle)
    bench.store.mine.clear()
    bench.incarnation.renew_as(6)
    bench.hold(claimed(2))
    assert bench.store.stored == []
    assert bench.gone == []


def test_lines_are_not_kept_without_bound(bench: Bench) -> None:
    bench.store.down = True
    taken = 0
    while bench.desk.log(TriggerLog(trigger=claimed(), offset=0, data=b"x" * 1024 * 1024)):
        taken += 1
        assert taken < 50
    assert 8 <= taken <= 10


# ---------------------------------------------------------------- the main loop's part


class FakeHost:
    """A ProcessHost that notes what it is told."""

    def __init__(self) -> None:
        self.runner = 0
        self.sent: list[Any] = []
        self.terminated: list[int] = []
        self.output = b""

    def spawn(self) -> int:
        """See ProcessHost."""
        self.runner += 1
        return self.runner

    def send(self, runner_id: int, frame: bytes) -> None:
        """See ProcessHost."""
        self.sent.append(to_runner_codec.decode(frame))

    def terminate(self, runner_id: int, *, grace: float) -> None:
        """See ProcessHost."""
        self.terminated.append(runner_id)

    def output_size(self, runner_id: int) -> int:
        """See ProcessHost."""
        return len(self.output)

    def read_output(self, runner_id: int, offset: int, size: int) -> bytes:
        """See ProcessHost."""
        return self.output[offset : offset + size]

    def discard_output(self, runner_id: int, upto: int) -> None:
        """See ProcessHost."""

    def release(self, runner_id: int) -> None:
        """See ProcessHost."""


class FakeDesk:
    """A TriggerDesk that notes what it is told."""

    def __init__(self) -> None:
        self.room: list[int] = []
        self.fired: list[TriggerFiring] = []
        self.logs: list[TriggerLog] = []
        self.releases = 0

    def set_room(self, room: int) -> None:
        """See TriggerDesk."""
        self.room.append(room)

    def fire(self, firing: TriggerFiring) -> None:
        """See TriggerDesk."""
        self.fired.append(firing)

    def log(self, log: TriggerLog) -> bool:
        """See TriggerDesk."""
        self.logs.append(log)
        return True

    def release(self) -> None:
        """See TriggerDesk."""
        self.releases += 1


class FakeRequests:
    """A RequestDesk that answers at once."""

    def ask_for_trigger(self, asker: int, ti_id: int, request: Request) -> Reply | None:
        """See RequestDesk."""
        return Reply(request.number, [asker, ti_id])


class HostBench:
    """A TriggerHost between fakes."""

    def __init__(self) -> None:
        identity = Identity(name="w", hostname="h", slots=1, queues=("q",), version="1", pid=1)
        self.incarnation = Incarnation(identity, 5)
        self.host, self.desk = FakeHost(), FakeDesk()
        limits = TriggerLimits(capacity=3, log_bytes=20, log_ship_interval=1.0, block_limit=0.5, cleanup_limit=1.0)
        self.triggers = TriggerHost(self.host, self.incarnation, limits)  # type: ignore[arg-type]
        self.triggers.connect(self.desk, None, FakeRequests())  # type: ignore[arg-type]

    def says(self, message: Any) -> None:
        """The process says something."""
        self.triggers.message(from_runner_codec.encode(message))

    def dies(self, cause: EndCause = EndCause.ITSELF) -> None:
        """The process dies."""
        self.triggers.ended(RunnerEnded(runner_id=self.host.runner, cause=cause, signal=9))

    def running(self) -> list[int]:
        """Ids of the triggers that the process was sent since it was begun last."""
        start = max(i for i, each in enumerate(self.host.sent) if isinstance(each, BeTriggerer))
        return [each.trigger_id for each in self.host.sent[start:] if isinstance(each, RunTrigger)]


@pytest.fixture
def own() -> HostBench:
    return HostBench()


def test_the_process_begins_with_the_first_trigger(own: HostBench) -> None:
    assert own.host.runner == 0
    assert own.desk.room == [3]
    own.triggers.claimed(5, [claimed(1), claimed(2)])
    assert own.host.runner == 1
    assert own.running() == [1, 2]
    assert own.desk.room[-1] == 1
    assert own.triggers.count() == 2
    own.triggers.claimed(4, [claimed(3)])
    assert own.triggers.count() == 2, "another registration's claims are void"


def test_a_dead_process_is_begun_again_with_what_had_not_fired(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1), claimed(2)])
    own.says(TriggerYielded(1, 1, "resume", "1"))
    own.dies()
    assert own.triggers.needs_ticks()
    own.triggers.tick(time.monotonic())
    assert own.host.runner == 1, "not at once"
    own.triggers.tick(time.monotonic() + 1)
    assert own.host.runner == 2
    assert own.running() == [2]
    own.says(TriggerYielded(1, 1, "resume", "1"))
    assert len(own.desk.fired) == 1


def test_a_trigger_that_kills_the_process_again_and_again_fails_alone(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1), claimed(2), claimed(3)])
    now = time.monotonic()
    for _ in range(12):
        if own.desk.fired:
            break
        now += 40
        if 2 in own.running():
            own.dies()
        own.triggers.tick(now)
    assert [firing.trigger.trigger_id for firing in own.desk.fired] == [2]
    own.triggers.committed([2])
    own.triggers.tick(now + 40)
    own.triggers.tick(now + 80)
    assert sorted(own.running()) == [1, 3]


@pytest.mark.parametrize("size", [1, 2, 7, 100, 2000])
@pytest.mark.parametrize("where", [0.0, 0.4, 0.999])
def test_one_culprit_among_many_is_found(size: int, where: float) -> None:
    trials, culprit = Trials(), int(where * size)
    alive = set(range(size))
    now, deaths, began = 0.0, 0, True
    while True:
        running = {number for number in alive if trials.may_run(number)}
        if began:
            trials.began(now)
        if culprit in running:
            deaths += 1
            found = trials.died(sorted(running), now + 1)
            now, began = now + 2, True
            if found is not None:
                break
        else:
            now, began = now + 6, False
            trials.tick(now)
    assert found == culprit
    assert deaths <= 3 + 12
    assert all(trials.may_run(number) for number in alive)


def test_deaths_far_apart_raise_no_suspicion() -> None:
    trials = Trials()
    for day in range(9):
        trials.began(day * 1000.0)
        assert trials.died([1, 2], day * 1000.0 + 100) is None
        assert trials.may_run(1)
    trials.forget(1)


def test_who_is_gone_is_suspected_no_longer() -> None:
    trials = Trials()
    trials.began(0)
    for _ in range(3):
        trials.died([1, 2, 3], 1)
    assert [trials.may_run(number) for number in (1, 2, 3)] == [True, True, False]
    trials.forget(1)
    assert trials.died([2], 2) == 2


def test_events_failures_and_lines_go_to_the_desk(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1), claimed(2)])
    own.says(TriggerOutput(1, b"0123456789"))
    own.says(TriggerOutput(1, b"abcdefghijklmnop"))
    own.says(TriggerOutput(1, b"never"))
    own.says(TriggerYielded(1, 2, "resume", "1"))
    own.says(TriggerYielded(1, 1, "success", '"success"', (("k", "1"),)))
    own.says(TriggerBroke(2, 1, "Traceback\nValueError: x"))
    assert [(log.offset, log.data[:10]) for log in own.desk.logs] == [(10, b"0123456789"), (20, b"abcdefghij")]
    assert b"left out" in own.desk.logs[1].data
    first, second = own.desk.fired
    assert (first.outcome, first.xcoms[0].value, first.ends) == (TriggerOutcome.SUCCESS, "1", True)
    assert second.failed == {"error": "Trigger failure", "traceback": ["Traceback", "ValueError: x"]}
    own.triggers.committed([1, 2])
    assert own.triggers.count() == 0


def test_arguments_that_cannot_be_read_fail_the_trigger(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1, kwargs=None)])
    assert own.host.runner == 0
    assert "key" in json.dumps(own.desk.fired[0].failed)


def test_another_owner_s_trigger_stays(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1, owner="other", task_id="", ti_id=0)])
    [message] = [each for each in own.host.sent if isinstance(each, RunTrigger)]
    assert message.goes_on
    for _ in range(2):
        own.says(TriggerYielded(1, 1, "resume", "1"))
    own.says(TriggerBroke(1, 1, "x"))
    own.says(TriggerOutput(1, b"line\n"))
    assert [firing.ends for firing in own.desk.fired] == [False, False]
    assert own.desk.logs == []
    assert own.triggers.count() == 1


def test_a_cancelled_trigger_is_stopped(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1)])
    own.triggers.gone([1, 9])
    assert own.host.sent[-1] == StopTrigger(1, True)
    assert own.desk.room[-1] == 3


def test_handing_over_lets_the_process_clean_up_first(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1)])
    own.triggers.accept(False)
    own.triggers.accept(False)
    assert own.host.sent[-1] == Shutdown()
    assert (own.desk.room[-1], own.desk.releases, own.triggers.is_over()) == (0, 0, False)
    own.triggers.tick(time.monotonic())
    assert own.host.terminated == []
    own.triggers.tick(time.monotonic() + 3)
    assert own.host.terminated == [1], "it takes too long"
    own.dies(EndCause.TERMINATED)
    assert own.desk.releases == 1
    own.triggers.released()
    assert own.triggers.is_over()
    own.triggers.accept(True)
    assert own.desk.room[-1] == 3


def test_handing_over_without_a_process(own: HostBench) -> None:
    own.triggers.accept(False)
    assert own.desk.releases == 1
    own.triggers.released()
    assert own.triggers.is_over()


def test_a_lost_lease_ends_all_at_once(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1)])
    own.incarnation.declare_lost()
    own.triggers.abandon()
    assert own.host.terminated == [1]
    assert own.triggers.has_process()
    own.dies(EndCause.TERMINATED)
    assert not own.triggers.has_process()
    assert not own.triggers.needs_ticks()


def test_a_process_without_triggers_ends_after_a_while(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1)])
    own.triggers.gone([1])
    now = time.monotonic()
    own.triggers.tick(now)
    assert own.host.sent[-1] == StopTrigger(1, True)
    own.triggers.tick(now + 61)
    assert own.host.sent[-1] == Shutdown()
    own.dies()
    assert not own.triggers.needs_ticks()


def test_one_that_comes_while_the_process_ends_runs_in_the_next(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1)])
    own.triggers.gone([1])
    own.triggers.tick(time.monotonic())
    own.triggers.tick(time.monotonic() + 61)
    own.triggers.claimed(5, [claimed(2)])
    own.triggers.ended(RunnerEnded(runner_id=1, cause=EndCause.ITSELF, exit_code=0))
    own.triggers.tick(time.monotonic())
    assert own.running() == [2]


def test_a_request_is_answered_to_the_process_that_asked(own: HostBench) -> None:
    own.triggers.claimed(5, [claimed(1)])
    own.says(Request(4, "variable_get", {"key": "k"}, 1))
    assert own.host.sent[-1] == Reply(4, [-1, 101])
    before = len(own.host.sent)
    own.triggers.reply(-9, Reply(5, 1))
    assert len(own.host.sent) == before, "an earlier process's"


def test_what_is_no_message_ends_the_process(own: HostBench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    own.triggers.claimed(5, [claimed(1)])
    own.triggers.message(b"nonsense")
    assert own.host.terminated == [1]
    own.host.output = b"said outside any trigger"
    own.triggers.tick(time.monotonic())
    assert "from the triggerer: said outside any trigger" in caplog.text
    assert own.triggers.is_process(1)
