"""The warm runners: which one serves a task, when a new one is started, when an old one is replaced.

Decides that. Loading a DAG file of thousands of tasks costs more CPU than hundreds of short tasks, so a file is loaded
once more only for a task that has already waited for the runners that have it for as long as loading takes: at worst
the task begins after twice that time, and a burst of short tasks never pays for loads that it does not need. Does
not know what tasks do; it asks the process host to start and end processes. Owned by the main loop.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.process_port import PLAIN_SETUP, ProcessHost, RunnerSetup
from dagdeck_core.wire import Outcome, Shutdown, to_runner_codec
from dagdeck_worker.dispatches import Code, RunnerKey

SPARE_BLANKS = 1
"""Runners without a task's code that are kept ready while there is room for them."""
QUICK_LOAD = 0.05
"""Seconds; a file that loads faster is loaded without waiting for anybody."""
UNKNOWN_LOAD = 1.5
"""Seconds that a file's first load is waited for, before its duration is known."""
LONGEST_PATIENCE = 1.5
"""Seconds that a task waits at most although a runner could be started for it."""
FILES_PER_RUNNER = 32
"""Files that a runner is thought to have; it keeps a few more, and drops the oldest."""
KNOWN_FILES = 1_000
"""Files whose loading times are remembered."""


@dataclass(slots=True, kw_only=True)
class Runner:
    """One runner process. `key` is None until it has served its first task."""

    runner_id: int
    key: RunnerKey | None = None
    files: set[str] = field(default_factory=set)
    """Those that it has loaded or is loading."""
    has_loaded: bool = False
    """Whether it had the file of the task that it serves now."""
    pid: int | None = None
    """Known once it has announced a task."""
    busy: bool = False
    is_worn: bool = False
    """Whether it is to be replaced when it is idle."""
    written: int = 0
    """Bytes of output of its last task."""
    tasks: int = 0
    first_resident: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started


class RunnerPool:
    """All runners that may take a task now or later; one that is ending is no longer here."""

    def __init__(
        self,
        host: ProcessHost,
        *,
        slots: int,
        recycle_after: int,
        recycle_age: float,
        memory_growth: int,
        plain: RunnerSetup = PLAIN_SETUP,
    ) -> None:
        """A runner is replaced after `recycle_after` tasks, once it is `recycle_age` seconds old.

        Without the age, thousands of short tasks a second would spend their time on loading DAG files. One
        that has grown by `memory_growth` bytes is replaced at once all the same. `plain` is the setup for tasks that
        ask for none.
        """
        self._plain = plain
        self._host = host
        self._slots = slots
        self._recycle_after = recycle_after
        self._recycle_age = recycle_age
        self._memory_growth = memory_growth
        self._runners: dict[int, Runner] = {}
        self._loads: OrderedDict[tuple[RunnerKey, str], tuple[float, float]] = OrderedDict()
        """How long the last load of a file took, and when it ended (monotonic)."""

    def keep_spare(self) -> None:
        """Start a blank runner ahead of need, while there is room for one."""
        blanks = sum(1 for runner in self._runners.values() if runner.key is None and not runner.busy)
        if blanks < SPARE_BLANKS and len(self._runners) < self._slots:
            self._spawn()

    def keys(self) -> set[RunnerKey]:
        """The code that runners have loaded. Thread-safe."""
        return {runner.key for runner in list(self._runners.values()) if runner.key is not None}

    def take(self, code: Code, *, waited: float) -> Runner | None:
        """A runner for a task of `code` that has waited so many seconds, now busy; None when it shall wait on.

        An idle one that has loaded the file, else one of the same key, a blank one, a new one, or a new one in place
        of an idle one of another key. The latter ones load the file: see the module on when that is worth while.
        """
        idle: list[Runner] = []
        loaded_elsewhere = False
        for runner in self._runners.values():
            has_it = code.file in runner.files and runner.key == code.key
            if runner.busy:
                loaded_elsewhere = loaded_elsewhere or has_it
            elif has_it and not code.own_process:
                runner.busy = runner.has_loaded = True
                return runner
            else:
                idle.append(runner)
        if loaded_elsewhere and not code.own_process and self._should_wait(code, waited):
            return None
        found = self._unloaded(code, idle)
        if found is not None:
            found.key = code.key
            found.busy = True
            found.has_loaded = False
            if len(found.files) >= FILES_PER_RUNNER:
                found.files.clear()
            if not code.own_process:
                found.files.add(code.file)
        return found

    def busy_with(self, code: Code) -> list[Runner]:
        """Busy runners that have loaded the file and are good for more tasks of `code`."""
        if code.own_process:
            return []
        return [
            runner
            for runner in self._runners.values()
            if runner.busy
            and runner.has_loaded
            and not runner.is_worn
            and code.file in runner.files
            and runner.key == code.key
        ]

    def _unloaded(self, code: Code, idle: list[Runner]) -> Runner | None:
        """One of `idle` that may load the file, or a new one."""
        if not code.own_process:
            for runner in idle:
                if runner.key == code.key:
                    return runner
        if code.key.setup == PLAIN_SETUP:
            for runner in idle:
                if runner.key is None:
                    return runner
        if len(self._runners) >= self._slots:
            if not idle:
                return None
            self.retire(idle[0])
        return self._spawn(code.key.setup)

    def _should_wait(self, code: Code, waited: float) -> bool:
        """Whether a task of `code` that has waited for so long waits on for a runner that has loaded its file."""
        known = self._loads.get((code.key, code.file))
        if known is None:
            return waited < UNKNOWN_LOAD
        seconds, at = known
        # What waited for the load itself has not yet waited for the tasks that the runner serves.
        waited = min(waited, time.monotonic() - at)
        return seconds >= QUICK_LOAD and waited < min(seconds, LONGEST_PATIENCE)

    def loaded(self, runner: Runner, code: Code, seconds: float, at: float) -> None:
        """`runner` has loaded the file of `code` in so many seconds, until the monotonic time `at`."""
        runner.has_loaded = True
        self._loads[code.key, code.file] = (seconds, at)
        if len(self._loads) > KNOWN_FILES:
            self._loads.popitem(last=False)

    def get(self, runner_id: int) -> Runner | None:
        """The runner, unless it is ending."""
        return self._runners.get(runner_id)

    def served(self, runner_id: int, outcome: Outcome, *, goes_on: bool) -> None:
        """The runner has served a task and left nothing behind: keep it, or replace it when it is worn out.

        With `goes_on` it executes the next one already.
        """
        runner = self._runners.get(runner_id)
        if runner is None:
            return
        runner.busy = goes_on
        runner.tasks += 1
        runner.written = outcome.log_size
        if runner.tasks == 1:
            runner.first_resident = outcome.resident
        grown = outcome.resident - runner.first_resident
        worn_out = runner.tasks >= self._recycle_after and runner.age >= self._recycle_age
        runner.is_worn = worn_out or grown > self._memory_growth
        if runner.is_worn and not goes_on:
            self.retire(runner)

    def retire(self, runner: Runner) -> None:
        """Let an idle runner end in its own time."""
        self.forget(runner.runner_id)
        self._host.send(runner.runner_id, to_runner_codec.encode(Shutdown()))

    def forget(self, runner_id: int) -> None:
        """The runner has ended or is being ended; it takes no more tasks."""
        self._runners.pop(runner_id, None)

    def _spawn(self, setup: RunnerSetup = PLAIN_SETUP) -> Runner | None:
        """A new runner; None when the host is lost, of which the main loop hears by an event."""
        try:
            runner = Runner(runner_id=self._host.spawn(self._plain if setup == PLAIN_SETUP else setup))
        except EnvironmentFault:
            return None
        self._runners[runner.runner_id] = runner
        return runner
