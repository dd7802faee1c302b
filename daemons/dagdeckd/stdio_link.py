"""A supervised process's end of its standard streams, where they are all that joins it to its supervisor.

Decides what goes over them: settings behind their length, then orders of one byte each, come by standard input; a mark
that no other output has says on standard output that this process is ready and lives. Does not decide when the
supervisor gives an order (`portable_child`). Called by `processes`, with the option --over-stdio only.

The supervisor keeps standard input open while it lives. So its end means that the supervisor is dead, and this process
ends at once: nothing may go on under settings and a lock that nobody holds any more.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading

from dagdeck_core.errors import EnvironmentFault
from dagdeckd.exit_codes import ExitCode

OPEN_GATE = b"g"
"""Order: what was waited for is there, go on."""
STOP = b"s"
"""Order: end in good order, as by SIGTERM."""
LENGTH = struct.Struct(">I")
LONGEST_SETTINGS = 16 * 1024 * 1024


def mark_of(token: str) -> bytes:
    """The bytes that say "ready", and later "alive", in the output of the process that was started with `token`."""
    return b"\x1e" + token.encode("ascii") + b"\x1f"


class StdioLink:
    """This process's end. Made once, before anything else may read standard input."""

    def __init__(self, token: str) -> None:
        self.mark = mark_of(token)
        self._gate = threading.Event()
        # A descriptor of its own, which no child inherits: what is read there is meant for this process.
        self._orders = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        if sys.platform == "win32":
            import msvcrt

            for descriptor in (self._orders, 1, 2):
                msvcrt.setmode(descriptor, os.O_BINARY)

    def take_settings(self) -> bytes:
        """What the supervisor gives first; from then on its orders are heeded. Raises EnvironmentFault without any."""
        header = self._read(LENGTH.size)
        (length,) = LENGTH.unpack(header)
        if length > LONGEST_SETTINGS:
            raise EnvironmentFault("what standard input has is no supervisor's settings", transient=False)
        settings = self._read(length)
        threading.Thread(target=self._heed, name="supervisor", daemon=True).start()
        return settings

    def wait_at_gate(self) -> None:
        """Return when the supervisor opens the gate. Told to stop before that, this process ends here."""
        self._gate.wait()

    def open_output(self) -> int:
        """A descriptor to write marks to: standard output's, whatever becomes of that."""
        return os.dup(1)

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = os.read(self._orders, size - len(data))
            if not piece:
                raise EnvironmentFault("the supervisor ended before this process had started")
            data += piece
        return bytes(data)

    def _heed(self) -> None:
        while order := self._next_order():
            if order == OPEN_GATE:
                self._gate.set()
            elif order == STOP:
                stop_this_process()
        os._exit(ExitCode.TRY_AGAIN)

    def _next_order(self) -> bytes:
        try:
            return os.read(self._orders, 1)
        except OSError:
            return b""


def stop_this_process() -> None:
    """Have this process's handler of SIGTERM called, or end it where it has none."""
    if sys.platform == "win32":
        # There os.kill would end the process at once.
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
