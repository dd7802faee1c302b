"""What Windows starts can be imported where nothing of POSIX is.

A process pretends to be there: the modules that only POSIX has cannot be imported, and what it adds to `os` and
`signal` is taken away. Other people's packages were imported before that: their form for Windows is not here. What is
called later is not seen by this.
"""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import importlib, os, pkgutil, signal, sys, types, warnings
import dagdeck_master, dagdeckd

MODULES = ("fcntl", "grp", "nis", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty")
OF_OS = (
    "fork forkpty posix_spawn register_at_fork waitid WNOHANG killpg getpgid setpgid getsid setsid getuid geteuid "
    "getgid getegid getgroups initgroups setuid setgid fchmod fchown chown lchown pread pwrite sysconf getloadavg "
    "mkfifo uname statvfs memfd_create pidfd_open sched_getaffinity set_blocking O_CLOEXEC O_NOFOLLOW O_DIRECTORY "
    "O_NONBLOCK"
)
OF_SIGNAL = (
    "SIGKILL SIGCHLD SIGCLD SIGUSR1 SIGUSR2 SIGHUP SIGCONT SIGSTOP SIGTSTP SIGQUIT SIGALRM SIGPIPE alarm setitimer "
    "ITIMER_REAL pthread_sigmask pthread_kill sigwait SIG_BLOCK SIG_SETMASK"
)


class Refused:
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"no module named {name!r} on this system", name=name)


names = [
    module.name
    for package in (dagdeckd, dagdeck_master)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if module.name != "dagdeckd.__main__"
]
names += ["dagdeck_worker.app", "dagdeck_worker.hosts.portable", "dagdeck_worker.hosts.watchdog"]
names += ["dagdeck_worker.runner.__main__", "dagdeck_worker.triggerer.process"]
names += ["dagdeck_desktop.app", "dagdeck_client.cli", "dagdeck.airflow_layer", "dagdeck.hooks.subprocess"]
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0].startswith("dagdeck")]:
    del sys.modules[name]
sys.meta_path.insert(0, Refused())
for name in MODULES:
    sys.modules.pop(name, None)
for module, gone in ((os, OF_OS), (signal, OF_SIGNAL)):
    for name in gone.split():
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "win32"
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
warnings.simplefilter("ignore")  # functions of SQL are registered a second time
for name in names:
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError) as error:
        print(f"{name}: {error}")
print("tried", len(names))
"""


def test_everything_that_windows_starts_can_be_imported_without_posix() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *missing, tried = done.stdout.splitlines()
    assert missing == []
    assert int(tried.split()[1]) > 100
