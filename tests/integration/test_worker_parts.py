"""Parts of the worker by themselves: room for claims, output, the runner pool, the lock, the environment, frames.

Decides their rules in small cases; test_worker.py shows them together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dagdeck_core.errors import UserError
from dagdeck_core.ports import ClaimedTask
from dagdeck_core.process_port import RunnerSetup
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Outcome
from dagdeck_worker import name_lock
from dagdeck_worker.dispatches import (
    Code,
    Dispatch,
    Ending,
    RunnerKey,
    finish_of_failure,
    finish_of_outcome,
    finish_returned,
)
from dagdeck_worker.frames import FrameError, FrameReader, framed
from dagdeck_worker.log_capture import TAIL_BYTES, LogCapture
from dagdeck_worker.runner_environment import scrubbed
from dagdeck_worker.runners import QUICK_LOAD, UNKNOWN_LOAD, RunnerPool
from dagdeck_worker.slots import SHORT_IN_A_ROW, Durations, SlotGate

_S = TaskInstanceState
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


# ---------------------------------------------------------------- room for claims


def test_room_is_slots_and_allowance_less_what_is_held() -> None:
    gate = SlotGate(2)
    assert gate.room() == 2
    gate.hold(2)
    assert (gate.room(), gate.free_slots()) == (0, 0)
    gate.allow(3)
    assert (gate.room(), gate.free_slots()) == (3, 0)
    gate.hold(3)
    gate.free(4)
    assert (gate.room(), gate.free_slots()) == (4, 1)
    gate.set_open(False)
    assert (gate.room(), gate.free_slots()) == (0, 0)


def test_waiting_for_room_ends_when_a_slot_is_freed() -> None:
    gate = SlotGate(1)
    gate.hold(1)
    assert gate.await_room(0.01) == 0
    timer = threading.Timer(0.05, gate.free)
    timer.start()
    assert gate.await_room(10) == 1
    timer.join()


def test_only_what_is_known_to_be_short_is_claimed_ahead() -> None:
    durations = Durations(short_below=0.05, limit=128, slots=2)
    assert not durations.is_short("dag", "task")
    durations.seen("dag", "task", 0.01)
    assert durations.is_short("dag", "task")
    assert durations.allowance(held=2, not_short=0) == 32
    assert durations.allowance(held=2, not_short=1) == 0
    assert durations.allowance(held=0, not_short=0) == 0
    durations.seen("dag", "task", 10)
    assert not durations.is_short("dag", "task")


def test_a_task_never_seen_is_taken_for_short_when_its_dag_was_for_a_while() -> None:
    durations = Durations(short_below=0.05, limit=128, slots=2)
    for number in range(SHORT_IN_A_ROW):
        assert not durations.is_short("dag", "next")
        durations.seen("dag", f"task{number}", 0.01)
    assert durations.is_short("dag", "next")
    assert not durations.is_short("another", "next")
    durations.seen("dag", "task_0", 0.06)
    assert not durations.is_short("dag", "next")


def test_the_allowance_is_filled_again_when_half_of_it_is_used_up() -> None:
    gate = SlotGate(2)
    gate.hold(2)
    gate.allow(32)
    assert gate.await_room(0) == 32
    gate.hold(32)
    gate.free(15)
    assert gate.await_room(0) == 0
    gate.free()
    assert gate.await_room(0) == 16
    gate.allow(0)
    assert gate.await_room(0) == 0
    gate.free(17)
    assert gate.await_room(0) == 1


# ---------------------------------------------------------------- output


class FileHost:
    """As much of a process host as output needs."""

    def __init__(self) -> None:
        self.data = b""
        self.discarded = 0

    def output_size(self, runner_id: int) -> int:
        """See ProcessHost."""
        return len(self.data)

    def read_output(self, runner_id: int, offset: int, size: int) -> bytes:
        """See ProcessHost; what was discarded must not be asked for."""
        assert offset >= self.discarded
        return self.data[offset : offset + size]

    def discard_output(self, runner_id: int, upto: int) -> None:
        """See ProcessHost."""
        self.discarded = upto


class Capture:
    """A LogCapture over a FileHost."""

    def __init__(self, max_bytes: int = 10**6) -> None:
        self.host = FileHost()
        self.log = LogCapture(ti_id=1, dispatch_no=2, try_number=1, max_bytes=max_bytes)
        self.stored = b""

    def due(self, now: float) -> None:
        """Store what is due while the task runs."""
        for _ in range(2):  # what is written now is seen by the first and due at the second
            self._store(list(self.log.due(self.host, 1, now, interval=2.0, ship_bytes=1000)))  # type: ignore[arg-type]

    def end(self) -> bytes:
        """Store the rest; everything stored."""
        self._store(self.log.rest(self.host, 1, len(self.host.data), closing=b"closing\n"))  # type: ignore[arg-type]
        return self.stored

    def _store(self, chunks: Sequence[object]) -> None:
        for chunk in chunks:
            assert getattr(chunk, "offset") == len(self.stored)  # noqa: B009 - chunks of either method
            self.stored += getattr(chunk, "data")  # noqa: B009


def test_output_is_due_after_a_while_or_when_it_is_much() -> None:
    capture = Capture()
    capture.host.data = b"a\n"
    capture.due(now=10.0)
    assert capture.stored == b"a\n"
    capture.host.data += b"b\n"
    capture.due(now=11.0)
    assert capture.stored == b"a\n"
    capture.host.data += b"c" * 999 + b"\n"
    capture.due(now=11.1)
    assert capture.stored == capture.host.data
    assert capture.end() == capture.host.data + b"closing\n"


def test_a_secret_that_lies_across_two_pieces_is_masked() -> None:
    capture = Capture()
    capture.log.mask("hunter2")
    capture.host.data = b"first line\nthe password is hun"
    capture.due(now=10.0)
    assert capture.stored == b"first line\n"
    capture.host.data += b"ter2 indeed\n"
    assert capture.end() == b"first line\nthe password is *** indeed\nclosing\n"


@pytest.mark.parametrize(
    ("value", "shown", "secrets"),
    [
        ({"a": "geheim", "geheim": 1}, {"a": "***", "***": 1}, ("geheim",)),
        ("nothing of the kind", None, ()),
        ('has "quotes" and \\ ü', "***", ('has "quotes" and \\ ü',)),
        ([12345, 1], "***", ("12345",)),
        (["geheim-longer", "geheim"], ["***", "***"], ("geheim", "geheim-longer")),
    ],
)
def test_what_of_a_value_people_may_see(value: object, shown: object, secrets: tuple[str, ...]) -> None:
    log = LogCapture(ti_id=1, dispatch_no=2, try_number=1, max_bytes=1000)
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert LogCapture(ti_id=1, dispatch_no=2, try_number=1, max_bytes=1000).hide(text) is None
        for secret in ("geheim", "geheim-longer", "12345", 'has "quotes" and \\ ü'):
            log.mask(secret)
        found = log.hide(text)
        assert (None if found is None else json.loads(found[0])) == shown
        assert (() if found is None else found[1]) == secrets


def test_a_short_secret_does_not_blacken_everything() -> None:
    capture = Capture()
    capture.log.mask("a")
    capture.host.data = b"banana\n"
    assert capture.end() == b"banana\nclosing\n"


@pytest.mark.parametrize("while_it_runs", [True, False])
def test_too_much_output_keeps_head_and_tail(while_it_runs: bool) -> None:
    limit = 4 * TAIL_BYTES
    capture = Capture(max_bytes=limit)
    whole = b"".join(b"%09d\n" % number for number in range(200_000))
    for end in range(100_000, len(whole) + 1, 100_000):
        capture.host.data = whole[:end]
        if while_it_runs:
            capture.due(now=end / 1000)
    stored = capture.end()
    assert stored.startswith(whole[:1000])
    assert stored.endswith(whole[-TAIL_BYTES:] + b"closing\n")
    assert len(stored) < limit + 1000
    assert b"bytes of output are left out here" in stored
    if while_it_runs:
        assert capture.host.discarded > len(whole) // 2


# ---------------------------------------------------------------- ends


def _dispatch(**options: object) -> Dispatch:
    claimed = ClaimedTask(
        run_key=1,
        ti_id=2,
        dispatch_no=3,
        version_id=4,
        task_id="t",
        map_index=-1,
        try_number=1,
        max_tries=1,
    )
    log = LogCapture(ti_id=2, dispatch_no=3, try_number=1, max_bytes=1000)
    dispatch = Dispatch(claimed=claimed, claimed_at=0.0, log=log)
    dispatch.spec = TaskSpec(task_id="t", task_type="T", retries=1, retry_delay=60.0)
    for name, value in options.items():
        setattr(dispatch, name, value)
    return dispatch


def _outcome(result: str) -> Outcome:
    return Outcome(3, result, EPOCH, EPOCH + timedelta(seconds=2))


def test_an_outcome_is_judged_by_the_retry_rules() -> None:
    ended = finish_of_outcome(_dispatch(), _outcome("success"), None)
    assert (ended.state, ended.next_at, ended.duration) == (_S.SUCCESS, None, 2.0)
    failed = finish_of_outcome(_dispatch(), _outcome("failed"), None)
    assert (failed.state, failed.next_at) == (_S.UP_FOR_RETRY, EPOCH + timedelta(seconds=62))
    final = finish_of_outcome(_dispatch(), _outcome("fail_without_retry"), None)
    assert final.state is _S.FAILED


def test_a_success_after_the_timeout_was_enforced_is_a_timeout() -> None:
    assert finish_of_outcome(_dispatch(ending=Ending.TIMED_OUT), _outcome("success"), None).state is _S.UP_FOR_RETRY


def test_only_a_revoked_end_says_so() -> None:
    assert finish_of_failure(_dispatch(ending=Ending.REVOKED), "ended", None).revoked
    assert not finish_of_failure(_dispatch(), "died", None).revoked


def test_a_returned_dispatch_uses_up_no_try() -> None:
    ended = finish_returned(_dispatch(), "the disk is full", EPOCH, None)
    assert (ended.state, ended.next_at, ended.error) == (_S.UP_FOR_RESCHEDULE, EPOCH, "the disk is full")


# ---------------------------------------------------------------- runners


class SpawningHost:
    """As much of a process host as the pool needs."""

    def __init__(self) -> None:
        self.spawned = 0
        self.setups: list[RunnerSetup] = []
        self.sent: list[int] = []

    def spawn(self, setup: RunnerSetup) -> int:
        """See ProcessHost."""
        self.setups.append(setup)
        self.spawned += 1
        return self.spawned

    def send(self, runner_id: int, frame: bytes) -> None:
        """See ProcessHost."""
        self.sent.append(runner_id)


A, B = Code(RunnerKey("main", "a"), "x.py"), Code(RunnerKey("main", "b"), "x.py")


def _pool(slots: int) -> tuple[RunnerPool, SpawningHost]:
    host = SpawningHost()
    pool = RunnerPool(host, slots=slots, recycle_after=500, recycle_age=60.0, memory_growth=1000)  # type: ignore[arg-type]
    return pool, host


def test_a_warm_runner_of_the_same_code_is_taken_before_a_blank_one() -> None:
    pool, host = _pool(slots=3)
    first = pool.take(A, waited=0)
    assert first is not None
    pool.served(first.runner_id, _outcome("success"), goes_on=False)
    pool.keep_spare()
    assert host.spawned == 2
    assert pool.take(A, waited=0) is first
    second = pool.take(B, waited=0)
    assert second is not None
    assert second.runner_id == 2
    assert host.spawned == 2


def test_when_all_are_there_an_idle_runner_of_other_code_is_replaced() -> None:
    pool, host = _pool(slots=1)
    first = pool.take(A, waited=0)
    assert first is not None
    assert pool.take(B, waited=0) is None
    pool.served(first.runner_id, _outcome("success"), goes_on=False)
    second = pool.take(B, waited=0)
    assert second is not None
    assert second.runner_id != first.runner_id
    assert host.sent == [first.runner_id]


def test_a_task_with_a_process_of_its_own_never_gets_a_used_runner() -> None:
    pool, _ = _pool(slots=2)
    first = pool.take(A, waited=0)
    assert first is not None
    pool.served(first.runner_id, _outcome("success"), goes_on=False)
    own = pool.take(A._replace(own_process=True), waited=0)
    assert own is not None
    assert own.runner_id != first.runner_id


def test_a_slowly_loaded_file_is_loaded_again_only_for_a_task_that_has_waited_as_long() -> None:
    pool, host = _pool(slots=4)
    first = pool.take(A, waited=0)
    assert first is not None
    assert not first.has_loaded
    assert pool.take(A, waited=UNKNOWN_LOAD / 2) is None
    now = time.monotonic()
    pool.loaded(first, A, 0.8, now)
    assert pool.take(A, waited=UNKNOWN_LOAD) is None, "it has waited for the load, not yet for the loaded runner"
    pool.loaded(first, A, 0.8, now - 60)
    assert pool.take(A, waited=0.7) is None
    assert pool.take(A._replace(file="y.py"), waited=0) is not None
    second = pool.take(A, waited=0.8)
    assert second is not None
    assert second is not first
    pool.served(first.runner_id, _outcome("success"), goes_on=False)
    assert pool.take(A, waited=0) is first
    assert first.has_loaded
    pool.loaded(first, A, QUICK_LOAD / 2, now)
    assert pool.take(A, waited=0) is not None
    assert host.spawned == 4


def test_a_runner_that_has_grown_is_replaced() -> None:
    pool, host = _pool(slots=1)
    for resident in (10_000, 10_500, 11_500):
        runner = pool.take(A, waited=0)
        assert runner is not None
        pool.served(runner.runner_id, Outcome(3, "success", EPOCH, EPOCH, resident=resident), goes_on=False)
    assert host.sent == [1]


# ---------------------------------------------------------------- lock, environment, frames


def test_a_second_worker_of_the_name_is_refused_and_the_first_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lock, "PATIENCE", 0.2)
    held = name_lock.lock_name(tmp_path, "a/b c", threading.Event())
    assert held is not None
    with pytest.raises(UserError) as caught:
        name_lock.lock_name(tmp_path, "a/b c", threading.Event())
    assert f"pid {os.getpid()}" in str(caught.value)
    assert "worker.name" in str(caught.value)
    os.close(held)
    again = name_lock.lock_name(tmp_path, "a/b c", threading.Event())
    assert again is not None
    os.close(again)


def test_the_lock_is_held_until_the_last_process_that_has_it_is_gone(tmp_path: Path) -> None:
    held = name_lock.lock_name(tmp_path, "w", threading.Event())
    assert held is not None
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"], pass_fds=(held,))
    os.close(held)
    begun = time.monotonic()
    again = name_lock.lock_name(tmp_path, "w", threading.Event())
    assert again is not None
    assert time.monotonic() - begun > 0.3
    child.wait()
    os.close(again)


def test_user_code_gets_the_environment_without_our_servers() -> None:
    kept = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "for tasks", "DOCS_URL": "https://example.org/"}
    ours = {
        "DAGDECK__DATABASE__URL": "sqlite:///x",
        "DAGDECK_CONFIG": "/etc/x",
        "DATABASE_URL": "mysql://u:p@h/d",
        "REDIS_URL": "redis://:p@h",
    }
    assert scrubbed({**kept, **ours}) == kept


def test_frames_come_out_as_they_went_in_however_the_bytes_arrive() -> None:
    payloads = [b"", b"x", b"y" * 70_000]
    stream = b"".join(map(framed, payloads))
    for step in (1, 3, 4096, len(stream)):
        reader = FrameReader()
        found = [frame for at in range(0, len(stream), step) for frame in reader.feed(stream[at : at + step])]
        assert found == payloads


def test_a_frame_that_announces_too_much_is_refused() -> None:
    with pytest.raises(FrameError):
        FrameReader().feed(b"\xff\xff\xff\xff")
