"""Watches tasks that have a limit: whether a task's processes together use more memory or CPU time than it allows.

Decides how often that is looked at, and what counts. Does not end anything (the main loop does). Has a thread of its
own, which begins with the first task that has a limit and sleeps while there is none.

Where the kernel keeps a memory limit too (control groups), it is faster; this holds everywhere, and is what tells
people how much it was. Memory is first taken from what is cheap to read and at most too high, and only above the limit
exactly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dagdeck_core.limits import TaskLimits
from dagdeck_core.process_port import ProcessHost, TreeUsage
from dagdeck_core.spec import TaskSpec
from dagdeck_worker.confinement import out_of_cpu_time, out_of_memory
from dagdeck_worker.worker_thread import WorkerThread

LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A task has used more than it may: bytes of memory, or else seconds of CPU time."""

    runner_id: int
    dispatch_no: int
    memory: int = 0
    cpu_seconds: float = 0.0

    def sentence(self, spec: TaskSpec | None, limits: TaskLimits) -> str:
        """What people are told."""
        if self.memory:
            return out_of_memory(spec, limits, self.memory)
        return out_of_cpu_time(spec, limits, self.cpu_seconds)


class LimitWatch(WorkerThread):
    """See the module. `limited` gives runner_id → (dispatch_no, limits) of the tasks that run now and have some."""

    def __init__(
        self,
        host: ProcessHost,
        *,
        limited: Callable[[], Mapping[int, tuple[int, TaskLimits]]],
        on_excess: Callable[[Excess], None],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("limits", on_crash)
        self._host = host
        self._limited = limited
        self._on_excess = on_excess
        self._needed = threading.Event()
        self._has_begun = False
        self._cpu_at_first: dict[int, float] = {}
        """By dispatch_no: what its runner had used before, for earlier tasks."""

    def look(self) -> None:
        """There is a task with a limit now. From the main loop only."""
        if not self._has_begun and not self.stopping.is_set():
            self._has_begun = True
            self.start()
        self._needed.set()

    def stop(self) -> None:
        """See WorkerThread."""
        super().stop()
        self._needed.set()

    def _run(self) -> None:
        while not self.stopping.is_set():
            self._needed.wait()
            self._needed.clear()
            while (limited := self._limited()) and not self.stopping.wait(LOOK_SECONDS):
                self._look_at(limited)
            self._cpu_at_first.clear()

    def _look_at(self, limited: Mapping[int, tuple[int, TaskLimits]]) -> None:
        usage = self._host.usage(list(limited))
        for runner_id, used in usage.items():
            dispatch_no, limits = limited[runner_id]
            excess = self._excess(runner_id, dispatch_no, limits, used)
            if excess is not None:
                self._on_excess(excess)
        seen = {dispatch_no for dispatch_no, _ in limited.values()}
        self._cpu_at_first = {number: cpu for number, cpu in self._cpu_at_first.items() if number in seen}

    def _excess(self, runner_id: int, dispatch_no: int, limits: TaskLimits, used: TreeUsage) -> Excess | None:
        if limits.memory and used.resident > limits.memory:
            memory = self._host.memory(runner_id)
            if memory > limits.memory:
                return Excess(runner_id=runner_id, dispatch_no=dispatch_no, memory=memory)
        if limits.cpu_seconds:
            seconds = used.cpu_seconds - self._cpu_at_first.setdefault(dispatch_no, used.cpu_seconds)
            if seconds > limits.cpu_seconds:
                return Excess(runner_id=runner_id, dispatch_no=dispatch_no, cpu_seconds=seconds)
        return None
