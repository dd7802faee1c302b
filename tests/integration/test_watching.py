"""What daemons tell the service manager, and that a loop which hangs is not told to be alive."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dagdeck_core.lifeline import Lifeline
from dagdeck_master.api.app import bind, make_server, url_of
from dagdeckd.watching import ServiceManager, SupervisedLife, take_service_manager
from tests.contract.process_host_tasks import PROGRAMS
from tests.integration.api_cluster import api_cluster
from tests.integration.test_supervisor import CHILD, Scenario
from tests.integration.test_worker import Bench
from tests.integration.worker_twins import MemoryStore
from tests.support.notice_socket import NoticeSocket, notice_socket

WATCHDOG = 0.9


class Recorder(Lifeline):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[float] = []
        self.words: list[str] = []

    def alive(self) -> None:
        self.heard.append(time.monotonic())

    def status(self, text: str) -> None:
        self.words.append(text)

    def stopping(self, text: str) -> None:
        self.words.append(f"stopping: {text}")

    def goes_on(self, within: float = 10.0) -> bool:
        """Whether something is heard from now on."""
        before, until = len(self.heard), time.monotonic() + within
        while len(self.heard) == before and time.monotonic() < until:
            time.sleep(0.02)
        return len(self.heard) > before


# ---------------------------------------------------------------- the protocol


@pytest.mark.parametrize("is_abstract", [False, True])
def test_notices_reach_the_manager_s_socket(tmp_path: Path, is_abstract: bool) -> None:
    with notice_socket(None if is_abstract else tmp_path) as manager:
        own = take_service_manager(manager.environment(30))
        own.status("waiting\nfor the database")
        own.ready("works")
        own.alive()
        own.alive()  # too soon
        own.stopping("ends")
        assert manager.read() == [
            {"STATUS": "waiting for the database"},
            {"READY": "1", "STATUS": "works"},
            {"WATCHDOG": "1"},
            {"STOPPING": "1", "STATUS": "ends"},
        ]


def test_the_variables_are_handed_on_to_nobody() -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    own = take_service_manager(environ)
    assert environ == {"A": "b"}
    assert own.watchdog == 1.0
    own.ready("nobody listens, which harms nobody")


@pytest.mark.parametrize(
    ("variables", "watchdog"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1000000"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2500000"}, 2.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_counts_only_when_it_is_for_this_process(
    variables: dict[str, str], watchdog: float | None
) -> None:
    own = take_service_manager(dict(variables))
    assert own.watchdog == watchdog
    own.alive()


def test_a_supervised_process_says_first_that_it_is_ready() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    life = SupervisedLife(writing, 0.05)
    life.alive()
    with pytest.raises(BlockingIOError):
        os.read(reading, 10)
    life.ready()
    life.alive()
    assert len(os.read(reading, 10)) == 1
    time.sleep(0.06)
    life.alive()
    assert len(os.read(reading, 10)) == 1
    os.close(reading)
    time.sleep(0.06)
    life.alive()  # the supervisor is gone: this process is about to be killed
    os.close(writing)


def test_nobody_is_told_more_than_that_it_is_ready_when_nobody_asks() -> None:
    reading, writing = os.pipe()
    life = SupervisedLife(writing, None)
    life.ready()
    life.alive()
    assert os.read(reading, 10) == b"."
    assert os.read(reading, 10) == b""
    os.close(reading)


# ---------------------------------------------------------------- the supervisor

BEATING = CHILD.replace(
    "while True:\n    time.sleep(60)\n",
    """
import threading
threading.Thread(target=lambda: [time.sleep(0.05) for _ in range(10**6)], daemon=True).start()
while True:
    if os.path.exists(journal + ".hang"):  # the loop hangs; the thread lives on
        time.sleep(60)
    time.sleep(int(fds["beat-ms"]) / 1000)
    tell()
""",
)


@pytest.fixture(params=["executed", "portable"])
def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Scenario, NoticeSocket]]:
    """A supervisor of two children that say how they are, before a service manager."""
    monkeypatch.setattr("tests.integration.test_supervisor.CHILD", BEATING)
    monkeypatch.setattr("tests.integration.test_supervisor.SUPERVISOR", _with_manager())
    with notice_socket(tmp_path) as manager:
        for name, value in manager.environment(WATCHDOG).items():
            monkeypatch.setenv(name, value)
        scenario = Scenario(tmp_path, form=request.param)
        scenario.start({"one": scenario.child("one"), "two": scenario.child("two")})
        scenario.until_ready()
        yield scenario, manager
        scenario.close()


def _with_manager() -> str:
    from tests.integration.test_supervisor import SUPERVISOR

    head = "import os\nfrom dagdeckd.watching import take_service_manager\n"
    return head + SUPERVISOR.replace("on_ready=", "manager=take_service_manager(os.environ), on_ready=")


def test_the_manager_hears_of_readiness_life_and_end(watched: tuple[Scenario, NoticeSocket]) -> None:
    scenario, manager = watched
    assert manager.count("READY") == 1
    assert manager.notices[-1]["STATUS"] == "one, two are ready" or manager.count("WATCHDOG")
    manager.until(lambda: manager.count("WATCHDOG") >= 3, "signs of life")
    assert scenario.process is not None
    scenario.process.send_signal(signal.SIGTERM)
    assert scenario.process.wait(10) == 0
    assert manager.count("STOPPING") == 1


def test_a_child_whose_loop_hangs_silences_the_supervisor(watched: tuple[Scenario, NoticeSocket]) -> None:
    scenario, manager = watched
    manager.until(lambda: manager.count("WATCHDOG") >= 2, "signs of life")
    (pid,) = scenario.pids("two started")
    Path(f"{scenario.journal}.hang").touch()
    manager.until(lambda: "its loop hangs" in scenario.errors(), "the supervisor notices")
    assert "nothing was heard of" in scenario.errors()
    silent_since = manager.count("WATCHDOG")
    time.sleep(2 * WATCHDOG)
    assert manager.count("WATCHDOG") == silent_since
    # Once the hanging processes are gone, their successors are heard again.
    Path(f"{scenario.journal}.hang").unlink()
    for name in ("one", "two"):
        os.kill(scenario.pids(f"{name} started")[-1], signal.SIGKILL)
    manager.until(lambda: manager.count("WATCHDOG") > silent_since, "signs of life again")
    manager.until(lambda: pid != scenario.pids("two started")[-1], "a new process")


def test_a_stopped_process_silences_it_too(watched: tuple[Scenario, NoticeSocket]) -> None:
    scenario, manager = watched
    (pid,) = scenario.pids("one started")
    os.kill(pid, signal.SIGSTOP)
    manager.until(lambda: "heard of one for" in scenario.errors(), "the supervisor notices")
    before = manager.count("WATCHDOG")
    os.kill(pid, signal.SIGCONT)
    manager.until(lambda: manager.count("WATCHDOG") > before, "signs of life again")


# ---------------------------------------------------------------- the loops that matter


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    benches: list[Bench] = []

    def make(**options: Any) -> Bench:
        benches.append(Bench(tmp_path / "bench", **options))
        return benches[-1]

    yield make
    for each in benches:
        each.close()


@pytest.mark.parametrize("operation", ["renew", "transact"])
def test_a_worker_whose_lease_or_commits_hang_is_not_alive(
    bench: Callable[..., Bench], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's main loop goes round all the time: it alone would say that all is well."""
    life, hangs, go_on = Recorder(), threading.Event(), threading.Event()
    made = bench(lifeline=life, stall_limit=0.5, lease_timeout=2.0)
    assert life.goes_on()
    real = getattr(MemoryStore, operation)

    def hang(*arguments: Any) -> Any:
        hangs.set()
        go_on.wait(30)
        return real(*arguments)

    monkeypatch.setattr(MemoryStore, operation, hang)
    made.start(next(iter(PROGRAMS)))
    assert hangs.wait(10)
    time.sleep(1.2)
    heard = len(life.heard)
    time.sleep(1.0)
    assert len(life.heard) == heard
    go_on.set()
    assert life.goes_on()


def test_an_idle_worker_is_alive_and_says_when_it_stops(bench: Callable[..., Bench]) -> None:
    life = Recorder()
    made = bench(lifeline=life, stall_limit=0.5, lease_timeout=2.0)
    time.sleep(1.2)  # longer than a thread may be silent: one that rests is not
    assert life.goes_on()
    made.stop()
    assert life.words == ["stopping: running tasks have 600 s to end"]


def test_an_api_whose_event_loop_hangs_is_not_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagdeck_master.api.app.SIGN_OF_LIFE_SECONDS", 0.05)
    life, hangs, go_on = Recorder(), threading.Event(), threading.Event()
    with api_cluster(tmp_path) as cluster:
        listener = bind("127.0.0.1", 0)
        server = make_server(cluster.app, cluster.settings, lambda: None, life)
        loops: list[asyncio.AbstractEventLoop] = []
        original = server.startup

        async def startup(*arguments: Any, **options: Any) -> None:
            loops.append(asyncio.get_running_loop())
            await original(*arguments, **options)

        monkeypatch.setattr(server, "startup", startup)
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        assert life.goes_on()

        def hang() -> None:
            hangs.set()
            go_on.wait(30)

        loops[0].call_soon_threadsafe(hang)
        assert hangs.wait(10)
        heard = len(life.heard)
        time.sleep(0.5)
        assert len(life.heard) == heard
        go_on.set()
        assert life.goes_on()
        assert httpx.get(url_of(listener, cluster.settings) + "/health/live").status_code == 200
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def test_a_service_manager_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    own = ServiceManager(str(tmp_path / "gone"), 1.0)
    for _ in range(3):
        own.alive()
        own.status("still here")
    assert own.pause == pytest.approx(1 / 3)
