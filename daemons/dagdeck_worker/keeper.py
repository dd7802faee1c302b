"""The keeper: a small single-threaded process that forks the runners and sees to it that they end.

Decides when a runner's tree is dead, and kills every tree when the deadline passes or the worker's main
process dies. Does not know tasks, database or queue, and holds no credentials. Started by `hosts.linux` as
`python -m dagdeck_worker.keeper`, before that process has threads.

How a tree dies: every runner is a subreaper, so orphans inside its tree become its children; the keeper is
one too, so when the runner dies, what is left of its tree becomes the keeper's. Children of the keeper that
are not living runners are therefore remains of dead ones. They are killed until none is left, and only then
is a runner's death reported. Waiting is done by the kernel; there is no polling.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dagdeck_core.process_port import EndCause, RunnerSetup
from dagdeck_worker import keeper_wire as wire
from dagdeck_worker import linux_calls
from dagdeck_worker.runner import process as runner_process

if TYPE_CHECKING:
    from dagdeck_worker.cgroups import RunnerGroups

RESWEEP_MS = 50
"""How soon killing is tried again when a remaining process did not die at once."""
OOM_SCORE = 300
"""The out-of-memory killer takes a runner before the worker's own processes."""
_HIGH_DESCRIPTOR = 64
_RUNNER_DESCRIPTORS = (3, 4, 5)


class _Runner:
    """One forked runner until its death is reported."""

    __slots__ = ("cause", "group", "kill_at", "pid", "runner_id", "status")

    def __init__(self, runner_id: int, pid: int, group: Path | None) -> None:
        self.runner_id = runner_id
        self.pid = pid
        self.group = group
        """Its control group, if it has one."""
        self.cause = EndCause.ITSELF
        self.kill_at: float | None = None
        self.status: int | None = None
        """Wait status once it has been reaped; its tree may live on."""


class Keeper:
    """The keeper's state and loop. `channel` is the socket to the host, `execute` what runners call for a task."""

    def __init__(self, channel: socket.socket, execute: Callable[..., Any], cgroup: str = "off") -> None:
        self._channel = channel
        self._execute = execute
        self._cgroup = cgroup
        self._groups: RunnerGroups | None = None
        self._runners: dict[int, _Runner] = {}
        self._by_pid: dict[int, _Runner] = {}
        self._waiting_spawns: deque[wire.Spawn] = deque()
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._deadline: float | None = None
        self._timer = linux_calls.boot_timer()
        self._child_signal, child_signal_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(child_signal_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._poll = select.poll()
        self._poll.register(self._channel, select.POLLIN)
        self._poll.register(self._child_signal, select.POLLIN)
        self._poll.register(self._timer, select.POLLIN)

    def run(self) -> None:
        """Serve until the host's end of the channel closes; every tree is dead on return."""
        self._channel.setblocking(False)
        self._send(wire.Ready())
        connected = True
        while connected:
            for descriptor, _ in self._poll.poll(self._timeout_ms()):
                if descriptor == self._channel.fileno():
                    connected = self._receive() and connected
                elif descriptor == self._timer:
                    self._expire()
                else:
                    _drain(self._child_signal)
            self._kill_overdue()
            self._reap()
            self._flush()
        self._end_everything()

    def _timeout_ms(self) -> int | None:
        due = [runner.kill_at for runner in self._runners.values() if runner.kill_at is not None]
        sweeping = any(runner.status is not None for runner in self._runners.values())
        if sweeping:
            return RESWEEP_MS
        if not due:
            return None
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1)

    # ------------------------------------------------------------ talk with the host

    def _receive(self) -> bool:
        """Carry out what the host sent; False when the host is gone."""
        while True:
            try:
                data = self._channel.recv(wire.MESSAGE_LIMIT)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
            if not data:
                return False
            message = wire.decode_to_keeper(data)
            if isinstance(message, wire.Spawn):
                self._waiting_spawns.append(message)
                self._spawn_waiting()
            elif isinstance(message, wire.Terminate):
                self._terminate(message.runner_id, message.grace)
            else:
                self._deadline = message.at
                linux_calls.set_boot_timer(self._timer, message.at)
                self._spawn_waiting()

    def _send(self, message: wire.FromKeeper, descriptors: list[int] | None = None) -> None:
        self._outgoing.append((wire.encode(message), descriptors or []))
        self._flush()

    def _flush(self) -> None:
        """Send what waits as far as the host takes it: a host that stands still must not hold up a kill."""
        while self._outgoing:
            payload, descriptors = self._outgoing[0]
            try:
                if descriptors:
                    socket.send_fds(self._channel, [payload], descriptors)
                else:
                    self._channel.send(payload)
            except BlockingIOError:
                self._poll.modify(self._channel, select.POLLIN | select.POLLOUT)
                return
            except OSError:  # the host is gone; _receive sees that too
                pass
            self._outgoing.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        self._poll.modify(self._channel, select.POLLIN)

    # ------------------------------------------------------------ starting

    def _expired(self) -> bool:
        return self._deadline is not None and time.clock_gettime(time.CLOCK_BOOTTIME) >= self._deadline

    def _spawn_waiting(self) -> None:
        while self._waiting_spawns and not self._expired():
            order = self._waiting_spawns.popleft()
            group = self._group(order) if order.setup is not None else None
            try:
                self._fork(order.runner_id, order.setup, group)
            except OSError as error:
                if group is not None and self._groups is not None:
                    self._groups.remove(group)
                print(f"dagdeck keeper: no new process: {error}", file=sys.stderr, flush=True)
                self._send(wire.Ended(order.runner_id, EndCause.NOT_STARTED))

    def _group(self, order: wire.Spawn) -> Path | None:
        """A control group for the runner; None when it needs none, or there can be none, which the host is told."""
        if order.setup is None or not (order.setup.memory or order.setup.cores):
            return None
        from dagdeck_worker.cgroups import NoGroups, RunnerGroups  # most workers do without

        if self._groups is None:
            self._groups = RunnerGroups(self._cgroup)
        try:
            return self._groups.make(str(order.runner_id), order.setup)
        except NoGroups as reason:
            self._send(wire.Unlimited(order.runner_id, str(reason)[: wire.LONGEST_REASON]))
            return None

    def _fork(self, runner_id: int, setup: RunnerSetup | None, group: Path | None) -> None:
        opened: list[int] = []
        try:
            # In packet mode one read takes one frame (of at most a page), so what was sent ahead can be taken back.
            command_reader, command_writer = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)
            opened += command_reader, command_writer
            result_reader, result_writer = os.pipe2(os.O_CLOEXEC)
            opened += result_reader, result_writer
            output = os.memfd_create("dagdeck-output", os.MFD_CLOEXEC)
            opened.append(output)
            # Everybody who writes appends: after the host has cut the file to nothing, the next byte is byte 0.
            fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
            keeper = os.getpid()
            pid = os.fork()
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        if pid == 0:
            _become_runner(keeper, (command_reader, result_writer, output), self._execute, setup, group)
        os.close(result_writer)
        runner = _Runner(runner_id, pid, group)
        self._runners[runner_id] = self._by_pid[pid] = runner
        self._send(wire.Spawned(runner_id, pid), [command_writer, result_reader, output, command_reader])

    # ------------------------------------------------------------ ending

    def _terminate(self, runner_id: int, grace: float) -> None:
        runner = self._runners.get(runner_id)
        if runner is None:
            for order in self._waiting_spawns:
                if order.runner_id == runner_id:
                    self._waiting_spawns.remove(order)
                    self._send(wire.Ended(runner_id, EndCause.TERMINATED))
                    break
            return
        if runner.status is not None:
            return
        if runner.kill_at is None:
            runner.cause = EndCause.TERMINATED
            os.kill(runner.pid, signal.SIGTERM if grace > 0 else signal.SIGKILL)
        kill_at = time.monotonic() + grace
        runner.kill_at = kill_at if runner.kill_at is None else min(runner.kill_at, kill_at)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for runner in self._runners.values():
            if runner.kill_at is not None and runner.status is None and runner.kill_at <= now:
                os.kill(runner.pid, signal.SIGKILL)
                runner.kill_at = None

    def _expire(self) -> None:
        _drain(self._timer)
        if self._deadline is None or not self._expired():
            return
        for runner in self._runners.values():
            if runner.status is None:
                runner.cause = EndCause.DEADLINE
                os.kill(runner.pid, signal.SIGKILL)
        self._send(wire.Expired(self._deadline))

    def _reap(self) -> None:
        """Collect the dead, kill what they left, and report the runners of which nothing is left."""
        while True:
            self._collect_dead()
            dead = [runner for runner in self._runners.values() if runner.status is not None]
            if not dead:
                return
            if self._kill_remains():
                # Those just killed are collected when SIGCHLD says so, or on the next round.
                return
            for runner in dead:
                self._report(runner)

    def _collect_dead(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            runner = self._by_pid.pop(pid, None)
            if runner is not None:
                runner.status = status
                runner.kill_at = None

    def _kill_remains(self) -> int:
        """SIGKILL every child that is not a living runner; how many there were."""
        remains = [pid for pid in linux_calls.children_of(os.getpid()) if pid not in self._by_pid]
        for pid in remains:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return len(remains)

    def _report(self, runner: _Runner) -> None:
        del self._runners[runner.runner_id]
        assert runner.status is not None
        code = os.waitstatus_to_exitcode(runner.status)
        if runner.group is not None and self._groups is not None:
            if runner.cause is EndCause.ITSELF and self._groups.ran_out_of_memory(runner.group):
                runner.cause = EndCause.MEMORY
            self._groups.remove(runner.group)
        if code >= 0:
            self._send(wire.Ended(runner.runner_id, runner.cause, exit_code=code))
        else:
            self._send(wire.Ended(runner.runner_id, runner.cause, signal=-code))

    def _end_everything(self) -> None:
        """The host is gone: kill all trees and return when nothing is left."""
        self._channel.close()
        while True:
            for pid in list(self._by_pid):
                os.kill(pid, signal.SIGKILL)
            self._kill_remains()
            self._collect_dead()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            select.select([self._child_signal], [], [], RESWEEP_MS / 1000)
            _drain(self._child_signal)


def _drain(descriptor: int) -> None:
    with suppress(BlockingIOError):
        while len(os.read(descriptor, 4096)) == 4096:
            pass


def _become_runner(
    keeper: int,
    descriptors: tuple[int, int, int],
    execute: Callable[..., Any],
    setup: RunnerSetup | None,
    group: Path | None,
) -> NoReturn:
    """In the forked child: shed everything of the keeper's, then serve tasks until told to end."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        # The keeper is closed to tasks; a runner is its task's own process, which people may want to look into.
        linux_calls.set_dumpable(True)
        linux_calls.become_subreaper()
        if not linux_calls.die_with_parent(signal.SIGKILL, keeper):
            os._exit(code)
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR) for descriptor in descriptors]
        for source, target in zip(high, _RUNNER_DESCRIPTORS, strict=True):
            os.dup2(source, target, inheritable=False)
        os.closerange(max(_RUNNER_DESCRIPTORS) + 1, 1 << 20)
        with suppress(OSError):
            Path("/proc/self/comm").write_text("dagdeck-runner")
            Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
        if setup is not None and (refused := _take_on(setup, group, keeper)):
            os._exit(refused)
        code = runner_process.serve(*_RUNNER_DESCRIPTORS, execute)
    finally:
        os._exit(code)


def _take_on(setup: RunnerSetup, group: Path | None, keeper: int) -> int:
    """Become what the setup says; an exit code when that cannot be, and then why is in the output."""
    from dagdeck_worker.runner_setup import SetupFailed, SetupRefused, take_on

    try:
        take_on(setup, group, keeper)
    except (SetupRefused, SetupFailed) as reason:
        os.write(_RUNNER_DESCRIPTORS[2], str(reason).encode(errors="backslashreplace"))
        return wire.SETUP_REFUSED if isinstance(reason, SetupRefused) else wire.SETUP_FAILED
    return 0


def load_entry(name: str) -> Callable[..., Any]:
    """The callable that "module:function" names; a `preload` beside it is called, once for all runners."""
    module_name, _, function = name.partition(":")
    module = importlib.import_module(module_name)
    preload = getattr(module, "preload", None)
    if preload is not None:
        preload()
    loaded: Callable[..., Any] = getattr(module, function)
    return loaded


def main(arguments: list[str]) -> int:
    """Run a keeper on the socket that `--socket` names until its host is gone."""
    parser = argparse.ArgumentParser(prog="dagdeck_worker.keeper")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--entry", required=True)
    parser.add_argument("--cgroup", default="off")
    options = parser.parse_args(arguments)
    os.set_inheritable(options.socket, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    linux_calls.become_subreaper()
    with suppress(OSError):
        Path("/proc/self/comm").write_text("dagdeck-keeper")
    linux_calls.set_dumpable(False)
    keeper = Keeper(socket.socket(fileno=options.socket), load_entry(options.entry), options.cgroup)
    gc.collect()
    gc.freeze()
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
