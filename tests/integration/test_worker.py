"""The worker's main loop and threads, with real runner processes, over in-memory twins of database and queue.

Decides what a worker must do with work, faults and endings. The tasks are the programs of
tests/contract/process_host_tasks.py.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.lifeline import UNWATCHED
from dagdeck_core.ports import CHANGES, LOGS, REPORTS, SAMPLES, revocation_topic
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Changed, Hint, LogTail, QueueMessage, Report, Revoked, WorkerSample
from dagdeck_io.broker.memory import MemoryBroker, MemoryQueues
from dagdeck_io.bundles.signing import SigningKey, fingerprint
from dagdeck_io.bundles.trust import BundleTrust
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_worker.assembly import Adapters, AssembledWorker, Options
from dagdeck_worker.hosts.linux import LinuxHost
from dagdeck_worker.incarnation import Identity
from dagdeck_worker.worker import ExitCode
from tests.contract.process_host_tasks import PROGRAMS
from tests.integration.worker_twins import MemoryDatabase, MemoryStore, Row, dag_of

ROOT = str(Path(__file__).resolve().parents[2])
ENTRY = "tests.contract.process_host_tasks:execute"
QUEUE = "default"
WAIT = 20.0
_S = TaskInstanceState


class FaultyBroker(MemoryBroker):
    """The queue's twin, which can be down."""

    down = threading.Event()

    def _check(self) -> None:
        if self.down.is_set():
            raise EnvironmentFault("the queue is down")

    def take(self, *arguments: Any, **options: Any) -> Any:
        """See Broker."""
        self._check()
        return super().take(*arguments, **options)

    def append(self, *arguments: Any) -> None:
        """See Broker."""
        self._check()
        super().append(*arguments)

    def ping(self) -> None:
        """See Broker."""
        self._check()

    def read(self, *arguments: Any, **options: Any) -> Any:
        """See Broker."""
        self._check()
        return super().read(*arguments, **options)


class Bench:
    """A worker in a thread, its twins, and the scheduler's end of the queue."""

    def __init__(self, folder: Path, **options: Any) -> None:
        specs = [options.pop("spec")] if "spec" in options else []
        known = {spec.task_id for spec in specs}
        tasks = [*specs, *(TaskSpec(task_id=name, task_type="Program") for name in PROGRAMS if name not in known)]
        self.database = MemoryDatabase(spec=dag_of(*tasks))
        self.queues = MemoryQueues()
        self.master = MemoryBroker(self.queues)
        self.host = LinuxHost(entry=ENTRY, sole_parent=False)
        slots = options.pop("slots", 2)
        identity = Identity(name="w", hostname="h", slots=slots, queues=(QUEUE,), version="1", pid=os.getpid())
        self.positions = {topic: self.master.last_position(topic) for topic in (REPORTS, CHANGES, LOGS, SAMPLES)}
        self.broken_disk = options.pop("broken_disk", False)
        cache = BundleCache(Path("/proc/nowhere") if self.broken_disk else folder / "bundles", max_bytes=10**8)
        lifeline = options.pop("lifeline", UNWATCHED)
        self.assembled = AssembledWorker(
            Adapters(
                host=self.host,
                commits=self._store(),
                lease=self._store(),
                preparation=self._store(),
                bundles=self._store(),
                queries=self._store(),
                hints=FaultyBroker(self.queues),
                revocations=FaultyBroker(self.queues),
                reports=FaultyBroker(self.queues),
                publishing=FaultyBroker(self.queues),
                cache=cache,
                trust=options.pop("trust", None),
            ),
            Options(identity=identity, **{"term_grace": 0.5, "metrics_interval": 0.2, **options}),
            self._store().register(name="w", hostname="h", slots=slots, queues=(QUEUE,), version="1", pid=1),
            lifeline,
        )
        self.code: ExitCode | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _store(self) -> MemoryStore:
        return MemoryStore(self.database)

    def _run(self) -> None:
        self.code = self.assembled.run()

    def offer(self, *pairs: tuple[int, int]) -> None:
        """Send one hint."""
        self.master.offer(QUEUE, [Hint(tuple(pairs))])

    def start(self, task_id: str, **conf: Any) -> Row:
        """Queue one task and hint at it; its row."""
        max_tries = conf.pop("max_tries", 0)
        pair = self.database.add(task_id, max_tries=max_tries, **conf)
        self.offer(pair)
        return self.database.rows[pair[0]]

    def await_state(self, row: Row, *states: TaskInstanceState, within: float = WAIT) -> None:
        """Wait until the row has one of `states`."""
        self.until(lambda: row.state in states, f"{row.task_id} {row.state}, wanted {states}", within)

    def until(self, condition: Callable[[], object], what: str = "condition", within: float = WAIT) -> None:
        """Wait for `condition`."""
        give_up = time.monotonic() + within
        while not condition():
            assert time.monotonic() < give_up, f"not within {within} s: {what}; {self.database.logs}"
            time.sleep(0.01)

    def await_log(self, row: Row, text: str) -> None:
        """Wait until the stored log of the row holds `text`."""
        self.until(lambda: text in self.database.log_text(row.ti_id), f"log with {text!r}")

    def heard(self, topic: str) -> list[QueueMessage]:
        """What the worker has appended to `topic` so far."""
        messages, _ = self.master.read({topic: self.positions[topic]}, limit=10_000, timeout=0)
        return messages

    def stop(self) -> ExitCode | None:
        """Stop the worker as a first signal does, and wait for its end."""
        self.assembled.worker.request_stop()
        return self.join()

    def join(self) -> ExitCode | None:
        """Wait for the end; the exit code."""
        self.thread.join(WAIT)
        assert not self.thread.is_alive()
        return self.code

    def close(self) -> None:
        """End everything, however the test went."""
        FaultyBroker.down.clear()
        self.database.down = False
        for _ in range(2):
            self.assembled.worker.request_stop()
        self.thread.join(WAIT)
        self.host.close()


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    """Starts workers and ends them."""
    monkeypatch.setenv("PYTHONPATH", ROOT)
    benches: list[Bench] = []

    def make(**options: Any) -> Bench:
        benches.append(Bench(tmp_path / str(len(benches)), **options))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


# ---------------------------------------------------------------- work


def test_a_task_runs_and_everybody_hears_of_it(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("say", text="hello")
    bench.await_state(row, _S.SUCCESS)
    assert row.finish is not None
    assert row.finish.duration >= 0
    assert row.finish.pid
    assert bench.database.log_text(row.ti_id) == "hello\n"
    bench.until(lambda: len(bench.heard(REPORTS)) >= 2, "two reports")
    reports = [each for each in bench.heard(REPORTS) if isinstance(each, Report)]
    # The report of the claim leaves in the background, so it may come after that of the end.
    (claimed,) = [report for report in reports if report.claimed]
    (finished,) = [report for report in reports if report.finished]
    assert claimed.claimed == ((row.run_key, row.ti_id, row.dispatch_no),)
    assert [(each.ti_id, each.state) for each in finished.finished] == [(row.ti_id, _S.SUCCESS)]
    assert finished.free_slots == 2
    bench.until(lambda: len(bench.heard(CHANGES)) >= 2, "two changes")
    changes = [item for each in bench.heard(CHANGES) if isinstance(each, Changed) for item in each.items]
    assert changes == [(row.run_key, row.ti_id, "running"), (row.run_key, row.ti_id, "success")]
    assert bench.stop() is ExitCode.STOPPED
    assert bench.database.workers == {1: "stopped"}


def test_hundreds_of_tasks_each_run_once(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=4)
    pairs = [bench.database.add("say", text=str(number)) for number in range(400)]
    for start in range(0, 400, 16):
        bench.offer(*pairs[start : start + 16])
    rows = bench.database.rows.values()
    bench.until(lambda: all(row.state is _S.SUCCESS for row in rows), "all succeed", within=40)
    assert {row.claims for row in rows} == {1}
    assert [bench.database.log_text(ti_id) for ti_id, _ in pairs] == [f"{number}\n" for number in range(400)]
    assert bench.master.depth(QUEUE) == 0


def test_no_more_than_the_slots_run_and_the_rest_of_a_hint_goes_back(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=2)
    pairs = [bench.database.add("sleep", seconds=0.6) for _ in range(5)]
    bench.offer(*pairs)
    rows = bench.database.rows
    bench.until(lambda: sum(row.state is _S.RUNNING for row in rows.values()) == 2, "two run")
    time.sleep(0.2)
    assert sum(row.state is _S.RUNNING for row in rows.values()) == 2
    assert bench.master.depth(QUEUE) == 1
    bench.until(lambda: all(row.state is _S.SUCCESS for row in rows.values()), "all succeed")


def test_tasks_known_to_be_short_are_claimed_ahead(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=2)
    bench.await_state(bench.start("say", text="x"), _S.SUCCESS)
    pairs = [bench.database.add("say", text="x") for _ in range(60)]
    for start in range(0, 60, 15):
        bench.offer(*pairs[start : start + 15])
    bench.until(lambda: all(row.state is _S.SUCCESS for row in bench.database.rows.values()), "all succeed")
    assert max(claims for _, claims in bench.database.transactions) > 2


def test_a_repeated_hint_starts_nothing_twice(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=2)
    row = bench.start("sleep", seconds=1)
    bench.await_state(row, _S.RUNNING)
    for _ in range(3):
        bench.offer((row.ti_id, row.dispatch_no))
    bench.await_state(row, _S.SUCCESS)
    bench.offer((row.ti_id, row.dispatch_no))
    other = bench.start("say", text="slots are free again")
    bench.await_state(other, _S.SUCCESS)
    started = [each for each in bench.heard(LOGS) if isinstance(each, LogTail) and each.ti_id == row.ti_id]
    assert len(started) <= 1
    assert row.claims == 1


@pytest.mark.parametrize(("max_tries", "state"), [(0, _S.FAILED), (1, _S.UP_FOR_RETRY)])
def test_a_failure_is_told_from_a_retry(make_bench: Callable[..., Bench], max_tries: int, state: _S) -> None:
    bench = make_bench()
    row = bench.start("ask", max_tries=max_tries, method="variable_get", arguments={"key": "none"})
    bench.await_state(row, state)
    assert row.finish is not None
    assert row.finish.error == "NotFound: there is no Variable 'none'"
    assert (row.finish.next_at is None) == (state is _S.FAILED)


def test_requests_reach_the_database_and_come_back(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.await_state(bench.start("ask", method="variable_set", arguments={"key": "k", "value": "v"}), _S.SUCCESS)
    row = bench.start("ask", method="variable_get", arguments={"key": "k"})
    bench.await_state(row, _S.SUCCESS)
    assert row.finish is not None
    assert row.finish.rendered_fields == {"value": "v"}
    bad = bench.start("ask", method="drop_tables", arguments={})
    bench.await_state(bad, _S.FAILED)


def test_xcoms_are_committed_with_the_end_and_bounded(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(xcom_bytes=10)
    row = bench.start("ask", method="xcom_set", arguments={"key": "return_value", "value": "[1,2]"})
    bench.await_state(row, _S.SUCCESS)
    assert row.finish is not None
    assert [(each.key, each.value) for each in row.finish.xcoms] == [("return_value", "[1,2]")]
    large = bench.start("ask", method="xcom_set", arguments={"key": "return_value", "value": "x" * 11})
    bench.await_state(large, _S.FAILED)
    assert large.finish is not None
    assert "xcom.max_bytes" in (large.finish.error or "")


def test_a_task_with_a_process_of_its_own_leaves_no_runner(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(spec=TaskSpec(task_id="facts", task_type="Program", own_process=True), slots=1)
    first, second = bench.start("facts"), bench.start("facts")
    bench.await_state(first, _S.SUCCESS)
    bench.await_state(second, _S.SUCCESS)
    assert first.finish is not None
    assert second.finish is not None
    assert first.finish.pid != second.finish.pid


def test_a_runner_is_replaced_after_its_number_of_tasks(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=1, recycle_after_tasks=2, recycle_age=0.0)
    pids = []
    for _ in range(4):
        row = bench.start("say", text="x")
        bench.await_state(row, _S.SUCCESS)
        assert row.finish is not None
        pids.append(row.finish.pid)
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_samples_are_sent(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("sleep")
    bench.await_state(row, _S.RUNNING)

    def measured() -> bool:
        samples = [each for each in bench.heard(SAMPLES) if isinstance(each, WorkerSample)]
        return any(each.running == 1 and each.tasks and each.tasks[0][0] == row.ti_id for each in samples)

    bench.until(measured, "a sample with the running task")
    sample = bench.heard(SAMPLES)[-1]
    assert isinstance(sample, WorkerSample)
    assert sample.slots == 2
    assert 0 <= sample.cpu <= 1
    assert 0 < sample.memory_used < sample.memory_total


# ---------------------------------------------------------------- logs


def test_output_is_stored_while_the_task_runs(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(log_ship_interval=0.1)
    row = bench.start("ignore_sigterm")
    bench.await_log(row, "deaf now\n")
    assert row.state is _S.RUNNING
    bench.until(lambda: bench.heard(LOGS), "a piece for those who watch")


def test_of_too_much_output_head_and_tail_stay_with_a_notice_between(make_bench: Callable[..., Bench]) -> None:
    limit = 1_000_000
    bench = make_bench(log_bytes=limit, log_ship_interval=0.05)
    row = bench.start("say", text="0123456789" * 100, times=20_000)
    bench.await_state(row, _S.SUCCESS)
    text = bench.database.log_text(row.ti_id)
    assert len(text) < limit + 1000
    assert text.startswith("0123456789")
    assert text.endswith("0123456789\n")
    assert "bytes of output are left out here" in text


def test_secrets_are_masked_in_prints(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("secretive", secret="hunter2")
    bench.await_state(row, _S.SUCCESS)
    assert bench.database.log_text(row.ti_id) == "the password is ***.\n"


# ---------------------------------------------------------------- bad tasks


def test_the_death_of_a_runner_is_the_tasks_own_failure_and_keeps_its_output(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    exited, killed = bench.start("exit", code=3), bench.start("signal_self", number=int(signal.SIGKILL))
    bench.await_state(exited, _S.FAILED)
    bench.await_state(killed, _S.FAILED)
    assert exited.finish is not None
    assert killed.finish is not None
    assert "exited with code 3" in (exited.finish.error or "")
    assert "signal 9" in (killed.finish.error or "")
    log = bench.database.log_text(exited.ti_id)
    assert log.startswith("before the end\n")
    assert "exited with code 3" in log
    bench.await_state(bench.start("say", text="x"), _S.SUCCESS)


def test_what_a_task_leaves_behind_is_dead_before_its_end_is_told(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench()
    row = bench.start("family", pids=str(tmp_path / "pids"), stay=False)
    bench.await_state(row, _S.SUCCESS)
    for pid in (tmp_path / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()
    assert "left behind" in bench.database.log_text(row.ti_id)


def test_a_task_that_ignores_its_timeout_is_ended(make_bench: Callable[..., Bench]) -> None:
    spec = TaskSpec(task_id="ignore_sigterm", task_type="Program", execution_timeout=0.3)
    bench = make_bench(spec=spec)
    row = bench.start("ignore_sigterm")
    bench.await_state(row, _S.FAILED)
    assert row.finish is not None
    assert "execution_timeout" in (row.finish.error or "")
    assert "execution_timeout" in bench.database.log_text(row.ti_id)


def test_a_result_that_the_database_refuses_becomes_a_failure(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.database.refuse_xcoms = True
    row = bench.start("ask", method="xcom_set", arguments={"key": "k", "value": "1"})
    good = bench.start("say", text="x")
    bench.await_state(row, _S.FAILED)
    assert row.finish is not None
    assert "could not be stored" in (row.finish.error or "")
    bench.await_state(good, _S.SUCCESS)


def test_a_task_that_its_dag_version_lacks_fails(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("no_such_task")
    bench.await_state(row, _S.FAILED)
    assert "has no task 'no_such_task'" in bench.database.log_text(row.ti_id)


# ---------------------------------------------------------------- revocations


@pytest.mark.parametrize("by_queue", [True, False])
def test_a_revoked_task_is_ended_although_it_ignores_sigterm(make_bench: Callable[..., Bench], by_queue: bool) -> None:
    bench = make_bench(log_ship_interval=0.05, lease_timeout=20 if by_queue else 2)
    row = bench.start("ignore_sigterm")
    bench.await_log(row, "deaf now")
    row.revoke_to = _S.NONE
    if by_queue:
        bench.master.append(revocation_topic(1), [Revoked(((row.ti_id, row.dispatch_no),))])
    bench.await_state(row, _S.NONE)
    assert row.finish is not None
    assert row.finish.revoked


def test_a_revoked_task_may_clean_up(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(log_ship_interval=0.05, lease_timeout=2, term_grace=15)
    row = bench.start("polite")
    bench.await_log(row, "listening")
    row.revoke_to = _S.SUCCESS
    bench.await_state(row, _S.SUCCESS, within=10)
    assert row.finish is not None
    assert row.finish.revoked
    assert row.finish.error == "InterruptedError: asked to stop"


# ---------------------------------------------------------------- faults


def test_results_wait_for_a_database_that_is_down(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("sleep", seconds=0.3)
    bench.await_state(row, _S.RUNNING)
    bench.database.down = True
    time.sleep(1.0)
    bench.database.down = False
    bench.await_state(row, _S.SUCCESS)
    bench.await_state(bench.start("say", text="x"), _S.SUCCESS)


def test_work_is_found_in_the_database_while_the_queue_is_down(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(poll_interval=0.05, poll_idle_interval=0.1)
    FaultyBroker.down.set()
    pairs = [bench.database.add("say", text="x") for _ in range(5)]
    bench.database.ready = list(pairs)
    bench.until(lambda: all(row.state is _S.SUCCESS for row in bench.database.rows.values()), "all succeed")
    FaultyBroker.down.clear()
    bench.await_state(bench.start("say", text="by a hint again"), _S.SUCCESS)


def test_a_lost_lease_ends_all_tasks_and_the_worker_registers_anew(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(lease_timeout=2)
    row, second = bench.start("sleep"), bench.start("sleep")
    bench.await_state(row, _S.RUNNING)
    bench.await_state(second, _S.RUNNING)
    bench.until(lambda: len(bench.assembled._execution.running()) == 2, "both have a runner")
    bench.database.workers[1] = "lost"
    bench.until(lambda: bench.database.workers.get(2) == "active", "a new registration")
    assert bench.host.usage([1, 2]) == {}
    assert row.finish is None
    after = bench.start("say", text="x")
    bench.await_state(after, _S.SUCCESS)
    assert after.worker_id == 2


def test_tasks_end_when_the_lease_cannot_be_renewed_and_go_back_afterwards(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(lease_timeout=2, log_ship_interval=0.05)
    row = bench.start("ignore_sigterm")
    bench.await_log(row, "deaf now")
    bench.database.down = True
    bench.until(lambda: not bench.host.usage(range(1, 9)), "everything is dead", within=3)
    assert row.state is _S.RUNNING
    bench.database.down = False
    bench.await_state(row, _S.UP_FOR_RESCHEDULE)
    assert "lease" in bench.database.log_text(row.ti_id)
    bench.await_state(bench.start("say", text="x"), _S.SUCCESS)


def test_a_task_goes_back_when_this_machines_disk_fails(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(broken_disk=True)
    row = bench.start("say", text="x")
    bench.await_state(row, _S.UP_FOR_RESCHEDULE)
    assert row.finish is not None
    assert row.finish.next_at is not None
    assert (row.finish.next_at - row.finish.end_date).total_seconds() > 20


def test_damaged_code_fails_the_task(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    manifest = bench.database.manifest()
    bench.database.manifest = lambda: manifest  # type: ignore[method-assign]
    bench.database.files = {"dag.py": b"# changed"}
    row = bench.start("say", text="x")
    bench.await_state(row, _S.FAILED)
    assert "manifest" in bench.database.log_text(row.ti_id)


def test_code_that_nobody_trusted_has_signed_goes_back_by_name(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    master, other = SigningKey.make(), SigningKey.make()
    bench = make_bench(trust=BundleTrust(tmp_path, [master.public_key]))
    bundle = ("main", bench.database.manifest().version)
    for signer, reason in ((None, "is not signed"), (other, fingerprint(other.public_key))):
        if signer is not None:
            bench.database.signatures = [signer.sign(*bundle)]
        row = bench.start("say", text="x")
        bench.await_state(row, _S.UP_FOR_RESCHEDULE)
        log = bench.database.log_text(row.ti_id)
        assert f"the bundle main {bundle[1][:16]}" in log
        assert reason in log
        assert "no try is used up" in log
    assert not list(tmp_path.glob("*/bundles/main/*")), "nothing was unpacked"
    bench.database.signatures.append(master.sign(*bundle))
    row = bench.start("say", text="signed")
    bench.await_state(row, _S.SUCCESS)


def test_a_file_that_is_no_part_of_the_signed_bundle_is_not_loaded(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.database.spec = msgspec.structs.replace(bench.database.spec, fileloc="../../planted.py")
    row = bench.start("say", text="x")
    bench.await_state(row, _S.UP_FOR_RESCHEDULE)
    assert "has no file '../../planted.py'" in bench.database.log_text(row.ti_id)


def test_the_death_of_the_keeper_ends_the_worker_and_no_task_is_blamed(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    done = bench.start("say", text="x")
    bench.await_state(done, _S.SUCCESS)
    row = bench.start("sleep")
    bench.await_state(row, _S.RUNNING)
    os.kill(bench.host.keeper_pid, signal.SIGKILL)
    assert bench.join() is ExitCode.HOST_LOST
    assert row.finish is None
    assert bench.database.workers == {1: "active"}


# ---------------------------------------------------------------- stopping


def test_stopping_lets_running_tasks_end_and_takes_nothing_new(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("sleep", seconds=1)
    bench.await_state(row, _S.RUNNING)
    bench.assembled.worker.request_stop()
    time.sleep(0.3)
    late = bench.start("say", text="x")
    assert bench.join() is ExitCode.STOPPED
    assert row.state is _S.SUCCESS
    assert late.state is _S.QUEUED
    assert bench.database.workers == {1: "stopped"}


def test_a_second_stop_ends_running_tasks_and_hands_them_back(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("ignore_sigterm")
    bench.await_state(row, _S.RUNNING)
    bench.assembled.worker.request_stop()
    time.sleep(0.2)
    assert bench.stop() is ExitCode.STOPPED
    assert row.state is _S.UP_FOR_RESCHEDULE
    assert "no try is used up" in bench.database.log_text(row.ti_id)


def test_the_drain_timeout_ends_what_runs_too_long(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(drain_timeout=0.3)
    row = bench.start("sleep")
    bench.await_state(row, _S.RUNNING)
    assert bench.stop() is ExitCode.STOPPED
    assert row.state is _S.UP_FOR_RESCHEDULE


def test_an_operator_drains_and_resumes(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(lease_timeout=2)
    bench.database.draining = True
    time.sleep(2.5)
    row = bench.start("say", text="x")
    time.sleep(0.5)
    assert row.state is _S.QUEUED
    bench.database.draining = False
    bench.await_state(row, _S.SUCCESS)
