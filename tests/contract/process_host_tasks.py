"""What runners execute in the tests of the process hosts: small programs, good and bad.

Decides how each behaves. Named as the runners' entry by test_process_host.py; `task_id` picks the program and
the run's conf holds its arguments.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagdeck_core.wire import DagRunContext, Outcome, RunTask, TaskError

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SLEEPER = "import sys,time; open(sys.argv[1],'a').write(f'{__import__(\"os\").getpid()}\\n'); time.sleep(300)"


def run_task(program: str, dispatch_no: int = 1, **arguments: Any) -> RunTask:
    """A task that runs `program` with `arguments`."""
    context = DagRunContext(1, "dag", "run", "manual", "running", None, None, None, EPOCH, EPOCH, None, conf=arguments)
    return RunTask(7, dispatch_no, program, -1, 1, 0, "/", "bundle", "version", "dag.py", context)


def execute(task: RunTask, channel: Any) -> Outcome:
    """Run the program that the task names; exceptions become failures as the contract of runners asks."""
    begun = datetime.now(UTC)
    channel.started(begun)
    try:
        value = PROGRAMS[task.task_id](channel, **task.dag_run.conf)
    except Exception as error:  # noqa: BLE001 - as dagdeck_task does
        failure = TaskError(type(error).__name__, str(error))
        return Outcome(task.dispatch_no, "failed", begun, datetime.now(UTC), error=failure)
    return Outcome(task.dispatch_no, "success", begun, datetime.now(UTC), rendered_fields={"value": value})


def _say(_channel: Any, text: str, times: int = 1) -> None:
    for _ in range(times):
        print(text)


def _say_everywhere(_channel: Any) -> None:
    print("from print")
    print("from stderr", file=sys.stderr)
    os.write(1, b"from write\n")
    subprocess.run(["sh", "-c", "echo from sh; echo from sh stderr >&2"], check=True)


def _facts(_channel: Any) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": os.umask(os.umask(0)),
        "files": sorted(os.readlink(f"/proc/self/fd/{name}") for name in _descriptors()),
        "term": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "stdin": sys.stdin.read(),
        "session_leader": os.getsid(0) == os.getpid(),
    }


def _descriptors() -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


def _disturb(_channel: Any, folder: str) -> None:
    os.environ["LEFT_BEHIND"] = "1"
    os.environ.pop("PATH", None)
    os.chdir(folder)
    os.umask(0o777)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    sys.stdout = sys.stderr
    os.close(1)


def _sleep(_channel: Any, seconds: float = 300) -> None:
    time.sleep(seconds)


def _ignore_sigterm(_channel: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf now", flush=True)
    while True:
        time.sleep(1)


def _polite(_channel: Any) -> str:
    def stop(_number: int, _frame: Any) -> None:
        raise InterruptedError("asked to stop")

    signal.signal(signal.SIGTERM, stop)
    print("listening", flush=True)
    time.sleep(300)
    return "never"


def _exit(_channel: Any, code: int) -> None:
    print("before the end")
    os._exit(code)


def _signal_self(_channel: Any, number: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)
    time.sleep(10)


def _family(_channel: Any, pids: str, children: int = 1, stay: bool = True) -> None:
    """Children in three generations: plain, in a session of their own, and orphaned twice over."""
    python = [sys.executable, "-I", "-c", SLEEPER, pids]
    for _ in range(children):
        subprocess.Popen(python)
        subprocess.Popen(python, start_new_session=True)
        subprocess.run(["sh", "-c", '(setsid "$@" & ) &', "sh", *python], check=True)
    _await_lines(pids, 3 * children)
    if stay:
        time.sleep(300)


def _await_lines(path: str, count: int) -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        if Path(path).exists() and len(Path(path).read_text().splitlines()) >= count:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{path} did not grow to {count} lines")


def _brood(_channel: Any, pids: str, count: int) -> None:
    """`count` forked children, each with a forked child of its own."""
    for _ in range(count):
        if os.fork() == 0:
            os.fork()
            with open(pids, "a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(300)
            os._exit(0)
    _await_lines(pids, 2 * count)
    time.sleep(300)


def _fork_and_return(_channel: Any) -> int:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return child


def _leave_thread(_channel: Any) -> None:
    threading.Thread(target=time.sleep, args=(300,), daemon=True, name="lingerer").start()


def _leave_file(_channel: Any, path: str) -> None:
    os.open(path, os.O_RDONLY)


def _ask(channel: Any, method: str, arguments: dict[str, Any]) -> Any:
    return channel.request(method, arguments)


def _secretive(channel: Any, secret: str) -> None:
    channel.mask(secret)
    print(f"the password is {secret}.")


def _garbage(_channel: Any) -> None:
    for name in _descriptors():
        if os.readlink(f"/proc/self/fd/{name}").startswith("pipe:"):
            try:
                os.write(int(name), b"\xff\xff\xff\xff garbage")
            except OSError:
                continue
    time.sleep(300)


def _raise_system_exit(_channel: Any) -> None:
    sys.exit(4)


def _grow(_channel: Any, megabytes: int, in_child: bool = False) -> None:
    """Use memory, here or in a child, until somebody ends it."""
    if in_child:
        child = f"held = b'x' * ({megabytes} << 20); import time; time.sleep(300)"
        subprocess.run([sys.executable, "-I", "-c", child], check=True)
    held = b"x" * (megabytes << 20)
    time.sleep(300 if held else 0)


def _burn(_channel: Any, in_child: bool = False) -> None:
    """Use CPU time, here or in children that end one after another, until somebody ends it."""
    while True:
        if in_child:
            subprocess.run([sys.executable, "-I", "-c", "for _ in range(3_000_000): pass"], check=True)


def _who(_channel: Any, folder: str) -> dict[str, Any]:
    """Who this is, and what it may do."""
    umask = os.umask(0)
    os.umask(umask)
    made = Path(folder, "made")
    made.write_text("by the task")
    subprocess.run(["sh", "-c", f"echo from $(id -un); umask; touch {folder}/by-child"], check=True)
    return {
        "ids": [*os.getresuid(), *os.getresgid()],
        "groups": sorted(os.getgroups()),
        "environment": {name: value for name, value in os.environ.items() if name in _TOLD},
        "folder": os.getcwd(),
        "umask": umask,
        "dumpable": os.access("/proc/self/environ", os.R_OK),
        "can_return": _can_become_root(),
    }


_TOLD = ("HOME", "USER", "LOGNAME", "SHELL", "XDG_RUNTIME_DIR", "SUDO_USER")


def _can_become_root() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


PROGRAMS: dict[str, Callable[..., Any]] = {
    "say": _say,
    "say_everywhere": _say_everywhere,
    "facts": _facts,
    "disturb": _disturb,
    "sleep": _sleep,
    "ignore_sigterm": _ignore_sigterm,
    "polite": _polite,
    "exit": _exit,
    "signal_self": _signal_self,
    "family": _family,
    "brood": _brood,
    "fork_and_return": _fork_and_return,
    "leave_thread": _leave_thread,
    "leave_file": _leave_file,
    "ask": _ask,
    "secretive": _secretive,
    "garbage": _garbage,
    "system_exit": _raise_system_exit,
    "grow": _grow,
    "burn": _burn,
    "who": _who,
}
