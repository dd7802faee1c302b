"""The contract of process hosts, over both adapters.

Decides what every host must do with well-behaved and with hostile tasks. The tasks are programs of
process_host_tasks.py, run by real runner processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dagdeck_core.process_port import (
    DeadlinePassed,
    EndCause,
    HostEvent,
    HostLost,
    ProcessHost,
    RunnerEnded,
    RunnerMessage,
    describe_end,
)
from dagdeck_core.wire import Outcome, Reply, Request, Shutdown, Started, from_runner_codec, to_runner_codec
from dagdeck_worker.hosts.linux import LinuxHost
from dagdeck_worker.hosts.portable import PortableHost
from tests.contract.process_host_owner import ENTRY
from tests.contract.process_host_tasks import run_task

ROOT = str(Path(__file__).resolve().parents[2])
WAIT = 30.0


class Driver:
    """A host with the conveniences of a test: wait for an outcome, for an end, for output."""

    def __init__(self, host: ProcessHost) -> None:
        self.host = host
        self.events: list[HostEvent] = []

    def give(self, program: str, runner: int = 0, dispatch_no: int = 1, **arguments: Any) -> int:
        """Send a task to `runner` (a new one when 0) and return the runner's id."""
        runner = runner or self.host.spawn()
        self.host.send(runner, to_runner_codec.encode(run_task(program, dispatch_no, **arguments)))
        return runner

    def until(self, found: Callable[[HostEvent], Any], within: float = WAIT) -> Any:
        """The first truthy answer of `found`, over events already seen and to come."""
        give_up = time.monotonic() + within
        seen = 0
        while True:
            for event in self.events[seen:]:
                if answer := found(event):
                    self.events.remove(event)
                    return answer
            seen = len(self.events)
            left = give_up - time.monotonic()
            if left <= 0:
                pytest.fail(f"not within {within} s; events so far: {self.events}")
            self.events += self.host.poll(left)

    def message(self, runner: int, kind: type, within: float = WAIT) -> Any:
        """The next message of `kind` from `runner`."""

        def wanted(event: HostEvent) -> Any:
            if isinstance(event, RunnerMessage) and event.runner_id == runner:
                message = from_runner_codec.decode(event.frame)
                return message if isinstance(message, kind) else None
            return None

        return self.until(wanted, within)

    def outcome(self, runner: int) -> Outcome:
        """The runner's next outcome."""
        found: Outcome = self.message(runner, Outcome)
        return found

    def end(self, runner: int, within: float = WAIT) -> RunnerEnded:
        """The runner's end."""
        found: RunnerEnded = self.until(
            lambda event: event if isinstance(event, RunnerEnded) and event.runner_id == runner else None, within
        )
        return found

    def await_output(self, runner: int, text: bytes) -> None:
        """Wait until the runner's output holds `text`."""
        give_up = time.monotonic() + WAIT
        while text not in self.output(runner):
            assert time.monotonic() < give_up, f"output so far: {self.output(runner)!r}"
            self.events += self.host.poll(0.01)

    def family(self, path: Path, count: int = 3) -> list[int]:
        """The `count` pids that a task's processes write to `path`."""
        return pids_in(path, count, meanwhile=lambda: self.events.extend(self.host.poll(0.01)))

    def output(self, runner: int) -> bytes:
        """All output of the runner."""
        return self.host.read_output(runner, 0, self.host.output_size(runner))


def make_host(kind: str) -> ProcessHost:
    """A host of `kind` whose runners can import the tests."""
    if kind == "linux":
        return LinuxHost(entry=ENTRY, sole_parent=False)
    return PortableHost(entry=ENTRY)


@pytest.fixture(params=["linux", "portable"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which adapter is under test; its runners find the tests' programs."""
    monkeypatch.setenv("PYTHONPATH", ROOT)
    return str(request.param)


@pytest.fixture
def driver(kind: str) -> Iterator[Driver]:
    """A driver over a fresh host."""
    host = make_host(kind)
    yield Driver(host)
    host.close()


def _pause() -> None:
    time.sleep(0.01)


def pids_in(path: Path, count: int, meanwhile: Callable[[], object] = _pause) -> list[int]:
    """The `count` pids that a task's processes write to `path`, once they all have."""
    give_up = time.monotonic() + WAIT
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < give_up, f"{path} did not grow to {count} lines"
        meanwhile()
    return [int(line) for line in path.read_text().split()]


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that run; a zombie does not."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def assert_gone(pids: list[int], within: float) -> None:
    """Fail when one of `pids` still runs after `within` seconds."""
    give_up = time.monotonic() + within
    while left := alive(pids):
        assert time.monotonic() < give_up, f"still alive after {within} s: {left}"
        time.sleep(0.01)


# ---------------------------------------------------------------- tasks that behave


def test_a_task_reports_its_start_its_outcome_and_its_output(driver: Driver) -> None:
    runner = driver.give("say", text="hello")
    started = driver.message(runner, Started)
    outcome = driver.outcome(runner)
    assert (started.dispatch_no, outcome.dispatch_no, outcome.result) == (1, 1, "success")
    assert outcome.leftover == ()
    assert outcome.resident > 0
    assert outcome.log_size == driver.host.output_size(runner) == len(b"hello\n")
    assert driver.output(runner) == b"hello\n"


def test_output_of_every_kind_is_captured_in_order(driver: Driver) -> None:
    runner = driver.give("say_everywhere")
    assert driver.outcome(runner).result == "success"
    lines = driver.output(runner).decode().splitlines()
    assert lines == ["from print", "from stderr", "from write", "from sh", "from sh stderr"]


def test_one_runner_serves_many_tasks_and_their_output_starts_anew(driver: Driver) -> None:
    runner = driver.give("say", text="first, and longer")
    driver.outcome(runner)
    driver.host.reset_output(runner)
    driver.give("say", runner, dispatch_no=2, text="second")
    outcome = driver.outcome(runner)
    assert outcome.dispatch_no == 2
    assert driver.output(runner) == b"second\n"
    assert outcome.log_size == len(b"second\n")


def test_a_runner_is_set_back_after_a_task_that_changed_its_process(driver: Driver, tmp_path: Path) -> None:
    runner = driver.give("facts")
    before = driver.outcome(runner).rendered_fields
    driver.give("disturb", runner, folder=str(tmp_path))
    assert driver.outcome(runner).leftover == ()
    driver.host.reset_output(runner)
    time.sleep(0.3)  # a timer that was not stopped would end the runner now
    driver.give("facts", runner)
    after = driver.outcome(runner).rendered_fields
    assert before == after
    driver.give("say_everywhere", runner)
    driver.outcome(runner)
    assert driver.output(runner).startswith(b"from print\nfrom stderr\nfrom write\n")


def test_a_runner_holds_no_credentials_and_no_descriptors_of_others(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGDECK__DATABASE__URL", "mysql+pymysql://u:secret@db/x")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@redis:6379/0")
    monkeypatch.setenv("API_URL", "https://example.org/")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    host = make_host(kind)
    try:
        driver = Driver(host)
        first, second = driver.give("facts"), driver.give("facts")
        for runner in (first, second):
            facts = (driver.outcome(runner).rendered_fields or {})["value"]
            assert "secret" not in str(facts["environment"])
            assert facts["environment"]["API_URL"] == "https://example.org/"
            assert facts["stdin"] == ""
            assert facts["session_leader"]
            pipes = [name for name in facts["files"] if name.startswith("pipe:")]
            assert len(pipes) == 2
            assert not [name for name in facts["files"] if name.startswith("socket:")]
    finally:
        host.close()
        os.close(reader)
        os.close(writer)


def test_a_request_waits_for_its_reply_even_when_it_is_large(driver: Driver) -> None:
    large = "x" * 3_000_000
    runner = driver.give("ask", method="variable_set", arguments={"key": "k", "value": large})
    request: Request = driver.message(runner, Request)
    assert (request.method, request.arguments["value"]) == ("variable_set", large)
    driver.host.send(runner, to_runner_codec.encode(Reply(request.number, large)))
    assert (driver.outcome(runner).rendered_fields or {})["value"] == large


def test_frames_sent_to_a_runner_that_does_not_read_wait_without_blocking(driver: Driver) -> None:
    runner = driver.give("sleep", seconds=1)
    begun = time.monotonic()
    driver.give("say", runner, dispatch_no=2, text="x" * 5_000_000)
    assert time.monotonic() - begun < 0.5
    assert driver.outcome(runner).dispatch_no == 1
    assert driver.outcome(runner).dispatch_no == 2


def test_what_was_sent_ahead_is_done_in_order_or_taken_back(driver: Driver, kind: str) -> None:
    runner = driver.give("say", text="first")
    driver.outcome(runner)
    driver.host.reset_output(runner)
    driver.give("sleep", runner, dispatch_no=2, seconds=0.5)
    frames = [to_runner_codec.encode(run_task("say", number, text=f"no {number}")) for number in (3, 4, 5)]
    sent = [driver.host.send_ahead(runner, frame) for frame in frames]
    assert sent == [kind == "linux"] * 3
    if kind == "portable":
        assert driver.host.take_back(runner, 3) == 0
        return
    assert driver.outcome(runner).dispatch_no == 2
    assert [driver.outcome(runner).dispatch_no for _ in frames] == [3, 4, 5]
    assert driver.output(runner) == b"no 3\nno 4\nno 5\n"
    driver.host.reset_output(runner, goes_on=True)
    driver.give("sleep", runner, dispatch_no=6, seconds=0.5)
    time.sleep(0.1)
    assert all(driver.host.send_ahead(runner, frame) for frame in frames)
    assert driver.host.take_back(runner, 3) == 3
    assert driver.host.take_back(runner, 3) == 0
    assert driver.outcome(runner).dispatch_no == 6
    driver.give("say", runner, dispatch_no=7, text="last")
    assert driver.outcome(runner).dispatch_no == 7
    assert driver.output(runner) == b"last\n"


def test_taking_back_leaves_the_task_that_a_starved_runner_has_not_taken_yet(driver: Driver, kind: str) -> None:
    if kind == "portable":
        return  # nothing is sent ahead there
    runner = driver.give("say", text="first")
    driver.outcome(runner)
    assert isinstance(driver.host, LinuxHost)
    [process] = psutil.Process(driver.host.keeper_pid).children()
    process.suspend()
    driver.host.reset_output(runner)
    driver.give("say", runner, dispatch_no=2, text="second")
    frames = [to_runner_codec.encode(run_task("say", number, text=f"no {number}")) for number in (3, 4, 5)]
    assert all(driver.host.send_ahead(runner, frame) for frame in frames)
    assert driver.host.take_back(runner, 3) == 3
    assert driver.host.send_ahead(runner, frames[0])
    process.resume()
    assert [driver.outcome(runner).dispatch_no for _ in range(2)] == [2, 3]
    assert driver.output(runner) == b"second\nno 3\n"


def test_what_is_too_large_is_not_sent_ahead(driver: Driver) -> None:
    runner = driver.give("sleep", seconds=0.2)
    assert not driver.host.send_ahead(runner, to_runner_codec.encode(run_task("say", 2, text="x" * 5000)))
    assert not driver.host.send_ahead(999, b"")
    assert driver.outcome(runner).dispatch_no == 1


def test_wake_ends_a_poll(driver: Driver) -> None:
    driver.host.wake()
    begun = time.monotonic()
    driver.host.poll(10)
    assert time.monotonic() - begun < 5


def test_an_idle_runner_ends_when_asked(driver: Driver) -> None:
    runner = driver.give("say", text="x")
    driver.outcome(runner)
    driver.host.send(runner, to_runner_codec.encode(Shutdown()))
    ended = driver.end(runner)
    assert (ended.cause, ended.exit_code) == (EndCause.ITSELF, 0)
    driver.host.release(runner)
    driver.host.send(runner, b"to nobody")
    assert driver.output(runner) == b""


def test_a_hundred_megabytes_of_output_are_readable_in_pieces_and_can_be_given_up(driver: Driver) -> None:
    line = "0123456789" * 1000
    runner = driver.give("say", text=line, times=10_000)
    outcome = driver.outcome(runner)
    size = driver.host.output_size(runner)
    assert outcome.log_size == size == 10_000 * 10_001
    driver.host.discard_output(runner, size - 20_000)
    assert driver.host.output_size(runner) == size
    assert driver.host.read_output(runner, size - 10_001, 20_000) == line.encode() + b"\n"


def test_usage_counts_the_whole_tree(driver: Driver, tmp_path: Path) -> None:
    runner = driver.give("family", pids=str(tmp_path / "pids"))
    driver.message(runner, Started)
    driver.family(tmp_path / "pids", 3)
    used = driver.host.usage([runner, 999])[runner]
    assert used.processes >= 3
    assert used.resident > 1_000_000
    assert 999 not in driver.host.usage([999])


# ---------------------------------------------------------------- tasks that do not


@pytest.mark.parametrize(("code", "words"), [(3, "exited with code 3"), (0, "exited with code 0")])
def test_exit_in_a_task_ends_the_runner_and_keeps_the_output(driver: Driver, code: int, words: str) -> None:
    runner = driver.give("exit", code=code)
    ended = driver.end(runner)
    assert (ended.cause, ended.exit_code, ended.signal) == (EndCause.ITSELF, code, None)
    assert words in describe_end(ended)
    assert driver.output(runner) == b"before the end\n"


@pytest.mark.parametrize(("number", "words"), [(signal.SIGSEGV, "segmentation fault"), (signal.SIGKILL, "memory")])
def test_death_by_signal_is_reported_with_its_number(driver: Driver, number: int, words: str) -> None:
    ended = driver.end(driver.give("signal_self", number=int(number)))
    assert (ended.cause, ended.signal) == (EndCause.ITSELF, number)
    assert words in describe_end(ended)


def test_what_escapes_from_the_executor_fails_the_task_only(driver: Driver) -> None:
    runner = driver.give("system_exit")
    outcome = driver.outcome(runner)
    assert outcome.result == "failed"
    assert outcome.error is not None
    assert outcome.error.kind == "SystemExit"
    driver.give("say", runner, text="still here")
    assert driver.outcome(runner).result == "success"


def test_terminate_lets_a_task_clean_up(driver: Driver) -> None:
    runner = driver.give("polite")
    driver.await_output(runner, b"listening")
    driver.host.terminate(runner, grace=20)
    outcome = driver.outcome(runner)
    assert outcome.error is not None
    assert outcome.error.message == "asked to stop"


def test_terminate_kills_a_task_that_ignores_sigterm_after_the_grace(driver: Driver) -> None:
    runner = driver.give("ignore_sigterm")
    driver.await_output(runner, b"deaf now")
    begun = time.monotonic()
    driver.host.terminate(runner, grace=0.5)
    ended = driver.end(runner)
    assert (ended.cause, ended.signal) == (EndCause.TERMINATED, signal.SIGKILL)
    assert 0.4 < time.monotonic() - begun < 5


def test_terminate_without_grace_shortens_an_earlier_one(driver: Driver) -> None:
    runner = driver.give("ignore_sigterm")
    driver.await_output(runner, b"deaf now")
    driver.host.terminate(runner, grace=60)
    driver.host.terminate(runner, grace=0)
    assert driver.end(runner, within=10).cause is EndCause.TERMINATED


def test_the_end_of_a_runner_means_the_end_of_its_whole_tree(driver: Driver, tmp_path: Path) -> None:
    runner = driver.give("family", pids=str(tmp_path / "pids"), children=2)
    family = driver.family(tmp_path / "pids", 6)
    assert len(alive(family)) == 6
    driver.host.terminate(runner, grace=0)
    driver.end(runner)
    assert alive(family) == []


def test_a_brood_of_fifty_children_and_their_children_dies(driver: Driver, tmp_path: Path) -> None:
    runner = driver.give("brood", pids=str(tmp_path / "pids"), count=50)
    brood = driver.family(tmp_path / "pids", 100)
    driver.host.terminate(runner, grace=0)
    driver.end(runner)
    assert alive(brood) == []


def test_other_runners_live_on_when_one_dies(driver: Driver, tmp_path: Path) -> None:
    survivor = driver.give("family", pids=str(tmp_path / "survivor"))
    family = driver.family(tmp_path / "survivor", 3)
    victim = driver.give("family", pids=str(tmp_path / "victim"))
    driver.family(tmp_path / "victim", 3)
    driver.host.terminate(victim, grace=0)
    driver.end(victim)
    assert len(alive(family)) == 3
    driver.host.terminate(survivor, grace=0)
    driver.end(survivor)
    assert alive(family) == []


def test_leftover_children_are_named_and_die_with_the_runner(driver: Driver, tmp_path: Path) -> None:
    runner = driver.give("family", pids=str(tmp_path / "pids"), stay=False)
    outcome = driver.outcome(runner)
    assert outcome.result == "success"
    assert "child process" in outcome.leftover[0]
    assert b"left behind" in driver.output(runner)
    driver.host.terminate(runner, grace=0)
    driver.end(runner)
    assert alive(driver.family(tmp_path / "pids", 3)) == []


def test_leftover_threads_and_files_are_named(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1")
    outcome = driver.outcome(driver.give("leave_thread"))
    assert outcome.leftover == ("1 thread(s): lingerer",)
    outcome = driver.outcome(driver.give("leave_file", path=str(tmp_path / "data.csv")))
    assert outcome.leftover[0].endswith("data.csv")


def test_a_forked_child_that_returns_from_the_task_is_not_the_runner(driver: Driver) -> None:
    runner = driver.give("fork_and_return")
    outcome = driver.outcome(runner)
    assert (outcome.rendered_fields or {})["value"] > 0
    assert outcome.leftover == ()
    driver.give("say", runner, dispatch_no=2, text="x")
    assert driver.outcome(runner).dispatch_no == 2


def test_a_runner_that_sends_no_frames_is_ended(driver: Driver) -> None:
    runner = driver.give("garbage")
    assert driver.end(runner).cause is EndCause.BROKEN


# ---------------------------------------------------------------- deadlines and deaths of owners


def test_the_deadline_ends_every_runner_and_holds_back_new_ones(driver: Driver, tmp_path: Path) -> None:
    runner = driver.give("family", pids=str(tmp_path / "pids"))
    family = driver.family(tmp_path / "pids", 3)
    driver.host.set_deadline(driver.host.boot_clock() + 0.3)
    assert driver.end(runner).cause is EndCause.DEADLINE
    assert alive(family) == []
    driver.until(lambda event: isinstance(event, DeadlinePassed))
    late = driver.give("say", text="late")
    assert not [event for event in driver.host.poll(0.3) if isinstance(event, RunnerMessage)]
    driver.host.set_deadline(driver.host.boot_clock() + 60)
    assert driver.outcome(late).result == "success"


def test_a_renewed_deadline_does_not_fire(driver: Driver) -> None:
    runner = driver.give("sleep", seconds=1)
    for _ in range(8):
        driver.host.set_deadline(driver.host.boot_clock() + 0.5)
        driver.events += driver.host.poll(0.1)
    driver.host.set_deadline(driver.host.boot_clock() + 60)
    assert driver.outcome(runner).result == "success"


class Owner:
    """A process of its own that owns a host with one runner and a family of three below it."""

    def __init__(self, kind: str, pids: Path, deadline: str = "") -> None:
        command = [sys.executable, "-m", "tests.contract.process_host_owner", kind, str(pids)]
        self.process = subprocess.Popen(
            [*command, deadline] if deadline else command, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lines = self.process.stdout
        self.helper = int(self.lines.readline().split()[1])
        self.family = pids_in(pids, 3)

    def tree(self) -> list[int]:
        """All pids that must die when the owner does."""
        below = [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        return sorted({self.helper, *below, *self.family})


@pytest.fixture
def owner_of(kind: str, tmp_path: Path) -> Iterator[Callable[..., Owner]]:
    """Starts owners and removes them again."""
    owners: list[Owner] = []

    def start(deadline: str = "") -> Owner:
        owners.append(Owner(kind, tmp_path / f"pids{len(owners)}", deadline))
        return owners[-1]

    yield start
    for owner in owners:
        owner.process.send_signal(signal.SIGCONT)
        owner.process.kill()
        owner.process.wait()
        owner.lines.close()


def test_every_tree_dies_within_a_second_when_the_owner_is_killed(owner_of: Callable[..., Owner]) -> None:
    owner = owner_of()
    tree = owner.tree()
    assert len(alive(tree)) >= 5
    owner.process.kill()
    owner.process.wait()
    assert_gone(tree, within=1)


def test_the_deadline_holds_while_the_owner_stands_still(owner_of: Callable[..., Owner]) -> None:
    owner = owner_of(deadline="2")
    owner.process.send_signal(signal.SIGSTOP)
    assert_gone(owner.family, within=6)
    owner.process.send_signal(signal.SIGCONT)
    seen = ""
    while "RunnerEnded" not in seen or "DeadlinePassed" not in seen:
        line = owner.lines.readline()
        assert line, seen
        seen += line
    assert "EndCause.DEADLINE" in seen


def test_the_death_of_the_helper_ends_every_tree_and_is_reported(owner_of: Callable[..., Owner]) -> None:
    owner = owner_of()
    os.kill(owner.helper, signal.SIGKILL)
    assert_gone(owner.family, within=5)
    ended, lost = owner.lines.readline(), owner.lines.readline()
    assert "EndCause.HOST_LOST" in ended
    assert "HostLost" in lost
    assert str(-signal.SIGKILL) in lost


def test_the_terminals_interrupt_reaches_neither_helper_nor_runner(driver: Driver) -> None:
    driver.outcome(driver.give("say", text="up"))
    helper = [child for child in psutil.Process().children() if "dagdeck_worker" in " ".join(child.cmdline())]
    assert helper
    for child in helper:
        assert os.getpgid(child.pid) != os.getpgid(0)
        if "keeper" in " ".join(child.cmdline()) or "watchdog" in " ".join(child.cmdline()):
            child.send_signal(signal.SIGINT)
            child.send_signal(signal.SIGTERM)
    runner = driver.give("say", text="alive")
    assert driver.outcome(runner).result == "success"
    assert not any(isinstance(event, HostLost) for event in driver.events)
