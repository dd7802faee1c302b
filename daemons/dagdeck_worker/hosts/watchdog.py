"""The portable host's watchdog: ends every runner when the deadline passes or the worker's main process dies.

Decides nothing else. A process of its own, because a deadline must hold while the worker's process stands
still. Started by `hosts.portable` as `python -m dagdeck_worker.hosts.watchdog`: deadlines come on standard input
as frames, one byte goes to standard output for each deadline that passed, the end of the input is the worker's death.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import struct
import sys
import threading
from contextlib import suppress

from dagdeck_worker.frames import FrameReader
from dagdeck_worker.hosts.marked_processes import boot_clock, kill_until_gone

DEADLINE = struct.Struct(">d")
LOOK_EVERY = 1.0
"""Longest sleep before the clock is read again: timers stand still while a machine sleeps."""
KILL_WITHIN = 30.0


def main(arguments: list[str]) -> int:
    """Watch until standard input ends, then kill everything with the mark."""
    parser = argparse.ArgumentParser(prog="dagdeck_worker.hosts.watchdog")
    parser.add_argument("--token", required=True)
    token = parser.parse_args(arguments).token
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    heard: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(heard,), daemon=True).start()
    _watch(token, heard)
    kill_until_gone(token, prefix=True, within=KILL_WITHIN)
    return 0


def _listen(heard: queue.SimpleQueue[float | None]) -> None:
    reader = FrameReader()
    while data := os.read(0, 4096):
        for frame in reader.feed(data):
            heard.put(DEADLINE.unpack(frame)[0])
    heard.put(None)


def _watch(token: str, heard: queue.SimpleQueue[float | None]) -> None:
    """Enforce deadlines as they come; returns when the worker is gone."""
    deadline: float | None = None
    while True:
        timeout = None if deadline is None else max(0.0, min(deadline - boot_clock(), LOOK_EVERY))
        try:
            deadline = heard.get(timeout=timeout)
        except queue.Empty:
            if deadline is not None and boot_clock() >= deadline:
                kill_until_gone(token, prefix=True, within=KILL_WITHIN)
                deadline = None
                with suppress(OSError):
                    os.write(1, b"x")
            continue
        if deadline is None:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
