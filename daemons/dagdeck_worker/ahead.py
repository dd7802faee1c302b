"""What runners were sent ahead: short tasks that stand in a runner's pipe behind the one that it executes.

Decides how many a runner is sent, and takes back what it has not begun. Waking a process costs more than a short task
does; a runner that finds its next task in the pipe is not woken. Nothing waits behind a long task: what is sent ahead
is expected to take milliseconds, is taken back when the task before it lasts, and is given back by a runner whose
task asks for something. Owned by the main loop's `execution`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from dagdeck_core.process_port import ProcessHost
from dagdeck_worker.dispatches import Dispatch
from dagdeck_worker.runners import Runner
from dagdeck_worker.slots import Durations


class SentAhead:
    """See the module."""

    def __init__(self, host: ProcessHost, durations: Durations) -> None:
        self._host = host
        self._durations = durations
        self._behind: dict[int, deque[Dispatch]] = {}
        """By runner, in the order in which they were sent; no queue is empty."""

    def fill(
        self, runner: Runner, head: Dispatch, waiting: deque[Dispatch], frame_of: Callable[[Dispatch], bytes]
    ) -> None:
        """Send `runner`, which executes `head`, tasks from the left of `waiting` (of the same code), or none."""
        if head.asked or head.ending is not None or head.outcome is not None or not head.counted_short:
            return
        behind = self._behind.get(runner.runner_id) or deque()
        room = self._durations.ahead(head.dag_id) - len(behind)
        while room > 0 and waiting and waiting[0].counted_short and waiting[0].dag_id == head.dag_id:
            if not self._host.send_ahead(runner.runner_id, frame_of(waiting[0])):
                break
            dispatch = waiting.popleft()
            dispatch.runner_id, dispatch.pid = runner.runner_id, runner.pid
            behind.append(dispatch)
            room -= 1
        if behind:
            self._behind[runner.runner_id] = behind

    def is_behind(self, runner_id: int) -> bool:
        """Whether something stands behind the runner's task."""
        return runner_id in self._behind

    def next(self, runner_id: int) -> Dispatch | None:
        """The one that the runner goes on with after it has ended its task; no longer ahead."""
        behind = self._behind.get(runner_id)
        if behind is None:
            return None
        dispatch = behind.popleft()
        if not behind:
            del self._behind[runner_id]
        return dispatch

    def take_back(self, runner_id: int, heads: Mapping[int, Dispatch]) -> list[Dispatch]:
        """What the runner had not begun, last first; `heads` says what runners execute.

        A runner whose task asks gives back by itself, and in its pipe stand answers that must not be taken.
        """
        behind = self._behind.get(runner_id)
        if behind is None or heads[runner_id].asked:
            return []
        return self._freed(runner_id, [behind.pop() for _ in range(self._host.take_back(runner_id, len(behind)))])

    def given_back(self, runner_id: int, dispatch_no: int) -> list[Dispatch]:
        """The one that the runner does not keep, if it is one of these."""
        behind = self._behind.get(runner_id, deque())
        given = [dispatch for dispatch in behind if dispatch.claimed.dispatch_no == dispatch_no]
        for dispatch in given:
            behind.remove(dispatch)
        return self._freed(runner_id, given)

    def left_by(self, runner_id: int) -> list[Dispatch]:
        """All of a runner that is dead, last first: they would have begun only after the one that it executed."""
        behind = self._behind.get(runner_id, deque())
        left = [behind.pop() for _ in range(len(behind))]
        return self._freed(runner_id, left)

    def _freed(self, runner_id: int, dispatches: list[Dispatch]) -> list[Dispatch]:
        for dispatch in dispatches:
            dispatch.runner_id = dispatch.pid = None
        if not self._behind.get(runner_id):
            self._behind.pop(runner_id, None)
        return dispatches
