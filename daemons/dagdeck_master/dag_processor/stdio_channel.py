"""A parsing child's end of its standard streams, where they are all that joins it to the DAG processor.

Decides how the streams are moved out of user code's way, and that the child ends at once when the processor does, in
the middle of a file too. Does not decide what is said (`protocol`). Called by `child` when `portable_child` started it.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import struct
import sys
import threading

from dagdeck_master.dag_processor.protocol import ChildChannel, ToChild, to_child_codec

OVER_STDIO = "stdio"
"""First argument of a child that is started so."""
SHOW_STACKS = struct.pack(">I", 0)
"""A message of no length: write every thread's stack to standard error."""


def take_over_streams() -> StdioChannel:
    """Make the channel of standard input and output, and give user code others: nothing to read, and the output."""
    request, result = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (request, result):
            msvcrt.setmode(descriptor, os.O_BINARY)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return StdioChannel(request, result)


class StdioChannel(ChildChannel):
    """A channel that a thread listens to, so that user code which hangs does not keep the child from hearing."""

    def __init__(self, request_fd: int, result_fd: int) -> None:
        super().__init__(request_fd, result_fd)
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="dag-processor", daemon=True).start()

    def receive(self) -> ToChild | None:
        """The next message. It does not return when there is none any more: the process has ended then."""
        return to_child_codec.decode(self._messages.get())

    def _listen(self) -> None:
        try:
            while (data := self._read_frame()) is not None:
                if data:
                    self._messages.put(data)
                else:
                    faulthandler.dump_traceback(file=2, all_threads=True)
        finally:
            os._exit(0)
