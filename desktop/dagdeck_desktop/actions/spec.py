"""What an action of a person is, as data.

Decides nothing; it holds title, shortcut, effect, and how the same thing is done on the command line. Made by the
shell and by views, kept in `registry`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class ActionScope(StrEnum):
    """What an action is about; menus and the palette group by it."""

    WINDOW = "Window"
    CLUSTER = "Cluster"
    DAG = "DAG"
    RUN = "Run"
    TASK = "Task"
    WORKER = "Worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One thing that a person can do.

    `cli` gives the arguments after `dagdeck` that do the same, or None when nothing is selected. `audit` gives the
    sentence that names what will be done to what; confirmations and notices show it. `is_destructive` asks first.
    """

    key: str
    title: str
    run: Callable[[], None]
    scope: ActionScope = ActionScope.WINDOW
    icon: str = ""
    shortcuts: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    is_destructive: bool = False
    is_enabled: Callable[[], bool] | None = None
    cli: Callable[[], Sequence[str] | None] | None = None
    audit: Callable[[], str] | None = None


def command_line(arguments: Sequence[str]) -> str:
    """The line to type or to put into a script."""
    return shlex.join(["dagdeck", *arguments])
