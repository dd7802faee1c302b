"""What a task's runner is given of this machine: whose rights, how much memory and CPU.

Decides that from the task's spec and the worker's settings: which limits hold, as which user it runs, and that it may
not run as just anybody. Does not enforce it (process host, `limit_watch`). Called by the main loop when a dispatch is
prepared; a task that asks for nothing costs two comparisons.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dagdeck_core.errors import UserError
from dagdeck_core.limits import TaskLimits, cpu_time_exceeded, memory_exceeded
from dagdeck_core.process_port import PLAIN_SETUP, RunnerSetup
from dagdeck_core.spec import TaskSpec
from dagdeck_io.settings import Settings

ANYBODY = "*"
_ROOT = "root"
NO_LIMITS = TaskLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """The worker's settings about it."""

    limits: TaskLimits = NO_LIMITS
    """Of tasks that name none."""
    user: str = ""
    """Of tasks that name none; "" the worker's own."""
    users: tuple[str, ...] = (ANYBODY,)
    """Whom tasks may name. ANYBODY is everybody but root."""
    code_folder: Path | None = None
    """Where bundles are unpacked."""

    @property
    def plain(self) -> RunnerSetup:
        """The setup of a runner that runs tasks which ask for nothing."""
        return self._setup(self.user, self.limits)

    @property
    def of_triggers(self) -> RunnerSetup:
        """The setup of a runner that runs triggers: no task's limits."""
        return self._setup(self.user, NO_LIMITS)

    def limits_of(self, spec: TaskSpec | None) -> TaskLimits | None:
        """What holds for a task; None when nothing does."""
        if spec is not None and spec.limits is not None:
            return spec.limits.or_those_of(self.limits)
        return self.limits if self.limits is not NO_LIMITS else None

    def setup_of(self, spec: TaskSpec | None) -> RunnerSetup:
        """The setup of a runner for this task; PLAIN_SETUP when any will do.

        Raises UserError when the task may not run as the user that it names.
        """
        if spec is None or (spec.limits is None and not spec.run_as_user):
            return PLAIN_SETUP
        user = spec.run_as_user or self.user
        if spec.run_as_user and not self._may_be(spec.run_as_user):
            raise UserError(
                "this worker runs no tasks as this user",
                field="run_as_user",
                value=spec.run_as_user,
                remedy="Add it to worker.run_as_users here, or name one that is allowed",
            )
        return self._setup(user, self.limits_of(spec) or NO_LIMITS)

    def _may_be(self, user: str) -> bool:
        if user in self.users or user == self.user:
            return True
        return ANYBODY in self.users and user != _ROOT and not user.isdigit()

    def _setup(self, user: str, limits: TaskLimits) -> RunnerSetup:
        folder = str(self.code_folder) if user and self.code_folder is not None else ""
        return RunnerSetup(user, folder, limits.memory, limits.cores)


def confinement_of(settings: Settings) -> Confinement:
    """What the worker's settings say."""
    own = settings.worker
    limits = TaskLimits(memory=own.task_memory_limit, cores=own.task_cpu_limit, cpu_seconds=own.task_cpu_time_limit)
    return Confinement(
        limits=NO_LIMITS if limits == NO_LIMITS else limits,
        user=settings.core.default_impersonation,
        users=own.run_as_users,
        code_folder=own.bundle_cache,
    )


def check_default_user(user: str) -> None:
    """Raise UserError when tasks that name no user cannot run as `user` here."""
    field = "core.default_impersonation"
    if os.name != "posix" or os.geteuid() != 0:
        raise UserError(
            "only a worker that runs as root can run tasks as another user",
            field=field,
            value=user,
            remedy="Run the worker as root, or leave the setting empty",
        )
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        raise UserError(
            "there is no such user on this machine", field=field, value=user, remedy="Make it, or name another one"
        ) from None


def out_of_memory(spec: TaskSpec | None, limits: TaskLimits, used: int) -> str:
    """The sentence for a task that was ended for its memory; `used` 0 when nobody knows how much it was."""
    return memory_exceeded(used, limits.memory, own=_is_own(spec, limits, "memory"))


def out_of_cpu_time(spec: TaskSpec | None, limits: TaskLimits, used: float) -> str:
    """The sentence for a task that was ended for its CPU time."""
    return cpu_time_exceeded(used, limits.cpu_seconds, own=_is_own(spec, limits, "cpu_seconds"))


def _is_own(spec: TaskSpec | None, limits: TaskLimits, name: str) -> bool:
    return spec is not None and spec.limits is not None and bool(getattr(spec.limits, name))
