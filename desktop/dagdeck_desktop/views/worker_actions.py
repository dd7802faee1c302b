"""What a person can do with a worker, in the action registry.

Decides titles and the command line of each. Does not send anything (`viewmodels.workers`). Registered by `views`; the
Workers page puts itself in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import shiboken6

from dagdeck_desktop.actions import ActionScope, ActionSpec
from dagdeck_desktop.context import DesktopContext


class WorkerTarget(Protocol):
    """The page that the actions act on."""

    @property
    def worker_id(self) -> int | None:
        """The worker that is looked at."""

    @property
    def is_draining(self) -> bool:
        """Whether that worker takes nothing new."""

    def is_shown(self) -> bool:
        """True while the page is in front."""

    def switch_draining(self) -> None:
        """Ask, then drain the worker; or let it take work again at once."""


class WorkerActions:
    """Drain and resume, and the page in front."""

    def __init__(self, context: DesktopContext) -> None:
        self._target: WorkerTarget | None = None
        for verb, icon, drains in (("drain", "power", True), ("resume", "play", False)):
            context.actions.add(self._spec(verb, icon, drains=drains), context.window)

    def set_target(self, target: WorkerTarget) -> None:
        """Let the actions act on this page from now on."""
        self._target = target

    @property
    def target(self) -> WorkerTarget | None:
        """The page in front, or None."""
        target = self._target
        if target is None or not shiboken6.isValid(target) or not target.is_shown():
            return None
        return target

    def _spec(self, verb: str, icon: str, *, drains: bool) -> ActionSpec:
        def fitting() -> WorkerTarget | None:
            target = self.target
            fits = target is not None and target.worker_id is not None and target.is_draining is not drains
            return target if fits else None

        def act() -> None:
            target = fitting()
            if target is not None:
                target.switch_draining()

        def command() -> Sequence[str] | None:
            target = fitting()
            return ["workers", verb, str(target.worker_id)] if target is not None else None

        return ActionSpec(
            key=f"worker.{verb}",
            title=f"{verb.capitalize()} the worker",
            run=act,
            scope=ActionScope.WORKER,
            icon=icon,
            keywords=("stop", "maintenance") if drains else ("start", "again"),
            is_enabled=lambda: fitting() is not None,
            cli=command,
        )
