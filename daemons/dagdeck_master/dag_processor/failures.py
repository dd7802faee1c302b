"""What the user reads when a file's import ended its process, hung, or broke the protocol.

Decides the wording and the line that is blamed. Does not detect these (`pool`). Pure.
"""

from __future__ import annotations

import re
import signal

from dagdeck_master.dag_processor.protocol import ParsedFile, ParseError, ParseFile

_SHOWN_OUTPUT = 8000
"""Most characters of captured output in an import error's stack trace."""
_STACK_BEGINS = re.compile(r"^(Current thread|Thread) 0x[0-9a-f]+.*:$", re.MULTILINE)
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in ')


def timed_out(job: ParseFile, timeout: float, output: str) -> ParsedFile:
    """The result of a file whose import did not end within `timeout` seconds."""
    stacks = _STACK_BEGINS.search(output)
    trace = output[stacks.start() :] if stacks else output[-_SHOWN_OUTPUT:]
    return _failed(
        job,
        f"importing the file took longer than dag_processor.parse_timeout = {timeout:g} s; move slow work, such as "
        "calls to databases or services, from the file's top level into tasks",
        line=_line_of(job, trace),
        stack_trace=trace[:_SHOWN_OUTPUT],
        duration=timeout,
    )


def crashed(job: ParseFile, status: int, output: str) -> ParsedFile:
    """The result of a file whose import ended the process. `status` is negative for a signal."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = str(-status)
        hint = {"SIGKILL": " (out of memory?)", "SIGSEGV": " (a crash in an extension module?)"}.get(name, "")
        reason = f"importing the file ended its process by signal {name}{hint}"
    else:
        reason = f"importing the file ended its process with exit code {status}; it must not call os._exit"
    return _failed(job, reason, line=_line_of(job, output), stack_trace=output[-_SHOWN_OUTPUT:])


def malformed(job: ParseFile, complaint: str) -> ParsedFile:
    """The result of a file whose process wrote what is no message."""
    return _failed(job, f"importing the file disturbed the parsing process: {complaint}")


def _failed(
    job: ParseFile, message: str, *, line: int | None = None, stack_trace: str = "", duration: float = 0.0
) -> ParsedFile:
    error = ParseError(message=message, line=line, stack_trace=stack_trace)
    return ParsedFile(path=job.path, errors=(error,), duration=duration, reusable=False)


def _line_of(job: ParseFile, stacks: str) -> int | None:
    """The line of the DAG file in a dump of stacks: the innermost frame that lies in it."""
    for path, line in _FRAME.findall(stacks):
        if path == f"{job.root}/{job.path}":
            return int(line)
    return None
