"""The triggerer's process behind its pipes: what it answers to a worker, and that triggers cannot harm each other."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagdeck_core.process_port import ProcessHost, RunnerEnded, RunnerMessage
from dagdeck_core.wire import (
    BeTriggerer,
    Reply,
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
from dagdeck_worker.hosts.linux import LinuxHost
from dagdeck_worker.hosts.portable import PortableHost

WAIT = 20.0
SOURCE = """
import asyncio, os, sys, time, threading
from dagdeck import BaseHook, Connection, Variable
from dagdeck.runtime import mask_secret, request_async
from dagdeck.triggers.base import BaseEventTrigger, BaseTrigger, TaskFailedEvent, TriggerEvent

class Base(BaseTrigger):
    def __init__(self, **kwargs):
        super().__init__()
        self.kwargs = kwargs
    def serialize(self):
        return f"{type(self).__module__}.{type(self).__name__}", self.kwargs
    async def cleanup(self):
        self.log.info("cleaned up")
    async def on_kill(self):
        print("killed")

class Now(Base):
    async def run(self):
        print("printed", end="")
        yield TriggerEvent(self.kwargs)

class Never(Base):
    async def run(self):
        print("waiting")
        await asyncio.sleep(3600)
        yield TriggerEvent()

class Fails(Base):
    async def run(self):
        raise ValueError("broken")
        yield

class Exits(Base):
    async def run(self):
        sys.exit(3)
        yield

class Cancels(Base):
    async def run(self):
        raise asyncio.CancelledError
        yield

class Silent(Base):
    async def run(self):
        return
        yield

class Blocks(Base):
    async def run(self):
        time.sleep(1.0)
        yield TriggerEvent("late")

class BlocksAtOnce(Base):
    waiting = []

    async def run(self):
        mine = asyncio.get_running_loop().create_future()
        self.waiting.append(mine)
        if len(self.waiting) == 3:
            for each in self.waiting:
                each.set_result(None)
        await mine
        time.sleep(1.0)
        yield TriggerEvent("late")

class Asks(Base):
    async def run(self):
        first = Variable.get("a")
        second = await asyncio.to_thread(Variable.get, "b")
        third = await request_async("variable_get", {"key": "c"})
        hook = await BaseHook.aget_connection("db")
        mask_secret("much too secret")
        print("this is much too secret")
        yield TriggerEvent([first, second, third, hook.host])

class Missing(Base):
    async def run(self):
        yield TriggerEvent(Variable.get("gone", "default"))

class Repeats(Base):
    async def run(self):
        for number in range(2):
            yield TriggerEvent(number)

class Shared(BaseEventTrigger):
    opened = 0
    def __init__(self, name, limit=None):
        super().__init__()
        self.name = name
        self.limit = limit
    def serialize(self):
        return f"{type(self).__module__}.Shared", {"name": self.name, "limit": self.limit}
    def shared_stream_key(self):
        return "one"
    @classmethod
    async def open_shared_stream(cls, kwargs):
        Shared.opened += 1
        number = 0
        while True:
            await asyncio.sleep(0.05)
            yield [Shared.opened, number]
            number += 1
    async def filter_shared_stream(self, stream):
        async for opened, number in stream:
            if number >= 5:
                yield TriggerEvent([self.name, opened])
                return
    async def run(self):
        raise AssertionError("the stream is shared")
        yield

class BreaksStream(Shared):
    @classmethod
    async def open_shared_stream(cls, kwargs):
        raise OSError("the outside is gone")
        yield
"""


class Line:
    """A worker's end of one triggerer, without the worker."""

    def __init__(self, folder: Path, host: ProcessHost, **options: Any) -> None:
        (folder / "own.py").write_text(textwrap.dedent(SOURCE))
        (folder / "dag.py").write_text("# dagdeck\n")
        self.folder = folder
        self.host = host
        self.messages: list[Any] = []
        self.answers: dict[str, Any] = {}
        self.ended: RunnerEnded | None = None
        self.runner_id = host.spawn()
        self.send(BeTriggerer(**{"block_limit": 0.2, "output_interval": 0.1, "cleanup_limit": 2.0, **options}))
        self.numbers = 0

    def send(self, message: Any) -> None:
        self.host.send(self.runner_id, to_runner_codec.encode(message))

    def run(self, name: str, kwargs: str = "{}", **options: Any) -> int:
        """Run a trigger of own.py; its id."""
        self.numbers += 1
        place = {"bundle_root": str(self.folder), "bundle_version": "1", "fileloc": "dag.py", "dag_id": "d"}
        values: dict[str, Any] = {**place, "run_id": "r", "task_id": "t", **options}
        self.send(RunTrigger(self.numbers, 1, f"own.{name}", kwargs, **values))
        return self.numbers

    def until(self, condition: Callable[[], Any], what: str = "condition") -> Any:
        """Take what comes, and answer requests, until `condition`."""
        deadline = time.monotonic() + WAIT
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}; {self.messages}"
            for event in self.host.poll(0.1):
                if getattr(event, "runner_id", None) != self.runner_id:
                    continue  # an earlier test's
                if isinstance(event, RunnerMessage):
                    self._take(from_runner_codec.decode(event.frame))
                elif isinstance(event, RunnerEnded):
                    self.ended = event
        return found

    def _take(self, message: Any) -> None:
        self.messages.append(message)
        if isinstance(message, Request):
            key = str(next(iter(message.arguments.values())))
            if key in self.answers:
                self.send(Reply(message.number, self.answers[key]))
            else:
                self.send(Reply(message.number, error=("not_found", "there is none")))

    def of(self, kind: type, trigger_id: int) -> list[Any]:
        return [
            each for each in self.messages if isinstance(each, kind) and getattr(each, "trigger_id", 0) == trigger_id
        ]

    def event(self, trigger_id: int) -> TriggerYielded:
        """The trigger's event."""
        found: TriggerYielded = self.until(lambda: self.of(TriggerYielded, trigger_id), f"event of {trigger_id}")[0]
        return found

    def broke(self, trigger_id: int) -> TriggerBroke:
        """The trigger's failure."""
        found: TriggerBroke = self.until(lambda: self.of(TriggerBroke, trigger_id), f"failure of {trigger_id}")[0]
        return found

    def log(self, trigger_id: int) -> str:
        """What the trigger has written."""
        return b"".join(each.data for each in self.of(TriggerOutput, trigger_id)).decode()


@pytest.fixture(scope="module", params=["linux", "portable"])
def host(request: pytest.FixtureRequest) -> Iterator[ProcessHost]:
    entry = "dagdeck_task.runner_main:execute"
    made = LinuxHost(entry=entry, sole_parent=False) if request.param == "linux" else PortableHost(entry=entry)
    yield made
    made.close()


@pytest.fixture
def line(tmp_path: Path, host: ProcessHost) -> Iterator[Line]:
    made = Line(tmp_path, host)
    yield made
    host.terminate(made.runner_id, grace=0)


def test_an_event_comes_after_all_that_the_trigger_wrote(line: Line) -> None:
    trigger_id = line.run("Now", '{"n":1}')
    event = line.event(trigger_id)
    assert (event.claim_no, event.outcome, event.payload) == (1, "resume", '{"n":1}')
    before = line.messages[: line.messages.index(event)]
    written = b"".join(each.data for each in before if isinstance(each, TriggerOutput)).decode()
    assert "Trigger own.Now begins to wait" in written
    assert "printed" in written
    line.until(lambda: "cleaned up" in line.log(trigger_id), "its cleaning up")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Fails", "ValueError: broken"),
        ("Exits", "SystemExit: 3"),
        ("Cancels", "cancelled itself"),
        ("Silent", "without an event"),
        ("Gone", "no trigger class own.Gone"),
    ],
)
def test_a_trigger_that_fails_harms_no_other(line: Line, name: str, told: str) -> None:
    waiting = line.run("Never")
    assert told in line.broke(line.run(name)).trace
    assert line.event(line.run("Now")).payload == "{}"
    assert line.of(TriggerBroke, waiting) == []


@pytest.mark.parametrize("killed", [True, False])
def test_a_stopped_trigger_cleans_up(line: Line, killed: bool) -> None:
    trigger_id = line.run("Never")
    line.until(lambda: "waiting" in line.log(trigger_id), "it waits")
    line.send(StopTrigger(trigger_id, killed))
    line.until(lambda: "cleaned up" in line.log(trigger_id), "its cleaning up")
    assert ("killed" in line.log(trigger_id)) is killed
    assert line.of(TriggerBroke, trigger_id) == []


def test_a_trigger_that_blocks_is_named(line: Line) -> None:
    blocking, other = line.run("Blocks"), line.run("Never")
    assert line.event(blocking).payload == '"late"'
    line.until(lambda: "has been blocking the triggerer" in line.log(blocking), "the warning")
    assert "own.Blocks of d.t" in line.log(blocking)
    assert "time.sleep(1.0)" in line.log(blocking)
    assert "blocking" not in line.log(other)


def test_triggers_that_block_one_after_the_other_are_all_named(line: Line) -> None:
    """Without a beat of the loop between them."""
    blocking = [line.run("BlocksAtOnce") for _ in range(3)]
    assert [line.event(trigger_id).payload for trigger_id in blocking] == ['"late"'] * 3
    line.until(lambda: all("has been blocking" in line.log(each) for each in blocking), "three warnings")


def test_triggers_ask_their_worker_from_everywhere(line: Line) -> None:
    line.answers = {"a": "1", "b": "2", "c": "3", "db": {"conn_type": "http", "host": "far"}}
    trigger_id = line.run("Asks")
    assert line.event(trigger_id).payload == '["1","2","3","far"]'
    assert {each.trigger_id for each in line.messages if isinstance(each, Request)} == {trigger_id}
    assert "this is ***" in line.log(trigger_id)
    assert line.event(line.run("Missing")).payload == '"default"'


def test_a_trigger_that_goes_on_begins_anew(line: Line) -> None:
    trigger_id = line.run("Repeats", goes_on=True, task_id="")
    events = line.until(lambda: len(found := line.of(TriggerYielded, trigger_id)) >= 4 and found, "four events")
    assert [each.payload for each in events[:4]] == ["0", "1", "0", "1"]
    failing = line.run("Fails", goes_on=True, task_id="")
    line.until(lambda: "ValueError: broken" in line.log(failing), "its failure")
    assert line.of(TriggerBroke, failing) == []


def test_triggers_share_a_stream(line: Line) -> None:
    first, second = line.run("Shared", '{"name":"x"}'), line.run("Shared", '{"name":"y"}')
    assert line.event(first).payload == '["x",1]'
    assert line.event(second).payload == '["y",1]'
    third = line.run("Shared", '{"name":"z"}')
    assert line.event(third).payload == '["z",2]', "the first stream was closed after its last trigger"
    broken = line.run("BreaksStream", '{"name":"z"}')
    assert "OSError: the outside is gone" in line.broke(broken).trace


def test_paths_of_airflow_name_shipped_triggers(line: Line) -> None:
    line.send(
        RunTrigger(
            99,
            1,
            "airflow.providers.standard.triggers.temporal.DateTimeTrigger",
            '{"target_time":"2020-01-01T00:00:00"}',
            bundle_root=str(line.folder),
            bundle_version="1",
            fileloc="dag.py",
            task_id="t",
        )
    )
    assert "2020-01-01" in line.event(99).payload


def test_a_newer_claim_takes_the_place_of_an_older_one(line: Line) -> None:
    trigger_id = line.run("Never")
    line.until(lambda: "waiting" in line.log(trigger_id), "it waits")
    place: dict[str, Any] = {"bundle_root": str(line.folder), "bundle_version": "1", "fileloc": "dag.py"}
    line.send(RunTrigger(trigger_id, 2, "own.Now", "{}", **place))
    line.send(RunTrigger(trigger_id, 1, "own.Fails", "{}", **place))
    assert line.event(trigger_id).claim_no == 2
    assert line.of(TriggerBroke, trigger_id) == []


def test_two_versions_of_a_folder_run_side_by_side(line: Line, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "own.py").write_text(textwrap.dedent(SOURCE).replace("TriggerEvent(self.kwargs)", "TriggerEvent('new')"))
    assert line.event(line.run("Now")).payload == "{}"
    assert line.event(line.run("Now", bundle_root=str(other), bundle_version="2")).payload == '"new"'
    assert line.event(line.run("Now")).payload == "{}"


def test_shutting_down_cleans_up_and_ends(tmp_path: Path, host: ProcessHost) -> None:
    line = Line(tmp_path, host)
    trigger_id = line.run("Never")
    line.until(lambda: "waiting" in line.log(trigger_id), "it waits")
    line.send(Shutdown())
    ended = line.until(lambda: line.ended, "its end")
    assert (ended.exit_code, ended.signal) == (0, None)
    assert "cleaned up" in line.log(trigger_id)
    assert "killed" not in line.log(trigger_id)


def test_it_has_a_name_of_its_own_and_no_credentials(line: Line) -> None:
    trigger_id = line.run("Never")
    line.until(lambda: "waiting" in line.log(trigger_id), "it waits")
    names = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "comm").exists():
            try:
                if (entry / "comm").read_text().strip() == "dagdeck-trigger":
                    names.append(entry.name)
                    environment = (entry / "environ").read_bytes()
                    assert b"DAGDECK__" not in environment
            except OSError:
                continue
    assert names
    assert str(os.getpid()) not in names
