"""Exit codes of `dagdeck`, the same for every command.

Decides which error ends the command line with which code. Read by `root` and the documentation.
"""

from __future__ import annotations

from enum import IntEnum

from dagdeck_client.errors import BadRequest, NotAllowed, NotAuthenticated, NotFound, Unreachable, VersionMismatch
from dagdeck_core.errors import DagDeckError, UserError


class ExitCode(IntEnum):
    """What a script can tell apart."""

    SUCCESS = 0
    FAILED = 1
    """The server refused, or what was waited for failed."""
    USAGE = 2
    """The command line or its input is wrong."""
    UNREACHABLE = 3
    """No server, or one of another version."""
    DENIED = 4
    """Not signed in, or the role does not allow it."""
    NOT_FOUND = 5
    TIMED_OUT = 6
    """What was waited for goes on; waiting ended."""
    INTERRUPTED = 130


def exit_code_of(error: DagDeckError) -> ExitCode:
    """The code for an error that ended a command."""
    match error:
        case Unreachable() | VersionMismatch():
            return ExitCode.UNREACHABLE
        case NotAuthenticated() | NotAllowed():
            return ExitCode.DENIED
        case NotFound():
            return ExitCode.NOT_FOUND
        case BadRequest():
            return ExitCode.USAGE
        case UserError() if not hasattr(error, "status"):
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
