"""Runners with a setup: other users, control groups, what they use, and what is told where none of it can be had."""

from __future__ import annotations

import grp
import os
import pwd
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagdeck_core.process_port import EndCause, ProcessHost, RunnerSetup, RunnerUnlimited
from dagdeck_core.wire import Outcome, Started
from dagdeck_worker.cgroups import NoGroups, RunnerGroups
from dagdeck_worker.hosts.linux import LinuxHost
from dagdeck_worker.hosts.portable import PortableHost
from dagdeck_worker.runner_setup import SetupFailed, SetupRefused, take_on
from tests.contract.process_host_owner import ENTRY
from tests.contract.test_process_host import ROOT, Driver, assert_gone
from tests.support.open_python import open_folder, open_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="users and control groups are Linux's")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
USER = "nobody"
MB = 1024**2


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ProcessHost], Driver]]:
    """Drivers over hosts that are closed at the end; their runners find the tests' programs."""
    monkeypatch.setenv("PYTHONPATH", ROOT)
    drivers: list[Driver] = []

    def open_driver(host: ProcessHost) -> Driver:
        drivers.append(Driver(host))
        return drivers[-1]

    yield open_driver
    for driver in drivers:
        driver.host.close()


def linux(**options: object) -> LinuxHost:
    return LinuxHost(entry=ENTRY, sole_parent=False, **options)  # type: ignore[arg-type]


@pytest.fixture
def open_host(make: Callable[[ProcessHost], Driver], monkeypatch: pytest.MonkeyPatch) -> LinuxHost:
    """A host whose Python other users may run."""
    python, path = open_python()
    monkeypatch.setenv("PYTHONPATH", path)
    host = linux(python=(python, "-P"))
    make(host)
    return host


# ---------------------------------------------------------------- users


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder of USER's, in which it may write."""
    with open_folder() as folder:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(USER).pw_uid, -1)
        yield folder


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is started in somebody's session."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    monkeypatch.setenv("SUDO_USER", "somebody")


@as_root
def test_a_runner_of_another_user_has_that_ones_rights_and_surroundings(
    session: None, open_host: LinuxHost, work: Path
) -> None:
    driver = Driver(open_host)
    runner = driver.host.spawn(RunnerSetup(user=USER, readable=str(work)))
    driver.give("who", runner, folder=str(work))
    outcome = driver.outcome(runner)
    assert outcome.result == "success", outcome.error
    assert outcome.rendered_fields is not None
    found = outcome.rendered_fields["value"]
    entry = pwd.getpwnam(USER)
    assert found["ids"] == [entry.pw_uid] * 3 + [entry.pw_gid] * 3
    assert found["groups"] == sorted({entry.pw_gid, *(g.gr_gid for g in grp.getgrall() if USER in g.gr_mem)})
    shell = entry.pw_shell or "/bin/sh"
    assert found["environment"] == {"HOME": entry.pw_dir, "USER": USER, "LOGNAME": USER, "SHELL": shell}
    assert found["folder"] == (entry.pw_dir if os.path.isdir(entry.pw_dir) else "/")
    assert found["umask"] & 0o022 == 0o022
    assert found["dumpable"]
    assert not found["can_return"]
    assert {path.name: path.stat().st_uid for path in work.iterdir()} == {
        "made": entry.pw_uid,
        "by-child": entry.pw_uid,
    }
    assert driver.output(runner).startswith(f"from {USER}\n".encode())


@as_root
def test_a_tree_of_another_user_dies_with_its_host_as_any(open_host: LinuxHost, work: Path) -> None:
    driver = Driver(open_host)
    pids = work / "pids"
    runner = driver.give("family", driver.host.spawn(RunnerSetup(user=USER)), pids=str(pids))
    family = driver.family(pids)
    started = driver.message(runner, Started)
    assert driver.host.usage([runner])[runner].processes > 3
    assert driver.host.memory(runner) > 0
    driver.host.terminate(runner, grace=0)
    assert driver.end(runner).cause is EndCause.TERMINATED
    assert_gone([started.pid, *family], within=1)


@as_root
def test_a_runner_of_another_user_dies_with_the_keeper(open_host: LinuxHost) -> None:
    driver = Driver(open_host)
    runner = driver.give("sleep", driver.host.spawn(RunnerSetup(user=USER)))
    started = driver.message(runner, Started)
    os.kill(open_host.keeper_pid, 9)
    assert driver.end(runner).cause is EndCause.HOST_LOST
    assert_gone([started.pid], within=5)


@as_root
def test_what_keeps_a_runner_from_being_somebody_is_told(open_host: LinuxHost, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "bundles").mkdir(parents=True)
    closed.chmod(0o700)
    driver = Driver(open_host)
    for setup, words in (
        (RunnerSetup(user="no-such-user"), ["run_as_user", "'no-such-user'", "make it here"]),
        (RunnerSetup(user=USER, readable=str(closed / "bundles")), ["worker.bundle_cache", str(closed), USER]),
    ):
        runner = driver.give("say", driver.host.spawn(setup), text="never")
        ended = driver.end(runner)
        assert ended.cause is EndCause.REFUSED
        for word in words:
            assert word in ended.reason
    runner = driver.give("exit", driver.host.spawn(RunnerSetup(user=USER)), code=71)
    assert driver.end(runner).cause is EndCause.ITSELF, "a task that exits with this code is not a refused one"


def test_only_root_becomes_somebody_else(
    make: Callable[[ProcessHost], Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    python: tuple[str, ...] = (sys.executable, "-P")
    if os.geteuid() == 0:
        program, path = open_python()
        monkeypatch.setenv("PYTHONPATH", path)
        python = ("setpriv", f"--reuid={USER}", "--clear-groups", program, "-P")
    driver = make(linux(python=python))
    runner = driver.give("say", driver.host.spawn(RunnerSetup(user="daemon")), text="never")
    ended = driver.end(runner)
    assert ended.cause is EndCause.REFUSED
    assert "as root" in ended.reason
    assert "'daemon'" in ended.reason


def test_root_under_another_name_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    root = pwd.getpwuid(0)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: root)
    monkeypatch.setattr(os, "initgroups", lambda *_: pytest.fail("it began to change"))
    with pytest.raises(SetupRefused, match="another name of root"):
        take_on(RunnerSetup(user="toor"), None, os.getppid())


def test_a_portable_host_has_neither_users_nor_limits(make: Callable[[ProcessHost], Driver]) -> None:
    driver = make(PortableHost(entry=ENTRY))
    refused = driver.host.spawn(RunnerSetup(user=USER))
    assert "run_as_user" in driver.end(refused).reason
    runner = driver.host.spawn(RunnerSetup(memory=100 * MB))
    told = driver.until(lambda event: event if isinstance(event, RunnerUnlimited) else None)
    assert (told.runner_id, "control groups" in told.reason) == (runner, True)
    driver.give("say", runner, text="runs all the same")
    assert driver.outcome(runner).result == "success"


# ---------------------------------------------------------------- what is used


@pytest.mark.parametrize("kind", ["linux", "portable"])
@pytest.mark.parametrize("in_child", [False, True])
def test_memory_of_the_whole_tree_is_counted_once(
    make: Callable[[ProcessHost], Driver], kind: str, in_child: bool
) -> None:
    driver = make(linux() if kind == "linux" else PortableHost(entry=ENTRY))
    runner = driver.give("grow", megabytes=150, in_child=in_child)
    driver.message(runner, Started)
    give_up = time.monotonic() + 20
    while driver.host.memory(runner) < 150 * MB:
        assert time.monotonic() < give_up
        driver.events += driver.host.poll(0.05)
    exact, cheap = driver.host.memory(runner), driver.host.usage([runner])[runner].resident
    assert 150 * MB <= exact <= cheap < 400 * MB
    assert driver.host.memory(999) == 0


@pytest.mark.parametrize("kind", ["linux", "portable"])
def test_cpu_time_of_ended_children_is_counted(make: Callable[[ProcessHost], Driver], kind: str) -> None:
    driver = make(linux() if kind == "linux" else PortableHost(entry=ENTRY))
    runner = driver.give("burn", in_child=True)
    driver.message(runner, Started)
    before, give_up = 0.0, time.monotonic() + 30
    while before < 0.6:
        assert time.monotonic() < give_up
        driver.events += driver.host.poll(0.05)
        used = driver.host.usage([runner])[runner].cpu_seconds
        assert used >= before - 0.2, "what ended children have used is not forgotten"
        before = max(before, used)


# ---------------------------------------------------------------- control groups


@pytest.fixture
def root_group(tmp_path: Path) -> Path:
    """A folder that looks like a delegated control group; the kernel does nothing with it."""
    root = tmp_path / "group"
    root.mkdir()
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (root / "cgroup.procs").write_text("")
    (root / "cgroup.subtree_control").write_text("")
    return root


def runner_groups(root: Path) -> list[Path]:
    return sorted(root.glob("dagdeck-runner-*"))


def test_a_limited_runner_is_put_into_a_group_of_its_own(
    make: Callable[[ProcessHost], Driver], root_group: Path
) -> None:
    driver = make(linux(cgroup=str(root_group)))
    runner = driver.host.spawn(RunnerSetup(memory=300 * MB, cores=1.5))
    driver.give("say", runner, text="inside")
    assert driver.outcome(runner).result == "success"
    (group,) = runner_groups(root_group)
    told = {path.name: path.read_text() for path in group.iterdir()}
    assert told == {
        "memory.max": str(300 * MB),
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "cpu.max": "150000 100000",
        "cgroup.procs": "0",
    }
    assert (root_group / "cgroup.subtree_control").read_text() == "+cpu +memory"
    plain = driver.give("say", text="outside")
    assert driver.outcome(plain).result == "success"
    assert runner_groups(root_group) == [group]


def test_a_runner_that_the_kernel_killed_for_its_memory_is_told_apart(
    make: Callable[[ProcessHost], Driver], root_group: Path
) -> None:
    driver = make(linux(cgroup=str(root_group)))
    for events, cause in (("low 0\noom 2\noom_kill 1\n", EndCause.MEMORY), ("low 0\noom_kill 0\n", EndCause.ITSELF)):
        runner = driver.host.spawn(RunnerSetup(memory=100 * MB))
        driver.give("say", runner, text="it is there")
        driver.outcome(runner)
        (runner_groups(root_group)[-1] / "memory.events").write_text(events)
        driver.give("signal_self", runner, number=9)
        assert driver.end(runner).cause is cause


def test_a_group_that_cannot_be_entered_is_the_systems_failure_and_nobodys_fault(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match="cannot enter the control group"):
        take_on(RunnerSetup(cores=1.0), tmp_path / "gone", os.getppid())


def test_processes_move_aside_before_a_group_is_divided(root_group: Path) -> None:
    (root_group / "cgroup.procs").write_text("12\n34\n")
    RunnerGroups(str(root_group)).make("1", RunnerSetup(cores=0.5))
    assert (root_group / "dagdeck-daemons" / "cgroup.procs").read_text() == "34"
    (root_group / f"dagdeck-runner-{os.getpid()}-old").mkdir()
    RunnerGroups(str(root_group)).make("2", RunnerSetup(cores=0.5))
    assert not (root_group / f"dagdeck-runner-{os.getpid()}-old").exists(), "an empty group is removed"


def test_without_control_groups_a_runner_runs_and_it_is_said(
    make: Callable[[ProcessHost], Driver], tmp_path: Path, root_group: Path
) -> None:
    (root_group / "cgroup.controllers").write_text("cpu pids\n")
    for where, words in (("off", "off"), (str(tmp_path / "none"), "none"), (str(root_group), "no controller memory")):
        driver = make(linux(cgroup=where))
        runner = driver.host.spawn(RunnerSetup(cores=2.0))
        told = driver.until(lambda event: event if isinstance(event, RunnerUnlimited) else None)
        assert told.runner_id == runner
        assert words in told.reason
        driver.give("say", runner, text="x")
        outcome: Outcome = driver.outcome(runner)
        assert outcome.result == "success"


@pytest.mark.parametrize("mark", [b"1", b"0", None])
def test_the_workers_own_group_is_taken_only_when_it_was_delegated(
    root_group: Path, tmp_path: Path, mark: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text("1:name=systemd:/x\n0::/group\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {tmp_path} rw,nosuid - cgroup2 cgroup2 rw\n")

    def marks(path: object, name: str) -> bytes:
        if mark is None or name != "user.delegate":
            raise OSError("no such mark")
        return mark

    monkeypatch.setattr(os, "getxattr", marks)
    groups = RunnerGroups("auto", proc=proc)
    if mark == b"1":
        assert groups.make("1", RunnerSetup(cores=1.0)).parent == root_group
        return
    with pytest.raises(NoGroups, match="not delegated"):
        groups.make("1", RunnerSetup(cores=1.0))
    (proc / "cgroup").write_text("4:memory:/x\n")
    groups = RunnerGroups("auto", proc=proc)
    with pytest.raises(NoGroups, match="version 2"):
        groups.make("1", RunnerSetup(cores=1.0))
