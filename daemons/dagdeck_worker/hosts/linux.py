"""The process host on Linux: a client of the keeper, which forks and ends the runners.

Decides how frames are moved without blocking and what happens when the keeper itself is killed. Does not
decide when a tree is dead (`dagdeck_worker.keeper`). Constructed by the composition root before any thread.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

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
from dagdeck_worker import keeper_wire as wire
from dagdeck_worker import linux_calls
from dagdeck_worker.frames import FrameError, FrameReader, framed
from dagdeck_worker.runner_environment import NOTHING, scrubbed

READ_SIZE = 128 * 1024
KEPT_OUTPUT = 64 * 1024
"""Bytes of earlier tasks' output that may stay in a runner's file."""
PACKET_SIZE = 4096
"""A frame of at most so many bytes, its length included, is read at once or not at all (PIPE_BUF)."""
CLOSE_TIMEOUT = 30.0
"""Longest wait in `close` for the keeper to see every tree dead."""
_SWEEP_PAUSE = 0.01
_SWEEP_TIMEOUT = 5.0


class _Runner:
    """The host's end of one runner."""

    __slots__ = (
        "command",
        "ended",
        "has_spoken",
        "output",
        "output_start",
        "pid",
        "reader",
        "result",
        "runner_id",
        "setup",
        "terminating",
        "unsent",
        "untaken",
    )

    def __init__(self, runner_id: int, setup: RunnerSetup) -> None:
        self.runner_id = runner_id
        self.setup = setup
        self.pid = 0
        self.command = self.result = self.output = self.untaken = -1
        """`untaken` reads the command pipe as the runner does, without waiting."""
        self.output_start = 0
        """Where the current task's output begins in the file."""
        self.reader = FrameReader()
        self.unsent = bytearray()
        self.ended = self.has_spoken = False
        self.terminating: EndCause | None = None


class LinuxHost:
    """See `ProcessHost`. `entry` ("module:function") names what runners call to execute a task.

    With `sole_parent` every child process of this process counts as the keeper's or its remains: it becomes a
    subreaper, and when the keeper is killed, it kills what the keeper would have. `held` descriptors are kept
    open by the keeper too, so that a lock on them is held until the last tree is dead. `handed_over` are variables
    that runners find in their environment. `cgroup` says where control groups may be made (`cgroups.RunnerGroups`);
    `plain` is what a runner without a setup of its own gets.
    """

    def __init__(
        self,
        *,
        entry: str,
        sole_parent: bool,
        held: Sequence[int] = (),
        python: Sequence[str] = (sys.executable, "-P"),
        handed_over: Mapping[str, str] = NOTHING,
        cgroup: str = "off",
        plain: RunnerSetup = PLAIN_SETUP,
    ) -> None:
        self._sole_parent = sole_parent
        self._plain = plain
        if sole_parent:
            linux_calls.become_subreaper()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sending = threading.Lock()
        command = [*python, "-m", "dagdeck_worker.keeper", "--socket", str(theirs.fileno()), "--entry", entry]
        command += ["--cgroup", cgroup]
        try:
            self._keeper = subprocess.Popen(
                command,
                env=scrubbed(os.environ) | dict(handed_over),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *held),
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentFault(f"the keeper process cannot be started: {error}") from error
        finally:
            theirs.close()
        self._channel.setblocking(False)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._runners: dict[int, _Runner] = {}
        self._by_descriptor: dict[int, _Runner] = {}
        self._next_id = 0
        self._lost = False
        self._poll = select.epoll()
        self._poll.register(self._channel, select.EPOLLIN)
        self._poll.register(self._wake, select.EPOLLIN)
        self._undelivered: list[HostEvent] = []

    @property
    def keeper_pid(self) -> int:
        """The keeper's process id, for logs."""
        return self._keeper.pid

    # ------------------------------------------------------------ commands

    def spawn(self, setup: RunnerSetup = PLAIN_SETUP) -> int:
        """See the port."""
        if self._lost:
            raise EnvironmentFault("the keeper process is gone; no runner can be started", transient=False)
        self._next_id += 1
        if setup == PLAIN_SETUP:
            setup = self._plain
        self._runners[self._next_id] = _Runner(self._next_id, setup)
        self._tell(wire.Spawn(self._next_id, None if setup == PLAIN_SETUP else setup))
        return self._next_id

    def send(self, runner_id: int, frame: bytes) -> None:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.ended:
            return
        data = framed(frame)
        if runner.command < 0 or runner.unsent:
            runner.unsent += data
        else:
            self._write(runner, data)

    def send_ahead(self, runner_id: int, frame: bytes) -> bool:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is None or runner.command < 0 or runner.unsent or runner.output_start >= KEPT_OUTPUT:
            return False
        data = framed(frame)
        if len(data) > PACKET_SIZE:
            return False
        try:
            os.write(runner.command, data)
        except (BlockingIOError, BrokenPipeError):
            return False
        return True

    def take_back(self, runner_id: int, at_most: int) -> int:
        """See the port."""
        runner = self._runners.get(runner_id)
        packets: list[bytes] = []
        if runner is not None and runner.untaken >= 0:
            with suppress(BlockingIOError):
                while packet := os.read(runner.untaken, PACKET_SIZE):
                    packets.append(packet)
            # A runner that has had no time yet has not even taken the task before them.
            with suppress(BrokenPipeError):
                for packet in packets[: max(len(packets) - at_most, 0)]:
                    os.write(runner.command, packet)
        return min(len(packets), at_most)

    def terminate(self, runner_id: int, *, grace: float) -> None:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is not None and not runner.ended:
            self._tell(wire.Terminate(runner_id, grace))

    def set_deadline(self, at: float) -> None:
        """See the port."""
        self._tell(wire.Deadline(at))

    def boot_clock(self) -> float:
        """See the port."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wake(self) -> None:
        """See the port."""
        with suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)

    def _tell(self, message: wire.ToKeeper) -> None:
        """Send to the keeper, from any thread. The keeper always reads, so waiting for room is short."""
        data = wire.encode(message)
        with self._sending:
            while True:
                try:
                    self._channel.send(data)
                    return
                except BlockingIOError:
                    select.select([], [self._channel], [], 0.1)
                except OSError:  # it is gone: poll() sees the end of its socket
                    return

    # ------------------------------------------------------------ events

    def poll(self, timeout: float) -> list[HostEvent]:
        """See the port."""
        events, self._undelivered = self._undelivered, []
        for descriptor, mask in self._poll.poll(0 if events else timeout):
            runner = self._by_descriptor.get(descriptor)
            if runner is not None:
                if mask & select.EPOLLOUT and descriptor == runner.command:
                    self._write_rest(runner)
                elif descriptor == runner.result:
                    self._read(runner, events)
                else:  # the reading end of the command pipe is closed
                    self._drop_command(runner)
            elif descriptor == self._wake:
                os.eventfd_read(self._wake)
            elif descriptor == self._channel.fileno():
                self._hear(events)
        return events

    def _hear(self, events: list[HostEvent]) -> None:
        while not self._lost:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._channel, wire.MESSAGE_LIMIT, wire.SPAWNED_DESCRIPTORS)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, descriptors = b"", []
            if not data:
                self._keeper_gone(events)
                return
            message = wire.decode_from_keeper(data)
            if isinstance(message, wire.Spawned):
                self._adopt(message, descriptors)
            elif isinstance(message, wire.Ended):
                self._ended(message.runner_id, message.cause, message.exit_code, message.signal, events)
            elif isinstance(message, wire.Unlimited):
                events.append(RunnerUnlimited(runner_id=message.runner_id, reason=message.reason))
            elif isinstance(message, wire.Expired):
                events.append(DeadlinePassed(at=message.at))

    def _adopt(self, message: wire.Spawned, descriptors: Sequence[int]) -> None:
        runner = self._runners[message.runner_id]
        runner.pid = message.pid
        runner.command, runner.result, runner.output, taken_by_runner = descriptors
        # Opened anew: not to wait is a property of an opened file, and the runner's reads do wait.
        runner.untaken = os.open(f"/proc/self/fd/{taken_by_runner}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.close(taken_by_runner)
        os.set_blocking(runner.command, False)
        os.set_blocking(runner.result, False)
        self._by_descriptor[runner.command] = self._by_descriptor[runner.result] = runner
        self._poll.register(runner.result, select.EPOLLIN)
        self._poll.register(runner.command, 0)
        if runner.unsent:
            self._write_rest(runner)

    def _read(self, runner: _Runner, events: list[HostEvent]) -> bool:
        """Take what the runner has written; whether more may be there."""
        try:
            data = os.read(runner.result, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            # Its end is known for certain only when the keeper says so; until then ask no more.
            self._poll.unregister(runner.result)
            return False
        try:
            frames = runner.reader.feed(data)
        except FrameError:
            self._poll.unregister(runner.result)
            runner.terminating = EndCause.BROKEN
            self._tell(wire.Terminate(runner.runner_id, 0))
            return False
        runner.has_spoken = True
        for frame in frames:
            events.append(RunnerMessage(runner_id=runner.runner_id, frame=frame))
        return len(data) == READ_SIZE

    def _ended(
        self, runner_id: int, cause: EndCause, exit_code: int | None, number: int | None, events: list[HostEvent]
    ) -> None:
        runner = self._runners[runner_id]
        if runner.result >= 0 and runner.terminating is not EndCause.BROKEN:
            with suppress(FileNotFoundError):  # its end was seen and unregistered before
                while self._read(runner, events):
                    pass
        runner.ended = True
        self._close_pipes(runner)
        cause = runner.terminating or cause
        reason = ""
        failures = {wire.SETUP_REFUSED: EndCause.REFUSED, wire.SETUP_FAILED: EndCause.NOT_STARTED}
        if exit_code in failures and not runner.has_spoken and runner.setup != PLAIN_SETUP:
            cause = failures[exit_code]
            reason = self.read_output(runner_id, 0, READ_SIZE).decode(errors="replace")
        events.append(RunnerEnded(runner_id=runner_id, cause=cause, exit_code=exit_code, signal=number, reason=reason))

    def _keeper_gone(self, events: list[HostEvent]) -> None:
        """The keeper was killed: its runners die with it (PDEATHSIG); what they leave falls to this process."""
        self._lost = True
        self._poll.unregister(self._channel)
        code = self._keeper.wait()
        self._kill_orphans()
        for runner in list(self._runners.values()):
            if not runner.ended:
                self._ended(runner.runner_id, EndCause.HOST_LOST, None, None, events)
        events.append(HostLost(reason=f"the keeper process {self._keeper.pid} ended with code {code}"))

    def _kill_orphans(self) -> None:
        runners = {runner.pid for runner in self._runners.values() if runner.pid and not runner.ended}
        give_up = time.monotonic() + _SWEEP_TIMEOUT
        while time.monotonic() < give_up:
            if self._sole_parent:
                alive = set(linux_calls.children_of(os.getpid()))
            else:
                alive = {pid for pid in runners if linux_calls.stat_fields(pid)[:1] not in ([], [b"Z"])}
            if not alive:
                return
            for pid in alive:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                if self._sole_parent:
                    with suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
            time.sleep(_SWEEP_PAUSE)

    # ------------------------------------------------------------ pipes

    def _write(self, runner: _Runner, data: bytes | bytearray) -> None:
        try:
            written = os.write(runner.command, data)
        except BlockingIOError:
            written = 0
        except BrokenPipeError:
            return
        if written < len(data):
            runner.unsent = bytearray(data[written:])
            self._poll.modify(runner.command, select.EPOLLOUT)

    def _write_rest(self, runner: _Runner) -> None:
        rest, runner.unsent = runner.unsent, bytearray()
        self._poll.modify(runner.command, 0)
        self._write(runner, rest)

    def _drop_command(self, runner: _Runner) -> None:
        runner.unsent.clear()
        self._poll.unregister(runner.command)
        self._by_descriptor.pop(runner.command, None)

    def _close_pipes(self, runner: _Runner) -> None:
        for descriptor in (runner.command, runner.result):
            if descriptor >= 0:
                self._by_descriptor.pop(descriptor, None)
                os.close(descriptor)
        if runner.untaken >= 0:
            os.close(runner.untaken)
        runner.command = runner.result = runner.untaken = -1
        runner.unsent.clear()

    # ------------------------------------------------------------ output

    def output_size(self, runner_id: int) -> int:
        """See the port."""
        runner = self._with_output(runner_id)
        return os.fstat(runner.output).st_size - runner.output_start if runner is not None else 0

    def read_output(self, runner_id: int, offset: int, size: int) -> bytes:
        """See the port."""
        runner = self._with_output(runner_id)
        return os.pread(runner.output, size, runner.output_start + offset) if runner is not None else b""

    def discard_output(self, runner_id: int, upto: int) -> None:
        """See the port."""
        runner = self._with_output(runner_id)
        if runner is not None and upto >= linux_calls.PAGE_SIZE:
            linux_calls.punch_hole(runner.output, 0, runner.output_start + upto)

    def reset_output(self, runner_id: int, written: int | None = None, *, goes_on: bool = False) -> None:
        """See the port."""
        runner = self._with_output(runner_id)
        if runner is None:
            return
        size = os.fstat(runner.output).st_size if written is None else runner.output_start + written
        if goes_on or size < KEPT_OUTPUT:  # beginning further on is cheaper than cutting the file each time
            runner.output_start = size
        else:
            os.ftruncate(runner.output, 0)
            runner.output_start = 0

    def _with_output(self, runner_id: int) -> _Runner | None:
        runner = self._runners.get(runner_id)
        return runner if runner is not None and runner.output >= 0 else None

    # ------------------------------------------------------------ the rest

    def usage(self, runner_ids: Sequence[int]) -> dict[int, TreeUsage]:
        """See the port."""
        used = {}
        for runner_id in runner_ids:
            runner = self._runners.get(runner_id)
            if runner is None or runner.ended or not runner.pid:
                continue
            cpu, resident, processes = linux_calls.tree_usage(runner.pid)
            if processes:
                used[runner_id] = TreeUsage(cpu_seconds=cpu, resident=resident, processes=processes)
        return used

    def memory(self, runner_id: int) -> int:
        """See the port."""
        runner = self._runners.get(runner_id)
        return linux_calls.tree_memory(runner.pid) if runner is not None and runner.pid and not runner.ended else 0

    def release(self, runner_id: int) -> None:
        """See the port."""
        runner = self._runners.get(runner_id)
        if runner is not None and runner.ended:
            del self._runners[runner_id]
            if runner.output >= 0:
                os.close(runner.output)

    def close(self) -> None:
        """See the port."""
        with self._sending:
            self._channel.close()
        try:
            self._keeper.wait(CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            # A process that cannot be killed (another user's, or stuck in the kernel) keeps the keeper waiting.
            pass
        for runner in list(self._runners.values()):
            self._close_pipes(runner)
            runner.ended = True
            self.release(runner.runner_id)
        self._poll.close()
        os.close(self._wake)
