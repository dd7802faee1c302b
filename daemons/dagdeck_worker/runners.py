"""The warm runners: which one serves a task, when a new one is started, when an old one is replaced.

Decides that. Does not know what tasks do; it asks the process host to start and end processes. Owned by the
main loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.process_port import ProcessHost
from dagdeck_core.wire import Outcome, Shutdown, to_runner_codec
from dagdeck_worker.dispatches import RunnerKey

SPARE_BLANKS = 1
"""Runners without a task's code that are kept ready while there is room for them."""


@dataclass(slots=True, kw_only=True)
class Runner:
    """One runner process. `key` is None until it has served its first task."""

    runner_id: int
    key: RunnerKey | None = None
    busy: bool = False
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
        self, host: ProcessHost, *, slots: int, recycle_after: int, recycle_age: float, memory_growth: int
    ) -> None:
        """A runner is replaced after `recycle_after` tasks, once it is `recycle_age` seconds old.

        Without the age, thousands of short tasks a second would spend their time on loading DAG files. One
        that has grown by `memory_growth` bytes is replaced at once all the same.
        """
        self._host = host
        self._slots = slots
        self._recycle_after = recycle_after
        self._recycle_age = recycle_age
        self._memory_growth = memory_growth
        self._runners: dict[int, Runner] = {}

    def keep_spare(self) -> None:
        """Start a blank runner ahead of need, while there is room for one."""
        blanks = sum(1 for runner in self._runners.values() if runner.key is None and not runner.busy)
        if blanks < SPARE_BLANKS and len(self._runners) < self._slots:
            self._spawn()

    def keys(self) -> set[RunnerKey]:
        """The code that runners have loaded. Thread-safe."""
        return {runner.key for runner in list(self._runners.values()) if runner.key is not None}

    def take(self, key: RunnerKey, *, own_process: bool) -> Runner | None:
        """A runner for a task of `key`, now busy; None when all are busy.

        An idle one of the same key, else a blank one, else a new one, else a new one in place of an idle one of
        another key. With `own_process` never one that has served a task.
        """
        idle = [runner for runner in self._runners.values() if not runner.busy]
        runner = None if own_process else next((each for each in idle if each.key == key), None)
        if runner is None:
            runner = next((each for each in idle if each.key is None), None)
        if runner is None:
            if len(self._runners) >= self._slots:
                if not idle:
                    return None
                self.retire(idle[0])
            runner = self._spawn()
            if runner is None:
                return None
        runner.key = key
        runner.busy = True
        return runner

    def give_back(self, runner_id: int, outcome: Outcome) -> None:
        """The runner has served its task and left nothing behind: keep it, or replace it when it is worn out."""
        runner = self._runners.get(runner_id)
        if runner is None:
            return
        runner.busy = False
        runner.tasks += 1
        if runner.tasks == 1:
            runner.first_resident = outcome.resident
        grown = outcome.resident - runner.first_resident
        worn_out = runner.tasks >= self._recycle_after and runner.age >= self._recycle_age
        if worn_out or grown > self._memory_growth:
            self.retire(runner)

    def retire(self, runner: Runner) -> None:
        """Let an idle runner end in its own time."""
        self.forget(runner.runner_id)
        self._host.send(runner.runner_id, to_runner_codec.encode(Shutdown()))

    def forget(self, runner_id: int) -> None:
        """The runner has ended or is being ended; it takes no more tasks."""
        self._runners.pop(runner_id, None)

    def _spawn(self) -> Runner | None:
        """A new runner; None when the host is lost, of which the main loop hears by an event."""
        try:
            runner = Runner(runner_id=self._host.spawn())
        except EnvironmentFault:
            return None
        self._runners[runner.runner_id] = runner
        return runner
