"""A service manager for tests: the socket to which daemons send their notices.

Decides nothing; keeps what comes. Called by tests of the daemons.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path


class NoticeSocket:
    """A bound socket and the notices that have come, oldest first."""

    def __init__(self, own: socket.socket, address: str) -> None:
        self._own = own
        self.address = address
        self.notices: list[dict[str, str]] = []

    def environment(self, watchdog: float | None = None) -> dict[str, str]:
        """The variables that a service manager gives; WATCHDOG_PID only by whoever knows it."""
        found = {"NOTIFY_SOCKET": self.address}
        return found if watchdog is None else found | {"WATCHDOG_USEC": str(int(watchdog * 1_000_000))}

    def read(self) -> list[dict[str, str]]:
        """All notices so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self._own.recv(65_536)
                self.notices.append(dict(line.split("=", 1) for line in data.decode().split("\n")))
        return self.notices

    def count(self, name: str) -> int:
        """How many notices carry the variable `name`."""
        return sum(name in each for each in self.read())

    def until(self, holds: Callable[[], object], what: str, timeout: float = 20.0) -> None:
        """Wait until `holds`."""
        give_up = time.monotonic() + timeout
        while not holds():
            assert time.monotonic() < give_up, f"not within {timeout} s: {what}; {self.read()}"
            time.sleep(0.02)


@contextlib.contextmanager
def notice_socket(folder: Path | None) -> Iterator[NoticeSocket]:
    """One in `folder`, or in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        address = str(folder / "notify") if folder is not None else f"@dagdeck-test-{os.getpid()}-{time.monotonic_ns()}"
        own.bind("\0" + address[1:] if folder is None else address)
        yield NoticeSocket(own, address)
