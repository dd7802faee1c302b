"""The process host for systems without subreapers: subprocesses, threads on plain pipes, psutil, a watchdog.

Decides how a tree is found (`marked_processes`) and when a runner counts as dead: its process has ended and
no marked process is left. Without signals (Windows) a grace period cannot be given: `terminate` ends at once.
Constructed by the composition root; the Linux host is preferred where it works.
"""

from __future__ import annotations

import os
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

import psutil

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.process_port import (
    PLAIN_SETUP,
    DeadlinePassed,
    EndCause,
    HostEvent,
    HostLost,
    RunnerEnded,
    RunnerMessage,
    RunnerSetup,
    RunnerUnlimited,
    TreeUsage,
)
from dagdeck_worker.frames import FrameError, FrameReader, framed
from dagdeck_worker.hosts.marked_processes import MARK_VARIABLE, boot_clock, kill_until_gone, mark, with_descendants
from dagdeck_worker.hosts.watchdog import DEADLINE
from dagdeck_worker.runner_environment import NOTHING, scrubbed

NO_LIMITS = "this worker uses no control groups, which only Linux has (worker.portable_processes)"
NO_USERS = "run_as_user: only a worker on Linux that runs as root can run tasks as {!r}, and no portable one"
KILL_WITHIN = 30.0
READ_SIZE = 128 * 1024
_ON_POSIX = os.name == "posix"


class _Runner:
    """One runner and the threads that serve it."""

    def __init__(self, runner_id: int) -> None:
        self.runner_id = runner_id
        self.process: subprocess.Popen[bytes] | None = None
        self.output: IO[bytes] | None = None
        """The captured output, opened for reading; the runner has the file open for appending."""
        self.output_file = ""
        self.output_start = 0
        self.frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.cause: EndCause | None = None
        self.known: list[psutil.Process] = []
        self.ended = False
        self.timer: threading.Timer | None = None
        self.attendant: threading.Thread | None = None


class PortableHost:
    """See `ProcessHost`. `entry` ("module:function") names what runners call to execute a task.

    `handed_over` are variables that runners find in their environment.
    """

    def __init__(
        self,
        *,
        entry: str,
        held: Sequence[int] = (),
        python: Sequence[str] = (sys.executable, "-P"),
        handed_over: Mapping[str, str] = NOTHING,
    ) -> None:
        self._entry = entry
        self._python = tuple(python)
        self._environment = scrubbed(os.environ) | dict(handed_over)
        self._token = secrets.token_hex(8)
        self._events: queue.SimpleQueue[HostEvent | None] = queue.SimpleQueue()
        self._runners: dict[int, _Runner] = {}
        self._waiting: list[_Runner] = []
        self._next_id = 0
        self._deadline: float | None = None
        self._changing = threading.RLock()
        self._closing = False
        try:
            self._watchdog = subprocess.Popen(
                [*self._python, "-m", "dagdeck_worker.hosts.watchdog", "--token", self._token],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
                pass_fds=tuple(held) if _ON_POSIX else (),
            )
        except OSError as error:
            raise EnvironmentFault(f"the watchdog process cannot be started: {error}") from error
        self._threads = [threading.Thread(target=self._hear_watchdog, name="watchdog", daemon=True)]
        self._threads[0].start()

    @property
    def watchdog_pid(self) -> int:
        """The watchdog's process id, for logs."""
        return self._watchdog.pid

    # ------------------------------------------------------------ commands

    def spawn(self, setup: RunnerSetup = PLAIN_SETUP) -> int:
        """See the port. It has neither users nor limits to give."""
        with self._changing:
            self._next_id += 1
            runner = self._runners[self._next_id] = _Runner(self._next_id)
            if setup.memory or setup.cores:
                self._events.put(RunnerUnlimited(runner_id=runner.runner_id, reason=NO_LIMITS))
            if setup.user:
                self._finish(runner, EndCause.REFUSED, reason=NO_USERS.format(setup.user))
            elif self._expired():
                self._waiting.append(runner)
            else:
                self._start(runner)
        return runner.runner_id

    def send(self, runner_id: int, frame: bytes) -> None:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is not None and not runner.ended:
            runner.frames.put(framed(frame))

    def send_ahead(self, runner_id: int, frame: bytes) -> bool:
        """See the port. Never: what is in a plain pipe cannot be taken back frame by frame."""
        return False

    def take_back(self, runner_id: int, at_most: int) -> int:
        """See the port."""
        return 0

    def terminate(self, runner_id: int, *, grace: float) -> None:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.ended:
            return
        if runner.process is None:
            with self._changing, suppress(ValueError):
                self._waiting.remove(runner)
                self._finish(runner, EndCause.TERMINATED)
            return
        runner.cause = runner.cause or EndCause.TERMINATED
        self._remember_tree(runner)
        if grace > 0 and _ON_POSIX:
            if runner.timer is None:
                runner.process.terminate()
                runner.timer = threading.Timer(grace, self._kill, (runner,))
                runner.timer.daemon = True
                runner.timer.start()
        else:
            self._kill(runner)

    def set_deadline(self, at: float) -> None:
        """See the port."""
        with self._changing:
            self._deadline = at
            with suppress(OSError, ValueError):
                assert self._watchdog.stdin is not None
                self._watchdog.stdin.write(framed(DEADLINE.pack(at)))
                self._watchdog.stdin.flush()
            while self._waiting and not self._expired():
                self._start(self._waiting.pop(0))

    def boot_clock(self) -> float:
        """See the port."""
        return boot_clock()

    def wake(self) -> None:
        """See the port."""
        self._events.put(None)

    def _expired(self) -> bool:
        return self._deadline is not None and boot_clock() >= self._deadline

    # ------------------------------------------------------------ life of a runner

    def _start(self, runner: _Runner) -> None:
        command = [*self._python, "-m", "dagdeck_worker.runner", "--entry", self._entry]
        environment = {**self._environment, MARK_VARIABLE: mark(self._token, runner.runner_id)}
        try:
            descriptor, runner.output_file = tempfile.mkstemp(prefix="dagdeck-output-")
            os.close(descriptor)
            runner.output = open(runner.output_file, "rb", buffering=0)  # noqa: SIM115 - closed in release()
            # Appending: after a truncation the next byte is byte 0.
            with open(runner.output_file, "ab", buffering=0) as writer:
                runner.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=writer,
                    env=environment,
                    bufsize=0,
                    start_new_session=True,
                )
            if _ON_POSIX:
                os.unlink(runner.output_file)
        except OSError as error:
            print(f"dagdeck worker: no new process: {error}", file=sys.stderr, flush=True)
            self._finish(runner, EndCause.NOT_STARTED)
            return
        name = f"runner-{runner.runner_id}"
        runner.attendant = threading.Thread(target=self._attend, args=(runner,), name=name, daemon=True)
        runner.attendant.start()
        threading.Thread(target=self._write, args=(runner,), name=name, daemon=True).start()

    def _write(self, runner: _Runner) -> None:
        assert runner.process is not None
        assert runner.process.stdin is not None
        pipe = runner.process.stdin
        with suppress(OSError, ValueError):
            while (data := runner.frames.get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[pipe.write(view) :]
        with suppress(OSError):
            pipe.close()

    def _attend(self, runner: _Runner) -> None:
        """Wait for the runner's process, then for the rest of its tree, and report."""
        assert runner.process is not None
        reading = threading.Thread(target=self._read, args=(runner,), daemon=True)
        reading.start()
        code = runner.process.wait()
        if runner.timer is not None:
            runner.timer.cancel()
        while not kill_until_gone(self._mark(runner), runner.known, within=KILL_WITHIN):
            print("dagdeck worker: a task's processes cannot be killed; trying on", file=sys.stderr, flush=True)
        reading.join(KILL_WITHIN)
        runner.frames.put(None)
        cause = runner.cause or (EndCause.DEADLINE if self._expired() else EndCause.ITSELF)
        if code < 0:
            self._finish(runner, cause, signal=-code)
        else:
            self._finish(runner, cause, exit_code=code)

    def _read(self, runner: _Runner) -> None:
        assert runner.process is not None
        assert runner.process.stdout is not None
        reader = FrameReader()
        with runner.process.stdout as pipe, suppress(OSError, ValueError):
            while data := pipe.read(READ_SIZE):
                try:
                    frames = reader.feed(data)
                except FrameError:
                    runner.cause = EndCause.BROKEN
                    self._kill(runner)
                    return
                for frame in frames:
                    self._events.put(RunnerMessage(runner_id=runner.runner_id, frame=frame))

    def _finish(
        self,
        runner: _Runner,
        cause: EndCause,
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        reason: str = "",
    ) -> None:
        runner.ended = True
        self._events.put(
            RunnerEnded(runner_id=runner.runner_id, cause=cause, exit_code=exit_code, signal=signal, reason=reason)
        )

    def _mark(self, runner: _Runner) -> str:
        return mark(self._token, runner.runner_id)

    def _remember_tree(self, runner: _Runner) -> None:
        """Note descendants while the parent links still lead to them."""
        assert runner.process is not None
        with suppress(psutil.Error):
            runner.known += with_descendants([psutil.Process(runner.process.pid)])[1:]

    def _kill(self, runner: _Runner) -> None:
        assert runner.process is not None
        self._remember_tree(runner)
        runner.process.kill()

    def _hear_watchdog(self) -> None:
        pipe = self._watchdog.stdout
        assert pipe is not None
        with suppress(OSError, ValueError):
            while os.read(pipe.fileno(), 1):
                self._events.put(DeadlinePassed(at=self._deadline or 0.0))
        if self._closing:
            return
        code = self._watchdog.wait()
        for runner in list(self._runners.values()):
            if not runner.ended and runner.process is not None:
                runner.cause = EndCause.HOST_LOST
                self._kill(runner)
        for runner in list(self._runners.values()):
            if runner.attendant is not None:
                runner.attendant.join(KILL_WITHIN)
        self._events.put(HostLost(reason=f"the watchdog process {self._watchdog.pid} ended with code {code}"))

    # ------------------------------------------------------------ events

    def poll(self, timeout: float) -> list[HostEvent]:
        """See the port."""
        events: list[HostEvent] = []
        try:
            first = self._events.get(timeout=timeout) if timeout > 0 else self._events.get_nowait()
            while True:
                if first is not None:
                    events.append(first)
                first = self._events.get_nowait()
        except queue.Empty:
            return events

    # ------------------------------------------------------------ output

    def output_size(self, runner_id: int) -> int:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.output is None:
            return 0
        return os.fstat(runner.output.fileno()).st_size - runner.output_start

    def read_output(self, runner_id: int, offset: int, size: int) -> bytes:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.output is None:
            return b""
        runner.output.seek(runner.output_start + offset)
        return runner.output.read(size)

    def discard_output(self, runner_id: int, upto: int) -> None:
        """See the port. Nothing is freed here: a temporary file has no portable way to give up its beginning."""

    def reset_output(self, runner_id: int, written: int | None = None, *, goes_on: bool = False) -> None:
        """See the port. Nothing is sent ahead here, so nothing goes on."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.output is None:
            return
        if _ON_POSIX:
            os.truncate(f"/dev/fd/{runner.output.fileno()}", 0)
        else:  # the child's handle keeps its own position
            runner.output_start = os.fstat(runner.output.fileno()).st_size

    # ------------------------------------------------------------ the rest

    def usage(self, runner_ids: Sequence[int]) -> dict[int, TreeUsage]:
        """See the port."""
        used = {}
        for runner_id in runner_ids:
            runner = self._runners.get(runner_id)
            if runner is None or runner.ended or runner.process is None:
                continue
            cpu, resident, count = 0.0, 0, 0
            with suppress(psutil.Error):
                for process in with_descendants([psutil.Process(runner.process.pid)]):
                    with suppress(psutil.Error):
                        times = process.cpu_times()
                        cpu += times.user + times.system + times.children_user + times.children_system
                        resident += process.memory_info().rss
                        count += 1
            if count:
                used[runner_id] = TreeUsage(cpu_seconds=cpu, resident=resident, processes=count)
        return used

    def memory(self, runner_id: int) -> int:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.ended or runner.process is None:
            return 0
        used = 0
        with suppress(psutil.Error):
            for process in with_descendants([psutil.Process(runner.process.pid)]):
                with suppress(psutil.Error):
                    told = process.memory_full_info()
                    used += getattr(told, "pss", 0) or getattr(told, "uss", 0) or told.rss
        return used

    def release(self, runner_id: int) -> None:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is not None and runner.ended:
            del self._runners[runner_id]
            if runner.output is not None:
                runner.output.close()
            if not _ON_POSIX:
                with suppress(OSError):
                    os.unlink(runner.output_file)

    def close(self) -> None:
        """See the port."""
        self._closing = True
        for runner in list(self._runners.values()):
            self.terminate(runner.runner_id, grace=0)
        give_up = boot_clock() + KILL_WITHIN
        while any(not runner.ended for runner in self._runners.values()) and boot_clock() < give_up:
            self.poll(0.05)
        assert self._watchdog.stdin is not None
        assert self._watchdog.stdout is not None
        with suppress(OSError):
            self._watchdog.stdin.close()
        self._watchdog.wait(KILL_WITHIN)
        self._threads[0].join(KILL_WITHIN)
        self._watchdog.stdout.close()
        for runner in list(self._runners.values()):
            self.release(runner.runner_id)
