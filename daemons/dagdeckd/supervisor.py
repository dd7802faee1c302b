"""Starts the daemons as processes of their own, keeps them running, and ends them together.

Decides restarts, the order of stopping, and what the supervisor's own exit code is. Does not know what the processes
do (`processes`) nor how one is started (`supervised`). Called by the composition roots `standalone` and
`master`. One thread; it sleeps until a child or a signal wakes it.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from dagdeckd import forking
from dagdeckd.exit_codes import ExitCode, describe_exit, is_final
from dagdeckd.output import OutputRelay
from dagdeckd.restart_policy import RestartLimits, RestartPolicy
from dagdeckd.supervised import ChildSpec, SupervisedChild
from dagdeckd.watching import ServiceManager

if TYPE_CHECKING:
    from dagdeckd.portable_child import PortableChild

_TO_STOP = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
_LAST_WORDS = 0.2
"""Seconds in which the output of a process that ended is still read."""


@dataclass(slots=True)
class _Place:
    """One child's place: its current process, or when it is started again."""

    spec: ChildSpec
    policy: RestartPolicy
    child: SupervisedChild | PortableChild | None = None
    start_at: float | None = None
    done: bool = False
    told_to_stop: bool = False


class Supervisor:
    """Runs a set of children until a signal, a final error, or too many crashes."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        settings: Callable[[], bytes],
        output: OutputRelay,
        limits: RestartLimits,
        stop_timeout: float,
        on_ready: Callable[[], None],
        prepare: Callable[[], None] = lambda: None,
        manager: ServiceManager | None = None,
        portable: bool = False,
    ) -> None:
        """`settings` is called once, when the first children have been started, and gives what every child reads first.

        `on_ready` is called once, when all children are. `prepare` imports what the children share; it is called in
        a process from which those with a `run` are forked. `manager` is told how it goes, and that all is well only
        while every process says so of itself. `portable`: without what only some systems have (`portable_child`).
        """
        self._places = [_Place(spec, RestartPolicy(limits=limits)) for spec in specs]
        self._make_settings = settings
        self._settings: bytes | None = None
        self._output = output
        self._limits = limits
        self._stop_timeout = stop_timeout
        self._on_ready = on_ready
        self._prepare = prepare
        self._manager = manager or ServiceManager("", None)
        self._portable = portable
        self._forks = forking.CAN_FORK and not portable
        self._bell: socket.socket | None = None
        self._silent: tuple[str, ...] = ()
        """Processes that have said nothing for too long, of which the log has been told."""
        self._announced = False
        self._gate_open = not any(spec.one_shot for spec in specs)
        self._signals = 0
        self._stopping_since: float | None = None
        self._killed = False
        self._exit_code: int = ExitCode.OK

    def run(self) -> int:
        """Start everything and stay until everything has ended; the exit code for this process."""
        with self._woken_by_signals() as wake:
            self._start_all()
            # Only now may this process start threads, as for a queue that it serves.
            self._settings = self._make_settings()
            for place in self._places:
                if place.child is not None:
                    place.child.give_settings(self._settings)
            while any(place.child or place.start_at for place in self._places):
                self._wait(wake)
                self._listen()
                self._reap()
                self._advance()
                self._watch()
        return self._exit_code

    def stop(self, code: int = ExitCode.OK) -> None:
        """End all children; `run` then returns `code`. Called from callbacks of this object only."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self._exit_code = code
            self._manager.stopping("stopping")
            for place in self._places:
                place.start_at = None

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[socket.socket]:
        """Within the block, signals set flags and wake `_wait` through the socket."""
        wake, bell = socket.socketpair()
        wake.setblocking(False)
        bell.setblocking(False)
        before = {number: signal.signal(number, self._hear_signal) for number in _TO_STOP}
        if hasattr(signal, "SIGCHLD"):
            before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        old_bell = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        self._bell = bell
        try:
            yield wake
        finally:
            self._bell = None
            signal.set_wakeup_fd(old_bell)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (wake, bell):
                end.close()
            for place in self._places:
                if place.child is not None:
                    place.child.kill()

    def _ring(self) -> None:
        """Have `_wait` return; called by threads."""
        bell = self._bell
        # Full, it rings already; closed, nobody waits any more.
        with contextlib.suppress(OSError):
            if bell is not None:
                bell.send(b"\0")

    def _hear_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _wait(self, wake: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            for place in self._places:
                for fd in place.child.open_fds if place.child else ():
                    selector.register(fd, selectors.EVENT_READ)
            selector.select(self._seconds_to_next())
        with contextlib.suppress(BlockingIOError):
            while wake.recv(4096):
                pass

    def _seconds_to_next(self) -> float | None:
        """Until the next thing happens that nobody announces: a start, or the end of patience."""
        times = [place.start_at for place in self._places if place.start_at is not None]
        if self._stopping_since is not None and not self._killed:
            times.append(self._stopping_since + self._stop_timeout)
        if self._manager.pause is not None:
            times.append(time.monotonic() + self._manager.pause)
        return max(min(times) - time.monotonic(), 0.0) if times else None

    def _listen(self) -> None:
        for place in self._places:
            if place.child is None:
                continue
            if data := place.child.read_output():
                self._output.feed(place.spec.name, data)
            place.child.hear_ready()

    def _reap(self) -> None:
        for place in self._places:
            child = place.child
            if child is None or (code := child.returncode()) is None:
                continue
            self._hear_last_words(place.spec.name, child)
            child.release()
            place.child = None
            self._ended(place, child, code)

    def _hear_last_words(self, name: str, child: SupervisedChild | PortableChild) -> None:
        until = time.monotonic() + _LAST_WORDS
        while time.monotonic() < until and (data := child.read_output()):
            self._output.feed(name, data)
        self._output.finish(name)

    def _ended(self, place: _Place, child: SupervisedChild | PortableChild, code: int) -> None:
        name = place.spec.name
        if self._stopping_since is not None:
            return
        if place.spec.one_shot and code == ExitCode.OK:
            place.done = True
            return
        if is_final(code) or place.spec.one_shot:
            self._output.note(f"{name} {describe_exit(code)}; stopping everything")
            self.stop(code if code > 0 else ExitCode.BUG)
            return
        now = time.monotonic()
        delay = place.policy.delay_after_crash(now, now - child.started_at)
        if delay is None:
            self._output.note(
                f"{name} {describe_exit(code)} and has ended {self._limits.crashes + 1} times within "
                f"{self._limits.window:g} s (supervisor.restart_limit); stopping everything"
            )
            self.stop(code if code > 0 else ExitCode.BUG)
            return
        self._output.note(f"{name} {describe_exit(code)}; it is started again in {delay:.1f} s")
        self._manager.status(f"{name} {describe_exit(code)} and is started again")
        place.start_at = now + delay

    def _advance(self) -> None:
        if self._signals:
            self._heed_signals()
        if self._stopping_since is not None:
            self._go_on_stopping(self._stopping_since)
            return
        now = time.monotonic()
        for place in self._places:
            if place.start_at is not None and place.start_at <= now:
                self._start(place)
        one_shots = [place for place in self._places if place.spec.one_shot]
        if not self._gate_open and all(place.done for place in one_shots):
            self._gate_open = True
            for place in self._places:
                if place.child is not None:
                    place.child.open_gate()
        if not self._announced and all(place.done or (place.child and place.child.is_ready) for place in self._places):
            self._announced = True
            self._manager.ready(f"{', '.join(place.spec.name for place in self._places if place.child)} are ready")
            self._on_ready()

    def _watch(self) -> None:
        """Tell the service manager that all is well, unless a process's loop hangs."""
        limit = self._manager.watchdog
        if limit is None:
            return
        since = time.monotonic() - limit
        children = [place.child for place in self._places if place.child is not None and place.child.is_ready]
        silent = tuple(child.spec.name for child in children if child.heard_at < since)
        if silent and silent != self._silent:
            self._output.note(f"nothing was heard of {', '.join(silent)} for {limit:g} s: its loop hangs")
            self._manager.status(f"nothing is heard of {', '.join(silent)}")
        self._silent = silent
        if not silent:
            self._manager.alive()

    def _heed_signals(self) -> None:
        if self._signals >= 2 and self._stopping_since is not None:
            self._kill_all("killing everything at once")
        elif self._stopping_since is None:
            self._output.note("stopping; once more to stop without waiting for running tasks")
            self.stop()
            self._signals = 1

    def _go_on_stopping(self, since: float) -> None:
        alive = [place for place in self._places if place.child is not None]
        if not alive:
            return
        if time.monotonic() >= since + self._stop_timeout:
            self._kill_all(f"still running after supervisor.stop_timeout = {self._stop_timeout:g} s: killing")
        phase = min(place.spec.stop_phase for place in alive)
        for place in alive:
            if place.child is not None and place.spec.stop_phase == phase and not place.told_to_stop:
                place.told_to_stop = True
                place.child.terminate()

    def _kill_all(self, why: str) -> None:
        if self._killed:
            return
        self._killed = True
        alive = [place for place in self._places if place.child is not None]
        self._output.note(f"{why}: {', '.join(place.spec.name for place in alive)}")
        for place in alive:
            if place.child is not None:
                place.child.kill()

    def _start_all(self) -> None:
        """The first start of every child: those that can be are forked together."""
        to_fork = [(place, place.spec.run) for place in self._places if self._forks and place.spec.run is not None]
        for place in self._places:
            if not self._forks or place.spec.run is None:
                self._start(place)
        if not to_fork:
            return
        children = [self._new_inheriting(place) for place, _run in to_fork]
        births = [child.birth(run) for child, (_place, run) in zip(children, to_fork, strict=True)]
        try:
            processes = forking.fork_together(births, self._prepare)
        except OSError as error:
            for child, (place, _run) in zip(children, to_fork, strict=True):
                child.discard()
                self._could_not_start(place, error)
            return
        for child, process, (place, _run) in zip(children, processes, to_fork, strict=True):
            child.adopt(process)
            place.child = child

    def _start(self, place: _Place) -> None:
        place.start_at = None
        try:
            child = self._new_child(place)
            child.execute()
        except OSError as error:
            self._could_not_start(place, error)
            return
        place.child = child
        if self._settings is not None:
            child.give_settings(self._settings)

    def _new_child(self, place: _Place) -> SupervisedChild | PortableChild:
        if not self._portable:
            return self._new_inheriting(place)
        from dagdeckd.portable_child import PortableChild

        return PortableChild(place.spec, gated=self._is_gated(place), wake=self._ring, beat_pause=self._manager.pause)

    def _new_inheriting(self, place: _Place) -> SupervisedChild:
        return SupervisedChild(place.spec, gated=self._is_gated(place), beat_pause=self._manager.pause)

    def _is_gated(self, place: _Place) -> bool:
        return not self._gate_open and not place.spec.one_shot

    def _could_not_start(self, place: _Place, error: OSError) -> None:
        self._output.note(f"{place.spec.name} cannot be started: {error}")
        now = time.monotonic()
        delay = place.policy.delay_after_crash(now, 0.0)
        if delay is None:
            self.stop(ExitCode.ENVIRONMENT)
        else:
            place.start_at = now + delay
