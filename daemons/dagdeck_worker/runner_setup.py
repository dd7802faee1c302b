"""A freshly forked runner becomes what its setup says: in its control group, another user, in that one's surroundings.

Decides the order, and what another user's process has: its groups, home, environment, umask. Called by the keeper, in
the runner's process before any user code, on Linux only.

Airflow runs such tasks through sudo; here root forks a process that gives its rights up for good.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from dagdeck_core.process_port import RunnerSetup
from dagdeck_worker import linux_calls
from dagdeck_worker.cgroups import RunnerGroups

UMASK = 0o022
"""What others may not do with files that the task makes, at least; the worker's own mask is added."""
ROOT = "root"
_SESSION = ("XDG_", "SUDO_", "DBUS_", "SSH_")
"""Variables that begin so belong to the session in which the worker was started."""


class SetupRefused(Exception):
    """Why no runner can be set up so, for people: what was asked for is wrong, or wrong on this worker."""


class SetupFailed(Exception):
    """Why the system did not let this runner be set up, for people. Another time it may."""


def take_on(setup: RunnerSetup, group: Path | None, keeper: int) -> None:
    """Become what `setup` says; `keeper` is the parent's process id. Raises SetupRefused and SetupFailed."""
    if group is not None:
        try:
            RunnerGroups.enter(group)
        except OSError as error:
            raise SetupFailed(f"its process cannot enter the control group {group}: {error.strerror}") from error
    if setup.user:
        _become(setup.user)
        # With the user the kernel has taken back both of these.
        linux_calls.set_dumpable(True)
        if not linux_calls.die_with_parent(signal.SIGKILL, keeper):
            os._exit(70)
        _check_access(setup)


def _become(user: str) -> None:
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise SetupRefused(
            f"run_as_user: there is no user {user!r} on this machine; make it here, or send the task to a queue whose "
            "workers have it"
        ) from None
    if entry.pw_uid == 0 and user != ROOT:
        raise SetupRefused(f"run_as_user: {user!r} is another name of root; name {ROOT!r}, where the worker allows it")
    if os.geteuid() == entry.pw_uid and os.geteuid() != 0:
        return
    if os.geteuid() != 0:
        raise SetupRefused(
            f"run_as_user: this worker runs as user {_name_of(os.geteuid())!r}, and only one that runs as root can "
            f"run tasks as {user!r}; start it as root, or send the task to a queue whose workers are"
        )
    try:
        os.initgroups(user, entry.pw_gid)
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except OSError as error:
        raise SetupFailed(f"run_as_user: the system does not let this worker become {user!r}: {error}") from error
    os.umask(UMASK | os.umask(UMASK))
    _change_environment(user, entry.pw_dir, entry.pw_shell)
    try:
        os.chdir(entry.pw_dir)
    except OSError:
        os.chdir("/")


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _change_environment(user: str, home: str, shell: str) -> None:
    for name in [name for name in os.environ if name.startswith(_SESSION)]:
        del os.environ[name]
    os.environ.update(HOME=home, USER=user, LOGNAME=user, SHELL=shell or "/bin/sh")
    os.environ.pop("MAIL", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        if name in os.environ and not os.access(os.environ[name], os.W_OK | os.X_OK):
            del os.environ[name]


def _check_access(setup: RunnerSetup) -> None:
    if setup.readable and not os.access(setup.readable, os.X_OK):
        raise SetupRefused(
            f"run_as_user: the user {setup.user!r} cannot enter {setup.readable}, where DAG code is unpacked; set "
            "worker.bundle_cache to a folder that this user may enter, such as /var/cache/dagdeck"
        )
    library = os.path.dirname(os.__file__)
    for folder in (library, os.path.dirname(__file__)):
        if not os.access(folder, os.R_OK | os.X_OK):
            raise SetupRefused(
                f"run_as_user: the user {setup.user!r} cannot read {folder}, the Python of this worker; make it "
                "readable, or name another one by core.runner_python"
            )
