"""DAGs whose tasks do what tasks should not: flood, bloat, vanish, resist, leave things behind and tell secrets.

Decides nothing about what the worker makes of it. Read by the DAG processor.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from dagdeck import DAG, Variable, get_current_context, task

_START = datetime(2025, 1, 1, tzinfo=UTC)
_kept: list[bytearray] = []


def _append(line: str) -> None:
    with open(os.environ["STAMP_FILE"] + ".notes", "a") as notes:
        notes.write(line + "\n")


def single(dag_id: str) -> DAG:
    """A DAG of one kind of task, started by hand."""
    return DAG(dag_id=dag_id, schedule=None, start_date=_START, catchup=False, max_active_tasks=16)


with single("prints_100_mb"):

    @task
    def flood() -> str:
        """Print 100 MB in lines, the first and the last of which can be recognised."""
        print("first line of the flood")
        line = "x" * 99
        for _ in range(1000):
            sys.stdout.write(f"{line}\n" * 1000)
        print("last line of the flood")
        return "done"

    flood()


with single("returns_50_mb"):

    @task
    def bloat() -> str:
        """Return far more than an XCom may hold."""
        return "x" * 50_000_000

    bloat()


with single("returns_no_json"):

    @task
    def opaque() -> object:
        """Return something that cannot be stored."""
        return {"lock": [1, threading.Lock()]}

    opaque()


with single("exits_hard"):

    @task
    def vanish() -> None:
        """Leave without a word."""
        print("about to leave")
        os._exit(7)

    vanish()


with single("crashes"):

    @task
    def crash() -> None:
        """Die as a broken C extension does."""
        os.kill(os.getpid(), signal.SIGSEGV)

    crash()


with single("ignores_sigterm"):

    @task(execution_timeout=timedelta(seconds=1))
    def resist() -> None:
        """Go on whatever is asked or raised, and start a child that does, too."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        child = subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"])
        _append(f"resisting {os.getpid()} {child.pid}")
        while True:
            try:
                time.sleep(3600)
            except BaseException:  # noqa: BLE001, S110 - the point of this task
                pass

    resist()


with single("leaves_things_behind"):

    @task
    def litter() -> int:
        """Leave a child, a child that left the session, a thread and an open file."""
        plain = subprocess.Popen(["sleep", "600"])
        daemonised = subprocess.Popen(["setsid", "sleep", "601"], start_new_session=True)
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        open(os.devnull)  # noqa: SIM115 - left open on purpose
        os.environ["LITTER"] = "left behind"
        os.chdir("/")
        _append(f"left {plain.pid} {daemonised.pid}")
        return os.getpid()

    @task
    def look_around(littering: int) -> list[object]:
        """What a task finds after that one."""
        return [os.getpid() == littering, os.environ.get("LITTER"), threading.active_count()]

    look_around(litter())


with single("leaks_memory"):

    @task
    def leak() -> int:
        """Keep 100 MB for ever."""
        _kept.append(bytearray(os.urandom(1 << 20) * 100))
        return os.getpid()

    @task
    def fresh(*pids: int) -> list[bool]:
        """Whether it has a process without that memory."""
        return [os.getpid() in pids, bool(_kept)]

    fresh(leak())


with single("tells_secrets"):

    @task
    def blab() -> str:
        """Print a secret variable, whole and within a line, and fail with it."""
        secret = Variable.get("api_password")
        print(f"the password is {secret}!")
        print(secret, file=sys.stderr)
        raise RuntimeError(f"login with {secret} failed")

    blab()


with single("well_behaved"):

    @task
    def greet() -> str:
        """Do as one should."""
        print(f"hello from {get_current_context()['run_id']}")
        return "hello"

    greet()
