"""The parts of portable processes: threads on plain pipes, signs of life among output, an end with the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck_io.pumped_pipes import InputFeed, OutputPump
from dagdeckd.portable_child import SignFilter
from dagdeckd.stdio_link import mark_of
from tests.support.dag_folders import dag_file, write_files

MARK = mark_of("0123456789abcdef")


def until(holds: Callable[[], object], within: float = 10.0) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# ---------------------------------------------------------------- signs of life


@given(
    st.lists(st.one_of(st.just(MARK), st.binary(max_size=8), st.just(MARK[:5]), st.just(MARK[:1])), max_size=12),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_signs_are_taken_out_however_the_output_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    signs = SignFilter(MARK)
    heard, output = 0, b""
    for start, end in pairwise(places):
        output += signs.feed(data[start:end])
        heard += signs.take()
    assert output + signs.rest() == data.replace(MARK, b"")
    assert heard == data.count(MARK)


def test_only_what_may_become_a_sign_is_held_back() -> None:
    signs = SignFilter(MARK)
    assert signs.feed(b"one\n" + MARK[:7]) == b"one\n"
    assert signs.feed(b"no sign\n") == MARK[:7] + b"no sign\n"
    assert signs.take() == 0
    assert signs.feed(b"two" + MARK[:7]) + signs.feed(MARK[7:] + b"\n") == b"two\n"
    assert signs.take() == 1


# ---------------------------------------------------------------- threads on pipes


def test_a_pump_wakes_its_owner_and_holds_the_writer_up() -> None:
    reading, writing = os.pipe()
    woken = threading.Event()
    pump = OutputPump(os.fdopen(reading, "rb", buffering=0), woken.set, most_waiting=1000)
    assert pump.take() == b""
    os.write(writing, b"first")
    assert woken.wait(10)
    assert pump.take() == b"first"
    sent = threading.Thread(target=_write_all, args=(writing, b"x" * 1_000_000))
    sent.start()
    time.sleep(0.3)
    assert sent.is_alive(), "a writer whom nobody reads is held up"
    received = b""
    while len(received) < 1_000_000:
        data = pump.take()
        assert len(data) <= 1000 + 64 * 1024
        received += data
    sent.join(10)
    woken.clear()
    os.close(writing)
    assert woken.wait(10)
    assert pump.ended


def test_an_abandoned_pump_lets_its_writer_go_on() -> None:
    reading, writing = os.pipe()
    pump = OutputPump(os.fdopen(reading, "rb", buffering=0), lambda: None, most_waiting=10)
    pump.abandon()
    _write_all(writing, b"x" * 500_000)
    os.close(writing)
    pump.wait_for_end(10)
    assert pump.ended


def test_a_feed_refuses_what_nobody_reads() -> None:
    reading, writing = os.pipe()
    feed = InputFeed(os.fdopen(writing, "wb", buffering=0), most_waiting=100_000)
    accepted = 0
    while feed.give(b"x" * 50_000):
        accepted += 1
        assert accepted < 100
        time.sleep(0.02)
    with os.fdopen(reading, "rb") as stream:
        feed.end()
        assert len(stream.read()) == accepted * 50_000
    assert not feed.give(b"late")


def test_a_feed_without_a_reader_says_so() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    feed = InputFeed(os.fdopen(writing, "wb", buffering=0))
    feed.give(b"lost")
    until(lambda: not feed.give(b"lost too"))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


# ---------------------------------------------------------------- an end with the parent

PROCESSOR = """
import os, sys, time
from dagdeck_master.dag_processor.child_process import ChildOptions, ParsingChild
from dagdeck_master.dag_processor.portable_child import PortableParsingChild
from dagdeck_master.dag_processor.protocol import ParseFile

child = {"linux": ParsingChild, "portable": PortableParsingChild}[sys.argv[1]](
    ChildOptions(memory_limit=1 << 30, max_output=1 << 16)
)
while not child.receive():
    time.sleep(0.01)
child.send(ParseFile(root=sys.argv[2], path="hanging.py"))
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("form", ["linux", "portable"])
def test_a_parsing_child_dies_with_its_processor_in_the_middle_of_a_file(form: str, tmp_path: Path) -> None:
    mark = tmp_path / "hangs"
    before = f"import pathlib, time\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(600)"
    write_files(tmp_path, {"hanging.py": dag_file("hanging", before=before)})
    processor = subprocess.Popen(
        [sys.executable, "-c", PROCESSOR, form, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert processor.stdout is not None
    try:
        child = psutil.Process(int(processor.stdout.readline()))
        until(mark.exists, 30)
        os.kill(processor.pid, signal.SIGKILL)
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        processor.kill()
        processor.wait(10)
        processor.stdout.close()


# ---------------------------------------------------------------- what Linux does not pay for


@pytest.mark.skipif(sys.platform != "linux", reason="it is the form of all other systems")
def test_nothing_of_it_is_imported_where_it_is_not_used() -> None:
    roots = (
        "dagdeckd.standalone, dagdeckd.processes, dagdeck_master.dag_processor.app, dagdeck_master.dag_processor.child"
    )
    program = f"import sys, {roots}\nprint([name for name in sys.modules if 'dagdeck' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "dagdeckd.supervised" in done.stdout
    for name in ("pumped_pipes", "portable_child", "stdio_link", "stdio_channel"):
        assert name not in done.stdout
