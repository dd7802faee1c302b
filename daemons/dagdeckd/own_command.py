"""How this installation's own programs are started again, as processes of their own.

Decides the words to write. Called by the supervisor's composition and by the demo.
"""

from __future__ import annotations

import sys

MODULES = {"dagdeckd": "dagdeckd", "dagdeck-desktop": "dagdeck_desktop"}


def command_of(program: str) -> tuple[str, ...]:
    """The command that is completed with the arguments of `program`.

    A packaged program has no `python -m`: it is every program of its bundle, by its first argument.
    """
    if getattr(sys, "frozen", False):
        return (sys.executable, program)
    return (sys.executable, "-m", MODULES[program])
