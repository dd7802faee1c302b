"""The process in which DAG files are imported: `python -m dagdeck_master.dag_processor.child`.

Decides how user code is fenced in from inside (memory limit, death with the parent, stacks on demand) and what
makes the process unfit for another file. Does not enforce time limits (`pool`, from outside). Started by
`child_process`; it holds no credentials, and what it needs from the database it asks its parent for.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagdeck_core.wire import WireError
from dagdeck_master.dag_processor.protocol import ChildChannel, ParsedFile, ParseError, ParseFile, Ready
from dagdeck_master.dag_processor.touched import TouchRecorder

if TYPE_CHECKING:
    from dagdeck_master.dag_processor.importing import DagFileImporter

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REUSE_UP_TO = 0.5
"""Part of the memory limit that the process may have taken and still be given another file."""


def main(arguments: Sequence[str]) -> int:
    """Parse files until the parent closes its end. `arguments`: request fd, result fd, memory limit, parent's pid; or
    "stdio", memory limit."""
    channel, memory_limit = _join(arguments)
    if hasattr(signal, "SIGUSR2"):
        faulthandler.register(signal.SIGUSR2, file=sys.__stderr__ or 2, all_threads=True)
    recorder = TouchRecorder()
    # Imported before the first file comes, while the parent still looks at the folder.
    from dagdeck_master.dag_processor.importing import DagFileImporter

    importer = DagFileImporter(channel)
    # The unpacked bundle is read-only, and what is compiled here is used once.
    sys.dont_write_bytecode = True
    gc.collect()
    gc.freeze()
    _limit_memory(memory_limit)
    channel.send(Ready())
    while (job := channel.receive()) is not None:
        if not isinstance(job, ParseFile):
            raise WireError(f"the processor sent {type(job).__name__} where a file was expected")
        # A process that is not reusable waits here to be ended: alive, it still leads to all that it started.
        _send(channel, _parse(job, importer, recorder, channel, memory_limit))
    return 0


def _join(arguments: Sequence[str]) -> tuple[ChildChannel, int]:
    """The channel to the parent, and how much memory it allows."""
    if len(arguments) == 2:
        from dagdeck_master.dag_processor.stdio_channel import take_over_streams

        return take_over_streams(), int(arguments[1])
    request_fd, result_fd, memory_limit, parent = (int(argument) for argument in arguments)
    _die_with(parent)
    for fd in (request_fd, result_fd):
        os.set_inheritable(fd, False)
    return ChildChannel(request_fd, result_fd), memory_limit


def _parse(
    job: ParseFile, importer: DagFileImporter, recorder: TouchRecorder, channel: ChildChannel, memory_limit: int
) -> ParsedFile:
    channel.asked = False
    threads = threading.active_count()
    recorder.begin(job.root)
    started = time.perf_counter()
    try:
        dags, errors = importer.parse(job)
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is the file's result
        dags, errors = (), (importer.hidden(_described(error, job)),)
    duration = time.perf_counter() - started
    touched = recorder.end(job.path)
    recorder.forget_modules(job.root)
    gc.collect()
    return ParsedFile(
        path=job.path,
        dags=dags,
        errors=errors,
        touched=touched,
        asked=channel.asked,
        duration=duration,
        outdated=importer.outdated,
        reusable=threading.active_count() <= threads and _resident() < memory_limit * _REUSE_UP_TO,
    )


def _described(error: BaseException, job: ParseFile) -> ParseError:
    message = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == f"{job.root}/{job.path}"]
    return ParseError(message=message, line=own[-1] if own else None, stack_trace=traceback.format_exc()[-8000:])


def _send(channel: ChildChannel, result: ParsedFile) -> None:
    try:
        channel.send(result)
    except WireError as error:
        too_large = ParseError(message=f"the file's DAGs are too large: {error}")
        channel.send(
            ParsedFile(path=result.path, errors=(too_large,), touched=result.touched, duration=result.duration)
        )


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, and take in what detaches itself, so that the parent finds all of it."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _limit_memory(limit: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        # Private writable memory: unlike the address space it does not count what is only reserved or mapped.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
