"""What the exit code of a DagDeck process means to whoever started it.

Decides which errors heal by a restart. Called by `cli`, which makes them, and by `supervisor`, which reads them.
"""

from __future__ import annotations

from enum import IntEnum

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError


class ExitCode(IntEnum):
    """Exit codes of `dagdeckd` and of its sub-processes."""

    OK = 0
    BUG = 1
    USER_ERROR = 2
    """Settings or input are wrong: a restart meets the same error."""
    ENVIRONMENT = 3
    """A port is taken, a password is wrong: somebody has to do something."""
    NO_PYTHON = 4
    """No Python for DAG files: whoever started this may offer to choose one."""
    TRY_AGAIN = 75
    """A server is down: a restart may succeed."""


_FINAL = frozenset({ExitCode.USER_ERROR, ExitCode.ENVIRONMENT, ExitCode.NO_PYTHON})


def code_for(error: DagDeckError) -> ExitCode:
    """The exit code of a process that ends because of `error`."""
    if isinstance(error, UserError):
        # Settings' one field that a desktop can ask for by itself.
        return ExitCode.NO_PYTHON if error.field == "core.runner_python" else ExitCode.USER_ERROR
    if isinstance(error, EnvironmentFault):
        from dagdeck_io.user_python import NoUsablePython

        if isinstance(error, NoUsablePython):
            return ExitCode.NO_PYTHON
        return ExitCode.TRY_AGAIN if error.transient else ExitCode.ENVIRONMENT
    return ExitCode.BUG


def is_final(code: int) -> bool:
    """Whether a process that ended with `code` would only end so again."""
    return code in _FINAL


def describe_exit(code: int) -> str:
    """How a process ended, in words: its exit code or the signal's name."""
    import signal

    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
