"""The supervisor: starting, restarting, stopping and dying, with real processes.

A scenario runs a supervisor in a process of its own over small scripted children; each child writes what it
lives through into a journal file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SUPERVISOR = """
import sys, json, os, runpy, time
from dagdeckd.output import OutputRelay
from dagdeckd.restart_policy import RestartLimits
from dagdeckd.supervised import ChildSpec
from dagdeckd.supervisor import Supervisor

plan = json.loads(sys.argv[1])

def forked(argv):
    def run(options):
        sys.argv = [*argv, *options]
        runpy.run_path(argv[0], run_name="__main__")
        return 0
    return run if plan["form"] == "forked" else None

def prepare():
    if "nursery" in plan:
        exec(plan["nursery"])

supervisor = Supervisor(
    [ChildSpec(name=name, command=(sys.executable, *each["argv"]), stop_phase=each.get("phase", 0),
               one_shot=each.get("one_shot", False), run=forked(each["argv"]))
     for name, each in plan["children"].items()],
    settings=lambda: b"the settings",
    output=OutputRelay(2),
    limits=RestartLimits(crashes=plan.get("crashes", 10), window=60.0, max_delay=0.3),
    stop_timeout=plan.get("stop_timeout", 10.0),
    on_ready=lambda: print("all ready", flush=True),
    prepare=prepare,
    portable=plan["form"] == "portable",
)
sys.exit(supervisor.run())
"""

CHILD = """
import os, signal, sys, time
name, journal, behaviour = sys.argv[1:4]
fds = dict(option[2:].split("=") for option in sys.argv[4:])

def note(text):
    with open(journal, "a") as stream:
        stream.write(f"{name} {text} {os.getpid()}\\n")

def stopped(number, frame):
    note("stopped")
    sys.exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else stopped)
link = None
if "over-stdio" in fds:
    from dagdeckd.stdio_link import StdioLink
    link = StdioLink(fds["over-stdio"])
    settings = link.take_settings()
    note("at-gate")
    link.wait_at_gate()
else:
    with os.fdopen(int(fds["settings-fd"]), "rb") as stream:
        settings = stream.read()
    if "gate-fd" in fds:
        note("at-gate")
        assert os.read(int(fds["gate-fd"]), 1) == b"1"
if behaviour == "one-shot":
    time.sleep(0.2)
    note("prepared")
    sys.exit(0)
note("started")
if behaviour == "crashing":
    print("something went wrong", flush=True)
    sys.exit(1)
if behaviour == "misconfigured":
    sys.exit(2)
assert settings == b"the settings"
print("hello", name, flush=True)
def tell():
    os.write(1 if link else int(fds["ready-fd"]), link.mark if link else b".")

tell()
while True:
    time.sleep(60)
"""


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="nobody can adopt another one's children elsewhere")


class Scenario:
    """A running supervisor and the journal of its children."""

    def __init__(self, folder: Path, *, form: str) -> None:
        self.folder = folder
        self.form = form
        self.journal = folder / "journal"
        self.journal.touch()
        (folder / "child.py").write_text(textwrap.dedent(CHILD))
        (folder / "supervisor.py").write_text(textwrap.dedent(SUPERVISOR))
        self.process: subprocess.Popen[str] | None = None

    def child(self, name: str, behaviour: str = "well", **more: object) -> dict[str, object]:
        return {"argv": [str(self.folder / "child.py"), name, str(self.journal), behaviour], **more}

    def start(self, children: dict[str, dict[str, object]], **plan: object) -> subprocess.Popen[str]:
        plan |= {"children": children, "form": self.form}
        with open(self.folder / "stderr", "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(self.folder / "supervisor.py"), json.dumps(plan)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        return self.process

    def until_ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "all ready\n"

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines()

    def pids(self, what: str) -> list[int]:
        return [int(line.split()[2]) for line in self.lines() if line.startswith(what + " ")]

    def errors(self) -> str:
        return (self.folder / "stderr").read_text()

    def close(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(params=["executed", pytest.param("forked", marks=ON_LINUX), "portable"])
def scenario(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    made = Scenario(tmp_path, form=request.param)
    yield made
    made.close()


@pytest.fixture
def forking(tmp_path: Path) -> Iterator[Scenario]:
    made = Scenario(tmp_path, form="forked")
    yield made
    made.close()


def wait_until(holds: Callable[[], object], timeout: float = 10.0) -> None:
    until = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_get_settings_and_readiness_and_stop_in_phases(scenario: Scenario) -> None:
    process = scenario.start(
        {"late": scenario.child("late", phase=1), "early": scenario.child("early"), "soon": scenario.child("soon")}
    )
    scenario.until_ready()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    stops = [line.split()[0] for line in scenario.lines() if " stopped " in line]
    assert sorted(stops[:2]) == ["early", "soon"]
    assert stops[2:] == ["late"]
    assert "early         | hello early\n" in scenario.errors()


def test_children_wait_at_the_gate_until_the_preparation_has_ended(scenario: Scenario) -> None:
    scenario.start({"first": scenario.child("first", "one-shot", one_shot=True), "daemon": scenario.child("daemon")})
    scenario.until_ready()
    words = [line.split()[:2] for line in scenario.lines()]
    assert words.index(["first", "prepared"]) < words.index(["daemon", "started"])
    assert ["daemon", "at-gate"] in words


def test_a_failed_preparation_stops_everything(scenario: Scenario) -> None:
    process = scenario.start(
        {"first": scenario.child("first", "crashing", one_shot=True), "daemon": scenario.child("daemon")}
    )
    assert process.wait(10) == 1
    assert "daemon started" not in scenario.journal.read_text()
    assert "first ended with exit code 1; stopping everything" in scenario.errors()


def test_a_killed_child_is_started_again(scenario: Scenario) -> None:
    process = scenario.start({"daemon": scenario.child("daemon"), "other": scenario.child("other")})
    scenario.until_ready()
    os.kill(scenario.pids("daemon started")[0], signal.SIGKILL)
    wait_until(lambda: len(scenario.pids("daemon started")) == 2)
    assert len(scenario.pids("other started")) == 1
    assert "daemon was killed by SIGKILL (out of memory?); it is started again in 0.2 s" in scenario.errors()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_child_that_crashes_too_often_stops_everything(scenario: Scenario) -> None:
    process = scenario.start({"bad": scenario.child("bad", "crashing"), "good": scenario.child("good")}, crashes=3)
    assert process.wait(15) == 1
    assert len(scenario.pids("bad started")) == 4
    assert not any(is_alive(pid) for pid in scenario.pids("good started"))
    assert "supervisor.restart_limit" in scenario.errors()
    assert "bad           | something went wrong" in scenario.errors()


def test_wrong_settings_are_not_tried_again(scenario: Scenario) -> None:
    process = scenario.start({"bad": scenario.child("bad", "misconfigured"), "good": scenario.child("good")})
    assert process.wait(10) == 2
    assert len(scenario.pids("bad started")) == 1


def test_children_die_with_a_killed_supervisor(scenario: Scenario, tmp_path: Path) -> None:
    """Real sub-processes ask the kernel for this at their start; the scripted ones are told to here. Portable ones see
    their standard input end."""
    script = tmp_path / "child.py"
    if scenario.form != "portable":
        script.write_text(
            "import sys\nfrom dagdeckd.processes import die_with_supervisor\n"
            "die_with_supervisor(int(sys.argv[-1].split('=')[1]))\n" + script.read_text()
        )
    process = scenario.start({"a": scenario.child("a"), "b": scenario.child("b", "stubborn")})
    scenario.until_ready()
    process.kill()
    pids = scenario.pids("a started") + scenario.pids("b started")
    assert len(pids) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5)


def test_a_stubborn_child_is_killed_after_the_timeout(scenario: Scenario) -> None:
    process = scenario.start({"a": scenario.child("a", "stubborn"), "b": scenario.child("b")}, stop_timeout=0.5)
    scenario.until_ready()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert not is_alive(scenario.pids("a started")[0])
    assert "still running after supervisor.stop_timeout = 0.5 s: killing: a" in scenario.errors()


def test_a_second_interrupt_kills_at_once(scenario: Scenario) -> None:
    process = scenario.start({"a": scenario.child("a", "stubborn")}, stop_timeout=60)
    scenario.until_ready()
    os.killpg(process.pid, signal.SIGINT)
    wait_until(lambda: "once more to stop" in scenario.errors())
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(5) == 0
    assert not is_alive(scenario.pids("a started")[0])


def test_an_idle_supervisor_uses_no_cpu(scenario: Scenario) -> None:
    process = scenario.start({"a": scenario.child("a")})
    scenario.until_ready()

    def ticks() -> int:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    time.sleep(0.2)
    before = ticks()
    time.sleep(1.0)
    assert ticks() - before <= 1


def test_a_child_that_cannot_be_started_stops_everything_in_time(scenario: Scenario) -> None:
    script = scenario.folder / "supervisor.py"
    script.write_text(script.read_text().replace("(sys.executable, *each", '("/nonexistent/python", *each'))
    process = scenario.start({"a": scenario.child("a")}, crashes=2, nursery="raise MemoryError")
    assert process.wait(10) == 3
    assert "a cannot be started" in scenario.errors()


@ON_LINUX
def test_forked_children_belong_to_the_supervisor_and_share_what_was_prepared(forking: Scenario) -> None:
    process = forking.start({"a": forking.child("a"), "b": forking.child("b")}, nursery="import xml.dom.minidom")
    forking.until_ready()
    children = {pid: Path(f"/proc/{pid}") for name in "ab" for pid in forking.pids(f"{name} started")}
    assert len(children) == 2
    for pid, place in children.items():
        assert int((place / "stat").read_text().rpartition(")")[2].split()[1]) == process.pid
        assert os.getpgid(pid) == pid
        # The standard streams, the pipe that says it is ready, and nothing of the others.
        assert len(list((place / "fd").iterdir())) == 4
    assert not {"Z"} & {line.split()[0] for line in _states_below(process.pid)}


@ON_LINUX
@pytest.mark.parametrize("ending", ["raise MemoryError", "os._exit(9)", "os.kill(os.getpid(), 9)"])
def test_without_a_nursery_children_are_started_one_by_one(forking: Scenario, ending: str) -> None:
    process = forking.start({"a": forking.child("a"), "b": forking.child("b")}, nursery=ending)
    forking.until_ready()
    assert "a cannot be started: the process that starts a ended too early" in forking.errors()
    assert len(forking.pids("a started")) == len(forking.pids("b started")) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def _states_below(pid: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(fields[0])
    return found
