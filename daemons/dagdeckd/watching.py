"""How the processes tell that they live: to the service manager by its socket, to the supervisor by a pipe.

Decides the messages of systemd's notification protocol, how often a sign of life is sent, and that the variables which
name the socket are handed on to nobody. Does not decide when something is alive: loops say so (`Lifeline`). Used by
`processes` and by `supervisor`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

from dagdeck_core.lifeline import Lifeline

BEAT = b"."
"""A supervised process's sign of life. The first byte of the pipe says that it is ready."""
_SIGNS_PER_PERIOD = 3
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_LONGEST_STATUS = 200


class ServiceManager(Lifeline):
    """The service manager that started this process; without one every call does nothing."""

    def __init__(self, address: str, watchdog: float | None) -> None:
        """`address` of the socket, "" for none; `watchdog`: seconds without a sign after which it ends the service."""
        self.watchdog = watchdog
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._next_sign = 0.0

    def ready(self, text: str) -> None:
        """The service does now what it is for."""
        self._send("READY=1", f"STATUS={text}")

    def alive(self) -> None:
        """See Lifeline."""
        if self.watchdog is None or time.monotonic() < self._next_sign:
            return
        self._next_sign = time.monotonic() + self.watchdog / _SIGNS_PER_PERIOD
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """See Lifeline."""
        self._send(f"STATUS={text}")

    def stopping(self, text: str) -> None:
        """See Lifeline."""
        self._send("STOPPING=1", f"STATUS={text}")

    @property
    def pause(self) -> float | None:
        """Seconds between two signs of life; None: nobody waits for any."""
        return None if self.watchdog is None else self.watchdog / _SIGNS_PER_PERIOD

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(line.replace("\n", " ")[:_LONGEST_STATUS] for line in lines)
        # Whatever becomes of the service manager, the daemon goes on.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own,
        ):
            own.setblocking(False)
            own.sendto(message.encode("utf-8", "replace"), self._address)


def take_service_manager(environ: MutableMapping[str, str]) -> ServiceManager:
    """The one that `environ` names, whose variables are taken out: nothing that is started here may speak for us."""
    address, period, pid = (environ.pop(name, "") for name in _VARIABLES)
    if not address.startswith(("/", "@")):
        return ServiceManager("", None)
    is_ours = not pid or pid == str(os.getpid())
    watchdog = int(period) / 1_000_000 if is_ours and period.isdigit() and int(period) else None
    return ServiceManager(address, watchdog)


class SupervisedLife(Lifeline):
    """The pipe to the supervisor. Signs are sent while the supervisor asked for them by `pause`, its seconds."""

    def __init__(self, fd: int, pause: float | None, *, sign: bytes = BEAT) -> None:
        """`sign` is what says "ready" and "alive"; a pipe that carries other output as well needs one of its own."""
        self._sign = sign
        self._fd: int | None = fd
        self._pause = pause
        self._next_sign = 0.0

    def ready(self) -> None:
        """This process is ready. A second call is one more sign of life."""
        self._write()
        if self._pause is None and self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def alive(self) -> None:
        """See Lifeline. Before `ready`, nothing is sent: the first byte would say so."""
        if self._next_sign and time.monotonic() >= self._next_sign:
            self._write()

    def _write(self) -> None:
        if self._fd is None:
            return
        # A supervisor that does not read is busy or gone; it will kill this process, or has died with it.
        with contextlib.suppress(OSError):
            os.write(self._fd, self._sign)
        if self._pause is not None:
            self._next_sign = time.monotonic() + self._pause
