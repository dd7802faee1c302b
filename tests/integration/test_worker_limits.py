"""A worker whose tasks have limits of memory and CPU, or name users, with real runner processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagdeck_core.limits import TaskLimits
from dagdeck_core.ports import ClaimedTask
from dagdeck_core.process_port import EndCause, RunnerEnded
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_worker.confinement import Confinement
from dagdeck_worker.deaths import verdict_on
from dagdeck_worker.dispatches import Dispatch
from dagdeck_worker.log_capture import LogCapture
from tests.integration.test_worker import ROOT, Bench

_S = TaskInstanceState


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


MB = 1024**2


def limited(task_id: str, **limits: Any) -> TaskSpec:
    """A task with limits of its own."""
    return TaskSpec(task_id=task_id, task_type="Program", own_process=True, limits=TaskLimits(**limits))


@pytest.mark.parametrize("in_child", [False, True])
def test_a_task_over_its_memory_limit_fails_with_all_its_processes_and_others_go_on(
    make_bench: Callable[..., Bench], in_child: bool
) -> None:
    bench = make_bench(spec=limited("grow", memory=200 * MB))
    other = bench.start("sleep", seconds=3)
    row = bench.start("grow", megabytes=400, in_child=in_child, max_tries=1)
    bench.await_state(row, _S.UP_FOR_RETRY)
    assert row.finish is not None
    assert row.finish.error is not None
    assert row.finish.error.startswith("LimitExceeded: it used ")
    assert "its limit is 200 MB, by 'memory_limit' of its executor_config" in row.finish.error
    assert "The task failed: it used" in bench.database.log_text(row.ti_id)
    bench.await_state(other, _S.SUCCESS)


def test_a_task_over_its_cpu_time_fails(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(spec=limited("burn", cpu_seconds=0.5))
    row = bench.start("burn")
    bench.await_state(row, _S.FAILED)
    assert row.finish is not None
    assert row.finish.error is not None
    assert "of CPU time and was ended: its limit is 0.5 s" in row.finish.error


def test_the_workers_limits_hold_for_tasks_that_name_none_and_each_starts_anew(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(slots=1, confinement=Confinement(limits=TaskLimits(memory=250 * MB, cpu_seconds=30.0)))
    row = bench.start("grow", megabytes=400)
    bench.await_state(row, _S.FAILED)
    assert row.finish is not None
    assert "worker.task_memory_limit" in str(row.finish.error)
    for _ in range(3):
        row = bench.start("say", text="within the limits")
        bench.await_state(row, _S.SUCCESS)


def test_without_control_groups_a_limit_of_cores_is_said_not_to_hold(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(spec=limited("say", cores=1.5))
    row = bench.start("say", text="x")
    bench.await_state(row, _S.SUCCESS)
    bench.await_log(row, "The limit of 1.5 CPU cores is not kept: worker.cgroup is off")


def test_nobody_watches_while_no_task_has_a_limit(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    row = bench.start("say", text="x")
    bench.await_state(row, _S.SUCCESS)
    assert "limits" not in {thread.name for thread in threading.enumerate()}


def test_a_user_that_cannot_be_had_fails_the_task_with_what_to_do(make_bench: Callable[..., Bench]) -> None:
    spec = TaskSpec(task_id="say", task_type="Program", own_process=True, run_as_user="no-such-user")
    bench = make_bench(spec=spec)
    row = bench.start("say", text="never")
    bench.await_state(row, _S.FAILED)
    assert row.finish is not None
    assert str(row.finish.error).startswith("RunAsUserError: run_as_user: there is no user 'no-such-user'")
    assert "make it here" in bench.database.log_text(row.ti_id)


@pytest.mark.parametrize(("user", "users"), [("root", ("*",)), ("0", ("*",)), ("bob", ("alice",))])
def test_tasks_run_only_as_users_that_the_worker_allows(
    make_bench: Callable[..., Bench], user: str, users: tuple[str, ...]
) -> None:
    spec = TaskSpec(task_id="say", task_type="Program", own_process=True, run_as_user=user)
    bench = make_bench(spec=spec, confinement=Confinement(users=users))
    row = bench.start("say", text="never")
    bench.await_state(row, _S.FAILED)
    assert row.finish is not None
    assert "run_as_user: this worker runs no tasks as this user" in str(row.finish.error)
    assert "worker.run_as_users" in str(row.finish.error)


@pytest.mark.parametrize(
    ("event", "goes_back", "words"),
    [
        (RunnerEnded(runner_id=1, cause=EndCause.NOT_STARTED), True, "no more processes"),
        (RunnerEnded(runner_id=1, cause=EndCause.NOT_STARTED, exit_code=72, reason="no group"), True, "no group"),
        (RunnerEnded(runner_id=1, cause=EndCause.REFUSED, exit_code=71, reason="no user"), False, "no user"),
        (RunnerEnded(runner_id=1, cause=EndCause.MEMORY, signal=9), False, "it used more memory than it may"),
        (RunnerEnded(runner_id=1, cause=EndCause.ITSELF, signal=9), False, "out of memory, or killed from outside"),
        (RunnerEnded(runner_id=1, cause=EndCause.DEADLINE, signal=9), True, "lease"),
    ],
)
def test_whose_fault_a_death_is(event: RunnerEnded, goes_back: bool, words: str) -> None:
    claimed = ClaimedTask(
        ti_id=1, run_key=1, dispatch_no=1, task_id="t", map_index=-1, try_number=1, max_tries=0, version_id=1
    )
    log = LogCapture(ti_id=1, dispatch_no=1, try_number=1, max_bytes=1000)
    dispatch = Dispatch(claimed=claimed, claimed_at=0.0, log=log, limits=TaskLimits(memory=100 * MB))
    verdict = verdict_on(dispatch, event, start_timeout=1.0)
    assert verdict is not None
    assert (verdict.goes_back, words in verdict.message) == (goes_back, True), verdict
