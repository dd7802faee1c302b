"""A parsing child without inherited descriptors, polled pipes and signals: its standard streams are all.

Decides the same as `child_process.ParsingChild`, by other means: messages go over standard input and output, what is
printed comes by standard error, threads serve all three and ring a socket, on which a pool can wait everywhere. Does
not decide which file it parses (`pool`). Used everywhere but on Linux, and there with the setting
supervisor.portable_processes.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Collection

from dagdeck_io.pumped_pipes import InputFeed, OutputPump
from dagdeck_master.dag_processor.child_process import CapturedOutput, ChildOptions, child_command, child_environment
from dagdeck_master.dag_processor.process_tree import kill_tree
from dagdeck_master.dag_processor.protocol import (
    FrameBuffer,
    FromChild,
    ToChild,
    frame,
    from_child_codec,
    to_child_codec,
)
from dagdeck_master.dag_processor.stdio_channel import OVER_STDIO, SHOW_STACKS

_DUMP_WAIT = 0.3
"""Seconds that a hanging child gets to write where it hangs."""
_LAST_WORDS = 0.2
"""Seconds in which the output of a child that has ended is still read."""


class PortableParsingChild:
    """A running child; for its methods see `ParsingChild`."""

    def __init__(self, options: ChildOptions) -> None:
        self.output = CapturedOutput(options.max_output)
        self.ready = False
        self.started_at = time.monotonic()
        self._buffer = FrameBuffer()
        self._gone_at = 0.0
        """When its process was first seen to have ended, monotonic; 0 before that."""
        self._returncode: int | None = None
        self._process = subprocess.Popen(
            child_command(options, [OVER_STDIO, options.memory_limit]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=child_environment(options),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._bell.setblocking(False)
        self._input = InputFeed(self._process.stdin)
        self._results = OutputPump(self._process.stdout, self._ring)
        self._printed = OutputPump(self._process.stderr, self._ring)

    @property
    def pid(self) -> int:
        """See ParsingChild."""
        return self._process.pid

    def filenos(self) -> Collection[int]:
        """See ParsingChild."""
        return () if self._returncode is not None or self._has_said_all() else (self._wake.fileno(),)

    def send(self, message: ToChild) -> bool:
        """See ParsingChild."""
        return self._input.give(frame(to_child_codec.encode(message)))

    def receive(self) -> list[FromChild]:
        """See ParsingChild."""
        with contextlib.suppress(OSError):
            while self._wake.recv(4096):
                pass
        self._take_printed()
        return [from_child_codec.decode(data) for data in self._buffer.feed(self._results.take())]

    def has_ended(self) -> bool:
        """See ParsingChild."""
        if self._returncode is not None:
            return True
        if self._process.poll() is None:
            return False
        # What it said last may still be on its way through the threads, and a forgotten process may hold the pipe open.
        self._gone_at = self._gone_at or time.monotonic()
        return self._results.ended or time.monotonic() > self._gone_at + _LAST_WORDS

    def dump_stacks(self) -> None:
        """See ParsingChild."""
        if not self.ready or self._process.poll() is not None:
            return
        self._take_printed()
        self._input.give(SHOW_STACKS)
        until = time.monotonic() + _DUMP_WAIT
        while time.monotonic() < until and self._process.poll() is None:
            time.sleep(0.01)
            self._take_printed()

    def kill(self) -> int:
        """See ParsingChild."""
        if self._returncode is None:
            self._returncode = kill_tree(self._process)
            self._printed.wait_for_end(_LAST_WORDS)
            self._take_printed()
            self._input.end()
            for pump in (self._results, self._printed):
                pump.abandon()
            self._wake.close()
            self._bell.close()
        return self._returncode

    def _take_printed(self) -> None:
        self.output.feed(self._printed.take())

    def _has_said_all(self) -> bool:
        return self._results.ended and self._printed.ended

    def _ring(self) -> None:
        # Full, it rings already; closed, nobody listens any more.
        with contextlib.suppress(OSError):
            self._bell.send(b"\0")
